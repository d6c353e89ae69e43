"""What a run needs before any weight is loaded: settings, export, tokenizer, rows as tokens, and what is lost of them.

Rows are cut and dropped exactly as preflight lists it; above `allow_loss` the run is refused.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from data.command import progress
from data.errors import BadInput, Refused
from data.records import digest
from train.devices import on_this_machine
from train.exports import SPLITS, Answer, Export, Pair, read_export
from train.finding import Found, check_tokenizer, check_weights, find_model, fingerprint
from train.loading import open_tokenizer
from train.looking import Limits, Looked, preflight
from train.rows import Row
from train.settings import DpoSettings, Settings, read_settings
from train.tasks import Task, task_of
from train.tokens import Tokens, check_template, template_hash, tokenise

FORMAT = 1
_APART = {"model", "device", "deepspeed", "save_every", "log_every"}  # keys that change no weight


class Asked(NamedTuple):
    """What was typed."""

    task: str
    """sft, reward, dpo or kto."""
    export: Path
    workspace: Path
    model: str = ""
    config: Path | None = None
    given: tuple[str, ...] = ()
    """KEY=VALUE, each over the file's."""
    out: Path | None = None
    seed: int | None = None
    force: bool = False
    fresh: bool = False
    unverified: bool = False


class Ready(NamedTuple):
    """Everything but the model."""

    task: Task
    settings: Settings
    out: Path
    export: Export
    tokenizer: Any
    found: Found
    rows: dict[str, list[Row]]
    """By split; what preflight drops is not among them."""
    looked: list[Looked]
    config: dict[str, Any]
    """What decides the run's bytes, for the manifest and for going on from a checkpoint."""


def settings_of(asked: Asked) -> Settings:
    """The settings, with every problem told at once.

    Raises:
        BadInput, NotThere: as read_settings does.
    """
    seed = () if asked.seed is None else (f"seed={asked.seed}",)
    return read_settings(asked.task, asked.config, [*asked.given, *seed], asked.model)


def place_of(asked: Asked, settings: Settings) -> Path:
    """--out, or WORKSPACE/runs/{task}-{the export's name}-{the model's name}."""
    model = Path(settings.model)
    name = model.resolve().name if model.exists() else settings.model.rsplit("/", 1)[-1]
    return asked.out or asked.workspace / "runs" / f"{asked.task}-{asked.export.resolve().name}-{name}"


def prepare(asked: Asked, settings: Settings, device: str | None = None, *, sharded: bool = False) -> Ready:
    """Read, prove and tokenise; files are looked at before torch is imported, so that most refusals come at once.

    Args:
        device: None takes what the settings say.
        sharded: weights are shared out over processes (train.sharding).

    Raises:
        NotThere, BadInput, Refused: in one line, whatever is wrong with export, model or rows.
    """
    found = find_model(settings.model)
    check_tokenizer(found, settings.model)
    check_weights(found)
    with progress("reading the export") as step:
        export = read_export(asked.export, unverified=asked.unverified)
        step(1)
    task = task_of(export.kind, "orpo" if isinstance(settings, DpoSettings) and settings.loss == "orpo" else asked.task)
    settings, device = on_this_machine(settings, device)
    tokenizer = open_tokenizer(found)
    check_template(tokenizer, settings.model)
    rows, looked = _rows(export, tokenizer, settings, Limits(task, settings.length))
    with progress("hashing the model") as step:
        config = _config(asked.task, settings, export, found, device) | {"template": template_hash(tokenizer)}
        config |= {"sharded": True} if sharded else {}
        step(1)
    out = place_of(asked, settings)
    return Ready(task, settings, out, export, tokenizer, found, rows, looked, config)


def _config(task: str, settings: Settings, export: Export, found: Found, device: str) -> dict[str, Any]:
    told = export.digest if export.digest != "unverified" else f"unverified:{_content(export)}"
    return {
        "format": FORMAT,
        "task": task,
        "settings": settings.model_dump(mode="json", exclude=_APART),
        "export": told,
        "model": fingerprint(settings.model),
        "base": fingerprint(found.base),
        "device": device,
        "processes": int(os.environ.get("WORLD_SIZE") or 1),
    }


def _content(export: Export) -> str:
    """A hash of rows that no manifest speaks for."""
    groups: list[Any] = [*export.pairs.values(), *export.answers.values()]
    return digest([[list(row)[:-2] for row in group] for group in groups])


def _rows(
    export: Export, tokenizer: Any, settings: Settings, limits: Limits
) -> tuple[dict[str, list[Row]], list[Looked]]:
    """Rows by split, and what preflight says of every one."""
    groups: dict[str, list[Any]] = {**export.pairs, **export.answers}
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    every: list[Looked] = []
    bad: list[Looked] = []  # meant to be left out, so no loss that could be too great
    with progress("looking at rows", total=sum(map(len, groups.values()))) as step:
        for split, group in groups.items():
            looked = preflight(group, tokenizer, limits)
            for one, source, tokens in zip(looked, group, tokenise(group, tokenizer), strict=True):
                if limits.task == "sft" and getattr(source, "label", None) is False:
                    bad.append(one._replace(fate="dropped", why="held bad, and imitation takes good answers"))
                    continue
                every.append(one)
                if one.fate in ("kept", "cut"):
                    rows[split].append(_row(source, tokens, settings))
            step(len(group))
    _check_loss(every, settings)
    if not rows["train"]:
        raise BadInput(
            f"{export.folder} has no row left to train on in data/train; see train.preflight, or export more"
        )
    return rows, every + bad


def _row(source: Pair | Answer, tokens: Tokens, settings: Settings) -> Row:
    room = settings.length - len(tokens.prompt)
    cut = tokens._replace(chosen=tokens.chosen[:room], rejected=tokens.rejected[:room])
    soft = getattr(settings, "soft_labels", False) and isinstance(source, Pair)
    return Row(
        source.id,
        cut,
        source.p if soft and isinstance(source, Pair) else 1.0,
        source.w if settings.weights == "agreement" else 1.0,
        source.label if isinstance(source, Answer) else None,
        source,
    )


def _check_loss(looked: list[Looked], settings: Settings) -> None:
    lost = [one for one in looked if one.lost]
    share = len(lost) / len(looked) if looked else 0.0
    if share <= settings.allow_loss:
        return
    first = lost[0]
    need = max(one.prompt_tokens + max(one.chosen_tokens, one.rejected_tokens) for one in lost)
    longer = f"--set length={need} takes the longest, " if need > settings.length else ""
    # Rounded up: the share that is named must be enough.
    enough = -(-len(lost) * 10_000 // len(looked)) / 10_000
    raise Refused(
        f"{len(lost)} of {len(looked)} rows would be cut or dropped, first {first.id} ({first.where}): {first.why}; "
        f"{longer}--set allow_loss={enough:g} lets them go; train.preflight lists them"
    )
