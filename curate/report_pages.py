"""The report pages of single commands: curate.agreement, aggregate, calibrate and audit, plain tables too.

Each is a pure function from what the command has just written to the text of report.html. The report of a
whole export is curate/report.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from curate.findings import Finding
from curate.report_parts import Row, agreement_parts, alphas, finding_parts
from curate.report_people import annotator_parts, judge_parts, leaning_parts, standing_parts
from curate.report_words import CRITERIA, GROUPS, verdict
from data.plots import histogram
from data.report import (
    Axes,
    Words,
    between,
    breakdown,
    code,
    contents,
    data,
    figure,
    grid,
    keys,
    note,
    number,
    page,
    paragraph,
    percent,
    say,
    section,
    table,
)

BINS = 20
"""Of a histogram of probabilities, from 0 to 1."""


class Outcome(NamedTuple):
    """What an aggregation came to."""

    name: str
    """Of the project or the files."""
    counts: Mapping[str, int]
    """Units, pairs, votes, items, tasks, annotators: what there is of it, in this order, by these words."""
    method: str
    iterations: int
    converged: bool
    not_the_majority: int
    even_majorities: int
    probability: Sequence[int]
    """Units or pairs by the probability of what was chosen, in BINS bins from 0 to 1."""
    labels: Mapping[str, int] = {}
    """Units by label; for labels."""
    unsure: Sequence[tuple[str, str, float]] = ()
    """The units that are least sure: name, label, probability."""
    warnings: Sequence[str] = ()


def agreement_page(rows: Sequence[Row], name: str, threshold: float) -> str:
    """report.html of curate.agreement.

    Args:
        rows: of data/agreement.jsonl.
        name: of the project or the files.
    """
    parts = []
    for row in alphas(rows):
        about = {
            "criterion": say(CRITERIA[row["criterion"]]) if row["criterion"] in CRITERIA else data(row["criterion"]),
            "who": say(GROUPS[row["who"]]) if row["who"] in GROUPS else data(row["who"]),
            "rule": f"{threshold:g}",
        }
        if row["value"] is None:
            parts.append(note("info", paragraph(_NO_ALPHA, verdict=verdict(row["verdict"]), **about)))
            continue
        level = {"reached": "good", "not reached": "warn"}.get(row["verdict"] or "", "info")
        ends = "–" if row["low"] is None else say(_ENDS, low=number(row["low"]), high=number(row["high"]))
        more = say(_MORE_NEEDED, n=row["needed"]) if row["needed"] else Markup()
        said = {"alpha": number(row["value"]), "ends": ends, "verdict": verdict(row["verdict"]), "more": more}
        parts.append(note(level, paragraph(_ALPHA, **said, **about)))
    body = section("agreement", Words("How far annotators agree", "标注者有多一致"), *agreement_parts(rows, threshold))
    check = section("files", _FILES, paragraph(_AGREEMENT_FILES, file=code("data/agreement.jsonl")), paragraph(_PROOF))
    return page(_AGREEMENT, [body, check], lead=Markup("").join(parts), what="Concord", name=name)


def aggregate_page(told: Outcome, people: Sequence[Row], standings: Sequence[Row]) -> str:
    """report.html of curate.aggregate: of labels, of comparisons or of a project."""
    lead = paragraph(_PUT_TOGETHER, n=told.not_the_majority, even=told.even_majorities)
    if not told.converged:
        lead += note("warn", paragraph(_NO_END, n=told.iterations))
    if told.warnings:
        listed = Markup("").join(Markup("<li>{}</li>").format(data(text, 300)) for text in told.warnings)
        lead += note("warn", paragraph(_WARNED), Markup("<ul>{}</ul>").format(listed))
    lead += keys([(_COUNTED[name], n, None) for name, n in told.counts.items()])
    parts = [
        ("results", _RESULTS, _results(told)),
        ("annotators", Words("The annotators", "标注者"), annotator_parts(people)),
        ("standings", Words("Standings", "排名"), standing_parts(standings)),
        ("files", _FILES, [paragraph(_AGGREGATE_FILES), paragraph(_PROOF)]),
    ]
    there = [(key, title, body) for key, title, body in parts if any(body)]
    lead += contents((key, title) for key, title, _ in there)
    return page(
        _AGGREGATE,
        [section(key, title, *body) for key, title, body in there],
        lead=lead,
        what="Concord",
        name=told.name,
    )


def _results(told: Outcome) -> list[Markup]:
    parts: list[Markup] = [paragraph(_METHODS, "soft", method=code(told.method), n=told.iterations)]
    known = sum(told.probability)
    if known:
        first = next(i for i, n in enumerate(told.probability) if n)
        edges = [i / BINS for i in range(first, BINS + 1)]
        sure = sum(told.probability[int(0.9 * BINS) :]) / known
        drawn = histogram(edges, {"all": told.probability[first:]})
        what = _COUNTED["units"] if told.labels else _COUNTED["pairs"]
        axes = Axes(Words("probability (1: certain)", "概率（1 为确定）"), what)
        chart = figure("sure", _SURE, drawn, axes, say(_SURE_SAYS, share=percent(sure)))
        parts.append(grid(chart, breakdown(Words("label", "标签"), _COUNTED["units"], told.labels)))
    if told.unsure:
        rows = [[data(unit), data(label), percent(p)] for unit, label, p in told.unsure]
        columns = [Words("unit", "单元"), Words("label", "标签"), Words("probability", "概率")]
        parts += [table(columns, rows, title=Words("The least certain", "最不确定的单元"))]
    return parts


def audit_page(found: Sequence[Finding], counts: Mapping[str, int], name: str, allowed: Sequence[str] = ()) -> str:
    """report.html of curate.audit.

    Args:
        counts: rows, judgments and texts that were looked at.
    """
    stops = sum(one.level == "block" and one.name not in allowed for one in found)
    warns = sum(one.level == "warn" for one in found)
    level = "block" if stops else "warn" if warns else "good"
    words = _STOPS if stops else _LOOK if warns else _FINE
    lead = note(level, paragraph(words, n=stops or warns))
    lead += keys([(_COUNTED[key], n, None) for key, n in counts.items() if n])
    body = section("findings", Words("What was found", "发现"), *finding_parts(found, allowed))
    check = section("files", _FILES, paragraph(_AUDIT_FILES, cases=code("audit/cases.jsonl")), paragraph(_PROOF))
    return page(_AUDIT, [body, check], lead=lead, what="Concord", name=name)


def judge_page(judges: Sequence[Row], slices: Sequence[Row], short: Mapping[str, int], least: int, name: str) -> str:
    """report.html of curate.calibrate: of a project, of comparisons or of labels.

    Args:
        judges, slices: rows of data/judges.jsonl and data/slices.jsonl.
        short: judges with too few in common with people, and how many they have.
        least: how many are needed.
        name: of the project or the files.
    """
    lead = Markup("").join(_judged(row) for row in judges)
    for judge, n in sorted(short.items()):
        lead += note("info", paragraph(_SHORT, who=judge, n=n, least=least))
    parts = [
        ("judges", Words("With people", "与人比较"), judge_parts(judges)),
        ("leanings", Words("Leanings", "偏向"), leaning_parts(judges)),
        ("slices", Words("Parts of the data", "数据的各部分"), _judged_slices(slices)),
        ("files", _FILES, [paragraph(_JUDGE_FILES, file=code("data/judges.jsonl")), paragraph(_PROOF)]),
    ]
    body = [section(key, title, *inside) for key, title, inside in parts if any(inside)]
    return page(_JUDGED, body, lead=lead, what="Concord", name=name)


def _judged(row: Row) -> Markup:
    """What to know first of a judge: agreement, and whether it may be as sure as it is."""
    heat, alpha = row["temperature"], row["alpha"]
    told: dict[str, str | Markup] = {"who": row["judge"], "alpha": "–", "ends": ""}
    if alpha["value"] is not None:
        told["alpha"] = number(alpha["value"])
    if alpha["low"] is not None:
        told["ends"] = say(_ENDS, low=number(alpha["low"]), high=number(alpha["high"]))
    if heat["value"] is None or heat["low"] is None:
        return note("info", paragraph(_JUDGED_SAYS, sure=say(_NOT_KNOWN), **told))
    words = _TOO_SURE if heat["low"] > 1 else _TOO_SHY if (heat["high"] or 2) < 1 else _SURE_ENOUGH
    return note("good" if words is _SURE_ENOUGH else "warn", paragraph(_JUDGED_SAYS, sure=say(words), **told))


def _judged_slices(slices: Sequence[Row]) -> list[Markup]:
    def told(found: Row) -> str:
        ends = between(found["low"], found["high"], lambda x: number(x, 2))
        value = "–" if found["value"] is None else number(found["value"], 2)
        return value if ends == "–" else f"{value} ({ends})"

    rows = []
    for row in slices:
        few = say(_TOO_FEW)
        cells = [few, ""] if "note" in row else [told(row["alpha"]), told(row["agreement"])]
        rows.append([row["judge"], row["slice"], row["comparisons"], *cells])
    return [table(_JUDGED_COLUMNS, rows)] if rows else []


_AGREEMENT = Words("{name}: how far annotators agree", "{name}：标注者有多一致")
_AGGREGATE = Words("{name}: votes put together", "{name}：票数汇总")
_AUDIT = Words("{name}: audit", "{name}：审计")
_JUDGED = Words("{name}: judges held against people", "{name}：以人为准检验裁判")
_JUDGED_SAYS = Words("{who}: alpha with people {alpha}{ends}; {sure}.", "{who}：与人的 α 为 {alpha}{ends}；{sure}。")
_TOO_SURE = Words("it is too sure of itself", "它过于自信")
_TOO_SHY = Words("it is not sure enough", "它信心不足")
_SURE_ENOUGH = Words("it is about as sure as it may be", "它的信心与其把握大致相称")
_NOT_KNOWN = Words("how sure it may be is not known", "其信心是否恰当尚不得知")
_SHORT = Words(
    "{who} has {n} in common with people, fewer than {least}: not measured.",
    "{who} 与人共同判断的只有 {n} 个，少于 {least}：未作检验。",
)
_TOO_FEW = Words("too few", "过少")
_JUDGED_COLUMNS = [
    Words("judge", "裁判"),
    Words("part", "部分"),
    Words("judged by both", "双方都判断过"),
    Words("alpha", "α"),
    Words("agreement", "一致比例"),
]
_JUDGE_FILES = Words("Every figure with its interval: {file}.", "全部指标与区间：{file}。")
_FILES = Words("Files", "文件")
_PROOF = Words("manifest.json has the hash of every file.", "manifest.json 记有每个文件的哈希值。")
_ALPHA = Words(
    "{criterion}, {who}: alpha {alpha}{ends}. Goal {rule}: {verdict}{more}.",
    "{criterion}，{who}：α 为 {alpha}{ends}。目标 {rule}：{verdict}{more}。",
)
_NO_ALPHA = Words("{criterion}, {who}: {verdict}.", "{criterion}，{who}：{verdict}。")
_ENDS = Words(" (95% interval {low} to {high})", "（95% 区间 {low} 至 {high}）")
_MORE_NEEDED = Words("; about {n} more would decide it", "；约还需 {n} 个才能定论")
_AGREEMENT_FILES = Words("Every measure, part and interval: {file}.", "全部指标、部分与区间：{file}。")
_PUT_TOGETHER = Words(
    "Votes of several annotators were put together. The result differs from the plain majority in {n} places; {even}"
    " majorities were even.",
    "多位标注者的票已汇总。结果与简单多数有 {n} 处不同；{even} 处票数相等。",
)
_NO_END = Words("The fit had not settled after {n} passes; take it with care.", "迭代 {n} 遍仍未收敛，请谨慎使用。")
_WARNED = Words("Take note:", "请注意：")
_RESULTS = Words("The results", "结果")
_METHODS = Words(
    "Method: {method}. Dawid-Skene and one-coin learn how reliable each annotator is and weigh votes by it; majority"
    " counts heads. {n} passes over the votes.",
    "方法：{method}。Dawid-Skene 与 one-coin 会估计每位标注者的可靠度并据此加权；majority 只数人头。共迭代 {n} 遍。",
)
_SURE = Words("How sure the results are", "结果有多确定")
_SURE_SAYS = Words("{share} have a probability of 0.9 or more.", "{share} 的概率不低于 0.9。")
_AGGREGATE_FILES = Words(
    "data/ has every result and annotator, a line each; audit/rejected.jsonl names rows that could not be used.",
    "data/ 逐行列出全部结果与标注者；audit/rejected.jsonl 列出无法使用的行。",
)
_AUDIT_FILES = Words("Every case, not only the examples: {cases}.", "全部个案（不只示例）：{cases}。")
_STOPS = Words("Findings that would stop an export: {n}.", "会阻止导出的发现：{n} 项。")
_LOOK = Words("Findings to look at before training on this: {n}.", "用于训练前须查看的发现：{n} 项。")
_FINE = Words("Nothing that needs looking at was found.", "未发现需要查看的问题。")
_COUNTED = {
    "units": Words("units", "单元"),
    "votes": Words("votes", "票"),
    "annotators": Words("annotators", "标注者"),
    "comparisons": Words("comparisons", "比较"),
    "items": Words("items", "项"),
    "pairs": Words("pairs", "对"),
    "tasks": Words("tasks", "任务"),
    "judgments": Words("judgments", "判断"),
    "rejected": Words("rows rejected", "被拒的行"),
    "rows": Words("rows", "数据行"),
    "texts": Words("texts", "文本"),
}
