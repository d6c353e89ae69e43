"""Tasks and judgments as tables to compute over, made from the records themselves as they pass by.

The tables have the names and columns of a snapshot's (curate/frozen.py), without texts and ledger:
tasks, responses, judgments, ratings. So agreement and aggregation read an export's evidence as they
read a snapshot, and neither the store nor a second copy of it is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.records import Judgment, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.engine import Connection

_STRINGS = "list<string>"
_TABLES: dict[str, dict[str, str]] = {
    "tasks": {
        **dict.fromkeys(("task", "project", "kind", "prompt", "language", "licence"), "string"),
        "tags": _STRINGS,
        "gold": "bool",
    },
    "responses": {"task": "string", "response": "string", "place": "int32", "model": "string", "characters": "int32"},
    "judgments": {
        **dict.fromkeys(("judgment", "task", "project", "annotator", "annotator_kind"), "string"),
        **dict.fromkeys(("verdict", "purpose", "state"), "string"),
        **dict.fromkeys(("guideline_version", "submitted_at", "choice"), "string"),
        "superseded": "bool",
        "at_ms": "int64",
        "probability": "float64",
        "ranking": "list<list<string>>",
        "shown": _STRINGS,
    },
    "ratings": {
        **dict.fromkeys(("judgment", "task", "response", "criterion"), "string"),
        "value": "int32",
    },
}


Tables = dict[str, "pa.RecordBatch"]
"""A block of each table, by name."""


def frames_of(project: str, evidence: Iterable[tuple[Task, Sequence[Judgment], Mapping[str, str]]]) -> Tables:
    """The tables of some tasks with the judgments that count; tasks without one are not in them.

    Args:
        evidence: each task, its judgments that count, and its responses that were retracted.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
    for task, judgments, gone in evidence:
        if judgments:
            _add(rows, project, task, judgments, gone)
    return {name: _batch(name, of) for name, of in rows.items()}


def _add(
    rows: dict[str, list[tuple[Any, ...]]],
    project: str,
    task: Task,
    judgments: Sequence[Judgment],
    gone: Mapping[str, str],
) -> None:
    tongue = task.language or task.prompt.language
    about = (task.id, project, task.kind, task.prompt.id, tongue, task.prompt.licence, task.prompt.tags)
    rows["tasks"].append((*about, task.gold is not None))
    there = [r for r in task.responses if r.id not in gone]
    rows["responses"] += [(task.id, r.id, place, r.model, len(r.text)) for place, r in enumerate(there)]
    rows["judgments"] += [_judgment(project, j, gone) for j in judgments]
    rows["ratings"] += [
        (j.id, task.id, response, criterion, value)
        for j in judgments
        for response, points in j.ratings.items()
        if response not in gone
        for criterion, value in points.items()
    ]


def _judgment(project: str, j: Judgment, gone: Mapping[str, str]) -> tuple[Any, ...]:
    ranking, shown = j.ranking, j.shown
    if gone and ranking is not None:
        ranking = [tier for tier in ([r for r in tier if r not in gone] for tier in ranking) if tier]
    if gone:
        shown = [r for r in shown if r not in gone]
    texts = (j.id, j.task_id, project, j.annotator, j.annotator_kind, j.verdict, j.purpose, "counted")
    return (*texts, j.guideline_version, j.submitted_at, j.choice, False, None, j.probability, ranking, shown)


def _batch(name: str, rows: Sequence[tuple[Any, ...]]) -> "pa.RecordBatch":
    import pyarrow as pa

    types = _arrow(name)
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=types)


def register(con: "Connection", blocks: Sequence[Tables]) -> None:
    """Name the tables that these blocks make together in a connection."""
    import pyarrow as pa

    for name in _TABLES:
        con.register(f"_{name}", pa.Table.from_batches([block[name] for block in blocks], _arrow(name)))
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM _{name}")
        con.unregister(f"_{name}")


def _arrow(name: str) -> "pa.Schema":
    import pyarrow as pa

    plain = {"string": pa.string(), "bool": pa.bool_(), "int32": pa.int32(), "int64": pa.int64()}
    lists = {_STRINGS: pa.list_(pa.string()), "list<list<string>>": pa.list_(pa.list_(pa.string()))}
    known = {**plain, **lists, "float64": pa.float64()}
    return pa.schema([(column, known[kind]) for column, kind in _TABLES[name].items()])
