"""What the chain recovered, held beside the truth that the simulated people were drawn from.

Every figure is read from the folders that the commands wrote; the truth is tour/truth.py's, from the texts and the
skills alone.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.jsonl import read_lines
from data.stats import Rate, wilson
from tour.chain import Followed
from tour.truth import Vote, expected_alpha, said, worth

COVERED = 0.85
"""Of annotators' 95 % intervals, the least share that must hold the truth: their reliabilities share one estimate."""


class Near(NamedTuple):
    """An estimate with its interval, and the truth."""

    name: str
    value: float
    low: float
    high: float
    truth: float

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


class Seed(NamedTuple):
    """What one seed's folders say."""

    seed: int
    bad: bool
    """Whether its people hardly looked."""
    alpha: Near
    annotators: list[Near]
    preferences: Rate
    """Rows of the export whose chosen answer truly is the worse."""
    foretold: float
    """The share of such rows by the export's own probabilities: the mean of 1 − p."""
    reward: Rate
    """Held-out pairs whose truly better answer the reward model scores higher."""
    gate: str
    """pass, fail, not enough evidence; empty where it was not asked."""


class Claim(NamedTuple):
    """Something the tour sets out to show."""

    key: str
    held: bool
    figures: dict[str, Any]


def lines(path: Path) -> list[Any]:
    """A JSONL file of a folder of ours."""
    return [line.value for line in read_lines(path)]


def read_seed(one: Followed) -> Seed:
    """Hold one seed's folders beside the truth."""
    place = one.desk.place
    pairs = place / "exports" / "answers"
    skill = {row["id"]: row["skill"] for row in lines(place / "people.jsonl") if row["project"] == "answers"}
    names = {row["id"]: row["name"] for row in lines(place / "people.jsonl")}
    rows = {row["id"]: row for split in sorted((pairs / "data").glob("*.jsonl")) for row in lines(split)}
    wrong = sum(not truly(row) for row in rows.values())
    held = [row for row in lines(place / "runs/reward/data/held_out.jsonl") if row["id"] in rows]
    right = sum((row["chosen"] > row["rejected"]) == truly(rows[row["id"]]) for row in held)
    gate = next((stage.summary.get("decision", "") for stage in one.desk.stages if stage.key == "gate"), "")
    bad = max(skill.values()) < 0.6
    return Seed(
        one.chain.seed,
        bad,
        _alpha(place, skill),
        _annotators(place, skill, names),
        wilson(wrong, len(rows)),
        sum(1 - row["probability"] for row in rows.values()) / len(rows),
        wilson(right, len(held)),
        str(gate),
    )


def truly(row: Any) -> bool:
    """Whether a row's chosen answer truly is the better."""
    return worth(said(row["chosen"])) > worth(said(row["rejected"]))


def near(name: str, row: Any, key: str, truth: float) -> Near:
    """A row's estimate beside the truth; from too few votes to tell, its interval reaches everywhere."""
    low, high = (-math.inf if row["low"] is None else row["low"]), (math.inf if row["high"] is None else row["high"])
    return Near(name, row[key], low, high, truth)


def _alpha(place: Path, skill: dict[str, float]) -> Near:
    audit = place / "exports" / "answers" / "audit"
    tasks = {task["id"]: task["responses"] for task in lines(audit / "tasks.jsonl")}
    first = {key: worth(said(a["messages"])) > worth(said(b["messages"])) for key, (a, b) in tasks.items()}
    votes = []
    for one in lines(audit / "judgments.jsonl"):
        if one["annotator"] in skill and one.get("choice") in ("A", "B"):
            chosen = one["shown"]["AB".index(one["choice"])]
            votes.append(Vote(one["task_id"], one["annotator"], chosen == tasks[one["task_id"]][0]["id"]))
    (row,) = (
        row
        for row in lines(place / "agreement" / "data" / "agreement.jsonl")
        if (row["measure"], row["who"], row["slice"], row["left_out"]) == ("alpha", "people", "all", None)
    )
    return near("alpha", row, "value", expected_alpha(votes, skill, first))


def _annotators(place: Path, skill: dict[str, float], names: dict[str, str]) -> list[Near]:
    found = [
        near(names[row["annotator"]], row, "reliability", skill[row["annotator"]])
        for row in lines(place / "aggregate" / "data" / "annotators.jsonl")
        if row["annotator"] in skill
    ]
    return sorted(found, key=lambda one: (-one.truth, one.name))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and its 95 % interval by Student's t; an interval of one value is all there is."""
    from scipy.stats import t

    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, -math.inf, math.inf
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    reach = float(t.ppf(0.975, n - 1)) * spread
    return mean, mean - reach, mean + reach


def pooled(rates: Sequence[Rate]) -> Rate:
    """The share over several samples together."""
    return wilson(round(sum((one.rate or 0.0) * one.n for one in rates)), sum(one.n for one in rates))


def claims(seeds: Sequence[Seed], undecided: int | None) -> list[Claim]:
    """What the tour sets out to show, and whether it did.

    Args:
        undecided: the gate's exit status under the contract that nothing can decide.
    """
    good, bad = [one for one in seeds if not one.bad], [one for one in seeds if one.bad]
    made = [_alpha_claim(seeds), _reliability_claim(seeds)]
    if good:
        made += [_preference_claim(good), _reward_claim(good)]
        asked = [one for one in good if one.gate]
        made.append(Claim("passes", all(one.gate == "pass" for one in asked), {"gates": [one.gate for one in asked]}))
    if bad:
        refused = all(one.gate in ("fail", "not enough evidence") for one in bad)
        made.append(Claim("refuses", refused, {"gates": [one.gate for one in bad]}))
    if undecided is not None:
        made.append(Claim("undecided", undecided == 3, {"status": undecided}))
    return made


def _alpha_claim(seeds: Sequence[Seed]) -> Claim:
    mean, low, high = mean_interval([one.alpha.value - one.alpha.truth for one in seeds])
    inside = sum(one.alpha.holds for one in seeds)
    held = low <= 0 <= high or abs(mean) < 0.02
    return Claim("alpha", held, {"error": mean, "low": low, "high": high, "inside": inside, "of": len(seeds)})


def _reliability_claim(seeds: Sequence[Seed]) -> Claim:
    people = [one for seed in seeds for one in seed.annotators]
    inside = sum(one.holds for one in people)
    mean, low, high = mean_interval([abs(one.value - one.truth) for one in people])
    held = inside / len(people) >= COVERED
    return Claim("reliability", held, {"error": mean, "low": low, "high": high, "inside": inside, "of": len(people)})


def _preference_claim(good: Sequence[Seed]) -> Claim:
    rate = pooled([one.preferences for one in good])
    foretold = sum(one.foretold * one.preferences.n for one in good) / rate.n
    held = rate.low - 0.01 <= foretold <= rate.high + 0.01
    return Claim("preferences", held, {"error": rate.rate, "low": rate.low, "high": rate.high, "foretold": foretold})


def _reward_claim(good: Sequence[Seed]) -> Claim:
    rate = pooled([one.reward for one in good])
    held = rate.low > 0.5
    return Claim("reward", held, {"right": rate.rate, "low": rate.low, "high": rate.high, "n": round(rate.n)})
