"""The two sides of an evaluation, a run and what it is held against, each described before any weight is read.

run = side_of("workspace/runs/dpo-sky")
side_of("workspace/tiny", run), side_of("workspace/runs/sft-sky", run), side_of("prompt:better.yaml", run)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, ConcordError, one_line
from train.better_prompt import BetterPrompt, read_prompt
from train.finding import ADAPTER, Found, find_model, fingerprint

PROMPT = "prompt:"


class Side(NamedTuple):
    """A model to evaluate, not loaded yet."""

    name: str
    """As it was given."""
    model: str
    """What open_model opens."""
    task: str
    """sft, reward, dpo, orpo or kto for a run; base or reward for a model that is none."""
    beta: float
    """Of dpo and kto: what a log-ratio is multiplied by to be a log-odds."""
    by_token: bool
    """Answers are compared by their mean log-probability a token, not by the sum."""
    start: str | None
    """The model a dpo or kto run started from, to be opened beside it; None where it is the base under the adapter."""
    better: BetterPrompt | None
    fingerprint: str
    found: Found

    @property
    def scores(self) -> bool:
        """Whether it gives scores and no answers."""
        return self.task == "reward"

    @property
    def short(self) -> str:
        """Its name for a table and a folder."""
        return short_name(self.name)


def short_name(name: str) -> str:
    """What tables and folders call a side, by the name that was given; nothing is looked up."""
    return Path(name.removeprefix(PROMPT)).resolve().name if name else "-"


def side_of(name: str, run: Side | None = None, *, by_token: bool = False) -> Side:
    """Find out what a name stands for.

    Args:
        name: a run, an adapter, a model, or `prompt:FILE`, which is the base of `run` with a better prompt.
        by_token: compare answers by mean log-probability, where the side's own loss does not say.

    Raises:
        NotThere, BadInput: no such model or file; a prompt's file for a reward model.
    """
    if name.startswith(PROMPT):
        if run is None or run.scores:
            raise BadInput(f"{one_line(name, 80)}: a better prompt stands against a model that answers")
        better = read_prompt(Path(name.removeprefix(PROMPT)))
        base = side_of(run.found.base, by_token=by_token)
        return base._replace(name=name, better=better)
    found = find_model(name)
    config = found.manifest.config if found.manifest else {}
    given = config.get("settings")
    settings: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    task = str(config.get("task") or ("reward" if _scores(found) else "base"))
    loss = str(settings.get("loss") or "")
    if loss == "orpo":
        task = "orpo"
    return Side(
        name,
        name,
        task,
        float(settings.get("beta") or 0.1) if task in ("dpo", "kto") else 1.0,
        by_token or loss in ("ipo", "orpo"),
        _start(found) if task in ("dpo", "kto") else None,
        None,
        fingerprint(name),
        found,
    )


def longest(side: Side) -> int | None:
    """How many tokens the side's model can take, by its configuration; None where that is not known."""
    try:
        read = json.loads((Path(side.found.base) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    most = (read.get("text_config") or read).get("max_position_embeddings")
    return most if isinstance(most, int) and most > 0 else None


def _scores(found: Found) -> bool:
    """Whether a model's own files say that it gives one score."""
    if found.folder is None:
        return False
    file = found.folder / (ADAPTER if found.adapter else "config.json")
    try:
        read: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        raise BadInput(f"{file} cannot be read as JSON; take the folder as it was saved") from None
    heads = [str(one) for one in read.get("architectures") or []]
    return read.get("task_type") == "SEQ_CLS" or any(one.endswith("ForSequenceClassification") for one in heads)


def _start(found: Found) -> str | None:
    """The model that a preference run started from, unless it is the base alone under the run's adapter."""
    assert found.manifest is not None
    named = str(found.manifest.inputs.get("model") or "")
    try:
        start = find_model(named)
    except ConcordError as error:
        if found.adapter:
            return None
        raise BadInput(f"{found.folder}: the model it started from is gone ({error}); put it there again") from None
    return None if found.adapter and not start.adapter else named
