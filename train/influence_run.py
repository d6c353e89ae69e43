"""Whose votes help or hurt a run: found, computed, confirmed, written.

    summary = influence(Asked(Path("workspace/runs/reward-sky-tiny"), Path("workspace")))

The run and its export are proved first. Rows are prepared exactly as the run prepared them; then one gradient a row,
and arithmetic (train.vote_influence).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.command import progress
from data.errors import BadInput, ConcordError, NotEnough, NotThere, Refused
from data.folder import check_place, write_folder
from data.manifest import MANIFEST, read_manifest
from train.devices import find_device
from train.exports import Pair
from train.finding import find_model
from train.preparing import Asked as RunAsked
from train.preparing import Ready, prepare
from train.rows import Row
from train.settings import RECORDS, DpoSettings, Settings
from train.verified import Verified, verified_run
from train.vote_directions import KINDS, Kind, Terms, Vote, probability_without, read_judgments, terms_of, votes_on
from train.vote_influence import FEW, Effect, Pull, effects, number_clusters, solved

if TYPE_CHECKING:
    from train.left_out import Retrained
    from train.margin_gradients import Floats, Gradients

TASKS = ("reward", "dpo")
_PLURALS: dict[Kind, str] = {"annotator": "annotators", "batch": "batches", "guideline": "guideline_versions"}


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


class Group(NamedTuple):
    """A group of votes and what they did."""

    kind: Kind
    name: str
    effect: Effect


class Found(NamedTuple):
    """All that the folder tells."""

    groups: list[Group]
    """By kind; within a kind from what hurts most per vote to what helps most."""
    rows: int
    held: int
    clusters: int
    unvoted: int
    """Rows trained on that no vote speaks for: they pull nobody's way."""
    weights: int
    width: int
    hurting: list[dict[str, Any]]
    """Every vote of the annotators that hurt."""
    retrained: "Retrained | None"


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
    found = computed(asked, run, ready, terms, votes)
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
        folder.write("data/influence.jsonl", map(_line, found.groups))
        folder.write("audit/votes.jsonl", found.hurting)
        if found.retrained:
            folder.write("data/retrained.jsonl", _retrained_lines(found.retrained))
        export = str(ready.export.folder)
        project = str(ready.export.config.get("project") or "")
        folder.write_text("report.html", page_of(found, name, asked.split, next_step(found, project, export)))
        folder.write_text("README.md", words_of(found, name, asked.split, next_step(found, project, export)))
        digest = folder.seal().digest
    return _summary(found, digest, out, next_step(found, project, export))


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


def cluster_of(row: Row) -> str:
    """The prompt's family; a row that names none is one of its own."""
    return str(row.source.row.get("cluster") or row.id)


def computed(asked: Asked, run: Verified, ready: Ready, terms: Terms, votes: Mapping[str, Sequence[Vote]]) -> Found:
    """Gradients, influence of each group, and the training without the worst where it was asked for."""
    rows, held = ready.rows["train"], ready.rows[asked.split]
    weights, of_rows, of_held = _gradients(asked, run, ready, [rows, held])
    import numpy as np

    weight = np.array([row.w for row in rows])
    if not weight.sum() > 0:
        raise BadInput(f"every row of {ready.export.folder} weighs nothing; train with --set weights=none")
    with progress("influence") as step:
        kernel = solved(of_rows.margin, of_rows.slope, weight, of_held.slope, asked.damping)
        step(1)
    clusters = number_clusters([cluster_of(row) for row in held]), number_clusters([cluster_of(row) for row in rows])
    groups: list[Group] = []
    pulls: dict[str, Pull] = {}
    for kind in KINDS:
        of_kind = _pulls(kind, rows, held, votes, weight, terms.prior)
        made = effects(kernel, of_held.margin, list(of_kind.values()), clusters)
        named = [Group(kind, name, one) for name, one in zip(of_kind, made, strict=True)]
        groups += sorted(named, key=lambda one: (one.effect.per_vote, one.name))
        pulls = pulls or of_kind
    worst = [one.name for one in groups if one.kind == "annotator"][: asked.confirm]
    again = None
    if worst:
        from train.left_out import without

        again = without(ready, votes, worst, terms.prior, run.folder)
    hurting = {one.name for one in groups if one.kind == "annotator" and one.effect.verdict == "hurts"}
    unvoted = sum(not votes[row.id] for row in rows)
    told = _hurting(hurting, rows, votes)
    seen = len(set(clusters[0].tolist()))
    return Found(groups, len(rows), len(held), seen, unvoted, weights, of_rows.slope.shape[1], told, again)


def _gradients(
    asked: Asked, run: Verified, ready: Ready, splits: Sequence[Sequence[Row]]
) -> tuple[int, "Gradients", "Gradients"]:
    """How many weights were trained, and the gradients of rows trained on and of rows held out."""
    from train.answer_head import add_head
    from train.finding import Kind as ModelKind
    from train.loading import open_model
    from train.margin_gradients import count_weights, gradients, make_sketch, policy_margin, reward_margin

    settings, device = ready.settings, str(ready.config["device"])
    kind: ModelKind = "reward" if ready.config["task"] == "reward" else "causal"
    loaded = open_model(str(run.folder), kind=kind, dtype=settings.dtype, trainable=True, device=device)
    four_bit = settings.method == "qlora"
    model = loaded.model if four_bit else loaded.model.to(device)
    pad = loaded.tokenizer.pad_token_id or 0
    if isinstance(settings, DpoSettings):
        add_head(model.get_base_model() if loaded.adapter else model)
        margin_of = policy_margin(pad, settings.beta, mean=settings.loss == "orpo")
    else:
        margin_of = reward_margin(pad)
    weights = count_weights(model)
    sketch = make_sketch(weights, asked.width, asked.seed)
    made = []
    with progress("gradients of rows", total=sum(map(len, splits))) as step:
        for rows in splits:
            made.append(gradients(model, rows, margin_of, sketch, step))
    if isinstance(settings, DpoSettings) and settings.loss != "orpo":
        made = [
            one._replace(margin=one.margin - start)
            for one, start in zip(made, _reference(model, ready, settings, splits, device), strict=True)
        ]
    return weights, made[0], made[1]


def _reference(
    model: Any, ready: Ready, settings: DpoSettings, splits: Sequence[Sequence[Row]], device: str
) -> list["Floats"]:
    """The margins of the policy as it was before its first step."""
    from contextlib import nullcontext

    import numpy as np
    import torch

    from train.answer_head import add_head
    from train.loading import open_model
    from train.margin_gradients import policy_margin

    fresh = hasattr(model, "peft_config") and ready.config["model"] == ready.config["base"]
    if not fresh:
        loaded = open_model(settings.model, four_bit=settings.method == "qlora", dtype=settings.dtype, device=device)
        model = loaded.model
        add_head(model.get_base_model() if loaded.adapter else model)
    margin = policy_margin(ready.tokenizer.pad_token_id or 0, settings.beta)
    found = []
    off = model.disable_adapter() if fresh else nullcontext()
    with torch.no_grad(), off, progress("the reference's margins", total=sum(map(len, splits))) as step:
        for rows in splits:
            values = []
            for row in rows:
                values.append(float(margin(model, row)))
                step(1)
            found.append(np.array(values))
    return found


def _pulls(
    kind: Kind,
    rows: Sequence[Row],
    held: Sequence[Row],
    votes: Mapping[str, Sequence[Vote]],
    weight: "Floats",
    prior: float,
) -> dict[str, Pull]:
    """Each group's votes as numbers, by name."""
    import numpy as np

    found: dict[str, tuple[list[int], list[float]]] = {}
    for n, row in enumerate(rows):
        total = sum(one.weight for one in votes[row.id])
        for one in votes[row.id]:
            name = one.groups.get(kind)
            if name is not None:
                numbers, values = found.setdefault(name, ([], []))
                numbers.append(n)
                values.append(float(weight[n]) * one.weight / total * one.direction / 2)
    labels = np.array([row.source.p if isinstance(row.source, Pair) else 1.0 for row in held])
    own: dict[str, list[int]] = {}
    for n, row in enumerate(held):
        for name in {one.groups[kind] for one in votes[row.id] if kind in one.groups}:
            own.setdefault(name, []).append(n)
    made = {}
    for name in sorted(found):
        target, counted = labels.copy(), np.ones(len(held), dtype=bool)
        # A batch or a guideline often covers all the votes on a row, which leaves nobody to judge it by.
        for n in own.get(name, []) if kind == "annotator" else []:
            p = probability_without(list(votes[held[n].id]), kind, frozenset([name]), prior)
            target[n], counted[n] = (0.5, False) if p is None else (p, True)
        numbers, values = found[name]
        made[name] = Pull(np.array(numbers, dtype=np.int64), np.array(values) / float(weight.sum()), target, counted)
    return made


def _hurting(names: set[str], rows: Sequence[Row], votes: Mapping[str, Sequence[Vote]]) -> list[dict[str, Any]]:
    """The votes of annotators that hurt, for people to look at or take back."""
    return [
        {"judgment": one.judgment, "annotator": one.groups["annotator"], "row": row.id, "direction": one.direction}
        for row in rows
        for one in votes[row.id]
        if one.groups["annotator"] in names
    ]


def _line(group: Group) -> dict[str, Any]:
    one = group.effect
    return {
        "kind": group.kind,
        "id": group.name,
        "votes": one.votes,
        "clusters": one.clusters,
        "influence": _digits(one.influence),
        "low": _digits(one.low),
        "high": _digits(one.high),
        "per_vote": _digits(one.per_vote),
        "verdict": one.verdict,
    }


def _digits(value: float) -> float:
    """Eight significant digits: the same on every machine that adds alike."""
    return float(f"{value:.8g}")


def _retrained_lines(one: "Retrained") -> list[dict[str, Any]]:
    return [
        {
            "without": one.names,
            "split": split,
            "accuracy": round(one.with_them[split], 6),
            "difference": None if found.value is None else round(found.value, 6),
            "low": None if found.low is None else round(found.low, 6),
            "high": None if found.high is None else round(found.high, 6),
            "n": found.n,
            "clusters": found.clusters,
            "rows": one.rows,
            "turned": one.turned,
            "dropped": one.dropped,
        }
        for split, found in one.difference.items()
    ]


def next_step(found: Found, project: str, export: str) -> str:
    """The line to type next; empty where nothing hurts."""
    if not found.hurting:
        return ""
    named = project or "PROJECT"
    return f"python -m curate.export --project {named} --out {export}-weighed --aggregate dawid-skene"


def _summary(found: Found, digest: str, out: Path, then: str) -> dict[str, Any]:
    told: dict[str, Any] = {"rows": found.rows, "held_out_rows": found.held, "clusters": found.clusters}
    for kind in KINDS:
        of_kind = [one for one in found.groups if one.kind == kind]
        if of_kind:
            counts = {v: sum(one.effect.verdict == v for one in of_kind) for v in ("helps", "hurts", "no signal")}
            told[_PLURALS[kind]] = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    told["hurting"] = [g.name for g in found.groups if g.kind == "annotator" and g.effect.verdict == "hurts"] or None
    if found.retrained:
        for line in _retrained_lines(found.retrained):
            told[f"{line['split']}_accuracy_without_{len(line['without'])}"] = (
                f"{line['difference']:+.4f} ({line['low']} to {line['high']})"
            )
    return told | {"next": then or None, "digest": digest, "written": str(out)}
