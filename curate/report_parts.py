"""The parts that several of curate's report pages share: agreement and findings.

Each takes rows as the commands write them (data/*.jsonl, audit/findings.jsonl) and gives Markup, empty where
there is nothing to show. Rows are drawn in the order that helps a reader: the ones to look at first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from curate.findings import Finding
from curate.report_words import (
    CRITERIA,
    GROUPS,
    LEVELS,
    MEASURES,
    SLICES,
    case_says,
    finding_says,
    finding_title,
    how_to_trace,
    reason,
    verdict,
)
from data.plots import Span, spans
from data.report import (
    Axes,
    Words,
    between,
    code,
    data,
    figure,
    grid,
    level_mark,
    note,
    number,
    paragraph,
    say,
    table,
)
from data.text import excerpt

Row = Mapping[str, Any]
DRAWN = 24
"""Lines of a chart at most; tables show LISTED rows, files have all."""
LISTED = 60

ALPHA = Words(
    "Alpha (Krippendorff) is 1 when annotators always agree and 0 when they agree as often as chance would have it."
    " The bars are 95% intervals: where alpha would plausibly lie with other material. The dashed line is the value to"
    " reach.",
    "α（Krippendorff）为 1 表示标注者完全一致，为 0 表示一致程度与随机相同。横条为 95% 区间：换一批材料时 α"
    " 可能落入的范围。虚线为要达到的值。",
)


def alphas(rows: Sequence[Row]) -> list[Row]:
    """The overall alphas, one for each criterion and group of annotators."""
    return [r for r in rows if r["measure"] in ("alpha", "cross_alpha") and r["slice"] == "all" and not r["left_out"]]


def agreement_parts(rows: Sequence[Row], threshold: float = 0.8, where: str = "data/agreement.jsonl") -> list[Markup]:
    """Alpha overall, by slice and without each annotator, with all measures in a table."""
    whole = alphas(rows)
    if not whole:
        return []
    parts = [paragraph(ALPHA, "soft")]
    several = len({r["criterion"] for r in rows}) > 1
    overall = _alpha_chart("agree", _OVERALL, whole, [_about(r, several) for r in whole], threshold)
    shown = [r for r in rows if r["slice"] == "all" and not r["left_out"]]
    parts += [grid(overall, paragraph(_OTHERS, "soft")), table(_MEASURED, [_measured(r) for r in shown])]
    parts.append(
        _charts("agree-slices", _SLICED, [r for r in rows if _is_alpha(r) and r["slice"] != "all"], threshold, where)
    )
    left = [r for r in rows if _is_alpha(r) and r["slice"] == "all" and r["left_out"]]
    left.sort(key=lambda r: (-(r["value"] if r["value"] is not None else -9), r["left_out"]))
    parts.append(_charts("agree-without", _WITHOUT, left, threshold, where))
    return parts


def _is_alpha(row: Row) -> bool:
    return row["measure"] in ("alpha", "cross_alpha")


def _charts(key: str, title: Words, rows: Sequence[Row], threshold: float, where: str) -> Markup:
    """A chart for each criterion and group of annotators, a line for each part of the data."""
    groups: dict[Words, list[Row]] = {}
    several = len({r["criterion"] for r in rows}) > 1
    for row in rows:
        groups.setdefault(_about(row, several), []).append(row)
    charts = []
    for place, (about, own) in enumerate(groups.items()):
        titled = say(title)
        if len(groups) > 1:
            titled = say(Words("{title}: {about}", "{title}：{about}"), title=titled, about=_spelt(about))
        names = [_same(str(r["left_out"] or r["key"]) or "–") for r in own]
        charts.append(_alpha_chart(f"{key}-{place}", titled, own, names, threshold, where))
    return grid(*charts)


def _about(row: Row, several: bool) -> Words:
    """What a row is about: the criterion where there are several, and the group of annotators."""
    who = GROUPS.get(row["who"], Words(row["who"], row["who"]))
    criterion = CRITERIA.get(row["criterion"], Words(*[excerpt(str(row["criterion"]), 16)] * 2))
    if row["who"] == "all":
        return criterion if several else who
    return Words(f"{criterion.en}, {who.en}", f"{criterion.zh}，{who.zh}") if several else who


def _same(name: str) -> Words:
    """A name of the data's own, in both languages."""
    return Words(excerpt(name, 40), excerpt(name, 40))


def _alpha_chart(
    key: str, title: Words | Markup, rows: Sequence[Row], names: Sequence[Words], threshold: float, where: str = ""
) -> Markup:
    known = [(name, r) for name, r in zip(names, rows, strict=True) if r["value"] is not None]
    if not known:
        return Markup()
    drawn = known[:DRAWN]
    low = min([0.0, *(r["low"] if r["low"] is not None else r["value"] for _, r in drawn)])
    svg = spans(
        [Span(name.en, r["value"], r["low"], r["high"]) for name, r in drawn],
        domain=(max(-1.0, round(low - 0.05, 1)), 1.0),
        rule=threshold,
    )
    values = [r["value"] for _, r in drawn]
    told = say(
        _FROM_TO if len(values) > 1 else _ONE,
        low=number(min(values), 2),
        high=number(max(values), 2),
        rule=f"{threshold:g}",
    )
    listed = [
        [_spelt(name), say(SLICES[r["slice"]]) if r["slice"] in SLICES else "", *_measured(r)[2:]]
        for name, r in known[:LISTED]
    ]
    behind = table(_SLICE_COLUMNS, listed, more=max(0, len(known) - LISTED), where=where)
    labels = dict.fromkeys(name for name, _ in drawn)
    return figure(
        key, title, svg, Axes(Words("alpha (no unit)", "α（无单位）"), None), told, behind=behind, labels=labels
    )


def _spelt(name: Words) -> Markup:
    return say(Words("{en}", "{zh}"), en=name.en, zh=name.zh)


def _measured(row: Row) -> list[Any]:
    kind = say(MEASURES[row["measure"]]) if row["measure"] in MEASURES else data(row["measure"])
    name = _spelt(_about(row, True))
    value = "–" if row["value"] is None else number(row["value"])
    why = verdict(row["verdict"]) if row["verdict"] else reason(row["why"]) if row["why"] else Markup()
    more = say(Words(" (about {n} more needed)", "（约还需 {n} 个）"), n=row["needed"]) if row["needed"] else Markup()
    few = say(Words(" (few: interval uncertain)", "（数量少：区间不可靠）")) if row["too_few"] else Markup()
    return [name, kind, value, between(row["low"], row["high"]), row["units"], row["ratings"], why + more + few]


def finding_parts(
    found: Sequence[Finding], allowed: Sequence[str] = (), where: str = "audit/findings.jsonl"
) -> list[Markup]:
    """Each finding with its level, what it means, examples and how to trace them; the gravest first."""
    if not found:
        return [note("good", paragraph(Words("No check found anything.", "各项检查均未发现问题。")))]
    order = sorted(found, key=lambda one: ("block", "warn", "info").index(one.level))
    parts = [_finding(one, one.name in allowed) for one in order]
    return [*parts, paragraph(Words("All of them: {file}.", "全部见 {file}。"), "soft", file=code(where))]


def _finding(one: Finding, allowed: bool) -> Markup:
    mark = level_mark(one.level, LEVELS[one.level])
    if allowed:
        mark += Markup(" ") + level_mark("info", Words("allowed by name", "已按名称放行"))
    title = finding_title(one)
    cases = Markup("").join(
        Markup("<li>{} <bdi>{}</bdi></li>").format(code(case.id), case_says(case.says)) for case in one.examples[:3]
    )
    listed = Markup("<ul>{}</ul>").format(cases) if cases else Markup()
    command = Markup('<p class="soft">{}</p>').format(how_to_trace(one)) if one.trace else Markup()
    return Markup('<article class="finding"><h3>{}</h3>{}<p>{}</p>{}{}</article>').format(
        title, mark, finding_says(one), listed, command
    )


_OVERALL = Words("Agreement among annotators", "标注者之间的一致程度")
_SLICED = Words("Agreement in parts of the data", "数据各部分的一致程度")
_WITHOUT = Words("Agreement without one annotator", "去掉一位标注者后的一致程度")
_FROM_TO = Words("Alpha from {low} to {high}; to reach: {rule}.", "α 介于 {low} 与 {high} 之间；目标 {rule}。")
_ONE = Words("Alpha {low}; to reach: {rule}.", "α 为 {low}；目标 {rule}。")
_MEASURED = [
    Words("of", "对象"),
    Words("measure", "指标"),
    Words("value", "数值"),
    Words("95% interval", "95% 区间"),
    Words("units", "单元数"),
    Words("judgments", "判断数"),
    Words("verdict", "结论"),
]
_SLICE_COLUMNS = [Words("part", "部分"), Words("by", "依据"), *_MEASURED[2:]]
_OTHERS = Words(
    "Percent agreement is how often two annotators gave the same answer, chance included. AC1 (Gwet) corrects for"
    " chance in another way and stays high where almost all answers are the same. Kendall's W compares whole rankings:"
    " 1 means the same order every time.",
    "一致比例指两位标注者给出相同答案的比例，包含偶然一致。AC1（Gwet）以另一种方式扣除偶然一致，"
    "在答案几乎都相同时仍较高。Kendall W 比较整个排序：1 表示每次顺序都相同。",
)
