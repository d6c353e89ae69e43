"""The parts of curate's report pages about who judged: annotators, what was ranked, and model judges."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from curate.report_parts import DRAWN, LISTED, Row
from curate.report_words import reason
from data.plots import Point, Span, curve, spans
from data.report import Axes, Words, between, figure, grid, number, paragraph, percent, say, table

RELIABILITY = Words(
    "Reliability is how often an annotator gives the right answer, where right is what the others' votes make most"
    " likely (Dawid-Skene: a model that learns the answers and everybody's errors together). A low value is a reason"
    " to look at somebody's work, not a proof that it is careless.",
    "可靠度指标注者给出正确答案的比例；“正确”指由其他人的投票推断出的最可能答案（Dawid-Skene"
    " 模型：同时估计答案与每个人的出错方式）。数值低只说明应查看其工作，并不证明其敷衍。",
)


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
    kinds = any(r.get("kind") for r in order)
    columns = [_PEOPLE[0], *(_PEOPLE[1:2] if kinds else []), *_PEOPLE[2:], *(_SIDE_COLUMNS if sided else [])]
    rows = [_person(r, kinds, bool(sided)) for r in order[:LISTED]]
    listed = table(columns, rows, more=max(0, len(order) - LISTED), where=where)
    return [paragraph(RELIABILITY, "soft"), grid(*charts), listed]


def _person(row: Row, kinds: bool, sided: bool) -> list[Any]:
    ends = between(row["low"], row["high"], percent)
    if row["low"] is None:
        ends = say(Words("too few votes", "票数过少"))
    first = row.get("first_side")
    side = [percent(first), between(row.get("first_side_low"), row.get("first_side_high"), percent)] if sided else []
    kind = [reason(str(row.get("kind") or "–"))] if kinds else []
    return [row["annotator"], *kind, f"{row['votes']:,.0f}", percent(row["reliability"]), ends, *side]


def standing_parts(rows: Sequence[Row], where: str = "data/standings.jsonl") -> list[Markup]:
    """Strengths of models or items, the strongest first."""
    if not rows:
        return []
    order = sorted(rows, key=lambda r: (-r["strength"], str(r["item"])))
    drawn = [Span(str(r["item"]), r["strength"], r["low"], r["high"]) for r in order[:DRAWN]]
    told = say(_STRONGEST, first=order[0]["item"], n=len(order))
    few = [bool(r.get("too_few")) for r in order]
    listed = [[r["item"], number(r["strength"]), _ends(r)] for r in order[:LISTED]]
    return [
        paragraph(_STRENGTH, "soft"),
        paragraph(_FEW_COMPARED, n=sum(few), of=len(few)) if any(few) else Markup(),
        figure(
            "standings",
            Words("Strength of each", "各项的强度"),
            spans(drawn),
            Axes(Words("log-odds against an average one (95% interval)", "相对平均水平的对数优势（95% 区间）"), None),
            told,
        ),
        table(_STANDING_COLUMNS, listed, more=max(0, len(order) - LISTED), where=where),
    ]


def _ends(row: Row) -> Markup | str:
    """A strength's interval, marked where it rests on too few comparisons."""
    ends = between(row["low"], row["high"])
    return say(_FEW_ENDS, ends=ends) if row.get("too_few") else ends


def judge_parts(judges: Sequence[Row]) -> list[Markup]:
    """How far each model judge agrees with people and how sure it may be, with its curve."""
    if not judges:
        return []
    rows = [
        [
            j["judge"],
            j["comparisons"] if "comparisons" in j else j["units"],
            *(_estimate(j.get(name, {})) for name in _MEASURES),
        ]
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


def leaning_parts(judges: Sequence[Row]) -> list[Markup]:
    """What each model judge leans to: the side shown first, the longer response, or values of a plain table."""
    parts = []
    sided = [j for j in judges if "first_side" in j]
    if sided:
        rows = [
            [
                j["judge"],
                _estimate(j["first_side"]),
                _estimate(j["same_in_both_orders"]),
                *(_estimate(j["longer_wins"][name]) for name in ("judge", "people", "more_than_people")),
            ]
            for j in sided
        ]
        parts += [paragraph(_LEANINGS, "soft"), table(_LEANING_COLUMNS, rows)]
    for j in judges:
        if values := j.get("values"):
            rows = [
                [v["value"], percent(v["judge"]), percent(v["people"]), _estimate(v["more_than_people"])]
                for v in values[:LISTED]
            ]
            more = max(0, len(values) - LISTED)
            parts.append(table(_VALUE_COLUMNS, rows, more=more, where="data/judges.jsonl"))
    return parts


def _estimate(found: Mapping[str, Any]) -> str:
    if found.get("value") is None:
        return "–"
    ends = between(found.get("low"), found.get("high"), lambda x: number(x, 2))
    return f"{number(found['value'], 2)}" + (f" ({ends})" if ends != "–" else "")


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
_FEW_COMPARED = Words(
    "{n} of {of} were compared too few times: their intervals are marked and cannot be relied on.",
    "{of} 项中有 {n} 项比较次数过少：其区间已标出，不可靠。",
)
_FEW_ENDS = Words("{ends} (too few comparisons)", "{ends}（比较次数过少）")
_MEASURES = ("alpha", "people_alpha", "kappa", "agreement", "temperature")
_LEANINGS = Words(
    "A judge without leanings takes the side shown first half of the time, says the same in both orders always, and"
    " the longer response no more often than people do.",
    "没有偏向的裁判选先显示一侧的比例为一半，交换顺序后结论总是相同，选较长回答的比例也不高于人。",
)
_LEANING_COLUMNS = [
    Words("judge", "裁判"),
    Words("takes the side shown first", "选先显示的一侧"),
    Words("the same in both orders", "两种顺序结论相同"),
    Words("takes the longer", "选较长的"),
    Words("people do", "人选较长的"),
    Words("difference", "差"),
]
_VALUE_COLUMNS = [
    Words("value", "取值"),
    Words("the judge gives it", "裁判给出"),
    Words("people give it", "人给出"),
    Words("difference", "差"),
]
_JUDGES = Words(
    "A model judge is held against people on what both judged. Temperature says how sure it may be: 1 is"
    " right, above 1 it is too sure of itself, below 1 not sure enough.",
    "在人和模型都判断过的内容上，用人的判断检验模型裁判。温度表示其把握是否恰当：1 为恰当，大于 1"
    " 为过于自信，小于 1 为信心不足。",
)
_JUDGE_COLUMNS = [
    Words("judge", "裁判"),
    Words("judged by both", "双方都判断过"),
    Words("alpha with people", "与人的 α"),
    Words("alpha among people", "人之间的 α"),
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
