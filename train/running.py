"""A training run from what was typed to a whole folder: the order of stages, for every task.

    settings → place → export → device → tokenizer, preflight → weights, adapter → training → scores → folder

Everything that can be wrong with the input is told before any weight is loaded. A run that was stopped, killed or ran
out of disk goes on from its last whole checkpoint when it is started again, and ends with the same bytes (on a CPU in
float32). Each task brings `make_trainer(setup)` and `score_rows(trainer, rows)`.
"""

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from data.bundled import bundled
from data.command import progress
from data.errors import BadInput, ConcordError, Refused
from data.folder import Folder, check_place, take_away, write_folder
from train.checkpoints import guard, last_whole, open_place, place_of, step_of
from train.deepspeed_config import check_deepspeed
from train.devices import is_main, is_out_of_memory, lower, precision
from train.estimating import Device
from train.foretold import foretell
from train.metrics import Recorder, make_anchor, make_callback, stops_after_a_step
from train.preparing import Asked, Ready, prepare, settings_of
from train.preparing import place_of as run_place
from train.rows import Row, Setup
from train.settings import Settings
from train.sharding import check_sharded, share_out, taken_over, whole_state

TRAINERS = {
    "sft": "train.sft_trainer",
    "reward": "train.reward_trainer",
    "dpo": "train.dpo_trainer",
    "kto": "train.kto_trainer",
}
Scores = dict[str, list[tuple[float, float | None] | tuple[float, None, float]]]


class Trained(NamedTuple):
    """What training gives to the run's folder."""

    trainer: Any
    recorder: Recorder
    scores: Scores
    """Of held-out rows, by split: chosen and rejected in the task's terms."""
    resumed: int
    """The step it was taken up from; 0 where it was not."""
    trainable: int
    parameters: int
    device: str
    state: dict[str, Any] | None = None
    """All weights in one place, where they were shared out over processes (FSDP, ZeRO)."""


def run(asked: Asked) -> dict[str, Any]:
    """Train, and write the run's folder; returns the summary.

    Raises:
        ConcordError: in one line, what is wrong and what to do; what was finished by then is kept.
        KeyboardInterrupt: stopped by a person, after a checkpoint.
    """
    settings = settings_of(asked)
    out = run_place(asked, settings)
    if is_main():
        check_place(out, replace=asked.force)
    told = check_deepspeed(settings)
    if told and is_main():
        print(told, file=sys.stderr)
    try:
        with taken_over() as sharded:
            if sharded:
                check_sharded(settings)
            return _run(asked, prepare(asked, settings, sharded=sharded))
    except (ConcordError, KeyboardInterrupt) as error:
        if is_main():
            _log_failure(asked, settings, out, error)
        raise


def _run(asked: Asked, ready: Ready) -> dict[str, Any]:
    from train.run_folder import write_run

    main = is_main()
    place = place_of(ready.out)
    opened = write_folder(ready.out, f"{asked.task} run", ready.config, replace=asked.force) if main else nullcontext()
    with opened as folder:
        last = _opened(place, ready, asked)
        device: Device = "cuda" if ready.config["device"] == "cuda" else "cpu"
        expected = foretell(ready, device, asked.workspace) if main else None
        trained = train(ready, place, last)
        summary: dict[str, Any] = {}
        line: Any = None
        if main:
            assert isinstance(folder, Folder)
            summary, line = write_run(folder, ready, trained, asked, expected)
    if main:
        take_away(place)  # half of it would be gone on from, without the lines of its metrics
        _log(asked, line)
    return summary


def _opened(place: Path, ready: Ready, asked: Asked) -> Path | None:
    """The checkpoint to go on from: the first process makes the place ready, the others wait and then look."""
    last = open_place(place, ready.config, fresh=asked.fresh) if is_main() else None
    if ready.config["processes"] > 1:
        processes: Any = import_module("accelerate")
        processes.PartialState(cpu=ready.config["device"] == "cpu").wait_for_everyone()
        last = last_whole(place)
    return last


def train(ready: Ready, place: Path, last: Path | None) -> Trained:
    """Load the weights, train from the last checkpoint or from the start, and score what was held out.

    Raises:
        BadInput: out of memory or disk, with what to lower or where it will go on.
        KeyboardInterrupt: a person stopped it; there is a checkpoint of the step it was in.
    """
    from train.adapters import counts, kept_precision

    settings, device = ready.settings, ready.config["device"]
    recorder = Recorder(place / "metrics.jsonl", device, settings.max_grad_norm, _tell)
    if is_main():
        recorder.go_on_from(step_of(last) if last else 0)
    steps = _steps(settings, len(ready.rows["train"]))
    task = import_module(TRAINERS[ready.config["task"]])
    try:
        model, tokenizer = _model(ready, device)
        with progress("training", total=steps) as tell, stops_after_a_step(recorder):
            tell(step_of(last) if last else 0)
            setup = _setup(ready, model, tokenizer, place, device, [make_callback(recorder, tell)])
            with kept_precision(model):
                trainer = task.make_trainer(setup)
            _without_bars(trainer)
            if ready.config.get("sharded"):
                share_out(trainer)
            guard(trainer, place, is_main())
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if recorder.stopped:
            raise KeyboardInterrupt
        trainable, parameters = counts(model)
        scores = _scores(task.score_rows, trainer, ready)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        at = recorder.lines[-1]["step"] if recorder.lines else 0
        longest = max(len(r.tokens.prompt) + len(r.tokens.chosen) for r in ready.rows["train"])
        raise BadInput(f"out of memory on the {device} after step {at}; --set {lower(settings, longest)}") from None
    state = _gathered(trainer)
    return Trained(trainer, recorder, scores, step_of(last) if last else 0, trainable, parameters, device, state)


def _gathered(trainer: Any) -> dict[str, Any] | None:
    """The weights of a model that is shared out over processes; every process has to take part."""
    if getattr(trainer, "shared_out", False):
        return whole_state(trainer.model, adapter=hasattr(trainer.model, "peft_config"))
    if not trainer.is_deepspeed_enabled:
        return None
    state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return state


def _without_bars(trainer: Any) -> None:
    """Take away what prints a dictionary for each line; figures go to the recorder."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _steps(settings: Settings, rows: int) -> int:
    """Steps the whole run takes, for the progress bar."""
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    each = -(-rows // (settings.batch * settings.accumulation * processes))
    return settings.steps or max(1, round(settings.epochs * each))


def _model(ready: Ready, device: str) -> tuple[Any, Any]:
    """The model to train, with its adapter; random weights (adapter, score head) are the seed's."""
    from train.adapters import put_on
    from train.finding import Kind
    from train.loading import open_model

    settings = ready.settings
    kind: Kind = "reward" if ready.config["task"] == "reward" else "causal"
    if ready.found.adapter and settings.method in ("full", "peft"):
        raise Refused(
            f"{settings.model} is an adapter, which lora and qlora go on with; "
            f"for method {settings.method} merge it first (train.merge)"
        )
    from transformers import set_seed

    set_seed(settings.seed)
    with progress("loading the model") as step:
        four_bit = settings.method == "qlora"
        loaded = open_model(
            settings.model, kind=kind, four_bit=four_bit, dtype=settings.dtype, trainable=True, device=device
        )
        step(1)
    model = loaded.model if loaded.adapter else put_on(loaded.model, settings, kind)
    return model, loaded.tokenizer


def _setup(ready: Ready, model: Any, tokenizer: Any, place: Path, device: str, callbacks: list[Any]) -> Setup:
    settings = ready.settings
    if settings.anchor:
        callbacks = [*callbacks, make_anchor(settings.anchor)]
    every = settings.save_every or max(1, -(-_steps(settings, len(ready.rows["train"])) // 10))
    arguments = _arguments(settings, place, every, bool(ready.rows["validation"])) | precision(settings, device)
    return Setup(settings, model, tokenizer, ready.rows["train"], ready.rows["validation"], arguments, callbacks)


def _arguments(settings: Settings, place: Path, save_every: int, validates: bool) -> dict[str, Any]:
    """For TrainingArguments; what is not named has transformers' default."""
    schedule = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    return {
        "output_dir": str(place),
        "per_device_train_batch_size": settings.batch,
        "per_device_eval_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": settings.warmup,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.steps or -1,
        "optim": settings.optimizer,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "save_strategy": "steps",
        "save_steps": save_every,
        "eval_strategy": "steps" if settings.eval_every and validates else "no",
        "eval_steps": settings.eval_every or 1,
        "prediction_loss_only": True,
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "log_level": "error",
        "ddp_find_unused_parameters": False,
        **({"deepspeed": str(bundled(settings.deepspeed))} if settings.deepspeed else {}),
    }


def _scores(score_rows: Callable[[Any, list[Row]], list[Any]], trainer: Any, ready: Ready) -> Scores:
    held = {split: ready.rows[split] for split in ("validation", "test") if ready.rows[split]}
    found: Scores = {}
    with progress("scoring held-out rows", total=sum(map(len, held.values()))) as step:
        for split, rows in held.items():
            found[split] = score_rows(trainer, rows)
            step(len(rows))
    trainer.accelerator.wait_for_everyone()
    return found


def _log_failure(asked: Asked, settings: Settings, out: Path, error: BaseException) -> None:
    """A line in the experiment log for a run that came to nothing."""
    from train.experiment_log import Entry

    stopped = isinstance(error, KeyboardInterrupt)
    outcome = "stopped" if stopped else "refused" if isinstance(error, Refused) else "failed"
    base = Path(settings.model).name
    what = "by Ctrl-C" if stopped else str(error)
    _log(asked, Entry(out.name, asked.task, outcome, base, settings.method, asked.export.name, what=what))


def _log(asked: Asked, line: Any) -> None:
    """Add a line to the experiment log; a log that cannot be written takes nothing from the run."""
    from train.experiment_log import log_run

    try:
        log_run(asked.workspace, line)
    except ConcordError as fault:
        print(f"warning: {fault}", file=sys.stderr)
