"""How often a model judge preferred the run's answers: from the files of datagen.judge, both orders, ties half.

    wins = judge_wins([Path("workspace/judged")], read_key(Path("workspace/ab/audit/key.jsonl")))
    cases = win_cases(wins)

A judge leans to what it is shown first, so a verdict is a pair of judgments, one in each order. Where both name
one winner it won; every other pair is a tie (L. Zheng et al., arXiv 2306.05685, section 3.4). What was judged in
one order alone is left out and counted, never taken for a verdict.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from data.errors import BadInput, NotThere, Refused
from data.jsonl import explain, read_lines
from data.manifest import MANIFEST, verify_folder
from data.records import Judgment, Task
from train.contests import Answered, Key, Win, Wins, sides_of

ONE_ORDER = "judged in one order only"
UNREAD = "no verdict between the two"
NOBODY = "contests without a verdict"


class _Verdict(NamedTuple):
    """One pair of judgments, one in each order."""

    judge: str
    value: float
    tie: bool
    split: bool


def judge_wins(paths: Sequence[Path], key: Key, *, soft: bool = False) -> Wins:
    """The run's share of a judge's verdicts on each contest.

    Several judges count the same, and so do the principles and samples of one judge. Two answers of the same
    text are a tie that no judge is asked for.

    Args:
        paths: folders of datagen.judge, or files of whole tasks with judgments beside them.
        key: whose the responses are.
        soft: take the mean of the judge's probabilities in both orders for a verdict, where it gave them.

    Raises:
        NotThere: no such folder or file.
        Refused: a folder that is not as it was written.
        BadInput: a line that is no judged task, by file and line; responses of neither side; one order only.
    """
    given: dict[str, list[tuple[Task, dict[str, Answered], list[Judgment]]]] = {}
    seen: set[str] = set()
    models: set[str] = set()
    for task, judgments in (one for path in paths for one in _read(path)):
        models |= {r.model for r in task.responses if r.model}
        sides = sides_of(task, key)
        if {one.side for one in sides.values()} != {"run", "reference"}:
            continue
        fresh = [j for j in judgments if j.annotator_kind == "model" and j.id not in seen]
        seen |= {j.id for j in fresh}
        given.setdefault(next(iter(sides.values())).contest, []).append((task, sides, fresh))
    if not given:
        raise BadInput(_nobody(paths, key, models))
    left: dict[str, int] = {}
    rows = {win.id: win for win in key.same}
    for contest in sorted(given):
        won = _contest(contest, given[contest], soft, left)
        if won:
            rows[contest] = won
    asked = {one.contest for one in key.responses.values()} | set(given)
    if missing := len(asked - set(rows)):
        left[NOBODY] = missing
    if not any(win.verdicts for win in rows.values()) and left.get(ONE_ORDER):
        raise BadInput(f"{paths[0]}: every verdict is in one order only; judge again with --both-orders")
    return Wins([rows[name] for name in sorted(rows)], "model", left)


def _read(path: Path) -> Iterator[tuple[Task, list[Judgment]]]:
    """The tasks of a judge's folder or file, each with the judgments beside it."""
    if path.is_dir():
        if (path / MANIFEST).is_file() and (faults := verify_folder(path)):
            raise Refused(f"{path} is not as it was written: {faults[0]}; judge again")
        path = path / "data" / "tasks.jsonl"
        if not path.is_file():
            raise NotThere(f"{path} is not there; name a folder that datagen.judge wrote, or a file of judged tasks")
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.problem or not isinstance(line.value, dict):
            raise BadInput(f"{where}: {line.problem or 'not a JSON object'}")
        value = dict(line.value)
        given = value.pop("judgments", [])
        try:
            if not isinstance(given, list):
                raise ValueError("field judgments: needed is a list of whole judgments")
            yield Task.model_validate(value), [Judgment.model_validate(one) for one in given]
        except ValueError as error:
            raise BadInput(f"{where}: {explain(error)}; needed are whole tasks, as datagen.judge writes them") from None


def _nobody(paths: Sequence[Path], key: Key, models: Iterable[str]) -> str:
    """Why no task has both sides."""
    files = ", ".join(str(path) for path in paths)
    if key.responses or not key.models:
        return f"{files}: no task holds two answers that the key knows; name the key of the tasks that were judged"
    there = ", ".join(sorted(models)[:6])
    if not there:
        return f"{files}: the answers name no model; say whose they are with --key, the project's audit/key.jsonl"
    return f"{files}: no task has answers by both {' and '.join(key.models)}; models named there: {there}"


def _contest(
    name: str, given: list[tuple[Task, dict[str, Answered], list[Judgment]]], soft: bool, left: dict[str, int]
) -> Win | None:
    """One contest out of its tasks; None where there is no verdict."""
    verdicts: list[_Verdict] = []
    lengths: dict[str, list[int]] = {"run": [], "reference": []}
    texts: dict[str, set[str]] = {"run": set(), "reference": set()}
    for task, sides, judgments in given:
        verdicts += _verdicts(sides, judgments, soft, left)
        for r in task.responses:
            if r.id in sides:
                lengths[sides[r.id].side].append(len(r.text))
                texts[sides[r.id].side].add(r.text)
    one = next(iter(given[0][1].values()))
    size = (round(fmean(lengths["run"])), round(fmean(lengths["reference"])))
    if not verdicts:
        alike = texts["run"] == texts["reference"] and len(texts["run"]) == 1
        return Win(name, one.cluster, 0.5, size, one.tags, 0) if alike else None
    judges: dict[str, list[float]] = {}
    for verdict in verdicts:
        judges.setdefault(verdict.judge, []).append(verdict.value)
    return Win(
        name,
        one.cluster,
        fmean(fmean(values) for _, values in sorted(judges.items())),
        size,
        one.tags,
        len(verdicts),
        sum(v.tie for v in verdicts),
        sum(v.split for v in verdicts),
    )


def _verdicts(
    sides: dict[str, Answered], judgments: Iterable[Judgment], soft: bool, left: dict[str, int]
) -> list[_Verdict]:
    """Pairs of judgments on the same two responses by the same judge, principle and sample, one in each order."""
    asked: dict[tuple[str, str, int, str, str], tuple[list[Judgment], list[Judgment]]] = {}
    for j in sorted(judgments, key=lambda j: j.id):
        shown = [sides[one].side for one in j.shown if one in sides]
        if len(j.shown) != 2 or len(set(shown)) != 2 or not _answered(j):
            left[UNREAD] = left.get(UNREAD, 0) + 1
            continue
        run, other = j.shown if shown[0] == "run" else j.shown[::-1]
        group = asked.setdefault((j.annotator, j.principle or "", j.sample_index or 0, run, other), ([], []))
        group[shown[0] != "run"].append(j)
    found = []
    for (judge, *_), (forward, backward) in sorted(asked.items()):
        found += [_verdict(judge, one, two, soft) for one, two in zip(forward, backward, strict=False)]
        if odd := abs(len(forward) - len(backward)):
            left[ONE_ORDER] = left.get(ONE_ORDER, 0) + odd
    return found


def _answered(j: Judgment) -> bool:
    return j.verdict == "all_bad" or (j.verdict == "answered" and (j.choice is not None or j.probability is not None))


def _verdict(judge: str, forward: Judgment, backward: Judgment, soft: bool) -> _Verdict:
    """What two judgments say together: the run stood first in `forward`, second in `backward`."""
    first, second = _first(forward, soft), 1 - _first(backward, soft)
    if soft:
        value = (first + second) / 2
        return _Verdict(judge, value, value == 0.5, (first - 0.5) * (second - 0.5) < 0)
    value = first if first == second else 0.5
    return _Verdict(judge, value, value == 0.5, first != second)


def _first(j: Judgment, soft: bool) -> float:
    """How far the first shown was preferred: 1, 0, ½ for a tie or two bad ones, or a probability."""
    if j.verdict == "all_bad":
        return 0.5
    if j.probability is not None and (soft or j.choice is None):
        return j.probability if soft else 0.5 + 0.5 * ((j.probability > 0.5) - (j.probability < 0.5))
    return {"A": 1.0, "B": 0.0, "tie": 0.5}[j.choice or "tie"]
