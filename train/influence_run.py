"""Whose votes help or hurt a run: run and export proved first, then computed, then written.

    summary = influence(Asked(Path("workspace/runs/reward-sky-tiny"), Path("workspace")))

Rows are prepared exactly as the run prepared them; then one gradient a row (train.influence_gradients), and
arithmetic (train.influence_found).
"""

from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, ConcordError, NotEnough, NotThere, Refused
from data.folder import check_place, write_folder
from data.manifest import MANIFEST, read_manifest
from train.devices import find_device
from train.exports import Pair
from train.finding import find_model
from train.influence_found import Given, cluster_of, computed
from train.influence_lines import group_line, next_step, retrained_lines, summary_of
from train.preparing import Asked as RunAsked
from train.preparing import Ready, prepare
from train.settings import RECORDS, Settings
from train.verified import Verified, verified_run
from train.vote_directions import Terms, Vote, read_judgments, terms_of, votes_on
from train.vote_influence import FEW

TASKS = ("reward", "dpo")


class Asked(NamedTuple):
    """What one types, as values."""

    run: Path
    workspace: Path
    export: Path | None = None
    split: str = "validation"
    """The held-out rows that votes are held against."""
    damping: float = 10.0
    width: int = 2048
    """Numbers a gradient is sketched to."""
    confirm: int = 0
    """Annotators to train again without; 0 for none."""
    seed: int = 0
    device: str = "auto"
    out: Path | None = None
    force: bool = False


def influence(asked: Asked) -> dict[str, Any]:
    """Compute and write; returns the summary.

    Raises:
        ConcordError: in one line, before any weight is loaded wherever that can be known.
    """
    from train.influence_page import page_of, words_of

    run = verified_run(asked.run)
    out = asked.out or asked.workspace / "influence" / run.folder.resolve().name
    check_place(out, replace=asked.force)
    ready, terms, votes = prepared(asked, run)
    given = Given(run.folder, asked.split, asked.damping, asked.width, asked.confirm, asked.seed)
    found = computed(given, ready, terms, votes)
    config = {
        "run": run.manifest.digest,
        "export": ready.config["export"],
        "split": asked.split,
        "damping": asked.damping,
        "width": asked.width,
        "confirm": asked.confirm,
        "seed": asked.seed,
    }
    name = run.folder.resolve().name
    with write_folder(out, "influence", config, replace=asked.force) as folder:
        folder.inputs.update({"run": name, "export": ready.export.folder.name})
        folder.write("data/influence.jsonl", map(group_line, found.groups))
        folder.write("audit/votes.jsonl", found.hurting)
        if found.retrained:
            folder.write("data/retrained.jsonl", retrained_lines(found.retrained))
        export = str(ready.export.folder)
        project = str(ready.export.config.get("project") or "")
        folder.write_text("report.html", page_of(found, name, asked.split, next_step(found, project, export)))
        folder.write_text("README.md", words_of(found, name, asked.split, next_step(found, project, export)))
        digest = folder.seal().digest
    return summary_of(found, digest, out, next_step(found, project, export))


def prepared(asked: Asked, run: Verified) -> tuple[Ready, Terms, dict[str, list[Vote]]]:
    """The run's rows as it had them, and the votes on each by the row's id.

    Raises:
        BadInput, NotThere, Refused, NotEnough: in one line.
    """
    config = run.manifest.config
    task = str(config.get("task"))
    if task not in TASKS:
        raise BadInput(f"{run.folder} is a run of train.{task}; influence is of train.reward and train.dpo")
    settings = _settings(run, task, find_device(asked.device))
    unproved = str(config.get("export")).startswith("unverified:")
    export = _export_of(asked, run)
    typed = RunAsked(task, export, asked.workspace, settings.model, unverified=unproved)
    ready = prepare(typed, settings)
    for key, what, then in (
        ("export", f"--export {export}", "name the one it was trained on"),
        ("model", f"the model {settings.model}", "put the former one there again"),
        ("template", f"the chat template of {settings.model}", "put the former one there again"),
    ):
        if ready.config[key] != config.get(key):
            raise Refused(f"{what} is not what {run.folder} was trained with; {then}")
    clusters = len({cluster_of(row) for row in ready.rows[asked.split]})
    if clusters < FEW:
        raise NotEnough(
            f"the {asked.split} split has {clusters} prompt clusters, and {FEW} are needed to tell anything; "
            "export with larger --splits, train again, or name the other --split"
        )
    judged, terms = read_judgments(ready.export), terms_of(ready.export)
    votes = {
        row.id: votes_on(row.source, judged, terms) if isinstance(row.source, Pair) else []
        for rows in ready.rows.values()
        for row in rows
    }
    if not any(votes[row.id] for row in ready.rows["train"]):
        raise BadInput(f"{export} has no row with a vote in judgment_ids; name an export of curate.export")
    return ready, terms, votes


def _settings(run: Verified, task: str, device: str) -> Settings:
    """The run's settings, with the model it started from as it lies now."""
    config = run.manifest.config
    found = find_model(str(run.folder))
    # An adapter on a plain base knows its base from its own folder; other runs name what they were given.
    plain = found.adapter is not None and config.get("model") == config.get("base")
    model = found.base if plain else str(run.manifest.inputs.get("model") or "")
    settings: Any = config.get("settings")
    return RECORDS[task].model_validate({**settings, "model": model, "device": device})


def _export_of(asked: Asked, run: Verified) -> Path:
    """The export that was named, else the one of the run's workspace by name and digest."""
    if asked.export is not None:
        return asked.export
    named = str(run.manifest.inputs.get("export") or "")
    places = [asked.workspace / "exports" / named, run.folder.resolve().parent.parent / "exports" / named, Path(named)]
    for place in places:
        if named and (place / MANIFEST).is_file():
            try:
                if read_manifest(place).digest == run.manifest.config.get("export"):
                    return place
            except ConcordError:
                continue
    raise NotThere(f"the export that {run.folder} was trained on ({named}) is not found; name it with --export DIR")
