"""The experiment log: one line of a Markdown table for each training run, those that failed too.

    log_run(workspace, Entry("sky-dpo", "dpo", "done", …))    # WORKSPACE/reports/posttrain/experiment-log.md

The file is written beside itself and renamed while its folder is locked, so runs that end at once lose no line and a
killed one leaves no half of one. People may write between the tables; what they wrote stays.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from data.errors import BadInput
from data.report import number
from data.text import excerpt
from train.run_figures import ends, points
from train.run_report import duration, shortly
from train.run_results import SPELL, headline
from train.run_story import RunStory, base_name

PLACE = Path("reports") / "posttrain" / "experiment-log.md"
_HEAD = """# Experiment log · 实验记录

One line for each training run, written when it ended. 每次训练结束时写一行。
"""
_COLUMNS = (
    "when (UTC) 时间",
    "run 运行",
    "task 任务",
    "outcome 结果",
    "base 起点",
    "method 方法",
    "data 数据",
    "rows 行",
)
_FIGURES = (
    "steps 步",
    "loss at the end 最后损失",
    "held out 留出",
    "time 用时",
    "memory 内存",
    "export 导出",
    "what 说明",
)
_TABLE = "| " + " | ".join(_COLUMNS + _FIGURES) + " |\n" + "|" + "---|" * len(_COLUMNS + _FIGURES) + "\n"


class Entry(NamedTuple):
    """A run's line; what is not known stays empty. Numbers come spelled."""

    name: str
    task: str
    outcome: str
    """`done`, `failed`, `stopped`, `refused`."""
    base: str = ""
    method: str = ""
    export: str = ""
    rows: str = ""
    steps: str = ""
    loss: str = ""
    held_out: str = ""
    seconds: float | None = None
    memory: str = ""
    digest: str = ""
    """Of the export."""
    what: str = ""
    """Why it failed; warnings of one that did not."""


def entry(story: RunStory, outcome: str = "done", what: str = "") -> Entry:
    """The line of a run, as far as its story goes.

    Args:
        what: why it failed; where empty, the names of its warnings.
    """
    train = [row for row in story.metrics if row.get("split", "train") == "train"]
    losses = points(train, "loss", "train")
    memory = max((int(row.get("memory_bytes") or 0) for row in train), default=0)
    return Entry(
        story.name,
        story.task,
        outcome,
        base_name(story.base),
        story.method + (f" ({shortly(story.trainable)})" if story.trainable else ""),
        story.export,
        f"{story.rows.get('train', 0):,}",
        f"{max((int(row.get('step') or 0) for row in train), default=0):,}",
        number(ends(losses)[1]) if losses else "",
        _held(story),
        story.seconds,
        f"{memory / 2**30:.2f} GiB" if memory else "",
        str(story.digests.get("export") or "")[:12],
        what or ", ".join(str(one.get("name")) for one in story.warnings),
    )


def _held(story: RunStory) -> str:
    kind, split, share = headline(story)
    if share is None:
        return ""
    spell, name = SPELL[kind], "AUC " if kind == "auc" else ""
    ends = "" if share.low is None or share.high is None else f" [{spell(share.low)}, {spell(share.high)}]"
    return f"{name}{spell(share.value)}{ends} {split}, n={share.n:,}"


def log_run(workspace: Path, line: Entry, when: datetime | None = None) -> Path:
    """Add a run's line to the workspace's log; returns the file.

    Args:
        when: the run's end; now where it is not told.

    Raises:
        BadInput: the log cannot be written.
    """
    path = workspace / PLACE
    at = (when or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    took = "" if line.seconds is None else duration(line.seconds)
    cells = [at, *line._replace(seconds=took)]  # type: ignore[arg-type]
    made = "| " + " | ".join(_cell(str(cell)) for cell in cells) + " |\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            _rewrite(path, _joined(path.read_text(encoding="utf-8") if path.exists() else _HEAD, made))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be written: {error}; the run itself is whole") from None
    return path


def _joined(text: str, line: str) -> str:
    """The log with the line under its last table, or under a table of its own where people wrote after it."""
    text = text if not text or text.endswith("\n") else text + "\n"
    last = text.rstrip("\n").rpartition("\n")[2]
    return text + line if last.startswith("|") else f"{text}\n{_TABLE}{line}"


def _cell(text: str) -> str:
    """A cell: one line, no sign of Markdown or HTML that means anything."""
    shown = excerpt(text, 120)
    for sign in "\\`*_[]<>#|~!@":
        shown = shown.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return shown


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _rewrite(path: Path, text: str) -> None:
    """Put the whole text in the file's place; a kill in between leaves the former one."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
