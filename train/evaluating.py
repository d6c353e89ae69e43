"""An evaluation made ready: both sides found, rows read and tokenised, prompts gathered; no weight is read yet."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, Refused
from data.manifest import MANIFEST, read_manifest
from train.cases import Case
from train.devices import find_device, find_dtype
from train.evaluation_rows import Held, LeftOut, fitting, held_out
from train.exports import Export, read_export
from train.finding import check_tokenizer, check_weights
from train.harness import check_harness
from train.observing import Ask, Wanted
from train.sides import Side, longest, side_of
from train.tokens import Tokens, check_template, template_hash


class Asked(NamedTuple):
    """What one types, as values."""

    run: str
    against: str
    export: Path | None
    split: str = "test"
    limit: int | None = None
    reward_model: str | None = None
    regression: Path | None = None
    harness: tuple[str, ...] = ()
    include: Path | None = None
    served: str | None = None
    """The folder that will be served; the run's own where None."""
    by_token: bool = False
    max_tokens: int = 256
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    unverified: bool = False
    wants_answers: bool = False
    """Answers to the export's prompts, for people or judges to compare."""
    bundled: bool = False
    """The bundled regression set, where no other is named and the run gives answers."""


class Prepared(NamedTuple):
    """All that is known before a weight is read."""

    asked: Asked
    run: Side
    against: Side
    scorer: Side | None
    export: Export
    rows: list[Held]
    tokens: list[list[Tokens]]
    """Of the run, then of the reference."""
    left_out: list[LeftOut]
    wanted: Wanted
    regression: list[Any]
    templates: dict[str, str]
    """Side to the hash of its chat template."""
    template_cases: list[Case]


def prepare(asked: Asked) -> Prepared:
    """Find and read everything but weights; all that a user can mend is said here.

    Raises:
        NotThere, BadInput, Refused: in one line.
    """
    run = side_of(asked.run, by_token=asked.by_token)
    against = side_of(asked.against, run, by_token=asked.by_token)
    scorer = side_of(asked.reward_model) if asked.reward_model else None
    _check(asked, run, against, scorer)
    device = find_device(asked.device)
    asked = asked._replace(device=device, dtype=find_dtype(asked.dtype, device))
    if asked.bundled and asked.regression is None and not run.scores:
        from train.regression import BUNDLED

        asked = asked._replace(regression=BUNDLED)
    export = read_export(_export_of(asked, run), unverified=asked.unverified)
    if run.scores and export.kind != "pairs":
        raise BadInput(f"{run.name} is a reward model and needs pairs; {export.folder} holds single answers")
    rows = held_out(export, asked.split, asked.limit)
    regression = _regression(asked.regression)
    tokenizers = _tokenizers(run, against)
    limits = [
        (side.better, tokenizer, longest(side)) for side, tokenizer in zip((run, against), tokenizers, strict=True)
    ]
    rows, tokens, left = fitting(rows, limits)
    if not rows:
        raise NotThere(
            f"none of the {len(left)} rows fits: {left[0].where}: {left[0].why}; take another model or split"
        )
    wanted = Wanted(
        _asks(asked, export, rows, regression),
        asked.max_tokens,
        asked.seed,
        list(asked.harness),
        asked.include,
        asked.limit,
        asked.dtype,
        asked.device,
    )
    templates = {"run": template_hash(tokenizers[0]), "reference": template_hash(tokenizers[1])}
    same = _same_templates(asked, run, rows, tokenizers[0])
    return Prepared(asked, run, against, scorer, export, rows, tokens, left, wanted, regression, templates, same)


def _check(asked: Asked, run: Side, against: Side, scorer: Side | None) -> None:
    if scorer and not scorer.scores:
        raise BadInput(f"--reward-model {scorer.name} gives no scores; name a run of train.reward")
    answers = {
        "--reward-model": asked.reward_model,
        "--regression": asked.regression,
        "--harness": asked.harness,
        "--to-tasks": asked.wants_answers,
    }
    if run.scores:
        for flag, given in answers.items():
            if given:
                raise BadInput(f"{flag}: {run.name} is a reward model, which gives no answers; leave the flag out")
    for side in (run, against):
        check_tokenizer(side.found, side.name)
    for one in (run, against, scorer):
        if one:
            check_weights(one.found)
    if asked.harness:
        check_harness(asked.harness, asked.include)


def _export_of(asked: Asked, run: Side) -> Path:
    """The export that was named, else the one the run was trained on."""
    if asked.export is not None:
        return asked.export
    manifest = run.found.manifest
    named = str(manifest.inputs.get("export") or "") if manifest else ""
    beside = Path(run.name).resolve().parent.parent / "exports"  # of the workspace that the run lies in
    for place in (beside / named, Path(named)):
        there = manifest and named and (place / MANIFEST).is_file()
        if there and manifest and read_manifest(place).digest == manifest.config.get("export"):
            return place
    raise NotThere(f"the export that {run.name} was trained on is not found; name one with --export")


def _tokenizers(run: Side, against: Side) -> list[Any]:
    from train.loading import load_tokenizer

    made = []
    for side in (run, against):
        found = side.found
        own = found.adapter if found.adapter and (found.adapter / "tokenizer_config.json").is_file() else found.base
        tokenizer = load_tokenizer(str(own))
        check_template(tokenizer, side.name)
        made.append(tokenizer)
    return made


def _regression(path: Path | None) -> list[Any]:
    if path is None:
        return []
    from train.regression import read_regression

    return list(read_regression(path))


def _asks(asked: Asked, export: Export, rows: Sequence[Held], regression: Sequence[Any]) -> list[Ask]:
    """The prompts whose answers a measure needs: the export's, each once, and the regression set's."""
    made: dict[str, Ask] = {}
    if asked.reward_model or asked.wants_answers or export.kind != "pairs":
        for row in rows:
            if export.kind == "pairs" or row.reference is not None:
                source = row.source
                made.setdefault(row.prompt_id, Ask(row.prompt_id, source.prompt, source.tools, row.cluster, row.tags))
    for one in regression:
        made[f"regression:{one.id}"] = Ask(f"regression:{one.id}", one.prompt, None, one.cluster, dict(one.tags))
    return list(made.values())


def _same_templates(asked: Asked, run: Side, rows: Sequence[Held], tokenizer: Any) -> list[Case]:
    """Each conversation through the training tokenizer and the one that will be served."""
    from train.finding import find_model
    from train.loading import load_tokenizer
    from train.same_template import compare

    training = load_tokenizer(run.found.base) if run.found.adapter else tokenizer
    serving = tokenizer
    if asked.served:
        found = find_model(asked.served)
        serving = load_tokenizer(str(found.folder or asked.served))
    cases = []
    for row in rows:
        source = row.source
        answer = source.chosen if row.paired else source.completion  # type: ignore[union-attr]
        made = compare([*source.prompt, *answer], len(source.prompt), source.tools, training, serving)
        cases.append(Case("template_match", row.id, row.cluster, float(made.same), None, row.tags))
    return cases


def file_hash(path: Path) -> str:
    """What a file or a folder of ours is: its sha256, or its manifest's digest.

    Raises:
        NotThere: no such file.
        Refused: a folder that Concord did not write.
    """
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise Refused(f"{path} is a folder that Concord did not write; name the file in it")
        return read_manifest(path).digest
    if not path.is_file():
        raise NotThere(f"{path} is not there")
    return sha256(path.read_bytes()).hexdigest()
