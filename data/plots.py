"""Charts as still SVG for a report: no script, no network, one size, colours that a style sheet can change.

    from data.plots import histogram

    svg = histogram([0.5, 0.6, 0.7], {"rows": [12, 30]})

A chart carries numbers and the data's own names only; its title, axis names and legend stand outside it, in
HTML (data/report.py `figure`), so that one drawing serves every language and no font is measured for them.
Every fill and stroke is one of PALETTE, whose values data/report_style.py turns into the page's colours, light
or dark. The same numbers give the same bytes. Drawn by Altair and vl-convert, which are imported when the first
chart is made (about a second; then 0.1 s each).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from data.text import excerpt

PALETTE = {
    "text": "#0f1a2a",
    "soft": "#4b5b70",
    "line": "#d5dde6",
    "strong": "#7c8b9e",
    "one": "#0f766e",
    "two": "#b45309",
    "three": "#1d4ed8",
    "four": "#7e22ce",
}
"""Names of the page's colours and the values a chart is drawn with."""
SERIES = ("one", "two", "three", "four")
WIDTH = 460
"""Pixels a chart is wide, with all it has; a page draws it smaller where it has less room."""
_SHORT = "format(datum.value, '~s')"
_SVG = "http://www.w3.org/2000/svg"
_KEPT = {
    *("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "viewBox", "text-anchor", "font-size"),
    *("fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity"),
}


class Span(NamedTuple):
    """A value with its interval, on a line of its own; None where there is none."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    series: int = 0
    """Which colour: 0 to 3."""


class Point(NamedTuple):
    """A point of a curve with its interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    n: int = 0


def histogram(edges: Sequence[float], counts: Mapping[str, Sequence[float]], *, log: bool = False) -> Markup:
    """Bars of how many fall between two edges; of up to four series, over each other.

    Args:
        edges: one more than there are counts, rising; above 0 with `log`.
        log: the x axis is logarithmic.
    """
    import altair as alt

    layers = []
    for number, values in enumerate(counts.values()):
        bars = [
            {"a": a, "b": b, "n": n, "o": 0} for a, b, n in zip(edges[:-1], edges[1:], values, strict=True) if n > 0
        ]
        colour = PALETTE[SERIES[number % 4]]
        x = _axis("a", log=log, domain=[edges[0], edges[-1]], ticks=6)
        layers.append(
            alt.Chart(_values(bars))
            .mark_rect(fill=colour, fillOpacity=0.85 if len(counts) == 1 else 0.35, stroke=colour, strokeWidth=1)
            .encode(x=x, x2="b:Q", y=_count_axis("n"), y2="o:Q")
        )
    return _drawn(alt.layer(*layers), 190)


def bars(values: Mapping[str, float]) -> Markup:
    """A horizontal bar for each name, in the order given, with its number at the end."""
    import altair as alt

    rows = [{"y": name, "v": v, "t": _short(v)} for name, v in zip(_names(values), values.values(), strict=True)]
    most = max([*values.values(), 1e-9])
    base = alt.Chart(_values(rows)).encode(
        y=_rows_axis(), x=alt.X("v:Q", title=None, axis=None, scale=alt.Scale(domain=[0, most * 1.15]))
    )
    text = base.mark_text(align="left", dx=4, color=PALETTE["soft"], fontSize=12).encode(text="t:N")
    return _drawn(alt.layer(base.mark_bar(color=PALETTE["one"], height={"band": 0.7}), text), 26 * len(rows) + 8)


def spans(rows: Sequence[Span], *, domain: tuple[float, float] | None = None, rule: float | None = None) -> Markup:
    """Dots with their intervals, one line each (a forest plot); `rule` is a value to hold them against."""
    import altair as alt

    names = _names([row.name for row in rows])
    ends = [x for row in rows for x in (row.value, row.low, row.high, rule) if x is not None]
    reach = list(domain) if domain else [min(ends, default=0.0), max(ends, default=1.0)]
    scale = alt.Scale(domain=reach, nice=domain is None, zero=False, clamp=domain is not None)
    x = alt.X("v:Q", title=None, scale=scale, axis=alt.Axis(tickCount=6, grid=True))
    layers = []
    if rule is not None:
        line = alt.Chart(_values([{"v": rule}]))
        layers.append(line.mark_rule(color=PALETTE["two"], strokeDash=[4, 3], strokeWidth=1.5).encode(x=x))
    for number in sorted({row.series for row in rows}) or [0]:
        here = [
            {"y": name, "v": row.value, "a": row.low, "b": row.high}
            for name, row in zip(names, rows, strict=True)
            if row.series == number and row.value is not None
        ]
        both = [one for one in here if one["a"] is not None and one["b"] is not None]
        colour = PALETTE[SERIES[number % 4]]
        y = _rows_axis(names)
        whole = alt.Chart(_values(both))
        layers.append(whole.mark_rule(color=colour, strokeWidth=2.5).encode(y=y, x=alt.X("a:Q", scale=scale), x2="b:Q"))
        dots = alt.Chart(_values(here))
        layers.append(dots.mark_point(fill=colour, stroke=colour, size=55, opacity=1).encode(y=y, x=x))
    return _drawn(alt.layer(*layers), 26 * max(1, len(rows)) + 34)


def curve(points: Sequence[Point], *, domain: tuple[float, float] = (0.5, 1.0)) -> Markup:
    """A calibration curve: what was said (x) against what came true (y), on the diagonal where the two agree."""
    import altair as alt

    low = min([domain[0], *(p.y if p.low is None else p.low for p in points)])
    ends = [low, domain[1]]
    x = alt.X("x:Q", title=None, scale=alt.Scale(domain=list(domain), nice=False), axis=alt.Axis(tickCount=6))
    y = alt.Y("y:Q", title=None, scale=alt.Scale(domain=ends, nice=False, clamp=True), axis=alt.Axis(tickCount=6))
    even = alt.Chart(_values([{"x": v, "y": v} for v in domain]))
    rows = [p._asdict() for p in points]
    own = alt.Chart(_values(rows))
    layers = [
        even.mark_line(color=PALETTE["strong"], strokeDash=[4, 3], strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(_values([r for r in rows if r["low"] is not None and r["high"] is not None]))
        .mark_rule(color=PALETTE["one"], strokeWidth=2)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        own.mark_line(color=PALETTE["one"], strokeWidth=1.5).encode(x=x, y=y, order="x:Q"),
        own.mark_point(fill=PALETTE["one"], stroke=PALETTE["one"], size=55, opacity=1).encode(x=x, y=y),
    ]
    return _drawn(alt.layer(*layers), 240)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, log: bool = False, dots: int = 0) -> Markup:
    """Lines through (x, y), up to four series.

    Args:
        log: y is logarithmic (values above 0 alone).
        dots: a series of at most so many points shows each as a dot too; a lone point has no line.
    """
    import altair as alt

    layers = []
    for number, points in enumerate(series.values()):
        rows = [{"x": x, "y": y} for x, y in points if not log or y > 0]
        scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
        y = alt.Y("y:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5))
        chart = alt.Chart(_values(rows)).mark_line(color=PALETTE[SERIES[number % 4]], strokeWidth=2)
        layers.append(chart.encode(x=_axis("x", ticks=6), y=y, order="x:Q"))
        if len(rows) <= dots:
            points_of = alt.Chart(_values(rows)).mark_point(fill=PALETTE[SERIES[number % 4]], size=40, opacity=1)
            layers.append(points_of.encode(x=_axis("x", ticks=6), y=y, stroke=alt.value(PALETTE[SERIES[number % 4]])))
    return _drawn(alt.layer(*layers), 220)


def _values(rows: list[dict[str, Any]]) -> Any:
    """The rows as the chart's own data; they stand in it, nothing is fetched."""
    import altair as alt

    return alt.InlineData(rows)


def _axis(field: str, *, log: bool = False, domain: list[float] | None = None, ticks: int = 6) -> Any:
    import altair as alt

    scale = alt.Scale(type="log" if log else "linear", nice=False, zero=False)
    if domain:
        scale = alt.Scale(type="log" if log else "linear", nice=False, zero=False, domain=domain)
    if log and domain:
        round_ones = [m * 10.0**k for k in range(-6, 13) for m in (1, 2, 5) if domain[0] <= m * 10.0**k <= domain[1]]
        return alt.X(f"{field}:Q", title=None, scale=scale, axis=alt.Axis(values=round_ones, labelExpr=_SHORT))
    return alt.X(
        f"{field}:Q",
        title=None,
        scale=scale,
        axis=alt.Axis(tickCount=ticks, labelExpr=_SHORT if log else "format(datum.value, '~g')"),
    )


def _count_axis(field: str) -> Any:
    import altair as alt

    return alt.Y(f"{field}:Q", title=None, axis=alt.Axis(tickCount=4, tickMinStep=1, labelExpr=_SHORT))


def _rows_axis(names: Sequence[str] | None = None) -> Any:
    import altair as alt

    axis = alt.Axis(domain=False, ticks=False, labelPadding=8, labelLimit=190, grid=False)
    scale = alt.Scale(domain=list(names)) if names is not None else alt.Undefined
    return alt.Y("y:N", title=None, sort=None, axis=axis, scale=scale)


def _names(names: "Sequence[str] | Mapping[str, Any]") -> list[str]:
    """Names short enough for an axis, no two alike."""
    found: list[str] = []
    seen: dict[str, int] = {}
    for name in names:
        short = excerpt(name, 15 if _wide(name) else 30) or "–"
        seen[short] = seen.get(short, 0) + 1
        found.append(short if seen[short] == 1 else f"{short} ({seen[short]})")
    return found


def _wide(text: str) -> bool:
    return sum(ord(c) > 0x2E80 for c in text[:24]) > 6


def _short(value: float) -> str:
    """A number for a chart: thousands with commas, others with at most three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def _drawn(chart: Any, height: int) -> Markup:
    """The chart as SVG, with nothing in it but shapes and text."""
    import vl_convert

    quiet = {"aria": False, "labelColor": PALETTE["soft"], "labelFontSize": 12, "gridColor": PALETTE["line"]}
    quiet |= {
        "domainColor": PALETTE["strong"],
        "tickColor": PALETTE["strong"],
        "labelFont": "Arial",
        "labelFlush": False,
    }
    made = chart.properties(width=WIDTH, height=height, background="transparent").to_dict(
        validate=False
    )  # ours; a tenth of the time
    made["autosize"] = {"type": "fit", "contains": "padding"}
    made["padding"] = {"left": 6, "right": 14, "top": 6, "bottom": 2}
    aria = {"aria": False}
    made["config"] = {"axis": quiet, "axisX": {"grid": False}, "view": {"stroke": None}, "mark": aria, "style": {}}
    return _bare(vl_convert.vegalite_to_svg(made, vl_version="6.4", allowed_base_urls=[]))


def _bare(svg: str) -> Markup:
    """The drawing without classes, roles, fonts, backgrounds and empty shapes: a third of the bytes."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    width, height = (float(root.get(side, "1")) for side in ("width", "height"))
    _strip(root)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag.group()), text))


def _strip(node: ElementTree.Element) -> None:
    for name in [name for name in node.attrib if name not in _KEPT]:
        del node.attrib[name]
    for name in ("opacity", "fill-opacity", "stroke-opacity"):
        if node.get(name) == "1":
            del node.attrib[name]
    for child in list(node):
        _strip(child)
        kind = child.tag.removeprefix(f"{{{_SVG}}}")
        empty = kind == "g" and not len(child)
        blank = kind == "path" and (not child.get("d") or not (child.get("fill") or child.get("stroke")))
        ground = kind == "rect" and child.get("fill") in ("transparent", "white")
        if empty or blank or ground or kind not in ("g", "path", "line", "rect", "text", "tspan", "title"):
            node.remove(child)
