"""Small exports to train on, and runs of the commands, for the tests of training."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from data.folder import write_folder
from train.preparing import Asked

GOOD, BAD = ("It is blue.", "Take two steps.", "天是蓝的。"), ("no", "I will not say it.", "不知道。")


def said(role: str, text: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": text}]


def preference(n: int, **more: Any) -> dict[str, Any]:
    """A pair, with p and w that differ from row to row."""
    return {
        "id": f"p{n}",
        "prompt": said("user", f"Question {n % 7}: why {'so ' * (n % 4)}?"),
        "chosen": said("assistant", GOOD[n % 3] * (1 + n % 2)),
        "rejected": said("assistant", BAD[n % 3] + " " * (n % 2)),
        "tools": None,
        "probability": (0.9, 0.6, 1.0)[n % 3],
        "weight": (1.0, 3.0)[n % 2],
        "cluster": f"c{n % 7}",
        "prompt_id": f"q{n % 7}",
        "task_id": f"t{n}",
        "judgment_ids": [f"j{n}"],
        "language": "en",
        "tags": ["test"],
        **more,
    }


def answer(n: int, label: bool | None = None) -> dict[str, Any]:
    """An answer to imitate, or one held good or bad."""
    row = preference(n)
    kept = {key: row[key] for key in ("id", "prompt", "tools", "weight", "cluster", "language", "tags")}
    text = row["rejected"] if label is False else row["chosen"]
    return {**kept, "completion": text, **({} if label is None else {"label": label})}


ROWS = {
    "sft": answer,
    "reward": preference,
    "dpo": preference,
    "kto": lambda n: answer(n, label=n % 2 == 0),
}


def export(out: Path, task: str = "reward", rows: int = 12, held_out: int = 4) -> Path:
    """An export's folder for a task: so many rows to train on, and so many in each other split."""
    make = ROWS[task]
    with write_folder(out, "export", {"format": task, "rows": rows}) as folder:
        folder.write("data/train.jsonl", (make(n) for n in range(rows)))
        if held_out:
            folder.write("data/validation.jsonl", (make(n) for n in range(100, 100 + held_out)))
            folder.write("data/test.jsonl", (make(n) for n in range(200, 200 + held_out)))
    return out


def asked(task: str, folder: Path, model: Path | str, workspace: Path, *given: str, **more: Any) -> Asked:
    """A run of few steps, as it would be typed."""
    small = ("length=128", "batch=4", "learning_rate=1e-2", "lora.rank=2", "device=cpu")
    return Asked(task, folder, workspace, str(model), None, (*small, *given), **more)


def start(
    task: str, folder: Path, model: Path, workspace: Path, *given: str, more: list[str], first: str
) -> "subprocess.Popen[str]":
    """The same as a process of its own, which does what the code `first` says before."""
    one = asked(task, folder, model, workspace, *given)
    words = [str(folder), "--model", str(model), "--workspace", str(workspace), "--json", *more, "--set", *one.given]
    return subprocess.Popen(
        [sys.executable, "-c", f"{first}\nimport runpy\nrunpy.run_module('train.{task}', run_name='__main__')", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """A JSONL file's rows."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
