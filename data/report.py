"""What every report page shares: one HTML text that opens from disk, in English and Chinese, for screen and paper.

    from data.report import Words, page, paragraph, section

    body = [section("rows", Words("Rows", "数据行"), paragraph(Words("{n} rows.", "共 {n} 行。"), n=12))]
    text = page(Words("Export of {name}", "{name} 的导出"), body, name="answers")

Parts are plain functions that give Markup (text that is HTML already); whatever else is handed to them is data
and is escaped, its invisible characters written out, long texts cut. The page asks nobody for anything: style
and script stand in it and are named by their hash in its content security policy, which forbids all else.
Both languages are in the page; a control at its top shows one of them, without script too.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from data.report_style import SCRIPT, style
from data.text import excerpt, visible

LONGEST = 80
"""Characters of a piece of data that are shown in a sentence or a table."""


class Words(NamedTuple):
    """A text in both languages, with {places} for values."""

    en: str
    zh: str


class Axes(NamedTuple):
    """What the axes of a chart say, units included; None where an axis needs no name."""

    x: Words | None
    y: Words | None


def say(words: Words, **values: Any) -> Markup:
    """The text in both languages, each marked with its own; values are data unless they are Markup."""
    filled = {name: data(value) for name, value in values.items()}
    en, zh = (Markup(escape(text)).format(**filled) for text in words)
    return en if en == zh else Markup('<span lang="en">{}</span><span lang="zh">{}</span>').format(en, zh)


def data(value: Any, limit: int = LONGEST) -> Markup:
    """A piece of data as HTML: numbers with commas, text cut, on one line, and kept from turning its surroundings."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("–")
    if isinstance(value, bool | int | float):
        return escape(number(value))
    return Markup("<bdi>{}</bdi>").format(excerpt(str(value), limit))


def number(value: float, digits: int = 3) -> str:
    """A number for people: whole ones with commas, others with `digits` after the point."""
    if not isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share as a percentage; one digit after the point where it is near an end."""
    if value is None or not isfinite(value):
        return "–"
    return f"{value:.1%}" if 0 < value < 0.1 or 0.9 < value < 1 else f"{value:.0%}"


def between(low: float | None, high: float | None, spell: Any = number) -> str:
    """An interval, or a dash."""
    return "–" if low is None or high is None else f"{spell(low)} – {spell(high)}"


def section(key: str, title: Words, *parts: Markup | None) -> Markup:
    """A part of the page under its heading; nothing at all when no part of it is there."""
    there = [part for part in parts if part]
    if not there:
        return Markup()
    return Markup('<section id="{}"><h2>{}</h2>{}</section>').format(key, say(title), Markup("").join(there))


def paragraph(words: Words, kind: str = "", **values: Any) -> Markup:
    """A paragraph; kind "soft" for an explanation."""
    opened = Markup('<p class="{}">').format(kind) if kind else Markup("<p>")
    return opened + say(words, **values) + Markup("</p>")


def note(level: str, *parts: Markup) -> Markup:
    """A box that stands out; level good, info, warn or block."""
    return Markup('<div class="note {}">{}</div>').format(level, Markup("").join(parts))


def level_mark(level: str, words: Words) -> Markup:
    """A small coloured label; level good, info, warn or block."""
    return Markup('<span class="level {}">{}</span>').format(level, say(words))


def grid(*parts: Markup | None) -> Markup:
    """Parts side by side where there is room."""
    there = [part for part in parts if part]
    return Markup('<div class="grid">{}</div>').format(Markup("").join(there)) if there else Markup()


def keys(figures: Iterable[tuple[Words, Any, Markup | None]]) -> Markup:
    """The figures to see first: name, value, and a small remark under it."""
    cells = [
        Markup("<div><dt>{}</dt><dd>{}{}</dd></div>").format(
            say(name), data(value), Markup("<small>{}</small>").format(remark) if remark else ""
        )
        for name, value, remark in figures
    ]
    return Markup('<dl class="keys">{}</dl>').format(Markup("").join(cells)) if cells else Markup()


def flow(steps: Iterable[tuple[Words, int, Markup | None]]) -> Markup:
    """Steps one after another, each with its number."""
    cells = [
        Markup("<li><span>{}</span><b>{}</b>{}</li>").format(
            say(name), data(count), Markup("<small>{}</small>").format(remark) if remark else ""
        )
        for name, count, remark in steps
    ]
    return Markup('<ol class="flow">{}</ol>').format(Markup("").join(cells)) if cells else Markup()


def trail(steps: Iterable[tuple[Words, Any, Any]]) -> Markup:
    """A way downwards: at each step what it is, its text, and a remark."""
    cells = [
        Markup("<li><span>{}</span><div>{}{}</div></li>").format(
            say(name), data(text, 400), Markup("<small>{}</small>").format(remark) if remark else ""
        )
        for name, text, remark in steps
    ]
    return Markup('<ol class="trail">{}</ol>').format(Markup("").join(cells)) if cells else Markup()


def table(
    columns: Sequence[Words],
    rows: Sequence[Sequence[Any]],
    *,
    title: Words | None = None,
    more: int = 0,
    where: str = "",
) -> Markup:
    """A table that scrolls in its own box; columns whose cells are numbers stand to the right.

    Args:
        rows: cells are data, Markup, numbers or None.
        more: how many rows are not shown; `where` says in which file they are.
    """
    if not rows:
        return Markup()
    right = [all(_numeric(row[i]) for row in rows) for i in range(len(columns))]
    classes = [Markup(' class="num"') if r else Markup() for r in right]
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(c, say(name)) if name.en else Markup("<td></td>")
        for c, name in zip(classes, columns, strict=True)
    )
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td{}>{}</td>").format(c, data(x)) for c, x in zip(classes, row, strict=True))
        )
        for row in rows
    )
    caption = Markup("<caption>{}</caption>").format(say(title)) if title else Markup()
    rest = paragraph(_MORE, "soft", n=more, file=code(where)) if more else Markup()
    return Markup(
        '<div class="scroll" tabindex="0"><table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}'
    ).format(caption, head, body, rest)


def _numeric(cell: Any) -> bool:
    if isinstance(cell, Markup) or cell is None:
        return cell is None
    return isinstance(cell, int | float) or str(cell).strip("0123456789.,%+−-– ") == ""


def breakdown(title: Words, counted: Words, counts: Mapping[Any, int], most: int = 20, of: int | None = None) -> Markup:
    """Counts by name, the greatest first, each with its share of the whole as a bar; keys are data or Markup.

    Args:
        of: the whole, where it is not the sum.
    """
    if not counts:
        return Markup()
    whole = of or sum(counts.values()) or 1
    order = sorted(counts.items(), key=lambda item: -item[1])
    rows = [[data(name) if name else say(NOT_STATED), n, percent(n / whole), _bar(n / whole)] for name, n in order]
    return table([title, counted, _SHARE, Words("", "")], rows[:most], more=max(0, len(rows) - most))


def _bar(share: float) -> Markup:
    width = f"{100 * min(1.0, max(0.0, share)):.1f}"
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"/></svg>'
    ).format(width)


def figure(
    key: str,
    title: Words | Markup,
    svg: Markup,
    axes: Axes,
    told: Markup,
    *,
    legend: Sequence[tuple[str, Words]] = (),
    behind: Markup | None = None,
    labels: Iterable[Words] = (),
) -> Markup:
    """A chart with its title, axis names, legend, what it shows in a sentence, and the numbers behind it.

    Args:
        key: an id no other figure of the page has.
        svg: from data/plots.py.
        told: the chart in words; also what a reader hears who does not see it.
        legend: colour (a name of data/plots.py PALETTE) and words.
        behind: a table, shown on demand.
        labels: names in the chart that are words, not data: drawn in English, shown in both languages.
    """
    for words in labels:
        if words.en != words.zh:
            both = Markup('<tspan lang="en">{}</tspan><tspan lang="zh">{}</tspan>').format(*words)
            svg = Markup(str(svg).replace(f">{escape(words.en)}</text>", f">{both}</text>"))
    opened = Markup('<svg role="img" aria-labelledby="{0}-t {0}-s" ').format(key)
    drawn = Markup(svg.replace("<svg ", opened, 1))
    marks = Markup("").join(
        Markup('<span><i class="{}"></i>{}</span>').format(colour, say(words)) for colour, words in legend
    )
    parts = [
        Markup('<figcaption><h3 id="{0}-t">{1}</h3><span class="soft" id="{0}-s">{2}</span></figcaption>').format(
            key, title if isinstance(title, Markup) else say(title), told
        ),
        Markup('<div class="legend">{}</div>').format(marks) if marks else Markup(),
        Markup('<div class="axis y">{}</div>').format(say(axes.y)) if axes.y else Markup(),
        drawn,
        Markup('<div class="axis x">{}</div>').format(say(axes.x)) if axes.x else Markup(),
        Markup("<details><summary>{}</summary>{}</details>").format(say(_BEHIND), behind) if behind else Markup(),
    ]
    return Markup("<figure>{}</figure>").format(Markup("").join(parts))


def code(text: str) -> Markup:
    """A path, id or flag as it is typed."""
    return Markup("<code>{}</code>").format(visible(" ".join(text[:200].split())))


def command(line: str) -> Markup:
    """A line to type."""
    return Markup("<pre><code>{}</code></pre>").format(visible(" ".join(line[:300].split())))


def page(title: Words, sections: Sequence[Markup], *, lead: Markup | None = None, what: str = "", **values: Any) -> str:
    """The whole page as text.

    Args:
        title: with places for `values`, which are data.
        sections: from `section`; empty ones are left out.
        lead: what stands before the first section.
        what: a small line above the title, such as "Concord · export".
    """
    sheet = style()
    allowed = "; ".join(
        ["default-src 'none'", f"style-src {_hashed(sheet)}", f"script-src {_hashed(SCRIPT)}", "base-uri 'none'"]
    )
    plain = {name: excerpt(str(value), LONGEST) for name, value in values.items()}
    names = [text.format(**plain) for text in title]
    body = Markup("").join(part for part in sections if part)
    return str(
        Markup(
            '<!doctype html>\n<html lang="en" data-en="{en}" data-zh="{zh}"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" content="{allowed}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta name="referrer" content="no-referrer"><title>{en}</title><style>{sheet}</style></head>\n<body>'
            '<main><input class="choice" type="radio" name="in" id="in-en" checked>'
            '<input class="choice" type="radio" name="in" id="in-zh">'
            '<div class="top"><span>{what}</span><span class="choices"><label for="in-en">English</label>'
            '<label for="in-zh">中文</label></span></div>\n'
            '<h1>{title}</h1>\n<div class="lead">{lead}</div>\n{body}\n<div class="foot">{foot}</div></main>'
            "<script>{script}</script></body></html>\n"
        ).format(
            en=names[0],
            zh=names[1],
            allowed=allowed,
            sheet=Markup(sheet),
            what=what,
            title=say(title, **values),
            lead=lead or "",
            body=body,
            foot=say(_FOOT),
            script=Markup(SCRIPT),
        )
    )


def contents(entries: Iterable[tuple[str, Words]]) -> Markup:
    """Links to sections of the page, by their keys."""
    links = [Markup('<li><a href="#{}">{}</a></li>').format(key, say(title)) for key, title in entries]
    return Markup('<ul class="contents">{}</ul>').format(Markup("").join(links)) if links else Markup()


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


NOT_STATED = Words("not stated", "未注明")
_SHARE = Words("share", "占比")
_BEHIND = Words("The numbers behind it", "对应的数字")
_MORE = Words("{n} more rows in {file}.", "另有 {n} 行，见 {file}。")
_FOOT = Words(
    "Written by Concord. This file is complete in itself: it loads nothing and sends nothing.",
    "由 Concord 生成。本文件自成一体：不加载任何内容，也不发送任何内容。",
)
