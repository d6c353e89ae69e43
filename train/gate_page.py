"""The page of a gate record: the decision, each clause as a span against its threshold, and what it rests on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from data.plots import Span, spans
from data.records import canonical
from data.report import (
    Axes,
    Words,
    between,
    figure,
    grid,
    keys,
    level_mark,
    note,
    page,
    paragraph,
    say,
    section,
    table,
)
from data.text import excerpt
from train.deciding import FAIL, NOT_ENOUGH, PASS, Judged
from train.looks import Look
from train.verified import Verified

MOST_DRAWN = 40
_OUTCOMES = {
    PASS: Words("pass", "通过"),
    FAIL: Words("fail", "未通过"),
    NOT_ENOUGH: Words("not enough evidence", "证据不足"),
}
_LEVELS = {PASS: "good", FAIL: "block", NOT_ENOUGH: "warn"}
_SERIES = {PASS: 0, NOT_ENOUGH: 1, FAIL: 3}
_COLOURS = {PASS: "one", NOT_ENOUGH: "two", FAIL: "four"}
_TOLD = {
    PASS: Words("Every clause is shown to be kept. The run may ship.", "每一条款都已证实达标。该模型可以上线。"),
    FAIL: Words(
        "{failed} of {n} clauses are shown to be broken. The run may not ship.",
        "{n} 条条款中有 {failed} 条被证实未达标。该模型不得上线。",
    ),
    NOT_ENOUGH: Words(
        "{open} of {n} clauses are neither shown to be kept nor shown to be broken. The run may not ship yet.",
        "{n} 条条款中有 {open} 条既未证实达标，也未证实未达标。该模型暂不能上线。",
    ),
}


class Decision(NamedTuple):
    """What a gate record tells."""

    outcome: str
    judged: list[Judged]
    look: Look
    run: Verified
    evaluation: Verified
    others: int = 0
    """Looks at this run under other contracts: each has a chance of its own."""


def page_of(decision: Decision) -> str:
    """The report as one HTML text, in both languages."""
    judged = decision.judged
    counts = {name: sum(one.outcome == name for one in judged) for name in _OUTCOMES}
    told = paragraph(_TOLD[decision.outcome], failed=counts[FAIL], open=counts[NOT_ENOUGH], n=len(judged))
    lead = note(_LEVELS[decision.outcome], told)
    name = decision.run.folder.resolve().name
    parts = [
        _head(decision, counts),
        section("clauses", Words("Clauses", "条款"), *_drawings(judged), _table(judged), paragraph(_HOW, "soft")),
        section("missing", Words("What is missing", "还缺什么"), _undecided(judged)),
        section("looks", Words("What looking costs", "查看的代价"), _looks(decision)),
        section("stands", Words("What it rests on", "依据"), _stands(decision)),
    ]
    title = Words(
        "Gate of {name}: " + _OUTCOMES[decision.outcome].en, "{name} 的门禁：" + _OUTCOMES[decision.outcome].zh
    )
    return page(title, parts, lead=lead, what="Concord · gate", name=name)


def words_of(decision: Decision) -> str:
    """README.md: the decision in words."""
    look = decision.look
    counted = f"Look {look.number} of {look.planned}" if look.number else "No look counted"
    lines = [f"# Gate: {decision.outcome}", ""]
    for one in decision.judged:
        value = "no cases" if one.value is None else f"{one.value:.4g}"
        bounds = "" if one.low is None or one.high is None else f", bounds {one.low:.4g} and {one.high:.4g}"
        asked = f"{one.direction.replace('_', ' ')} {one.limit:.4g}"
        more = f" ({one.more:,} more)" if one.more else ""
        called = excerpt(one.clause, 80).replace("*", "\\*").replace("[", "\\[").replace("<", "&lt;")
        lines.append(f"- **{one.outcome}**: {called}: {value}{bounds}, asked for is {asked}; {one.why}{more}")
    lines += [
        "",
        f"{counted}; {look.spent:.4g} of {look.alpha:g} is spent.",
        "`data/decision.jsonl` has every clause, `data/evidence.jsonl` the cases it was decided on.",
        "",
    ]
    return "\n".join(lines)


def _head(decision: Decision, counts: dict[str, int]) -> Markup:
    look = decision.look
    again = say(Words("looked at before: nothing spent", "以前看过：不再花费")) if look.entry else None
    return keys(
        [
            (Words("clauses kept", "达标条款"), counts[PASS], None),
            (Words("broken", "未达标"), counts[FAIL], None),
            (Words("undecided", "未定"), counts[NOT_ENOUGH], None),
            (Words("look", "第几次查看"), f"{look.number or '–'} / {look.planned}", again),
            (Words("alpha spent", "已用 α"), f"{look.spent:.4f} / {look.alpha:g}", None),
        ]
    )


def _drawings(judged: Sequence[Judged]) -> list[Markup]:
    """Each clause's bounds against its own limit; those of one unit share a drawing."""
    drawn = [one for one in judged if one.low is not None and one.high is not None][:MOST_DRAWN]
    groups: dict[tuple[float, bool], list[Judged]] = {}
    for one in drawn:
        groups.setdefault((one.limit, one.direction == "at_least"), []).append(one)
    figures = [_drawing(i, *limit, group) for i, (limit, group) in enumerate(groups.items(), 1)]
    return [grid(*figures)] if figures else []


def _drawing(number_: int, limit: float, at_least: bool, group: Sequence[Judged]) -> Markup:
    rows = [Span(one.clause, one.value, one.low, one.high, _SERIES[one.outcome]) for one in group]
    there = [name for name in _OUTCOMES if any(one.outcome == name for one in group)]
    title = (
        Words(f"At least {limit:g}", f"至少 {limit:g}") if at_least else Words(f"At most {limit:g}", f"至多 {limit:g}")
    )
    right = Words("Kept when all of the span lies right of the dashed line.", "整个区间都在虚线右侧即达标。")
    left = Words("Kept when all of the span lies left of the dashed line.", "整个区间都在虚线左侧即达标。")
    return figure(
        f"limit-{number_}",
        title,
        spans(rows, rule=limit),
        Axes(Words("mean, with its one-sided bounds", "均值与单侧界"), None),
        say(right if at_least else left),
        legend=[(_COLOURS[name], _OUTCOMES[name]) for name in there],
    )


def _table(judged: Sequence[Judged]) -> Markup:
    columns = [
        Words("clause", "条款"),
        Words("outcome", "结论"),
        Words("measure", "指标"),
        Words("asked for", "要求"),
        Words("mean", "均值"),
        Words("one-sided bounds", "单侧界"),
        Words("cases", "例数"),
        Words("families", "提示族"),
        Words("more needed", "还需"),
    ]
    return table(columns, [_row(one) for one in judged])


def _row(one: Judged) -> list[Any]:
    what = excerpt(one.measure + ("" if one.slice == "all" else f", {one.slice}"), 60)
    difference = Markup(", {}").format(say(Words("difference", "差值"))) if one.compare == "difference" else Markup()
    asked = Words("at least {limit}", "至少 {limit}") if one.direction == "at_least" else _AT_MOST
    return [
        one.clause,
        level_mark(_LEVELS[one.outcome], _OUTCOMES[one.outcome]),
        Markup("{}{}").format(what, difference),
        say(asked, limit=_figure(one.limit)),
        _figure(one.value),
        between(one.low, one.high, _figure),
        one.n,
        one.clusters,
        one.more,
    ]


def _undecided(judged: Sequence[Judged]) -> Markup:
    """Why each clause that is not kept is not."""
    rows = [[one.clause, one.more, say(Words(one.why, one.why_zh))] for one in judged if one.outcome == NOT_ENOUGH]
    return table([Words("clause", "条款"), Words("more cases", "还需例数"), Words("why", "原因")], rows)


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{float(f'{value:.3g}'):,}".removesuffix(".0").replace("-", "−")


def _looks(decision: Decision) -> Markup:
    look = decision.look
    if not look.number:
        return paragraph(_NOT_COUNTED)
    return paragraph(
        Words(
            "This is look {k} of {planned}. It spends {spend} of the chance of {alpha} that a run which breaks its"
            " contract passes; {spent} is spent in all (Lan and DeMets, Pocock's type). The same evidence again costs"
            " nothing; new cases are a new look.",
            "这是计划 {planned} 次查看中的第 {k} 次。未达标的模型被误判通过的总概率上限为 {alpha}，本次用去 {spend}，"
            "累计用去 {spent}（Lan-DeMets，Pocock 型）。再看同样的证据不花费；加入新案例算新的一次。",
        ),
        k=look.number,
        planned=look.planned,
        spend=f"{look.spend:.4f}",
        alpha=f"{look.alpha:g}",
        spent=f"{look.spent:.4f}",
    )


def _stands(decision: Decision) -> Markup:
    config = decision.evaluation.manifest.config
    rows: list[list[Any]] = [
        [say(Words("run", "训练")), decision.run.folder.resolve().name, decision.run.manifest.digest[:16]],
        [
            say(Words("evaluation", "评测")),
            decision.evaluation.folder.resolve().name,
            decision.evaluation.manifest.digest[:16],
        ],
    ]
    rows += [
        [name, excerpt(canonical(value).decode().strip('"'), 80), None]
        for name, value in _flat(sorted(config.items()))
        if name != "run" and not name.startswith("run, ")
    ]
    return table([Words("what", "内容"), Words("name or setting", "名称或设置"), Words("digest", "摘要值")], rows)


def _flat(settings: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Settings of settings by both names; what was left unset is left out."""
    for name, value in settings:
        if isinstance(value, Mapping):
            yield from _flat((f"{name}, {inner}", one) for inner, one in sorted(value.items()))
        elif value is not None and value is not False and value != []:
            yield name, value


_NOT_COUNTED = Words(
    "No clause has cases enough for a bound: nothing could be decided, so no look was counted and nothing spent.",
    "没有一条条款的案例足以给出界：无从判定，因此不计查看次数，也不花费。",
)
_AT_MOST = Words("at most {limit}", "至多 {limit}")
_HOW = Words(
    "A clause is kept when its one-sided bound lies on the right side of the limit (threshold, given way by the"
    " margin); it is broken when the bound on the other side shows so, at a level that Holm divides among the clauses."
    " Bounds take prompt families, not cases, as what varies.",
    "单侧界落在界限（阈值让出余量之后）达标一侧，条款即达标；另一侧的界越过界限（水平按 Holm 在各条款间分配），"
    "即未达标。各界以提示族而非单个案例为变异单位。",
)
