"""The rules by which judgments become rows: what an export's flags say, checked, and part of its manifest.

Numbers that decide a row are decimals kept as text (`prior`, `weights`, `min_probability`): a
decimal is exact, and has one spelling, so two spellings of a rule give the same ids and digest.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import lcm
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field

from data.errors import BadInput, nearest
from data.records import AnnotatorKind, Record

Mode = Literal["all", "adjacent", "best-worst"]
SourceName = Literal["human", "model", "rule"]
Aggregate = Literal["votes", "dawid-skene", "one-coin", "plackett-luce"]
DedupOn = Literal["none", "row", "prompt", "response"]

KINDS: dict[str, AnnotatorKind] = {"human": "person", "model": "model", "rule": "rule"}
"""The words of --sources and --weights, and the annotator kinds they let in."""
_DECIMAL = re.compile(r"\d{1,3}(\.\d{1,12})?|\.\d{1,12}")


class Rules(Record):
    """How judgments become pairs; the part of an export's configuration that decides its rows."""

    pairs: Mode = "all"
    """all: every two responses; adjacent: neighbours in the order of scores; best-worst: its two ends."""
    aggregate: Aggregate = "votes"
    """What the probability that chosen is better comes from: counted votes, or a model over all tasks."""
    prior: str = "0.5"
    """Votes added to each side, as a decimal; 0 or more."""
    smoothing: str = "1"
    """Votes added to each cell of an annotator's confusion table, where `aggregate` has one."""
    sources: tuple[SourceName, ...] = ("human",)
    weights: dict[SourceName, str] = Field(default_factory=dict)
    """How many votes one judgment of a source is, as a decimal above 0, where it is not 1."""
    criterion: str | None = None
    """The criterion whose ratings imply a preference; None leaves ratings out."""
    margin: int = 1
    """Points of the scale by which one must be rated higher to be better; closer ratings are a tie."""
    min_votes: int = 1
    """Judgments that must have compared the two; each counts as one here, whatever its weight."""
    min_probability: str = "0.5"
    """Least probability that chosen is better, 0.5 to 1."""
    min_agreement: str = "0"
    """Least share of the votes that took the side of chosen, a tie counting half, 0 to 1."""
    per_prompt: int = 0
    """Most pairs of one cluster of prompts (see curate/quota.py for which); 0 keeps all."""
    dedup: DedupOn = "none"
    """What of a row must not come again nearly the same: all of it, its prompt, or its responses."""
    dedup_threshold: str = "0.8"
    """Jaccard similarity from which on two are nearly the same, above 0 and at most 1."""
    drop: tuple[str, ...] = ()
    """Findings of the audit whose rows are left out (see curate/findings.py for the names)."""
    group_threshold: str = "0.8"
    """Similarity from which on two prompts share a cluster, and so a split; 0: each prompt is one."""
    seed: int = 0
    splits: tuple[int, ...] = (90, 5, 5)
    """Shares of train, validation and test; whole prompts go to one of them."""

    @cached_property
    def method(self) -> str:
        """What made a pair, in words that its id covers; what only leaves pairs out is not among them."""
        rated = f"; ratings of {self.criterion} by {self.margin} or more" if self.criterion else ""
        weights = "; weights=" + ",".join(f"{k}:{w}" for k, w in self.weights.items()) if self.weights else ""
        who = ",".join(self.sources)
        how = f"p=(wins+ties/2+a)/(n+2a), a={self.prior}"
        if self.aggregate != "votes":
            smoothing = "" if self.aggregate == "plackett-luce" else f", smoothing={self.smoothing}"
            how = f"p by {self.aggregate}{smoothing}, a={self.prior}"
        return f"{how}; pairs={self.pairs}; sources={who}{weights}{rated}"

    @property
    def even(self) -> float:
        """The score of a response that is neither better nor worse: a share of wins, or a log-strength."""
        return 0.5 if self.aggregate == "votes" else 0.0


class Voices(NamedTuple):
    """How many votes a judgment by each kind of annotator is, over a common denominator."""

    of: dict[AnnotatorKind, int]
    whole: int
    """What one vote is."""


def voices(rules: Rules) -> Voices:
    """The weights as whole numbers, so that sums of them are exact."""
    return _voices(tuple(rules.weights.get(word, "1") for word in get_args(SourceName)))


@lru_cache(maxsize=64)
def _voices(weights: tuple[str, ...]) -> Voices:
    exact = [Fraction(weight) for weight in weights]
    whole = lcm(*(weight.denominator for weight in exact))
    return Voices({kind: int(w * whole) for kind, w in zip(KINDS.values(), exact, strict=True)}, whole)


def make_rules(**given: Any) -> Rules:
    """Rules from flags or from a manifest, checked.

    Raises:
        BadInput: a value out of range, a source nobody knows, no share above zero.
    """
    for word in given.get("sources", []):
        if word not in KINDS:
            raise BadInput(f"--sources: '{word}' is none of {', '.join(KINDS)}{nearest(str(word), KINDS)}")
    weights = given.get("weights", {})
    for word in weights if isinstance(weights, Mapping) else ():
        if word not in KINDS:
            raise BadInput(f"--weights: '{word}' is none of {', '.join(KINDS)}{nearest(str(word), KINDS)}")
    try:
        rules = Rules.model_validate(given)
    except ValueError as error:
        from data.jsonl import explain

        raise BadInput(f"the export's rules: {explain(error)}") from None
    _check(rules)
    ordered = tuple(word for word in KINDS if word in rules.sources)
    weighed = {word: plain(rules.weights[word]) for word in ordered if plain(rules.weights.get(word, "1")) != "1"}
    return rules.model_copy(
        update={
            "sources": ordered,
            "weights": weighed,
            "prior": plain(rules.prior),
            "smoothing": plain(rules.smoothing),
            "dedup_threshold": plain(rules.dedup_threshold),
            "group_threshold": plain(rules.group_threshold),
            "drop": tuple(sorted(set(rules.drop))),
            "min_probability": plain(rules.min_probability),
            "min_agreement": plain(rules.min_agreement),
        }
    )


def plain(decimal: str) -> str:
    """One spelling of a decimal: .5 and 0.50 give the same ids."""
    return format(Decimal(decimal).normalize(), "f")


def _check(rules: Rules) -> None:
    if not _DECIMAL.fullmatch(rules.prior):
        raise BadInput(f"--prior: '{rules.prior}' is no number of votes; write one from 0 to 999, such as 0.5")
    for word, weight in rules.weights.items():
        if not _DECIMAL.fullmatch(weight) or not Decimal(weight):
            raise BadInput(f"--weights: {word}={weight} is no weight above 0; --sources leaves a source out")
        if word not in rules.sources:
            raise BadInput(f"--weights: {word} is not among --sources {','.join(rules.sources)}")
    for flag, value, low in (("probability", rules.min_probability, "0.5"), ("agreement", rules.min_agreement, "0")):
        if not _DECIMAL.fullmatch(value) or not Decimal(low) <= Decimal(value) <= 1:
            raise BadInput(f"--min-{flag}: '{value}' is not within {low} to 1")
    if not _DECIMAL.fullmatch(rules.smoothing):
        raise BadInput(f"--smoothing: '{rules.smoothing}' is no number of votes; write one from 0 to 999, such as 1")
    if not _DECIMAL.fullmatch(rules.dedup_threshold) or not 0 < Decimal(rules.dedup_threshold) <= 1:
        raise BadInput(f"--dedup-threshold: '{rules.dedup_threshold}' is not above 0 and at most 1, such as 0.8")
    if not _DECIMAL.fullmatch(rules.group_threshold) or Decimal(rules.group_threshold) > 1:
        raise BadInput(f"--group-threshold: '{rules.group_threshold}' is not within 0 to 1, such as 0.8")
    if rules.margin < 1:
        raise BadInput(f"--margin: {rules.margin} is below 1 point of the scale")
    if rules.min_votes < 1:
        raise BadInput(f"--min-votes: {rules.min_votes} is below 1")
    if rules.per_prompt < 0:
        raise BadInput(f"--per-prompt: {rules.per_prompt} is below 0; 0 keeps every pair")
    if not 0 <= rules.seed < 2**63:
        raise BadInput(f"--seed: {rules.seed} is not within 0 to 2^63 - 1")
    if len(rules.splits) != 3 or min(rules.splits) < 0 or not 0 < sum(rules.splits) <= 1_000_000:
        raise BadInput("--splits: give three whole shares (train, validation, test), such as 90,5,5")
    if not rules.sources:
        raise BadInput(f"--sources: name at least one of {', '.join(KINDS)}")
