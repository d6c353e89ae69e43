"""From a `State` to measures: agreement, side preference and siding with others from its sums, the rest from its votes.

Each figure is what the command of its name would say of people's judgments at the same moment, by the same
arithmetic: curate.agreement's alpha with the jackknife's interval, curate.audit's shares, curate.aggregate's
reliabilities (Dawid and Skene) and standings (a thousand replicates of the bootstrap, seed 0).
"""

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.ballot_columns import WHOLE
from curate.live_forms import duels
from curate.live_state import Entry, Signature, State
from data.measures import scope_text, value_text
from data.stats import wilson

if TYPE_CHECKING:
    from curate.votes import Pairs, PairVotes

Measures = dict[tuple[str, str], str]
"""(name, scope) to value, as data/measures.py spells them."""
QUICK = ("agreement", "position", "others")
SLOW = ("reliability", "standings")
_TOLD = ("value", "why", "low", "high", "units", "ratings", "blocks", "resampled", "level", "too_few", "verdict")


class Wish(NamedTuple):
    """How to measure: the defaults of the commands."""

    threshold: float = 0.8
    replicates: int = 1000
    seed: int = 0


def _put(found: Measures, name: str, scope: dict[str, str], value: dict[str, Any]) -> None:
    found[name, scope_text(scope)] = value_text({k: _nine(v) for k, v in value.items()})


def _nine(value: Any) -> Any:
    return round(value, 9) + 0.0 if isinstance(value, float) else value


# ── from the sums ────────────────────────────────────────────────────────────


def quick(state: State, wish: Wish) -> Measures:
    """Agreement by criterion and language, and how each person and all of them lean."""
    found: Measures = {}
    for (criterion, language), counted in sorted(state.signatures.items()):
        clustered = _clustered(state.signatures[criterion, ""])
        scope = {"criterion": criterion, **({"language": language} if language else {})}
        _put(found, "agreement", scope, agreement(criterion, counted, clustered, wish.threshold))
    first = shown = 0
    for who, person in sorted(state.people.items()):
        first, shown = first + person.first, shown + person.shown
        if person.shown:
            _put(found, "position", {"annotator": who}, _rate(person.first, person.shown))
        if person.others:
            _put(found, "others", {"annotator": who}, _rate(person.sided, person.others))
    if shown:
        _put(found, "position", {}, _rate(first, shown))
    return found


def _rate(parts: int, n: int) -> dict[str, Any]:
    rate = wilson(parts / WHOLE, n)
    return {"value": rate.rate, "low": rate.low, "high": rate.high, "n": n}


def _clustered(counted: "Counter[Signature]") -> bool:
    """Whether some prompt holds several units."""
    return any(len(signature) > 1 for signature in counted)


def agreement(criterion: str, counted: "Counter[Signature]", clustered: bool, threshold: float) -> dict[str, Any]:
    """Alpha of one criterion among people, with its interval and verdict, and percent agreement beside it."""
    import numpy as np

    from curate.agree import Question, level_of, row_of
    from curate.observed import Scale
    from data.agreement import patterns
    from data.coincidence import MAX_VALUES, design
    from data.intervals import measure

    rated = criterion.startswith("rating:")
    seen = {value for signature in counted for pattern in signature for value, _ in pattern}
    values = sorted(seen if rated else {0, 1, 2})
    units = sum(len(signature) * n for signature, n in counted.items())
    if len(values) > MAX_VALUES:
        return {"value": None, "why": f"more than {MAX_VALUES} values; see curate.agreement", "units": units}
    at = {value: n for n, value in enumerate(values)}
    rows: list[list[int]] = []
    block: list[int] = []
    times: list[int] = []
    often = np.fromiter(counted.values(), np.int64, len(counted))
    for place, (signature, n) in enumerate(counted.items()):
        for pattern, many in Counter(signature).items():
            row = [0] * len(values)
            for value, count in pattern:
                row[at[value]] = count
            rows.append(row)
            block.append(place)
            times.append(many if clustered else n)
    counts = np.array(rows, np.int64).reshape(-1, len(values))
    weights = np.array(times, np.int64)
    made = design(counts, weights, np.array(block, np.intp), often) if clustered else design(*patterns(counts, weights))
    scale = Scale(criterion, [str(v) for v in values], [float(v) for v in values] if rated else None, rated)
    question = Question(None, threshold, replicates=0, leave_out=False)
    level = level_of(scale, question)
    measured = measure(made, level, replicates=0, confidence=question.confidence)
    about = {"resampled": "prompts" if clustered else "units"}
    row_ = row_of("alpha", measured["alpha"], level, about, question)
    percent = measured["percent"]
    return {**{k: row_[k] for k in _TOLD}, "needed": row_["needed"], "percent": percent.value, "threshold": threshold}


# ── from the votes ───────────────────────────────────────────────────────────


def slow(state: State, wish: Wish) -> Measures:
    """How reliable each person is and how strong the models are: what needs all votes at once."""
    from curate.skill import judge_pairs, person_row
    from curate.standings import duels_of, stand

    found: Measures = {}
    pairs, votes, people = votes_of(state)
    if not len(votes.pair):
        return found
    verdicts = judge_pairs(votes, len(pairs.group))
    for number, who in enumerate(people):
        row = person_row(who, verdicts.people, number, {})
        value = {"value": row["reliability"], "low": row["low"], "high": row["high"], "n": row["votes"]}
        _put(found, "reliability", {"annotator": who}, value)
    met = duels_of(
        [model or None for two in zip(pairs.first, pairs.second, strict=True) for model in two], pairs, votes
    )
    if met is None:
        return found
    standings = stand(met, prior=0.5, replicates=wish.replicates, seed=wish.seed)
    order = {"order": standings.order, "order_low": standings.order_low, "order_high": standings.order_high}
    _put(found, "standings", {}, {**order, "tie": standings.tie, "warnings": standings.warnings})
    for row in standings.rows:
        told = {name: row[name] for name in ("low", "high", "error", "comparisons", "part")}
        _put(found, "standings", {"model": row["item"]}, {"value": row["strength"], **told})
    return found


def votes_of(state: State) -> tuple["Pairs", "PairVotes", list[str]]:
    """Every vote on two responses as curate.votes orders them, and the annotators by number.

    The pairs name the models of the responses, not the responses: that is what standings ask for.
    """
    import numpy as np

    from curate.votes import Pairs, PairVotes

    entries = sorted(state.tasks.values())
    names = sorted({who for entry in entries for who, form in entry.votes if duels(form)})
    number = {who: n for n, who in enumerate(names)}
    group: list[str] = []
    sides: tuple[list[str], list[str]] = [], []
    columns: list[tuple[int, int, bool, float, bool, int]] = []
    for entry in entries:
        place = _pairs_of(entry, len(group))
        for a, b in place:
            group.append(entry.task)
            sides[0].append(entry.models[a] or "")
            sides[1].append(entry.models[b] or "")
        for who, form in entry.votes:
            said = duels(form)
            columns += [(place[d.first, d.second], number[who], d.turned, d.share, d.tie, len(said)) for d in said]
    shape = "i8,i8,?,f8,?,i8"
    table = np.array(columns, dtype=[(n, t) for n, t in zip("pwtsex", shape.split(","), strict=True)])
    order = np.lexsort((table["x"], table["e"], table["s"], table["t"], table["w"], table["p"]))
    table = table[order]
    own = table["p"] * max(1, len(names)) + table["w"]
    _, which, often = np.unique(own, return_inverse=True, return_counts=True)
    pair, who_, turned, share, tie, spread = (np.ascontiguousarray(table[name]) for name in "pwtsex")
    votes = PairVotes(pair, who_, turned, share, tie, 1.0 / often[which.ravel()], spread)
    known = {task: n for n, task in enumerate(sorted(set(group)))}
    task = np.array([known[name] for name in group], dtype=np.int64)
    one = 2 * np.arange(len(group))  # each pair has two responses of its own: their models are all that is asked for
    return Pairs(group, *sides, task, one, one + 1), votes, names


def _pairs_of(entry: Entry, start: int) -> dict[tuple[int, int], int]:
    """The numbers of the pairs that a task's judgments compare, from `start` on."""
    compared = sorted({(d.first, d.second) for _, form in entry.votes for d in duels(form)})
    return {pair: start + n for n, pair in enumerate(compared)}
