"""What train.evaluate does: both sides found, rows read, each model loaded once, cases made, the folder written.

A case that only one side has (no answer, no score) has no reference's value. Models are in memory one after the
other, but for a run whose start model must be there beside it.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from data.command import progress
from data.errors import BadInput, NotThere, Refused, one_line
from train.cases import Case
from train.evaluation_rows import Held, LeftOut, fitting, held_out
from train.exports import Export, read_export
from train.harness import check_harness, harness_cases
from train.observing import Ask, Observed, Wanted, observe
from train.preferences import Calibration, calibration_of, preference_cases
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
    max_new_tokens: int = 256
    seed: int = 0
    dtype: str = "float32"
    unverified: bool = False
    wants_answers: bool = False
    """Answers to the export's prompts, for people or judges to compare."""


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


class Evidence(NamedTuple):
    """What was found."""

    cases: list[Case]
    notes: dict[str, str]
    """Measure to what is said of it."""
    calibrations: list[Calibration]
    answers: list[dict[str, Any]]
    """id, prompt_id or regression id, the run's answer, the reference's, their scores."""
    remarks: list[str]
    """What was left out or is to be known, one line each."""


def prepare(asked: Asked) -> Prepared:
    """Find and read everything but weights; all that a user can mend is said here.

    Raises:
        NotThere, BadInput, Refused: in one line.
    """
    run = side_of(asked.run, by_token=asked.by_token)
    against = side_of(asked.against, run, by_token=asked.by_token)
    scorer = side_of(asked.reward_model) if asked.reward_model else None
    _check(asked, run, scorer)
    export = read_export(_export_of(asked, run), unverified=asked.unverified)
    if run.scores and export.kind != "pairs":
        raise BadInput(f"{run.name} is a reward model and needs pairs; {export.folder} holds single answers")
    rows = held_out(export, asked.split, asked.limit)
    tokenizers = _tokenizers(run, against)
    limits = [
        (side.better, tokenizer, longest(side)) for side, tokenizer in zip((run, against), tokenizers, strict=True)
    ]
    rows, tokens, left = fitting(rows, limits)
    if not rows:
        raise NotThere(
            f"none of the {len(left)} rows fits: {left[0].where}: {left[0].why}; take another model or split"
        )
    regression = _regression(asked.regression)
    wanted = Wanted(
        _asks(asked, export, rows, regression),
        asked.max_new_tokens,
        asked.seed,
        list(asked.harness),
        asked.include,
        asked.limit,
        asked.dtype,
    )
    templates = {"run": template_hash(tokenizers[0]), "reference": template_hash(tokenizers[1])}
    same = _same_templates(asked, run, rows, tokenizers[0])
    return Prepared(asked, run, against, scorer, export, rows, tokens, left, wanted, regression, templates, same)


def _check(asked: Asked, run: Side, scorer: Side | None) -> None:
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
    if asked.harness:
        check_harness(asked.harness, asked.include)


def _export_of(asked: Asked, run: Side) -> Path:
    """The export that was named, else the one the run was trained on."""
    if asked.export is not None:
        return asked.export
    named = run.found.manifest.inputs.get("export") if run.found.manifest else None
    if isinstance(named, str) and Path(named).is_dir():
        return Path(named)
    raise NotThere(f"{run.name} does not say which export it was trained on, or that is gone; name one with --export")


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

    training = load_tokenizer(run.found.base) if run.found.base != asked.run else tokenizer
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


def gather(prepared: Prepared) -> Evidence:
    """Load both sides one after the other, then the reward model, and make the cases."""
    rows, wanted = prepared.rows, prepared.wanted
    seen: list[Observed] = []
    for side, tokens in zip((prepared.run, prepared.against), prepared.tokens, strict=True):
        work = sum(2 if row.paired else 1 for row in rows) + (0 if side.scores else len(wanted.asks))
        with progress(f"asking {one_line(side.short, 40)}", total=work) as tell:
            seen.append(observe(side, rows, tokens, wanted, tell))
    run, against = seen
    evidence = Evidence(list(prepared.template_cases), {}, [], [], _remarks(prepared))
    _preferences(prepared, run, against, evidence)
    _perplexity(rows, run, against, evidence)
    _references(rows, run, against, evidence)
    scores = _reward_scores(prepared, run, against, evidence)
    _regressions(prepared, run, against, evidence)
    if run.harness:
        cases, notes = harness_cases(run.harness, against.harness or None)
        evidence.cases.extend(cases)
        evidence.notes.update(notes)
    for ask in wanted.asks:
        texts = {"run": run.answers.get(ask.id), "against": against.answers.get(ask.id)}
        evidence.answers.append({"id": ask.id, "cluster": ask.cluster, **texts, **scores.get(ask.id, {})})
    return evidence


def _remarks(prepared: Prepared) -> list[str]:
    made = []
    manifest = prepared.run.found.manifest
    trained_on = str((manifest.config if manifest else {}).get("export") or "")
    if trained_on and prepared.export.digest not in trained_on:
        made.append("the run was trained on another export: whether rows of this one were among its rows is not known")
    if prepared.asked.split == "train" and manifest:
        made.append("the split 'train' was trained on: these figures say nothing about new prompts")
    if prepared.left_out:
        made.append(f"{len(prepared.left_out)} rows left out, listed in audit/left_out.jsonl")
    return made


def _preferences(prepared: Prepared, run: Observed, against: Observed, evidence: Evidence) -> None:
    pairs = [row for row in prepared.rows if row.paired]
    if not pairs:
        return
    evidence.cases.extend(preference_cases(pairs, run.preferences, against.preferences or None))
    targets, clusters = [row.p for row in pairs], [row.cluster for row in pairs]
    for name, side, seen in (("run", prepared.run, run), ("reference", prepared.against, against)):
        evidence.calibrations.append(calibration_of(name, seen.preferences, targets, clusters))
        how = f"{name} by {_told(side)}"
        evidence.notes["accuracy"] = "; ".join(filter(None, [evidence.notes.get("accuracy"), how]))
    even = sum(row.p == 0.5 for row in pairs)
    if even:
        evidence.remarks.append(f"{even} pairs about which people are evenly divided are in calibration alone")
    own = evidence.calibrations[0]
    span = "" if own.error_low is None else f" [{own.error_low:.3f}, {own.error_high:.3f}]"
    heat = "" if own.temperature is None else f", temperature {own.temperature:.2f}"
    evidence.notes["calibration"] = f"Brier score, smaller is better; expected error {own.error:.3f}{span}{heat}"


def _told(side: Side) -> str:
    """By what a side prefers, in words."""
    if side.scores:
        return "score"
    what = "mean log-probability a token" if side.by_token else "log-probability"
    return f"{side.beta:g} · {what} over its start model's" if side.task in ("dpo", "kto") else what


def _perplexity(rows: Sequence[Held], run: Observed, against: Observed, evidence: Evidence) -> None:
    import math

    total = tokens = 0.0
    for i, own in enumerate(run.likelihoods):
        row = rows[i]
        if not own.tokens or (not row.paired and row.reference is None):
            continue
        other = against.likelihoods[i] if against.likelihoods else None
        value = -other.mean if other and other.tokens else None
        evidence.cases.append(Case("perplexity", row.id, row.cluster, -own.mean, value, row.tags))
        total, tokens = total - own.total, tokens + own.tokens
    if tokens:
        evidence.notes["perplexity"] = (
            f"nats a token of the chosen answer, each answer alike; perplexity over all {tokens:,.0f} tokens"
            f" {math.exp(min(total / tokens, 700)):,.2f}"
        )


def _references(rows: Sequence[Held], run: Observed, against: Observed, evidence: Evidence) -> None:
    from train.overlap import MISSING_BLEU, bleu, corpus_bleu, has_bleu, rouge_l

    told = [(row, row.reference) for row in rows if row.reference is not None and row.prompt_id in run.answers]
    if not told:
        return
    evidence.notes["rouge_l"] = "F-measure on words, and characters of Chinese"
    for row, reference in told:
        mine, other = run.answers[row.prompt_id], against.answers.get(row.prompt_id)
        theirs = None if other is None else rouge_l(other, reference)
        evidence.cases.append(Case("rouge_l", row.id, row.cluster, rouge_l(mine, reference), theirs, row.tags))
    if not has_bleu():
        evidence.remarks.append(MISSING_BLEU)
        return
    said = []
    for language in sorted({row.language for row, _ in told}):
        group = [(row, reference) for row, reference in told if row.language == language]
        for row, reference in group:
            mine, other = run.answers[row.prompt_id], against.answers.get(row.prompt_id)
            theirs = None if other is None else bleu(other, reference, language)
            evidence.cases.append(Case("bleu", row.id, row.cluster, bleu(mine, reference, language), theirs, row.tags))
        value, signature = corpus_bleu([run.answers[r.prompt_id] for r, _ in group], [x for _, x in group], language)
        said.append(f"{language or 'all'}: corpus BLEU {value:.2f} ({signature})")
    evidence.notes["bleu"] = "sentence BLEU / 100; " + "; ".join(said)


def _reward_scores(
    prepared: Prepared, run: Observed, against: Observed, evidence: Evidence
) -> dict[str, dict[str, float]]:
    """The reward model's score of each side's answers to the export's prompts; returns them by prompt."""
    if prepared.scorer is None:
        return {}
    from train.loading import open_model
    from train.scoring import score_answers

    asks = [one for one in prepared.wanted.asks if not one.id.startswith("regression:")]
    loaded = open_model(prepared.scorer.model, kind="reward", dtype=prepared.asked.dtype)
    found: dict[str, dict[str, float]] = {ask.id: {} for ask in asks}
    for name, answers in (("score", run.answers), ("score_against", against.answers)):
        there = [ask for ask in asks if ask.id in answers]
        texts = [(ask.messages, answers[ask.id], ask.tools) for ask in there]
        for ask, score in zip(there, score_answers(loaded, texts, longest(prepared.scorer)), strict=True):
            if score is not None:
                found[ask.id][name] = round(score, 6)
    lost = sum("score" not in found[ask.id] for ask in asks)
    if lost:
        evidence.remarks.append(f"{lost} answers are longer than the reward model can take, and have no score")
    for ask in asks:
        if "score" in found[ask.id]:
            one = found[ask.id]
            case = Case("reward_score", ask.id, ask.cluster, one["score"], one.get("score_against"), ask.tags)
            evidence.cases.append(case)
    evidence.notes["reward_score"] = f"by {prepared.scorer.short}, of answers greedily decoded"
    return found


def _regressions(prepared: Prepared, run: Observed, against: Observed, evidence: Evidence) -> None:
    if not prepared.regression:
        return
    from train.regression import regression_cases

    def own(answers: Mapping[str, str]) -> dict[str, str]:
        return {id.removeprefix("regression:"): text for id, text in answers.items() if id.startswith("regression:")}

    evidence.cases.extend(regression_cases(prepared.regression, own(run.answers), own(against.answers) or None))


def file_hash(path: Path) -> str:
    """What a file or a folder of ours is: its sha256, or its manifest's digest.

    Raises:
        NotThere: no such file.
        Refused: a folder that Concord did not write.
    """
    from data.manifest import MANIFEST, read_manifest

    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise Refused(f"{path} is a folder that Concord did not write; name the file in it")
        return read_manifest(path).digest
    if not path.is_file():
        raise NotThere(f"{path} is not there")
    return sha256(path.read_bytes()).hexdigest()
