"""Where an audit's material comes from: an export folder, a snapshot, files in any layout, or plain tables.

Each function reads one of them into curate/material.py's pairs, ballots and texts.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.material import Ballot, Material, Pair, Passage, ballot_of, material, pair_of, text_of
from curate.pairs import Rules, Stored, pairs_of, usable
from data.errors import BadInput, NotThere
from data.jsonl import read_lines
from data.records import Judgment, Task

if TYPE_CHECKING:
    from curate.engine import Connection
    from curate.tables import Rejected

ALL_SOURCES = Rules(sources=("human", "model", "rule"))


def from_export(folder: Path) -> Material:
    """The material of a folder that curate.export wrote: its rows, and the judgments behind them.

    Raises:
        BadInput: a file of it is no JSON lines.
        NotThere: it has no rows.
    """
    files = sorted((folder / "data").glob("*.jsonl"))
    if not files:
        raise NotThere(
            f"{folder} has no data/*.jsonl; name a folder that curate.export wrote, in a format of JSON lines"
        )
    pairs: list[Pair] = []
    ballots: list[Ballot] = []
    passages: list[Passage] = []
    for path in files:
        for row in _rows(path, ("prompt_id",)):
            if "completion" in row:  # a row a response: texts to look at, no pair
                passages.append(Passage(row["prompt_id"], "prompt", text_of(row["prompt"])))
                passages.append(Passage(row["response_id"], "response", text_of(row["completion"])))
            else:
                pairs.append(_pair(path, row))
    tasks, judgments = folder / "audit/tasks.jsonl", folder / "audit/judgments.jsonl"
    if tasks.is_file() and judgments.is_file():
        prompts = {}
        for task in _rows(tasks, ("prompt", "responses")):
            prompts[task["id"]] = task["prompt"]["id"]
            passages += _passages(task)
        for j in _rows(judgments, ("task_id", "annotator")):
            ballot = ballot_of(j, prompts.get(j["task_id"], j["task_id"]))
            if ballot is not None:
                ballots.append(ballot)
    return material(pairs, ballots, passages)


def _pair(path: Path, row: dict[str, Any]) -> Pair:
    try:
        return pair_of(row)
    except KeyError as lacking:
        raise BadInput(f"{path}, row {row['id']}: no field {lacking}; is this an export's file?") from None
    except (TypeError, AttributeError):
        raise BadInput(f"{path}, row {row['id']}: its texts are no messages; is this an export's file?") from None


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for line in read_lines(path):
        if line.problem:
            raise BadInput(f"{path}, line {line.number}: {line.problem}")
        lacking = [name for name in ("id", *needed) if name not in (line.value if isinstance(line.value, dict) else {})]
        if lacking:
            raise BadInput(f"{path}, line {line.number}: no field '{lacking[0]}'; is this an export's file?")
        yield line.value


def _passages(task: dict[str, Any], where: str | None = None) -> Iterator[Passage]:
    yield Passage(task["prompt"]["id"], "prompt", text_of(task["prompt"]["messages"]), where)
    for response in task["responses"]:
        yield Passage(response["id"], "response", text_of(response["messages"]), where)


def of_task(
    task: Task,
    stored: Iterable[Stored],
    rules: Rules = ALL_SOURCES,
    where: str | None = None,
    gone: Collection[str] = (),
) -> tuple[list[Pair], list[Ballot], list[Passage]]:
    """The pairs, ballots and texts of one task and its judgments; `gone` are responses that were retracted."""
    kept, _ = usable(stored, rules)
    pairs, _ = pairs_of(task, kept, rules, gone)
    found = [ballot_of(_without(j, gone) if gone else j, task.prompt.id, where) for j in kept]
    rows = [pair_of(pair)._replace(split=None, where=where) for pair in pairs]
    texts = [one for one in _passages(task.model_dump(), where) if one.id not in gone]
    return rows, [b for b in found if b is not None], texts


def _without(j: Judgment, gone: Collection[str]) -> Judgment:
    """A judgment as if these responses had never been there."""
    ranking = None if j.ranking is None else [[r for r in tier if r not in gone] for tier in j.ranking]
    shown = [r for r in j.shown if r not in gone]
    return j.model_copy(update={"ranking": ranking and [tier for tier in ranking if tier], "shown": shown})


def from_snapshot(con: "Connection", folder: Path, project: str | None) -> Material:
    """The material of a project in a snapshot (curate.snapshot); of the only one where none is named."""
    from curate.frozen import choose_project, open_snapshot

    open_snapshot(con, folder)
    name = choose_project(con, project)
    judged: dict[str, list[Stored]] = {}
    for task, state, record in con.execute(
        "SELECT task, state, record FROM judgments WHERE project = ? AND NOT superseded ORDER BY judgment", [name]
    ).fetchall():
        judged.setdefault(task, []).append(Stored(state, Judgment.model_validate_json(record)))
    gone = dict(con.execute("SELECT task, gone FROM gone_responses").fetchall())
    parts = [
        of_task(Task.model_validate_json(record), judged.get(task, []), gone=gone.get(task, ()))
        for task, record in con.execute(
            "SELECT task, record FROM tasks WHERE project = ? ORDER BY task", [name]
        ).fetchall()
    ]
    return _joined(parts)


def _joined(parts: Iterable[tuple[list[Pair], list[Ballot], list[Passage]]], order_known: bool = True) -> Material:
    pairs, ballots, passages = [], [], []  # type: list[Pair], list[Ballot], list[Passage]
    for some_pairs, some_ballots, some_passages in parts:
        pairs += some_pairs
        ballots += some_ballots
        passages += some_passages
    return material(pairs, ballots, passages, order_known)


def from_files(paths: list[str], format: str | None, rejected: "Rejected | None" = None) -> Material:
    """The material of files in any layout that is read (python -m annotate.load --help lists them).

    Rows are read as tasks with their judgments; a row that cannot be used is told to `rejected`.
    """
    from data.formats import Reject, read

    reading = read(paths, format)
    parts = []
    ordered = False
    for row in reading.rows:
        if isinstance(row, Reject):
            if rejected is not None:
                rejected({"file": row.where, "line": row.number, "reason": row.reason})
            continue
        kind = row.kind or ("ab" if len(row.responses) == 2 else "ranking")
        task = Task.make("file", kind, row.prompt, row.responses, criteria=row.criteria, import_key=row.key)
        stored = []
        for vote in row.votes:
            fields = vote._asdict()
            key = fields.pop("key")
            stored.append(Stored("counted", Judgment.make(task_id=task.id, token=key, purpose="import", **fields)))
            ordered = ordered or vote.active_seconds is not None or [r.id for r in row.responses] != vote.shown
        parts.append(of_task(task, stored, where=row.where))
    if not parts:
        raise BadInput(f"{', '.join(paths)}: no row can be used")
    return _joined(parts, ordered)


def from_comparisons(con: "Connection", table: str) -> Material:
    """The material of a table that `curate.tables.read_comparisons` made; item_a counts as shown first."""
    rows = con.execute(
        f"SELECT a.name, b.name, winner, p.name FROM {table} c JOIN {table}_items a ON a.id = c.item_a"
        f" JOIN {table}_items b ON b.id = c.item_b JOIN {table}_annotators p ON p.id = c.annotator"
        " ORDER BY 1, 2, 3, 4"
    ).fetchall()
    ballots = [
        Ballot(
            id=f"comparison {n}",
            task="|".join(sorted((a, b))),
            prompt_id="",
            annotator=who,
            kind="person",
            shown=(a, b),
            place={a: int(winner == 2), b: int(winner == 1)},
        )
        for n, (a, b, winner, who) in enumerate(rows, 1)
    ]
    return Material([], ballots, [])


def from_labels(con: "Connection", table: str) -> Material:
    """The material of a table that `curate.tables.read_labels` made: each label is preferred to the others of its unit.

    Where all labels of a unit are the same, they are preferred to one that nobody gave.
    """
    rows = con.execute(
        f"SELECT u.name, p.name, v.name, u.id FROM {table} l JOIN {table}_units u ON u.id = l.unit"
        f" JOIN {table}_annotators p ON p.id = l.annotator JOIN {table}_values v ON v.id = l.value ORDER BY 1, 2, 3"
    ).fetchall()
    given: dict[int, set[str]] = {}
    for _, _, value, unit in rows:
        given.setdefault(unit, set()).add(f"value {value}")
    ballots = []
    for n, (name, who, value, unit) in enumerate(rows, 1):
        values = sorted(given[unit]) if len(given[unit]) > 1 else [*given[unit], "another"]
        place = {one: int(one != f"value {value}") for one in values}
        ballots.append(Ballot(f"label {n}", str(name), str(name), str(who), "person", tuple(values), place))
    return Material([], ballots, [], order_known=False)


def from_texts(con: "Connection", table: str) -> Material:
    """The material of a table that `curate.tables.read_texts` made."""
    rows = con.execute(
        f"SELECT f.file, t.line, t.id, t.text FROM {table} t JOIN {table}_files f ON f.number = t.file ORDER BY 1, 2"
    ).fetchall()
    passages = [Passage(id or f"{file}:{line}", "text", text, f"{file}, line {line}") for file, line, id, text in rows]
    return Material([], [], passages)
