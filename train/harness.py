"""Tasks of EleutherAI's lm-evaluation-harness, where it is installed, on data that lies here.

A task's case is one document with the task's first metric; nothing is fetched: a task whose data is not on the disk is
refused. API: lm_eval.simple_evaluate, TaskManager and HFLM of lm-eval 0.4.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, nearest, one_line
from train.cases import Case

MISSING = "--harness needs lm-evaluation-harness, which is not installed; pip install 'lm-eval>=0.4.9'"


class Scored(NamedTuple):
    """What a model got for one document of a task."""

    task: str
    document: str
    metric: str
    value: float


def check_harness(tasks: Sequence[str], include: Path | None) -> None:
    """Refuse what cannot be run, before any weight is read.

    Raises:
        NotThere: the harness is not installed; no such folder or task.
    """
    if find_spec("lm_eval") is None:
        raise NotThere(MISSING)
    if include is not None and not include.is_dir():
        raise NotThere(f"--include {include} is no folder; name the one with your tasks' YAML files")
    known = _manager(include).all_tasks
    for task in tasks:
        if task not in known:
            raise NotThere(f"--harness: there is no task '{one_line(task, 80)}'{nearest(task, known)}")


def run_tasks(
    model: Any, tokenizer: Any, tasks: Sequence[str], include: Path | None, limit: int | None, seed: int
) -> list[Scored]:
    """Every document of every task, by task and number.

    Raises:
        BadInput: the harness gave up; its own words in one line.
    """
    _offline()
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    try:
        found = lm_eval.simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8),
            tasks=list(tasks),
            task_manager=_manager(include),
            limit=limit,
            log_samples=True,
            bootstrap_iters=0,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    except Exception as error:  # a task is code and data of strangers, and fails in any way
        kind = type(error).__name__
        raise BadInput(f"--harness {','.join(tasks)}: {kind}: {one_line(str(error), 300)}") from error
    return read_samples(found["samples"])


def read_samples(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Scored]:
    """The harness's samples as scores: a task's first metric that is a number for each document."""
    made: dict[tuple[str, str], Scored] = {}
    for task in sorted(samples):
        for one in samples[task]:
            for metric in one.get("metrics") or ():
                value = one.get(metric)
                if isinstance(value, bool | int | float):
                    document = str(one["doc_id"])
                    made.setdefault((task, document), Scored(task, document, str(metric), float(value)))
                    break
    return list(made.values())


def harness_cases(run: Sequence[Scored], against: Sequence[Scored] | None) -> tuple[list[Case], dict[str, str]]:
    """A case for each document, measure `harness_TASK`, and for each measure which metric it is."""
    theirs = {(one.task, one.document, one.metric): one.value for one in against or ()}
    cases = [Case(f"harness_{one.task}", one.document, one.document, one.value, theirs.get(one[:3])) for one in run]
    return cases, {f"harness_{one.task}": f"{one.metric}, lm-evaluation-harness" for one in run}


def _manager(include: Path | None) -> Any:
    _offline()
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(include) if include else None)


def _offline() -> None:
    """No look at the Hub, whether its libraries have been imported before or not."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    hub: Any = sys.modules["huggingface_hub.constants"]  # datasets brings it
    hub.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True
