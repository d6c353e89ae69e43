"""Each model of an evaluation loaded once, and what it gave made into cases.

A case that only one side has (no answer, no score) has no reference's value. Models are in memory one after the
other, but for a run whose start model must be there beside it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.command import progress
from data.errors import one_line
from train.cases import Case
from train.evaluating import Prepared
from train.evaluation_rows import Held
from train.harness import harness_cases
from train.observing import Observed, observe
from train.preferences import Calibration, calibration_of, preference_cases
from train.sides import Side, longest


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
    was = str((manifest.config if manifest else {}).get("template") or prepared.templates["run"])
    if was != prepared.templates["run"]:
        made.append("the chat template in the run's folder is not the one it was trained on (another hash)")
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
    total = tokens = 0.0
    for i, own in enumerate(run.likelihoods):
        row = rows[i]
        if not own.tokens or (not row.paired and row.reference is None):
            continue
        other = against.likelihoods[i] if against.likelihoods else None
        value = -other.mean if other and other.tokens else None
        evidence.cases.append(Case("log_perplexity", row.id, row.cluster, -own.mean, value, row.tags))
        total, tokens = total - own.total, tokens + own.tokens
    if tokens:
        evidence.notes["log_perplexity"] = (
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
    loaded = open_model(prepared.scorer.model, kind="reward", dtype=prepared.asked.dtype, device=prepared.asked.device)
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
