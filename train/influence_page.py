"""The page of an influence folder: who helps and who hurts, with intervals, and what to do next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from data.plots import Span, spans
from data.report import (
    Axes,
    Words,
    between,
    command,
    figure,
    keys,
    level_mark,
    note,
    number,
    page,
    paragraph,
    section,
    table,
)
from data.text import excerpt
from train.vote_directions import KINDS, Kind

if TYPE_CHECKING:
    from train.influence_found import Found, Group
    from train.left_out import Retrained

MOST = 30
"""Groups of a kind that are drawn: those at both ends."""
_KINDS: dict[Kind, tuple[Words, Words]] = {
    "annotator": (Words("Annotators", "标注者"), Words("annotator", "标注者")),
    "batch": (Words("Batches", "批次"), Words("submitted in", "提交时间")),
    "guideline": (Words("Guideline versions", "标注指南版本"), Words("guideline version", "指南版本")),
}
_VERDICTS = {
    "helps": ("good", Words("helps", "有益"), "one", 0),
    "no signal": ("info", Words("no signal", "无信号"), "two", 1),
    "hurts": ("block", Words("hurts", "有害"), "four", 3),
}
_HOW = Words(
    "Each vote is held against the same vote as a tie: what that does to held-out accuracy, smoothed, through the"
    " gradients of the trained weights and their damped curvature, to first order. Above zero, votes help. Where a"
    " person's own votes lie on a held-out row, the label there is by the others. Intervals are over clusters of both"
    " sides, 95% for all groups of a kind together; they say nothing of what people meant. Look at their votes"
    " before anybody is told anything.",
    "将每一票与“平局”相比：依据已训练权重的梯度及其阻尼曲率，以一阶近似计算（平滑后的）留出准确率的变化。大于零表示该票有益。"
    "若某人的票也出现在留出行上，则该处标签由其他人的票决定。区间按两侧的提示聚类计算，同类各组合计 95%；"
    "它不说明任何人的本意。在告知任何人之前，请先查看其投票。",
)


def page_of(found: "Found", name: str, split: str, then: str) -> str:
    """The report as one HTML text, in both languages."""
    hurts = sum(one.kind == "annotator" and one.effect.verdict == "hurts" for one in found.groups)
    people = sum(one.kind == "annotator" for one in found.groups)
    told = Words("{n} of {people} annotators hurt held-out rows.", "{people} 名标注者中有 {n} 名对留出行有害。")
    lead = note("warn" if hurts else "good", paragraph(told, n=hurts, people=people))
    parts = [
        keys(
            [
                (Words("rows trained on", "训练行"), found.rows, None),
                (Words("held-out rows", "留出行"), found.held, None),
                (Words("their clusters", "其聚类数"), found.clusters, None),
                (Words("trained weights", "训练的权重"), found.weights, None),
                (Words("rows without votes", "无投票的行"), found.unvoted, None),
            ]
        ),
        *(section(kind, _KINDS[kind][0], *_kind(found.groups, kind)) for kind in KINDS),
        section("confirmed", Words("Trained again without them", "去除后重新训练"), *_confirmed(found.retrained)),
        section("next", Words("What to do next", "下一步"), *_next(then)),
        section("how", Words("How it is computed", "计算方法"), paragraph(_HOW, "soft")),
    ]
    title = Words("Influence on {name}, " + split, "对 {name} 的影响（" + split + "）")
    return page(title, parts, lead=lead, what="Concord · influence", name=name)


def _kind(groups: "Sequence[Group]", kind: Kind) -> list[Markup]:
    here = [one for one in groups if one.kind == kind]
    if not here:
        return []
    shown = here if len(here) <= MOST else [*here[: MOST // 2], *here[-MOST // 2 :]]
    rows = [
        Span(one.name, one.effect.influence, one.effect.low, one.effect.high, _VERDICTS[one.effect.verdict][3])
        for one in shown
    ]
    told = Words("{n} groups; to the right of zero they help.", "共 {n} 组；零点右侧为有益。")
    axis = Words("held-out accuracy that their votes add", "其投票增加的留出准确率")
    columns = [
        _KINDS[kind][1],
        Words("votes", "票数"),
        Words("influence", "影响"),
        Words("interval", "区间"),
        Words("per vote, shrunk", "每票（收缩后）"),
        Words("verdict", "结论"),
    ]
    cells = [
        [
            one.name,
            one.effect.votes,
            number(one.effect.influence, 5),
            between(one.effect.low, one.effect.high, lambda x: number(x, 5)),
            number(one.effect.per_vote, 7),
            level_mark(*_VERDICTS[one.effect.verdict][:2]),
        ]
        for one in shown
    ]
    drawn = figure(
        kind,
        _KINDS[kind][0],
        spans(rows, rule=0.0),
        Axes(axis, None),
        paragraph(told, n=len(here)),
        legend=[(colour, words) for _, words, colour, _ in _VERDICTS.values()],
    )
    return [drawn, table(columns, cells, more=len(here) - len(shown), where="data/influence.jsonl")]


def _confirmed(again: "Retrained | None") -> list[Markup]:
    if again is None:
        return []
    told = Words(
        "Without {names}: {rows} rows, {turned} of them turned round, {dropped} left out. Labels are the others'.",
        "去除 {names} 后：{rows} 行，其中 {turned} 行翻转，{dropped} 行被去除。标签由其他人决定。",
    )
    columns = [
        Words("split", "划分"),
        Words("accuracy with them", "去除前准确率"),
        Words("difference without them", "去除后差异"),
        Words("interval", "区间"),
        Words("rows", "行数"),
    ]
    cells = [
        [split, number(again.with_them[split]), number(one.value or 0.0), between(one.low, one.high), one.n]
        for split, one in again.difference.items()
    ]
    names = ", ".join(again.names)
    return [
        paragraph(told, names=names, rows=again.rows, turned=again.turned, dropped=again.dropped),
        table(columns, cells),
    ]


def _next(then: str) -> list[Markup]:
    if not then:
        return [paragraph(Words("Nothing to do: no annotator is shown to hurt.", "无需处理：没有标注者被证实有害。"))]
    told = Words(
        "audit/votes.jsonl has every vote of those who hurt; look at some. An export by Dawid and Skene's model weighs"
        " such people down, or takes what they say the other way round; train on it with soft_labels. A judgment that"
        " shall not count is taken back by its id.",
        "audit/votes.jsonl 列出有害者的每一票，请抽查。用 Dawid-Skene 模型导出会降低其权重，或反向采信；"
        "请以 soft_labels 训练。不应计入的判断可按其 id 撤回。",
    )
    retract = "python -m curate.trace JUDGMENT --retract --apply --reason TEXT"
    return [paragraph(told), command(then), command(retract)]


def words_of(found: "Found", name: str, split: str, then: str) -> str:
    """README.md: the findings in words."""
    lines = [f"# Influence on {_plain(name)}", "", f"{found.rows:,} rows trained on, {found.held:,} of {split}.", ""]
    for kind in KINDS:
        here = [one for one in found.groups if one.kind == kind and one.effect.verdict != "no signal"]
        quiet = sum(one.kind == kind for one in found.groups) - len(here)
        for one in here:
            effect = one.effect
            spelt = f"{effect.influence:.3g} ({effect.low:.3g} to {effect.high:.3g})"
            lines.append(f"- {kind} {_plain(one.name)} **{effect.verdict}**: {spelt}, {effect.votes:,} votes")
        lines += [f"- {quiet} of kind {kind}: no signal"] if quiet else []
    lines += ["", "`data/influence.jsonl` has every group; above zero, votes add to held-out accuracy."]
    return "\n".join([*lines, *(["", f"    {then}"] if then else []), ""])


def _plain(text: str) -> str:
    return excerpt(text, 80).replace("*", "\\*").replace("[", "\\[").replace("<", "&lt;")
