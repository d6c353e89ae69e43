"""An evaluation as a page to read first, in English and Chinese, and as a card for the folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from data.report import (
    Axes,
    Words,
    between,
    code,
    data,
    figure,
    grid,
    keys,
    note,
    number,
    page,
    paragraph,
    say,
    section,
    table,
)
from train.cases import Measure, ends_of
from train.evidence import Evidence
from train.measuring import SMALLER_IS_BETTER, spelt
from train.preferences import Calibration

MOST = 60
"""Rows of slices on the page; the others are in data/measures.jsonl."""
_FIRST = ("accuracy", "win_rate", "reward_score", "log_perplexity", "rouge_l", "over_refusal", "template_match")
NAMES = {
    "accuracy": Words("Preference accuracy", "偏好准确率"),
    "calibration": Words("Brier score", "Brier 分数"),
    "reward_score": Words("Reward score", "奖励模型评分"),
    "win_rate": Words("Win rate", "胜率"),
    "win_rate_length_controlled": Words("Win rate at equal length", "长度受控的胜率"),
    "win_rate_corrected": Words("Win rate, judge corrected", "胜率（裁判经校正）"),
    "regression_exact": Words("Regression: exact", "回归：完全一致"),
    "regression_regex": Words("Regression: pattern", "回归：模式匹配"),
    "regression_schema": Words("Regression: schema", "回归：JSON 结构"),
    "refuses": Words("Refuses as it must", "该拒绝的拒绝"),
    "asks_back": Words("Asks back", "该反问的反问"),
    "answers": Words("Answers as it must", "该回答的回答"),
    "over_refusal": Words("Over-refusal", "过度拒绝"),
    "log_perplexity": Words("Log-perplexity (nats a token)", "对数困惑度（每词元 nat）"),
    "rouge_l": Words("ROUGE-L", "ROUGE-L"),
    "bleu": Words("BLEU / 100", "BLEU / 100"),
    "template_match": Words("Same tokens when served", "部署词元一致"),
}


def name_of(measure: str) -> Words:
    """A measure's name in both languages."""
    return NAMES.get(measure) or Words(*(2 * (measure.removeprefix("harness_").replace("_", " "),)))


def page_of(told: Mapping[str, Any], measures: Sequence[Measure], evidence: Evidence) -> str:
    """The page.

    Args:
        told: the configuration, with the names `run` and `against`, and `left_out`.
    """
    whole = [one for one in measures if one.slice == "all"]
    lead = keys(
        (name_of(one.measure), number(one.value), say(_INTERVAL, span=between(one.low, one.high)))
        for one in sorted(whole, key=_first)
        if one.measure in _FIRST
    )
    return page(
        Words("{run} against {against}", "{run} 对比 {against}"),
        [
            section("measures", Words("Measures", "指标"), *_measures(whole)),
            section("differences", Words("Run minus reference", "运行减去参照"), grid(*_differences(whole))),
            section("calibration", Words("Calibration", "校准"), grid(*map(_curve, evidence.calibrations))),
            section("slices", Words("By slice", "分组"), *_slices(measures)),
            section("known", Words("To be known", "须知"), *[note("info", data(one, 400)) for one in evidence.remarks]),
            section("how", Words("How it was made", "如何得出"), _how(told)),
        ],
        lead=lead,
        what="Concord · train.evaluate",
        run=told["run"],
        against=told["against"],
    )


def _first(one: Measure) -> int:
    return _FIRST.index(one.measure) if one.measure in _FIRST else len(_FIRST)


def _measures(whole: Sequence[Measure]) -> list[Markup]:
    rows = [
        [
            _named(one),
            number(one.value),
            between(one.low, one.high),
            None if one.against is None else number(one.against),
            None if one.difference is None else number(one.difference),
            between(one.difference_low, one.difference_high),
            one.n,
            one.clusters,
        ]
        for one in whole
    ]
    notes = [
        paragraph(
            Words("{name}: {note}.", "{name}：{note}。"),
            "soft",
            name=say(name_of(one.measure)),
            note=data(one.note, 400),
        )
        for one in whole
        if one.note
    ]
    drawn = _shares(whole)
    return [paragraph(_EXPLAINED, "soft"), table(_COLUMNS, rows), *([drawn] if drawn else []), *notes]


def _named(one: Measure) -> Markup:
    name = say(name_of(one.measure))
    return name + Markup(" ") + say(_SMALLER) if one.measure in SMALLER_IS_BETTER else name


def _shares(whole: Sequence[Measure]) -> Markup | None:
    """Measures from 0 to 1 with their intervals, and the reference's value beside each."""
    from data.plots import Span, spans

    there = [one for one in whole if ends_of(one.measure)]
    if not there:
        return None
    rows = []
    for one in there:
        name = name_of(one.measure).en
        rows.append(Span(name, one.value, one.low, one.high))
        if one.against is not None:
            rows.append(Span(_other(name), one.against, None, None, 1))
    names = [name_of(one.measure) for one in there]
    others = [Words(_other(name.en), f"{name.zh}·参照") for name in names]
    return figure(
        "shares",
        Words("Measures between 0 and 1", "取值在 0 与 1 之间的指标"),
        spans(rows, domain=(0.0, 1.0)),
        Axes(Words("value, with its 95 % interval", "数值及其 95% 区间"), None),
        say(
            Words("{n} measures; the reference's value stands below the run's.", "共 {n} 项指标；参照的数值列在其下。"),
            n=len(there),
        ),
        legend=[("one", Words("run", "运行")), ("two", Words("reference", "参照"))],
        labels=[*names, *others],
    )


def _other(name: str) -> str:
    return f"{name[:24]} · ref"


def _differences(whole: Sequence[Measure]) -> list[Markup]:
    from data.plots import Span, spans

    made = []
    for key, bounded, axis in (
        ("d-share", True, Words("run minus reference, of measures from 0 to 1", "运行减去参照（0 至 1 的指标）")),
        ("d-other", False, Words("run minus reference, in the measure's own unit", "运行减去参照（指标自身单位）")),
    ):
        there = [one for one in whole if one.difference is not None and bool(ends_of(one.measure)) == bounded]
        if not there:
            continue
        rows = [Span(name_of(o.measure).en, o.difference, o.difference_low, o.difference_high) for o in there]
        made.append(
            figure(
                key,
                Words("Paired differences", "配对差值"),
                spans(rows, rule=0.0),
                Axes(axis, None),
                say(_SURE, sure=sum(_apart(one) for one in there), n=len(there)),
                labels=[name_of(one.measure) for one in there],
            )
        )
    return made


def _apart(one: Measure) -> bool:
    low, high = one.difference_low, one.difference_high
    return low is not None and high is not None and (low > 0 or high < 0)


def _curve(found: Calibration) -> Markup:
    from data.plots import Point, curve

    points = [Point(b["confidence"], b["share"], b["low"], b["high"], int(b["n"])) for b in found.bins]
    rows = [
        [number(b["confidence"]), number(b["share"]), between(b["low"], b["high"]), int(b["n"])] for b in found.bins
    ]
    columns = [
        Words("probability", "概率"),
        Words("share", "比例"),
        Words("95 % interval", "95% 区间"),
        Words("n", "n"),
    ]
    who = Words("The run", "运行") if found.side == "run" else Words("The reference", "参照")
    return figure(
        f"curve-{found.side}",
        say(who),
        curve(points),
        Axes(
            Words("probability it gives the side it prefers", "它给所偏好一侧的概率"),
            Words("how far people prefer that side", "人们偏好该侧的比例"),
        ),
        say(
            _TOLD_CURVE,
            brier=number(found.brier),
            error=number(found.error),
            span=between(found.error_low, found.error_high),
            heat="–" if found.temperature is None else number(found.temperature, 2),
            n=found.n,
            clusters=found.clusters,
        ),
        behind=table(columns, rows),
    )


def _slices(measures: Sequence[Measure]) -> list[Markup]:
    n = {one.measure: one.n for one in measures if one.slice == "all"}
    there = [one for one in measures if one.slice != "all" and one.measure != "template_match"]
    there = [one for one in there if one.n < n[one.measure]]  # a slice that is all says nothing new
    rows = [
        [
            data(one.slice),
            say(name_of(one.measure)),
            number(one.value),
            between(one.low, one.high),
            None if one.difference is None else number(one.difference),
            between(one.difference_low, one.difference_high),
            one.n,
            one.clusters,
        ]
        for one in sorted(
            there, key=lambda one: (_first(one), one.measure, one.slice.partition("=")[0], -one.n, one.slice)
        )
    ]
    columns = [Words("slice", "分组"), *_COLUMNS[:3], *_COLUMNS[4:]]
    more = max(0, len(rows) - MOST)
    return [table(columns, rows[:MOST], more=more, where="data/measures.jsonl")] if rows else []


def _how(told: Mapping[str, Any]) -> Markup:
    names = ("task", "split", "export", "seed", "dtype", "limit", "left_out", "reward_model", "regression", "digest")
    rows = [[code(name), code(str(told[name]))] for name in names if told.get(name) is not None]
    rows += [[code(f"template, {side}"), code(value)] for side, value in told["templates"].items()]
    rows += [[code(name), code(str(value))] for name, value in told["decoding"].items()]
    return table([Words("setting", "设置"), Words("value", "值")], rows)


def card(told: Mapping[str, Any], measures: Sequence[Measure], remarks: Sequence[str]) -> str:
    """README.md of the folder: the figures over all rows, and how they are to be read."""
    lines = [
        f"# {_plain(told['run'])} against {_plain(told['against'])}",
        "",
        "Written by `python -m train.evaluate`. `report.html` has figures and slices, `data/cases.jsonl` every case,",
        "`data/measures.jsonl` every measure with its interval; `python -m train.gate` decides on the cases.",
        "",
    ]
    lines += [f"- **{one.measure}** {spelt(one)}" for one in measures if one.slice == "all"]
    lines += ["", *[f"- {_plain(one)}" for one in remarks], ""]
    lines += [
        "Intervals are two-sided, 95 %, over clusters (prompt families); differences are run minus reference, paired",
        "by case. Smaller is better in " + ", ".join(SMALLER_IS_BETTER) + ".",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A name or remark that Markdown and HTML leave as it is."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(f"\\{c}" if c in "\\`*[]<>#|" else c for c in flat)


_INTERVAL = Words("95 % interval {span}", "95% 区间 {span}")
_SMALLER = Words("(smaller is better)", "（越小越好）")
_EXPLAINED = Words(
    "Intervals are two-sided, 95 %, and prompt families (clusters) are what varies. Differences are paired by case.",
    "区间为双侧 95%，以提示词族（簇）为变动单位。差值按样本配对计算。",
)
_SURE = Words(
    "{sure} of {n} differences have an interval that leaves 0 out.",
    "{n} 项差值中有 {sure} 项的区间不含 0。",
)
_TOLD_CURVE = Words(
    "Brier score {brier}; expected calibration error {error} ({span}), which chance alone makes greater than 0; "
    "temperature {heat}, above 1 where it is too sure. {n} pairs in {clusters} prompt families.",
    "Brier 分数 {brier}；期望校准误差 {error}（{span}），仅因偶然也会大于 0；温度 {heat}，大于 1 表示过于自信。"
    "共 {n} 对，{clusters} 个提示词族。",
)
_COLUMNS = [
    Words("measure", "指标"),
    Words("run", "运行"),
    Words("95 % interval", "95% 区间"),
    Words("reference", "参照"),
    Words("difference", "差值"),
    Words("95 % interval", "95% 区间"),
    Words("n", "n"),
    Words("clusters", "簇"),
]
