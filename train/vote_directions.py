"""Who voted which way on each row of an export, from audit/judgments.jsonl, which the rows name by judgment_ids.

    judged = read_judgments(export)
    votes = votes_on(pair, judged, terms_of(export))

Several judgments of one annotator on a row share the weight of one vote. Annotators are known by the ids the export
gives them, random ones too.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from data.errors import BadInput, NotThere
from data.jsonl import read_records
from data.records import Judgment
from train.exports import Export, Pair

Kind = Literal["annotator", "batch", "guideline"]
KINDS: tuple[Kind, ...] = ("annotator", "batch", "guideline")
FILE = "audit/judgments.jsonl"
_SOURCES = {"person": "human", "model": "model", "rule": "rule"}
_LONG = 62  # days of labelling from which on a batch is a month and no day


class Terms(NamedTuple):
    """How the export counted: what its probabilities come from."""

    criterion: str | None
    """Compares responses by their ratings on it."""
    margin: int
    """Points by which a rating is better."""
    prior: float
    """Votes added to each side of a pair."""
    weights: Mapping[str, float]
    """Votes that one of a source is, where it is not 1."""


class Vote(NamedTuple):
    """What one judgment said of a row's two answers."""

    judgment: str
    direction: float
    """1 for the chosen answer, −1 for the rejected one, 0 a tie; a model's soft label lies between."""
    weight: float
    """> 0, in votes: 1 for a person asked once."""
    groups: Mapping[Kind, str]
    """Whose vote it is, the day or month it was given, the guidelines it was given under (where known)."""


class Judged(NamedTuple):
    """The judgments of an export, and how their batches are named."""

    by_id: dict[str, Judgment]
    digits: int
    """Of the time of submission: 10 names a day, 7 a month."""


def terms_of(export: Export) -> Terms:
    """The export's own rules, with the usual ones where it tells none."""
    rules: Any = export.config.get("rules")
    told: Mapping[str, Any] = rules if isinstance(rules, Mapping) else {}
    weights = told.get("weights")
    try:
        return Terms(
            told.get("criterion") or None,
            max(1, int(told.get("margin", 1))),
            float(told.get("prior", 0.5)),
            {str(k): float(v) for k, v in weights.items()} if isinstance(weights, Mapping) else {},
        )
    except (TypeError, ValueError):
        raise BadInput(f"{export.folder}/manifest.json: its rules cannot be read; export again") from None


def read_judgments(export: Export) -> Judged:
    """The judgments behind an export's rows.

    Raises:
        NotThere: the export has none, as those of datagen or of curate.split.
        BadInput: a line that is no judgment, by file and line.
    """
    path = export.folder / FILE
    if not path.is_file():
        raise NotThere(f"{path} is not there, so nobody knows who judged what; name an export of curate.export")
    by_id = {one.id: one for one in read_records(path, Judgment)}
    days = sorted({one.submitted_at[:10] for one in by_id.values() if one.submitted_at})
    return Judged(by_id, 7 if len(days) > _LONG else 10)


def votes_on(pair: Pair, judged: Judged, terms: Terms) -> list[Vote]:
    """The votes on a row, in the order of its judgment_ids; judgments that do not compare its answers are no votes.

    Raises:
        BadInput: the row names a judgment that the export does not hold.
    """
    found: list[tuple[Judgment, float]] = []
    for key in pair.row.get("judgment_ids") or []:
        one = judged.by_id.get(str(key))
        if one is None:
            raise BadInput(f"{pair.where}: judgment {key} is not in {FILE}; export again")
        direction = direction_of(one, str(pair.row.get("chosen_id")), str(pair.row.get("rejected_id")), terms)
        if direction is not None:
            found.append((one, direction))
    asked: dict[str, int] = {}
    for one, _ in found:
        asked[one.annotator] = asked.get(one.annotator, 0) + 1
    return [
        Vote(one.id, direction, weight / asked[one.annotator], _groups(one, judged.digits))
        for one, direction in found
        if (weight := terms.weights.get(_SOURCES[one.annotator_kind], 1.0)) > 0
    ]


def direction_of(one: Judgment, chosen: str, rejected: str, terms: Terms) -> float | None:
    """How far a judgment prefers the first of two responses, in [−1, 1]; None where it does not compare them."""
    if one.verdict != "answered" or not {chosen, rejected} <= set(one.shown):
        return None
    if one.probability is not None and one.ranking is None and len(one.shown) == 2:
        lead = 2 * one.probability - 1
        return lead if one.shown[0] == chosen else -lead
    if one.ranking is None and one.choice is not None and len(one.shown) != 2:
        return None
    if (tiers := one.tiers()) is not None:
        place = {response: n for n, tier in enumerate(tiers) for response in tier}
        if chosen not in place or rejected not in place:
            return None
        return _sign(place[rejected] - place[chosen], 1)
    if terms.criterion is None:
        return None
    points = [one.ratings.get(response, {}).get(terms.criterion) for response in (chosen, rejected)]
    return None if points[0] is None or points[1] is None else _sign(points[0] - points[1], terms.margin)


def _sign(lead: int, margin: int) -> float:
    return 1.0 if lead >= margin else -1.0 if -lead >= margin else 0.0


def _groups(one: Judgment, digits: int) -> dict[Kind, str]:
    found: dict[Kind, str] = {"annotator": one.annotator}
    if one.submitted_at:
        found["batch"] = one.submitted_at[:digits]
    if one.guideline_version:
        found["guideline"] = one.guideline_version
    return found


def probability_without(votes: list[Vote], kind: Kind, names: frozenset[str], prior: float) -> float | None:
    """p of the chosen answer by the other votes, (wins + prior) / (n + 2 · prior); None where nobody else voted."""
    rest = [one for one in votes if one.groups.get(kind) not in names]
    total = sum(one.weight for one in rest)
    if total <= 0:
        return None
    wins = sum(one.weight * (1 + one.direction) / 2 for one in rest)
    return (wins + prior) / (total + 2 * prior)
