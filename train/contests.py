"""A run's and a reference's answers to the same prompts, and how often the run's were preferred.

    Contest     one prompt, both answers                       what an evaluation generates
    Key         which response is whose                        from a key file, or by the models' names
    Win         one prompt, the run's share of the wins        what judges or people made of it

What models said is read in train/win_rates.py, what people said in train/people_wins.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from data.errors import BadInput, one_line
from data.jsonl import read_lines
from data.records import Task
from train.cases import Case
from train.exports import Message

Side = Literal["run", "reference"]
SIDES: tuple[Side, Side] = ("run", "reference")


class Contest(NamedTuple):
    """One prompt and both answers to it."""

    id: str
    """Of the prompt, or of the evaluation's case: unique among contests."""
    cluster: str
    """Prompt family."""
    prompt: list[Message]
    run: str
    reference: str
    tags: Mapping[str, str] = MappingProxyType({})
    """As in `train.cases.Case`; `language` is the language in which people are asked."""
    tools: list[dict[str, Any]] | None = None


class Answered(NamedTuple):
    """Whose a response is, and of which contest."""

    side: Side
    contest: str
    cluster: str
    tags: Mapping[str, str]


class Key(NamedTuple):
    """Whose responses are: by response id where they were written blind, else by the model that they name."""

    responses: Mapping[str, Answered]
    same: Sequence["Win"]
    """Contests whose two answers were the same text: ties that nobody is asked about."""
    models: Mapping[str, Side] = MappingProxyType({})
    clusters: Mapping[str, str] = MappingProxyType({})
    """Prompt family by prompt id, for responses known by model; a prompt without one is its own family."""


class Win(NamedTuple):
    """What was made of one contest."""

    id: str
    cluster: str
    value: float
    """The run's share of the verdicts, in [0, 1]; a tie is one half."""
    lengths: tuple[int, int]
    """Characters of the run's and of the reference's answer."""
    tags: Mapping[str, str]
    verdicts: int
    """How many (of a judge: pairs of both orders) stand behind it; 0 where both answers are the same text."""
    ties: int = 0
    split: int = 0
    """Those of a judge that called another winner in each order: counted as ties."""


class Wins(NamedTuple):
    """What was made of many contests, by id, and what was not counted."""

    rows: list[Win]
    source: Literal["model", "person"]
    left_out: dict[str, int]
    """Reason to number: judgments or tasks that were not counted."""


def by_model(run: str, reference: str, clusters: Mapping[str, str] = MappingProxyType({})) -> Key:
    """A key for files whose responses name the model that wrote them.

    Raises:
        BadInput: both are one name.
    """
    if run == reference:
        raise BadInput(f"run and reference are both '{one_line(run, 80)}'; name two models")
    return Key({}, [], {run: "run", reference: "reference"}, clusters)


def read_key(path: Path) -> Key:
    """A key file, as `train.to_people.write_project` leaves it in audit/key.jsonl.

    Raises:
        NotThere: no such file.
        BadInput: a line that is none, by file, line and field.
    """
    responses: dict[str, Answered] = {}
    same: list[Win] = []
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        row = line.value
        if line.problem or not isinstance(row, dict):
            raise BadInput(f"{where}: {line.problem or 'not a JSON object'}")
        for field in ("contest", "cluster", "run", "reference", "lengths"):
            if field not in row:
                raise BadInput(f"{where}: no '{field}'; name the audit/key.jsonl that --to-tasks wrote")
        given, lengths = row.get("tags") or {}, row["lengths"]
        if not isinstance(given, dict):
            raise BadInput(f"{where}: tags is no object; name the audit/key.jsonl that --to-tasks wrote")
        if not (isinstance(lengths, list) and len(lengths) == 2 and all(isinstance(n, int) for n in lengths)):
            raise BadInput(
                f"{where}: lengths is no list of two numbers; name the audit/key.jsonl that --to-tasks wrote"
            )
        tags = {str(k): str(v) for k, v in given.items()}
        if row["run"] == row["reference"]:
            same.append(Win(str(row["contest"]), str(row["cluster"]), 0.5, (lengths[0], lengths[1]), tags, 0))
            continue
        for side in SIDES:
            responses[str(row[side])] = Answered(side, str(row["contest"]), str(row["cluster"]), tags)
    if not responses and not same:
        raise BadInput(f"{path} names no responses; name the audit/key.jsonl that --to-tasks wrote")
    return Key(responses, same)


def sides_of(task: Task, key: Key) -> dict[str, Answered]:
    """Whose each response of a task is, by response id; responses of neither are left out."""
    found: dict[str, Answered] = {}
    tags = {"tag": ";".join(task.prompt.tags)} if task.prompt.tags else {}
    language = task.language or task.prompt.language
    tags |= {"language": language} if language else {}
    for r in task.responses:
        if r.id in key.responses:
            found[r.id] = key.responses[r.id]
        elif r.model is not None and r.model in key.models:
            cluster = key.clusters.get(task.prompt.id, task.prompt.id)
            found[r.id] = Answered(key.models[r.model], task.prompt.id, cluster, tags)
    return found


def win_cases(wins: Wins) -> list[Case]:
    """Cases of the measure `win_rate`; the tag `judged_by` says model or person."""
    return [
        Case("win_rate", row.id, row.cluster, row.value, None, {**row.tags, "judged_by": wins.source})
        for row in wins.rows
    ]
