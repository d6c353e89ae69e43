"""A blind A/B project out of a run's and a reference's answers: tasks that name no model, and a key kept apart.

    write_project(Path("workspace/ab"), contests, project="ab", seed=1)

    OUT/data/tasks.jsonl    what people are given: python -m annotate.load OUT/data/tasks.jsonl --project ab
    OUT/audit/key.jsonl     whose answer is which: not for those who judge

Which answer stands first in a task is drawn from the seed and the contest's id; who opens it sees the two in an
order drawn for them alone. Response ids are hashes of what can be seen, so they tell nothing. Two answers of the
same text are a tie, and nobody is asked about them. What came back is read in train/people_wins.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from data.errors import BadInput, one_line
from data.folder import Folder, write_folder
from data.jsonl import explain
from data.records import Message, Prompt, Response, Task, digest
from train.contests import Contest

WHAT = "blind comparison"
_README = """# Blind comparison

Two answers to each of {tasks} prompts ({same} more have the same text twice: a tie, nobody is asked).

    python -m annotate.load {out}/data/tasks.jsonl --project {project}

`audit/key.jsonl` says whose answer is which: keep it from those who judge. Judgments are read back with
`python -m train.evaluate RUN --from-judgments … --key {out}/audit/key.jsonl`.

## 盲评

{tasks} 个提示各有两个回答(另有 {same} 个两边文字相同:算平局,不问任何人)。

`audit/key.jsonl` 记着哪个回答是谁的:不要给评判的人看。
"""


def write_project(
    out: Path,
    contests: Sequence[Contest],
    *,
    project: str = "ab",
    overlap: int = 1,
    seed: int = 0,
    config: Mapping[str, Any] = MappingProxyType({}),
    replace: bool = False,
) -> dict[str, Any]:
    """Write the folder of a blind comparison; returns the summary.

    Args:
        overlap: people who judge each task, 1 to 1000.
        seed: of which answer stands first in its task.
        config: what else made the answers (run, reference, decoding); hashed into the digest, told nobody who judges.
        replace: put it in the place of a former one.

    Raises:
        BadInput: no contests, two with one id, or a prompt that is none.
        Refused: something else lies there.
    """
    if not contests:
        raise BadInput("there is nothing to compare: no prompts with both answers")
    if not 1 <= overlap <= 1000:
        raise BadInput(f"overlap is {overlap}; it goes from 1 to 1000")
    names = [one.id for one in contests]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"two contests are called '{one_line(twice, 80)}'; give each its own id")
    held = {**config, "project": project, "overlap": overlap, "seed": seed}
    lines = [_lines(one, project, overlap, seed) for one in contests]
    asked = sum(task is not None for task, _ in lines)
    with write_folder(out, WHAT, held, replace=replace) as folder:
        _write(folder, lines, _README.format(tasks=asked, same=len(lines) - asked, out=out, project=project))
        sealed = folder.seal().digest
    return {"tasks": asked, "same_text": len(lines) - asked, "digest": sealed, "wrote": str(out)}


def _write(folder: Folder, lines: Sequence[tuple[Task | None, dict[str, Any]]], readme: str) -> None:
    folder.write("data/tasks.jsonl", (task for task, _ in lines if task))
    folder.write("audit/key.jsonl", (row for _, row in lines))
    folder.write_text("README.md", readme)


def _lines(contest: Contest, project: str, overlap: int, seed: int) -> tuple[Task | None, dict[str, Any]]:
    """A contest's task, or None where there is nothing to ask, and its line of the key."""
    row: dict[str, Any] = {
        "contest": contest.id,
        "cluster": contest.cluster,
        "tags": dict(contest.tags),
        "lengths": [len(contest.run), len(contest.reference)],
        "run": "",
        "reference": "",
    }
    if contest.run == contest.reference:
        return None, row
    language = contest.tags.get("language")
    try:
        messages = [Message.model_validate(one) for one in contest.prompt]
        prompt = Prompt.make(messages, tools=contest.tools, language=language)
        sides = {"run": contest.run, "reference": contest.reference}
        order = ["run", "reference"] if _coin(contest.id, seed) else ["reference", "run"]
        made = [_response(prompt, sides[side], f"{contest.id}#{n}") for n, side in enumerate(order, 1)]
        task = Task.make(project, "ab", prompt, made, overlap=overlap, language=language, import_key=contest.id)
    except ValueError as error:
        raise BadInput(f"contest {one_line(contest.id, 80)}: {explain(error)}") from None
    return task, row | {side: one.id for side, one in zip(order, made, strict=True)}


def _response(prompt: Prompt, text: str, key: str) -> Response:
    return Response.make(prompt.id, [Message(role="assistant", content=text)], import_key=key)


def _coin(contest: str, seed: int) -> bool:
    return int(digest(["which answer first", seed, contest])[0], 16) % 2 == 0
