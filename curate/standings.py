"""How strong models are, from comparisons of their responses: Bradley and Terry with ties, and intervals.

Where the graph of wins is not connected the strengths of its parts cannot be compared, and where a part of
it never lost only the prior keeps its strength finite: both are told, in words.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.casting import Ballots
    from curate.engine import Connection
    from curate.votes import Pairs, PairVotes
    from data.strength_intervals import StrengthIntervals


DENSE = 500
"""Items up to which strengths are solved as a table of items by items, with all the replicates asked for."""
MOST = 20_000
"""Items that are ranked against each other at all: of so many most met hardly any other."""
REPLICATES = 100
"""Of the bootstrap, at most, beyond DENSE items."""


class Duels(NamedTuple):
    """Comparisons of items by number, as they were shown."""

    items: list[str]
    first: "NDArray[np.int64]"
    second: "NDArray[np.int64]"
    winner: "NDArray[np.int64]"
    weight: "NDArray[np.float64] | None"
    group: "NDArray[np.int64] | None"
    """What is drawn again as a whole; None where each comparison stands alone."""


class Standings(NamedTuple):
    """Strengths of items with intervals, and what to beware of."""

    rows: list[dict[str, Any]]
    warnings: list[str]
    order: float | None
    """Log-odds that being shown first adds, with its interval."""
    order_low: float | None
    order_high: float | None
    tie: float | None
    strength: "NDArray[np.float64] | None" = None
    """By the number of the item."""


def models_of(cast: "Ballots", pairs: "Pairs", votes: "PairVotes") -> Duels | None:
    """Comparisons of models out of votes on their responses; None when no two models meet."""
    return duels_of(cast.models, pairs, votes)


def duels_of(models: Sequence[str | None], pairs: "Pairs", votes: "PairVotes") -> Duels | None:
    """Comparisons of models out of votes on responses, given each response's model; None when no two models meet.

    A judgment has the weight of one comparison, however many pairs it implies; all that one task gave is
    drawn as a whole. A model nobody compared is not among them.
    """
    import numpy as np

    names = sorted({m for m in models if m is not None})
    number = {name: i for i, name in enumerate(names)}
    model = np.array([number.get(m, -1) for m in models], dtype=np.int64)  # type: ignore[arg-type]
    a, b = (model[side][votes.pair] for side in (pairs.one, pairs.two))
    meet = (a >= 0) & (b >= 0) & (a != b)
    if not meet.any():
        return None
    there = np.unique([a[meet], b[meet]])  # models of other projects, or of tasks nobody judged, have no standing
    names = [names[i] for i in there.tolist()]
    a, b = np.searchsorted(there, a[meet]), np.searchsorted(there, b[meet])
    share, tie = votes.share[meet], votes.tie[meet]
    weight, turned = (votes.weight / votes.spread)[meet], votes.turned[meet]
    where = pairs.task[votes.pair][meet]
    soft = ~tie & (share > 0) & (share < 1)
    row = np.concatenate([np.arange(len(a)), np.flatnonzero(soft)])
    won = np.where(tie, 0, np.where(share > 0, 1, 2))
    winner = np.concatenate([won, np.full(int(soft.sum()), 2)])
    part = np.where(tie[row], 1.0, np.where(winner == 1, share[row], 1 - share[row]))
    turned = turned[row]
    first, second = np.where(turned, b[row], a[row]), np.where(turned, a[row], b[row])
    winner = np.where(turned & (winner > 0), 3 - winner, winner)
    _, where = np.unique(where, return_inverse=True)
    return Duels(names, first, second, winner, weight[row] * part, where[row])


def items_of(con: "Connection", table: str, names: Sequence[str]) -> Duels:
    """Comparisons of a plain table that `curate.tables.read_comparisons` made: each row stands alone."""
    import numpy as np

    columns = con.execute(
        f"SELECT item_a, item_b, winner, count(*) AS n FROM {table} GROUP BY ALL ORDER BY item_a, item_b, winner"
    ).fetchnumpy()
    a, b, w = (columns[name].astype(np.int64) for name in ("item_a", "item_b", "winner"))
    return Duels(list(names), a, b, w, columns["n"].astype(np.float64), None)


def stand(duels: Duels, *, prior: float, replicates: int, seed: int) -> Standings:
    """Strengths with intervals by resampling, an order effect, and warnings; none for more than MOST items."""
    if len(duels.items) > MOST:
        why = f"{len(duels.items):,} items are too many to rank against each other (at most {MOST}): no standings"
        return Standings([], [why], None, None, None, None)
    from data.strength_intervals import FEW

    found = _solved(duels, prior, replicates, seed)
    whole = found.whole
    if whole.strength is None:
        return Standings([], [f"no strengths: {whole.why}"], None, None, None, None)
    import numpy as np

    met = np.bincount(np.concatenate([duels.first, duels.second]), np.tile(_weights(duels), 2), len(duels.items))
    order = sorted(range(len(duels.items)), key=lambda i: (-whole.strength[i], duels.items[i]))  # type: ignore[index]
    rows = [
        {
            "item": duels.items[i],
            "strength": float(whole.strength[i]),
            "low": None if found.low is None else float(found.low[i]),
            "high": None if found.high is None else float(found.high[i]),
            "error": None if whole.error is None else float(whole.error[i]),
            "comparisons": float(met[i]),
            "too_few": bool(met[i] < FEW),
            "part": int(whole.component[i]),
        }
        for i in order
    ]
    return Standings(
        rows, _warnings(duels, found), whole.order, found.order_low, found.order_high, whole.tie, whole.strength
    )


def _solved(duels: Duels, prior: float, replicates: int, seed: int) -> "StrengthIntervals":
    from data.strength_intervals import bootstrap_strengths
    from data.strength_sparse import sparse_strengths

    rows, items = (duels.first, duels.second, duels.winner, duels.weight), len(duels.items)
    if items > DENSE and duels.group is None and prior > 0:
        return sparse_strengths(
            *rows, items=items, prior=prior, replicates=max(2, min(replicates, REPLICATES)), seed=seed
        )
    return bootstrap_strengths(
        *rows, duels.group, items=items, prior=prior, order=True, replicates=replicates, seed=seed
    )


def _weights(duels: Duels) -> "NDArray[np.float64]":
    import numpy as np

    return np.ones(len(duels.first)) if duels.weight is None else duels.weight


def _warnings(duels: Duels, found: "StrengthIntervals") -> list[str]:
    import numpy as np

    from data.strength import never_lost, tally

    said = []
    parts: dict[int, list[str]] = {}
    for name, part in zip(duels.items, found.whole.component.tolist(), strict=True):
        parts.setdefault(part, []).append(name)
    if len(parts) > 1:
        shown = list(parts.values())[:5]
        named = "; ".join(", ".join(names[:5]) + ("…" if len(names) > 5 else "") for names in shown)
        named += "; …" if len(parts) > 5 else ""
        said.append(
            f"the comparisons fall into {len(parts):,} parts that never met: only the prior compares them ({named})"
        )
    if len(duels.items) > DENSE:
        beaten = np.zeros(len(duels.items), dtype=np.bool_)
        beaten[duels.first[duels.winner != 1]] = beaten[duels.second[duels.winner != 2]] = True
        groups = [[i] for i in np.flatnonzero(~beaten).tolist()]
        if len(groups) > 5:
            said.append(f"{len(groups):,} items were never beaten: only the prior keeps them finite")
            groups = []
    else:
        pairs = tally(duels.first, duels.second, duels.winner, duels.weight)
        groups = never_lost(pairs, len(duels.items), found.whole.component)
    for group in groups:
        names = ", ".join(duels.items[i] for i in group[:5]) + ("…" if len(group) > 5 else "")
        said.append(f"never beaten by the rest, so only the prior keeps them finite: {names}")
    if found.undefined:
        said.append(f"{found.undefined} replicates of the bootstrap gave no finite strengths and are left out")
    return said
