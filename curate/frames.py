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

_BLOCK = 20_000  # judgments kept as Python values before they become a block of a table
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


class Frames:
    """The tables of one project, being filled."""

    def __init__(self, project: str) -> None:
        self.project = project
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
        self._blocks: dict[str, list[pa.RecordBatch]] = {name: [] for name in _TABLES}

    def add(self, task: Task, judgments: Sequence[Judgment], gone: Mapping[str, str]) -> None:
        """Add a task and those of its judgments that count; `gone` are responses that were retracted."""
        tongue = task.language or task.prompt.language
        about = (task.id, self.project, task.kind, task.prompt.id, tongue, task.prompt.licence, task.prompt.tags)
        self._rows["tasks"].append((*about, task.gold is not None))
        there = [r for r in task.responses if r.id not in gone]
        self._rows["responses"] += [(task.id, r.id, place, r.model, len(r.text)) for place, r in enumerate(there)]
        self._rows["judgments"] += [self._judgment(j, gone) for j in judgments]
        self._rows["ratings"] += [
            (j.id, task.id, response, criterion, value)
            for j in judgments
            for response, points in j.ratings.items()
            if response not in gone
            for criterion, value in points.items()
        ]
        if len(self._rows["judgments"]) >= _BLOCK:
            self._flush()

    def _judgment(self, j: Judgment, gone: Mapping[str, str]) -> tuple[Any, ...]:
        ranking, shown = j.ranking, j.shown
        if gone and ranking is not None:
            ranking = [tier for tier in ([r for r in tier if r not in gone] for tier in ranking) if tier]
        if gone:
            shown = [r for r in shown if r not in gone]
        texts = (j.id, j.task_id, self.project, j.annotator, j.annotator_kind, j.verdict, j.purpose, "counted")
        about = (j.guideline_version, j.submitted_at, j.choice, False, None, j.probability)
        return (*texts, *about, ranking, shown)

    def _flush(self) -> None:
        import pyarrow as pa

        for name, rows in self._rows.items():
            types = _arrow(name)
            columns = zip(*rows, strict=True) if rows else ([] for _ in types)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, types.types, strict=True)]
            self._blocks[name].append(pa.RecordBatch.from_arrays(arrays, schema=types))
            rows.clear()

    def register(self, con: "Connection") -> None:
        """Name the tables in a connection, and forget them here."""
        import pyarrow as pa

        self._flush()
        for name, blocks in self._blocks.items():
            con.register(f"_{name}", pa.Table.from_batches(blocks))
            con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM _{name}")
            con.unregister(f"_{name}")
        self._blocks = {name: [] for name in _TABLES}


def _arrow(name: str) -> "pa.Schema":
    import pyarrow as pa

    plain = {"string": pa.string(), "bool": pa.bool_(), "int32": pa.int32(), "int64": pa.int64()}
    lists = {_STRINGS: pa.list_(pa.string()), "list<list<string>>": pa.list_(pa.list_(pa.string()))}
    known = {**plain, **lists, "float64": pa.float64()}
    return pa.schema([(column, known[kind]) for column, kind in _TABLES[name].items()])


def frames_of(project: str, evidence: Iterable[tuple[Task, Sequence[Judgment], Mapping[str, str]]]) -> Frames:
    """The tables of tasks with the judgments that count and their retracted responses."""
    made = Frames(project)
    for task, judgments, gone in evidence:
        made.add(task, judgments, gone)
    return made
