"""What can be trained, and from which export."""

from typing import Literal, get_args

from data.errors import BadInput

Task = Literal["sft", "reward", "dpo", "orpo", "kto"]
TASKS: tuple[str, ...] = get_args(Task)
TAKES: dict[str, tuple[Task, ...]] = {"pairs": ("dpo", "reward", "orpo"), "unpaired": ("kto", "sft"), "sft": ("sft",)}
"""Tasks that an export of each kind feeds, the usual one first."""
_FORMAT = {"dpo": "trl", "reward": "trl", "orpo": "trl", "kto": "trl-unpaired", "sft": "sft"}


def task_of(kind: str, asked: str | None) -> Task:
    """The task for an export of this kind: the one asked for, or the usual one.

    Raises:
        BadInput: the export has no rows for it.
    """
    fits = TAKES[kind]
    if asked is None:
        return fits[0]
    for task in fits:
        if task == asked:
            return task
    raise BadInput(f"{asked} cannot take an export of {kind}; export again with --format {_FORMAT[asked]}")
