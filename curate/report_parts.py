"""The parts that several of curate's report pages share: agreement, annotators, standings, judges, findings.

Each takes rows as the commands write them (data/*.jsonl, audit/findings.jsonl) and gives Markup, empty where
there is nothing to show. Rows are drawn in the order that helps a reader: the ones to look at first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from curate.findings import Finding
from curate.report_words import (
    CRITERIA,
    FINDINGS,
    GROUPS,
    LEVELS,
    MEASURES,
    SLICES,
    finding_says,
    how_to_trace,
    reason,
    verdict,
)
from data.plots import Point, Span, curve, spans
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
    percent,
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
    " The bars are 95% intervals: where alpha would plausibly lie with other prompts. The dashed line is the value to"
    " reach.",
    "α（Krippendorff）为 1 表示标注者完全一致，为 0 表示一致程度与随机相同。横条为 95% 区间：换一批提示时 α"
    " 可能落入的范围。虚线为要达到的值。",
)
RELIABILITY = Words(
    "Reliability is how often an annotator gives the right answer, where right is what the others' votes make most"
    " likely (Dawid-Skene: a model that learns the answers and everybody's errors together). A low value is a reason"
    " to look at somebody's work, not a proof that it is careless.",
    "可靠度指标注者给出正确答案的比例；“正确”指由其他人的投票推断出的最可能答案（Dawid-Skene"
    " 模型：同时估计答案与每个人的出错方式）。数值低只说明应查看其工作，并不证明其敷衍。",
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
    told = say(_FROM_TO, low=number(min(values), 2), high=number(max(values), 2), rule=f"{threshold:g}")
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


def annotator_parts(people: Sequence[Row], where: str = "data/annotators.jsonl") -> list[Markup]:
    """Reliability and side preference of each annotator, the least reliable first."""
    if not people:
        return []
    order = sorted(people, key=lambda r: (r["reliability"], str(r["annotator"])))
    drawn = order[:DRAWN]
    sure = [Span(str(r["annotator"]), r["reliability"], r["low"], r["high"]) for r in drawn]
    lowest = min([0.5, *(r["low"] if r["low"] is not None else r["reliability"] for r in drawn)])
    least, middle = order[0], order[len(order) // 2]["reliability"]
    told = say(
        _LEAST, n=len(people), who=least["annotator"], value=percent(least["reliability"]), middle=percent(middle)
    )
    charts = [
        figure(
            "people",
            Words("Reliability of each annotator", "各标注者的可靠度"),
            spans(sure, domain=(max(0.0, round(lowest - 0.05, 1)), 1.0)),
            Axes(Words("share of answers that are right (95% interval)", "正确答案的比例（95% 区间）"), None),
            told,
        )
    ]
    sided = [r for r in order if r.get("first_side") is not None]
    if sided:
        sided.sort(key=lambda r: (-abs(r["first_side"] - 0.5), str(r["annotator"])))
        lines = [
            Span(str(r["annotator"]), r["first_side"], r["first_side_low"], r["first_side_high"]) for r in sided[:DRAWN]
        ]
        away = sum(not r["first_side_low"] <= 0.5 <= r["first_side_high"] for r in sided)
        charts.append(
            figure(
                "sides",
                Words("How often each took the side shown first", "各标注者选择先显示一侧的比例"),
                spans(lines, domain=(0.0, 1.0), rule=0.5),
                Axes(Words("share of decided comparisons (95% interval)", "有胜负的比较中的比例（95% 区间）"), None),
                say(_SIDES, n=away, of=len(sided)),
            )
        )
    columns = [*_PEOPLE, *(_SIDE_COLUMNS if sided else [])]
    rows = [_person(r, bool(sided)) for r in order[:LISTED]]
    listed = table(columns, rows, more=max(0, len(order) - LISTED), where=where)
    return [paragraph(RELIABILITY, "soft"), grid(*charts), listed]


def _person(row: Row, sided: bool) -> list[Any]:
    ends = between(row["low"], row["high"], percent)
    if row["low"] is None:
        ends = say(Words("too few votes", "票数过少"))
    first = row.get("first_side")
    side = [percent(first), between(row.get("first_side_low"), row.get("first_side_high"), percent)] if sided else []
    kind = reason(str(row.get("kind", ""))) if row.get("kind") else "–"
    return [row["annotator"], kind, f"{row['votes']:,.0f}", percent(row["reliability"]), ends, *side]


def standing_parts(rows: Sequence[Row], where: str = "data/standings.jsonl") -> list[Markup]:
    """Strengths of models or items, the strongest first."""
    if not rows:
        return []
    order = sorted(rows, key=lambda r: (-r["strength"], str(r["item"])))
    drawn = [Span(str(r["item"]), r["strength"], r["low"], r["high"]) for r in order[:DRAWN]]
    told = say(_STRONGEST, first=order[0]["item"], n=len(order))
    listed = [[r["item"], number(r["strength"]), between(r["low"], r["high"])] for r in order[:LISTED]]
    return [
        paragraph(_STRENGTH, "soft"),
        figure(
            "standings",
            Words("Strength of each", "各项的强度"),
            spans(drawn),
            Axes(Words("log-odds against an average one (95% interval)", "相对平均水平的对数优势（95% 区间）"), None),
            told,
        ),
        table(_STANDING_COLUMNS, listed, more=max(0, len(order) - LISTED), where=where),
    ]


def judge_parts(judges: Sequence[Row]) -> list[Markup]:
    """How far each model judge agrees with people and how sure it may be, with its curve."""
    if not judges:
        return []
    rows = [
        [j["judge"], j["comparisons"], *(_estimate(j[name]) for name in ("alpha", "kappa", "agreement", "temperature"))]
        for j in judges
    ]
    parts = [paragraph(_JUDGES, "soft"), table(_JUDGE_COLUMNS, rows)]
    charts = []
    for place, judge in enumerate(judges[:8]):
        points = [Point(b["confidence"], b["share"], b["low"], b["high"], b["n"]) for b in judge["curve"]]
        if not points:
            continue
        numbers = [[number(p.x), number(p.y), between(p.low, p.high), p.n] for p in points]
        charts.append(
            figure(
                f"judge-{place}",
                Words("Is it right as often as it says?", "它说有多大把握，就有多准吗？"),
                curve(points),
                Axes(
                    Words("how sure the judge is (probability)", "模型裁判的把握（概率）"),
                    Words("share of people who agree", "同意的人所占比例"),
                ),
                say(_CURVE, who=judge["judge"], value=_estimate(judge["temperature"])),
                behind=table(_CURVE_COLUMNS, numbers),
            )
        )
    return [*parts, grid(*charts)]


def _estimate(found: Mapping[str, Any]) -> str:
    if found.get("value") is None:
        return "–"
    ends = between(found.get("low"), found.get("high"), lambda x: number(x, 2))
    return f"{number(found['value'], 2)}" + (f" ({ends})" if ends != "–" else "")


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
    title = say(FINDINGS[one.name]) if one.name in FINDINGS else data(one.name)
    cases = Markup("").join(
        Markup("<li>{} <bdi>{}</bdi></li>").format(code(case.id), data(case.says, 160)) for case in one.examples[:3]
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
_LEAST = Words(
    "{n} annotators; the least reliable is {who} ({value}), the one in the middle has {middle}.",
    "共 {n} 位标注者；可靠度最低的是 {who}（{value}），居中者为 {middle}。",
)
_SIDES = Words(
    "{n} of {of} surely favour one side (their bar does not touch the dashed line).",
    "{of} 人中有 {n} 人确有一侧偏好（横条不触及虚线）。",
)
_PEOPLE = [
    Words("annotator", "标注者"),
    Words("kind", "类型"),
    Words("votes", "票数"),
    Words("reliability", "可靠度"),
    Words("95% interval", "95% 区间"),
]
_SIDE_COLUMNS = [Words("took the first side", "选先显示一侧"), Words("95% interval", "95% 区间")]
_STRENGTH = Words(
    "Strength (Bradley-Terry) puts all comparisons on one scale: one unit more means winning 73 of 100 comparisons,"
    " two units 88.",
    "强度（Bradley-Terry）把所有比较放到同一尺度：高 1 个单位相当于 100 次比较胜 73 次，高 2 个单位胜 88 次。",
)
_STRONGEST = Words("{first} is the strongest of {n}.", "{n} 项中 {first} 最强。")
_STANDING_COLUMNS = [Words("item", "项"), Words("strength", "强度"), Words("95% interval", "95% 区间")]
_JUDGES = Words(
    "A model judge is held against people on the comparisons both made. Temperature says how sure it may be: 1 is"
    " right, above 1 it is too sure of itself, below 1 not sure enough.",
    "在人和模型都判断过的比较上，用人的判断检验模型裁判。温度表示其把握是否恰当：1 为恰当，大于 1"
    " 为过于自信，小于 1 为信心不足。",
)
_JUDGE_COLUMNS = [
    Words("judge", "裁判"),
    Words("comparisons", "比较数"),
    Words("alpha", "α"),
    Words("kappa", "κ"),
    Words("agreement", "一致比例"),
    Words("temperature", "温度"),
]
_CURVE = Words(
    "{who}: points below the dashed line mean it is surer than it should be; temperature {value}.",
    "{who}：点在虚线下方表示过于自信；温度 {value}。",
)
_CURVE_COLUMNS = [
    Words("how sure", "把握"),
    Words("people agree", "人同意的比例"),
    Words("95% interval", "95% 区间"),
    Words("comparisons", "比较数"),
]
