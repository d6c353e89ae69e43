"""The one HTML report of an export: what the dataset is, how it came to be, and what deserves a look.

    folder.write_text("report.html", report(Story(project="answers", counts=counts, findings=found)))

`report` is a pure function of a Story, every part of which may be left out; its part of the page is then left
out too. The same Story gives the same bytes. The page is for a reader who did not make the dataset: each word
of the trade is explained where it first appears.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from markupsafe import Markup

from curate import report_story as words
from curate.findings import Finding
from curate.report_parts import agreement_parts, alphas, finding_parts
from curate.report_people import annotator_parts, judge_parts, standing_parts
from curate.report_rows import certainty_parts, row_parts
from curate.report_words import FINDINGS, reason, reasons, verdict
from curate.row_figures import Counts, total
from data.report import (
    Words,
    breakdown,
    code,
    command,
    contents,
    flow,
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

Row = Mapping[str, Any]


_NOTHING: Mapping[str, Any] = MappingProxyType({})
SPLITS = ("train", "validation", "test")


class Nearest(NamedTuple):
    """The two most alike prompts that lie in different splits."""

    similarity: float | None
    """Exact Jaccard similarity of their shingles, 0 to 1; None when no two reach `at_least`."""
    a: str = ""
    b: str = ""
    """Ids of the two rows or prompts."""
    at_least: float = 0.5
    """What was looked for at the lowest."""


class Story(NamedTuple):
    """All that an export's report tells. A part that is empty or None has no place on the page."""

    project: str
    format: str = ""
    folder: str = "DIR"
    """As it is typed in the commands that the page shows."""
    digest: str = ""
    head: Row = _NOTHING
    """The newest event of the ledger when it was read: seq, hash."""
    read_at: str = ""
    """When it was read, as text."""
    tasks: int | None = None
    judged: int | None = None
    """Tasks with a judgment that counts."""
    judgments: int | None = None
    """Judgments that count."""
    pairs: int | None = None
    """Pairs before anything was left out by quota or as a duplicate; None where that is not known."""
    unused: Mapping[str, int] = _NOTHING
    left_out: Mapping[str, int] = _NOTHING
    """Counts by reason."""
    months: Mapping[str, int] = _NOTHING
    """Judgments by month, such as 2026-05."""
    counts: Counts | None = None
    """curate/row_figures.py, filled while the rows were written."""
    agreement: Sequence[Row] = ()
    """Rows of data/agreement.jsonl of curate.agreement."""
    threshold: float = 0.8
    annotators: Sequence[Row] = ()
    """Rows of data/annotators.jsonl of curate.aggregate."""
    aggregate: Row = _NOTHING
    """Summary of curate.aggregate: method, iterations, converged, pairs, even_majorities, not_the_majority."""
    standings: Sequence[Row] = ()
    """Rows of data/standings.jsonl of curate.aggregate."""
    judges: Sequence[Row] = ()
    """Rows of data/judges.jsonl of curate.calibrate."""
    removed: Mapping[str, int] = _NOTHING
    """Duplicates taken out, by reason."""
    contradictions: int | None = None
    """Pairs of rows that stay and say the opposite."""
    groups: int | None = None
    largest_group: int | None = None
    nearest: Nearest | None = None
    findings: Sequence[Finding] | None = None
    """None where nothing was checked."""
    allowed: Sequence[str] = ()
    """Findings that were told by name to let the export pass."""
    rules: Row = _NOTHING
    """The effective configuration."""
    method: str = ""
    """How a probability was made."""
    trace: str = ""
    """An id to show curate.trace with."""


def report(told: Story) -> str:
    """The page as text, to be written as report.html."""
    parts = [
        ("path", words.PATH, _path(told)),
        ("rows", words.ROWS, row_parts(told.counts, told.months)),
        ("certainty", words.CERTAINTY, certainty_parts(told.counts, told.method)),
        ("findings", words.FOUND, _findings(told)),
        ("agreement", words.AGREEMENT, agreement_parts(told.agreement, told.threshold, "audit/agreement.jsonl")),
        ("annotators", words.ANNOTATORS, annotator_parts(told.annotators, "audit/annotators.jsonl")),
        ("aggregate", words.AGGREGATE, [*_aggregate(told), *standing_parts(told.standings, "audit/standings.jsonl")]),
        ("judges", words.JUDGES, judge_parts(told.judges)),
        ("duplicates", words.DUPLICATES, _duplicates(told)),
        ("splits", words.SPLITS, _splits(told)),
        ("rules", words.RULES, _rules(told)),
        ("check", words.CHECK, _check(told)),
    ]
    there = [(key, title, body) for key, title, body in parts if any(body)]
    sections = [section(key, title, *body) for key, title, body in there]
    lead = _lead(told) + _keys(told) + contents((key, title) for key, title, _ in there)
    return page(words.TITLE, sections, lead=lead, what="Concord", name=told.project)


def _lead(told: Story) -> Markup:
    rows = total(told.counts) if told.counts else None
    parts = []
    if rows is not None and told.judgments is not None:
        made = say(words.MADE_FROM, judgments=told.judgments, tasks=told.judged or told.tasks or 0)
        kind = say(words.KINDS.get(told.format, words.KINDS["trl"]))
        parts.append(paragraph(words.WHAT, rows=rows, made=made, each=kind))
    elif rows is not None:
        parts.append(paragraph(words.WHAT_ROWS, rows=rows))
    known = [r for r in alphas(told.agreement) if r["value"] is not None]
    if known:
        worst = min(known, key=lambda r: r["value"])
        said = verdict(worst["verdict"])
        parts.append(paragraph(words.AGREE, alpha=number(worst["value"], 2), rule=f"{told.threshold:g}", verdict=said))
    return Markup("").join(parts) + _state(told)


def _state(told: Story) -> Markup:
    """Whether anything needs looking at."""
    if told.findings is None:
        return Markup()
    stops = [one for one in told.findings if one.level == "block" and one.name not in told.allowed]
    passed = [one for one in told.findings if one.level == "block" and one.name in told.allowed]
    warns = [one for one in told.findings if one.level == "warn"]
    boxes = []
    if stops:
        boxes.append(note("block", paragraph(words.STOPS, n=len(stops)), _named(stops)))
    if passed:
        boxes.append(note("warn", paragraph(words.PASSED, n=len(passed)), _named(passed)))
    if warns:
        boxes.append(note("warn", paragraph(words.LOOK, n=len(warns)), _named(warns)))
    return Markup("").join(boxes) or note("good", paragraph(words.FINE))


def _named(found: Sequence[Finding]) -> Markup:
    names = dict.fromkeys(one.name for one in found)
    links = Markup("").join(
        Markup("<li>{}</li>").format(say(FINDINGS[name]) if name in FINDINGS else name) for name in names
    )
    return Markup("<ul>{}</ul>").format(links)


def _keys(told: Story) -> Markup:
    counts = told.counts
    people = len(told.annotators)
    splits = counts.splits if counts else {}
    shares = Markup(" · ").join(Markup("{} {}").format(reason(s), f"{splits[s]:,}") for s in SPLITS if splits.get(s))
    found: list[tuple[Words, Any, Markup | None]] = []
    if counts:
        found.append((words.ROWS_KEY, total(counts), shares))
        prompts = len(counts.prompts)
        found.append((words.PROMPTS, prompts, say(words.EACH, n=number(total(counts) / max(1, prompts), 1))))
    if told.judgments is not None:
        remark = say(words.NOT_USED, n=sum(told.unused.values())) if told.unused else None
        found.append((words.JUDGMENTS, told.judgments, remark))
    if people:
        found.append((words.PEOPLE, people, None))
    if told.findings is not None:
        warns = sum(one.level != "info" for one in told.findings)
        found.append((words.TO_LOOK_AT, warns, say(words.OF_FOUND, n=len(told.findings))))
    return keys(found)


def _path(told: Story) -> list[Markup]:
    """From tasks to rows."""
    rows = total(told.counts) if told.counts else None
    steps = [
        (words.TASKS, told.tasks, None),
        (words.JUDGED, told.judged, None),
        (words.JUDGMENTS, told.judgments, None),
        (words.PAIRS, told.pairs, None),
        (words.ROWS_KEY, rows, None),
    ]
    known = [(name, n, remark) for name, n, remark in steps if n is not None]
    lost = grid(
        breakdown(words.WHY_UNUSED, words.JUDGMENTS_ALL, reasons(told.unused)),
        breakdown(words.WHY_LEFT_OUT, words.TIMES, reasons(told.left_out)),
    )
    if len(known) < 2 and not lost:
        return []
    say_where = paragraph(
        words.WHERE_LOST, "soft", unused=code("audit/judgments_unused.jsonl"), left=code("audit/left_out.jsonl")
    )
    return [flow(known), lost, say_where if lost else Markup()]


def _findings(told: Story) -> list[Markup]:
    return [] if told.findings is None else finding_parts(told.findings, told.allowed)


def _aggregate(told: Story) -> list[Markup]:
    found = told.aggregate
    if not found:
        return []
    parts = [paragraph(words.AGGREGATED, "soft")]
    if {"not_the_majority", "even_majorities"} <= found.keys():
        parts.append(paragraph(words.DIFFER, n=found["not_the_majority"], even=found["even_majorities"]))
    if found.get("iterations") is not None:
        parts.append(paragraph(words.ITERATIONS if found.get("converged") else words.NO_END, n=found["iterations"]))
    return parts


def _duplicates(told: Story) -> list[Markup]:
    parts: list[Markup] = []
    if told.removed:
        parts += [breakdown(words.WHY_REMOVED, words.ROWS_KEY, reasons(told.removed))]
        parts += [paragraph(words.REMOVED, "soft", file=code("audit/removed.jsonl"))]
    if told.contradictions is not None:
        parts.append(paragraph(words.CONTRADICTIONS, n=told.contradictions))
    return parts


def _splits(told: Story) -> list[Markup]:
    parts = []
    if told.groups is not None:
        parts.append(paragraph(words.GROUPS, n=told.groups, largest=told.largest_group))
    if told.nearest is not None:
        near = told.nearest
        if near.similarity is None:
            parts.append(paragraph(words.FAR_APART, least=f"{near.at_least:g}"))
        else:
            ids = {"a": code(near.a), "b": code(near.b)} if near.a else {"a": "–", "b": "–"}
            parts.append(paragraph(words.NEAREST, value=number(near.similarity), **ids))
    if parts and told.counts:
        known = {reason(name): told.counts.splits[name] for name in SPLITS if told.counts.splits[name]}
        parts.append(breakdown(words.SPLIT, words.ROWS_KEY, known))
    return parts


def _rules(told: Story) -> list[Markup]:
    rows = [[code(str(name)), code(_spelled(value))] for name, value in sorted(told.rules.items())]
    return [paragraph(words.RULES_SAY, "soft"), table([words.SETTING, words.VALUE], rows)] if rows else []


def _spelled(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_spelled(one)}" for key, one in sorted(value.items())) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_spelled(one) for one in value) or "–"
    return "–" if value is None or value == "" else str(value)


def _check(told: Story) -> list[Markup]:
    """How to verify, trace and compare; and what the export stands on."""
    stands: list[list[Any]] = []
    if told.head:
        stands.append(
            [say(words.LEDGER), Markup("{} · {}").format(told.head.get("seq"), code(f"{told.head.get('hash')}"))]
        )
    if told.digest:
        stands.append([say(words.DIGEST), code(told.digest)])
    if told.read_at:
        stands.append([say(words.READ_AT), told.read_at])
    if told.format:
        stands.append([say(words.FORMAT), code(told.format)])
    return [
        table([words.SETTING, words.VALUE], stands),
        paragraph(words.VERIFY),
        command(f"python -m curate.verify {told.folder} --store"),
        paragraph(words.TRACE),
        command(f"python -m curate.trace {told.trace or 'ID'}"),
        paragraph(words.DIFF),
        command(f"python -m curate.diff OTHER {told.folder}"),
    ]
