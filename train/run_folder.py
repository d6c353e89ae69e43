"""Writes a run's folder: model, scores of held-out rows, metrics, what it did worst on, and the pages to read."""

import json
import math
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.folder import Folder
from train.exports import Answer, Pair
from train.finding import ADAPTER
from train.foretold import keep
from train.held_out import auc
from train.looking import totals
from train.model_card import licence_of
from train.plan import Estimate
from train.preparing import Asked, Ready
from train.rows import Row
from train.run_story import BETTER, RunStory

if TYPE_CHECKING:
    from train.running import Trained

LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def write_run(
    folder: Folder, ready: Ready, trained: "Trained", asked: Asked, expected: Estimate | None
) -> tuple[dict[str, Any], Any]:
    """Write everything into a folder that is open; returns the run's summary, and its line for the experiment log."""
    from train.experiment_log import entry
    from train.metrics import finite
    from train.run_report import write_pages
    from train.worst import texts_of, worst_rows, write_worst

    save_model(trained, ready, folder.path / "model", ready.out / "model")
    held = held_out(ready, trained)
    folder.write("data/held_out.jsonl", held)
    recorder = trained.recorder
    told = {(line["step"], line["split"]) for line in recorder.lines}
    for line in _split_lines(held, ready, recorder.lines[-1] if recorder.lines else {}):
        if (line["step"], line["split"]) not in told:
            recorder.keep(line)
    sources = {row.id: row.source for rows in ready.rows.values() for row in rows}
    worst = worst_rows(held, sources, ready.task)
    folder.write("audit/metrics.jsonl", finite(recorder.lines))
    folder.write("audit/preflight.jsonl", (one._asdict() for one in ready.looked if one.lost))
    write_worst(folder, worst, sources)
    folder.write("audit/warnings.jsonl", (one._asdict() for one in recorder.warnings))
    estimate = keep(expected, ready, recorder, asked.workspace)
    if estimate:
        folder.write("audit/estimate.jsonl", estimate)
    folder.write_text("audit/config.yaml", _config_yaml(ready))
    folder.inputs.update({"export": ready.export.folder.name, "model": ready.settings.model, "base": ready.found.base})
    story = _story(ready, trained, asked, held)
    story = story._replace(
        estimate=estimate, worst=worst, texts={one["id"]: texts_of(sources[one["id"]]) for one in worst}
    )
    write_pages(folder, story)
    return _summary(ready, trained, held, folder.seal().digest), entry(story)


def save_model(trained: "Trained", ready: Ready, to: Path, place: Path) -> None:
    """Write the trained weights with tokenizer and template, so that the same weights are the same bytes.

    Args:
        place: where the folder will lie when it is whole; an adapter names its base from there.
    """
    model = trained.trainer.accelerator.unwrap_model(trained.trainer.model)
    config = getattr(model, "peft_config", None)
    # TRL may keep a frozen copy of the adapter as reference; it is no part of what was trained.
    more: dict[str, Any] = {"selected_adapters": ["default"]} if config else {}
    model.save_pretrained(str(to), **more, **({"state_dict": trained.state} if trained.state else {}))
    ready.tokenizer.save_pretrained(str(to))
    for name in ("README.md", "training_args.bin"):
        (to / name).unlink(missing_ok=True)
    if config:
        _tidy_adapter(to / ADAPTER, ready.found.base, place)


def _tidy_adapter(file: Path, base: str, place: Path) -> None:
    """The base from the adapter's own folder, and lists that PEFT holds as sets in one order."""
    told = json.loads(file.read_text("utf-8"))
    told["base_model_name_or_path"] = (
        os.path.relpath(Path(base).resolve(), Path(os.path.abspath(place))) if Path(base).is_dir() else base
    )
    tidy = {k: sorted(v) if isinstance(v, list) and all(isinstance(x, str) for x in v) else v for k, v in told.items()}
    file.write_text(json.dumps(tidy, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def held_out(ready: Ready, trained: "Trained") -> list[dict[str, Any]]:
    """A line for each held-out row, in the export's order."""
    return [
        _held(row, split, scores)
        for split, found in trained.scores.items()
        for row, scores in zip(ready.rows[split], found, strict=True)
    ]


def _held(row: Row, split: str, scores: tuple[float, float | None] | tuple[float, None, float]) -> dict[str, Any]:
    chosen, rejected, *reward = scores
    more = row.source.row
    right = None if rejected is None else 0.5 if chosen == rejected else float(chosen > rejected)
    return {
        "id": row.id,
        "split": split,
        "cluster": more.get("cluster"),
        "p": row.source.p if isinstance(row.source, Pair) else 1.0,
        "w": row.source.w,
        "chosen": _digits(chosen),
        "rejected": _digits(rejected),
        "correct": right,
        **({"reward": _digits(reward[0])} if reward else {}),
        "language": more.get("language"),
        "tags": more.get("tags") or [],
        "chosen_tokens": len(row.tokens.chosen),
        "rejected_tokens": len(row.tokens.rejected),
        **({"label": row.label} if isinstance(row.source, Answer) and row.label is not None else {}),
    }


def _digits(score: float | None) -> float | None:
    return None if score is None or not math.isfinite(score) else round(score, 6) + 0.0


def _split_lines(held: list[dict[str, Any]], ready: Ready, last: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The end's figures of each held-out split, as lines of metrics."""
    lines = []
    for split in ("validation", "test"):
        rows = [row for row in held if row["split"] == split and row["chosen"] is not None]
        line: dict[str, Any] = {"step": last.get("step", 0), "epoch": last.get("epoch", 0.0), "split": split}
        if ready.task in BETTER:
            rows = [row for row in rows if row["rejected"] is not None]
            line |= _pair_figures(rows) if rows else {}
        elif rows:
            line["loss"] = sum(row["chosen"] for row in rows) / len(rows)
            if area := auc(rows, split):
                line |= {"auc": area.value, "auc_low": area.low, "auc_high": area.high, "n": area.n}
        if "loss" in line:
            lines.append(line)
    return lines


def _pair_figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy, margin, scores, and −p log σ(m) − (1 − p) log σ(−m), each a mean over rows."""
    n = len(rows)
    margins = [row["chosen"] - row["rejected"] for row in rows]
    losses = [
        math.log1p(math.exp(-abs(m))) + abs(m) * ((1 - row["p"]) if m > 0 else row["p"])
        for m, row in zip(margins, rows, strict=True)
    ]
    return {
        "loss": sum(losses) / n,
        "accuracy": sum(row["correct"] for row in rows) / n,
        "margin": sum(margins) / n,
        "chosen_reward": sum(row["chosen"] for row in rows) / n,
        "rejected_reward": sum(row["rejected"] for row in rows) / n,
    }


def _config_yaml(ready: Ready) -> str:
    import yaml

    settings = ready.settings.model_dump(mode="json", exclude_defaults=True)
    head = f"# python -m train.{ready.config['task']} EXPORT --config THIS   (export {ready.export.folder.name})\n"
    return head + str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def _story(ready: Ready, trained: "Trained", asked: Asked, held: list[dict[str, Any]]) -> RunStory:
    """The run as its pages tell it."""
    rows = [row.source.row for group in ready.rows.values() for row in group]
    settings = ready.settings
    return RunStory(
        name=ready.out.name,
        task=ready.task,
        method=settings.method if settings.method != "peft" else str(settings.peft.get("peft_type")),
        base=ready.found.base,
        export=ready.export.folder.name,
        command=_command(asked),
        config=settings.model_dump(mode="json"),
        digests={name: str(ready.config[name]) for name in ("export", "model", "base", "template")},
        rows={split: len(group) for split, group in ready.rows.items() if group},
        seconds=round(trained.recorder.seconds, 1),
        metrics=trained.recorder.lines,
        held_out=held,
        lost=[one._asdict() for one in ready.looked if one.lost],
        looked=totals(ready.looked),
        warnings=[one._asdict() for one in trained.recorder.warnings],
        licences=ready.export.licences,
        base_licence=licence_of(ready.found.base),
        sources=dict(Counter(str(row["source"]) for row in rows if row.get("source"))),
        languages=dict(Counter(str(row["language"]) for row in rows if row.get("language"))),
        versions=_versions(),
        device=trained.device,
        trainable=trained.trainable,
        parameters=trained.parameters,
        resumed=int(trained.resumed > 0),
    )


def _command(asked: Asked) -> str:
    words = ["python", "-m", f"train.{asked.task}", str(asked.export)]
    words += ["--model", asked.model] if asked.model else []
    words += ["--config", str(asked.config)] if asked.config else []
    words += [w for one in asked.given for w in ("--set", one)]
    words += ["--seed", str(asked.seed)] if asked.seed is not None else []
    return shlex.join(words)


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _summary(ready: Ready, trained: "Trained", held: list[dict[str, Any]], digest: str) -> dict[str, Any]:
    lines = trained.recorder.lines
    steps = max((line["step"] for line in lines), default=0)
    found: dict[str, Any] = {
        "task": ready.task,
        "rows": {split: len(rows) for split, rows in ready.rows.items()},
        "lost": sum(one.lost for one in ready.looked),
        "steps": steps,
        "resumed_from_step": trained.resumed or None,
        "loss": next((round(x["loss"], 4) for x in reversed(lines) if x["split"] == "train"), None),
    }
    for split in ("validation", "test"):
        rows = [row for row in held if row["split"] == split]
        known = [row["correct"] for row in rows if row["correct"] is not None]
        if known:
            found[f"{split}_accuracy"] = round(sum(known) / len(known), 4)
        elif rows:
            scores = [row["chosen"] for row in rows if row["chosen"] is not None]
            found[f"{split}_loss"] = round(sum(scores) / len(scores), 4) if scores else None
            if area := auc(rows, split):
                ends = None if area.low is None or area.high is None else [round(area.low, 4), round(area.high, 4)]
                about = {"interval": ends, "n": area.n, "clusters": area.clusters}
                found[f"{split}_auc"] = round(area.value, 4)
                found |= {f"{split}_auc_{name}": value for name, value in about.items()}
    return found | {
        "trained_weights": trained.trainable,
        "warnings": [one.name for one in trained.recorder.warnings] or None,
        "seconds": round(trained.recorder.seconds, 1),
        "digest": digest,
        "wrote": str(ready.out),
    }
