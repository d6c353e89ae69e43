"""Votes out of judgments and of plain tables, as arrays of numbers: who said what of which two responses.

A vote on two responses is coded by the side that was shown first. Several judgments of one annotator on
the same two responses (a model judge gives one for each principle, order and sample) share the weight of
one vote, so that asking often outweighs nobody. Rows come sorted, so their order in the input is lost.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.casting import Ballots
    from curate.engine import Connection

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class PairVotes(NamedTuple):
    """One row for each vote on two things, sorted; things of a pair are in a fixed order of their own."""

    pair: "Ints"
    annotator: "Ints"
    turned: "Bools"
    """Whether the second of the pair was shown first."""
    share: "Floats"
    """How far the first of the pair was preferred: 1, 0, ½ for a tie, a probability for a soft label."""
    tie: "Bools"
    weight: "Floats"
    """Weights of one annotator's votes on one pair sum to 1, or to what a vote of theirs is."""
    spread: "Ints"
    """How many pairs the judgment compared: across models it has the weight of one of them."""


class Pairs(NamedTuple):
    """The pairs that were compared, by number."""

    group: list[str]
    """Task id; empty in plain tables."""
    first: list[str]
    second: list[str]
    task: "Ints"
    """Number of the task; in plain tables of the pair itself."""
    one: "Ints"
    """Number of the first among all responses or items."""
    two: "Ints"


class Choices(NamedTuple):
    """Rankings as choices among the responses of a task; see `data.rankings`."""

    sizes: "Ints"
    task: "Ints"
    available: "Ints"
    chosen: "Ints"
    weight: "Floats"


class Labels(NamedTuple):
    """Labels of a plain table, sorted; a repeated (unit, annotator) shares one vote's weight."""

    unit: "Ints"
    annotator: "Ints"
    value: "Ints"
    weight: "Floats | None"
    """None where all are 1."""
    units: list[str]
    annotators: list[str]
    values: list[str]
    repeated: int
    """Labels beyond the first of an annotator on a unit."""


@contextmanager
def opened(con: "Connection", snapshot: Path | None, store: str) -> Iterator[dict[str, dict[str, Any]]]:
    """A snapshot's tables as views: of the folder named, or of the store as it is now. Gives the ledger heads.

    In a snapshot's place an export or a file of judgments will do; it has no head, and its one project is
    `curate.bare.PROJECT`.
    """
    from curate.frozen import freeze, open_snapshot
    from data.folder import write_folder

    if snapshot is not None:
        from curate.bare import bare_judgments, open_judgments

        bare = bare_judgments([snapshot])
        if bare is None:
            yield open_snapshot(con, snapshot)
            return
        project = open_judgments(con, bare, lambda _row: None)
        con.execute("CREATE OR REPLACE TEMP TABLE projects AS SELECT ? AS project", [project])
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="concord-snapshot-") as place:
        frozen = Path(place, "snapshot")
        with write_folder(frozen, "snapshot", {}) as folder:
            freeze(con, store, folder)
        yield open_snapshot(con, frozen)


def pair_votes(cast: "Ballots", voice: "Floats | None" = None) -> tuple[Pairs, PairVotes]:
    """Every two responses that a ballot places, as pairs and votes.

    Args:
        voice: how many votes one vote of each annotator is; by default 1.
    """
    import numpy as np

    most = cast.tier.shape[1]
    soft, placed = np.isfinite(cast.soft), cast.tier > 0
    each = placed.sum(axis=1)
    rows, codes, turns, shares, ties = [], [], [], [], []
    for i in range(most):
        for j in range(i + 1, most):
            at = np.flatnonzero(placed[:, i] & placed[:, j])
            one, two = cast.tier[at, i], cast.tier[at, j]
            turned = (cast.shown[at, j] > 0) & (cast.shown[at, j] < cast.shown[at, i])
            likely = np.where(turned, 1 - cast.soft[at], cast.soft[at])
            rows.append(at)
            codes.append((cast.task[at] * most + i) * most + j)
            turns.append(turned)
            shares.append(np.where(soft[at], likely, np.where(one < two, 1.0, np.where(one > two, 0.0, 0.5))))
            ties.append(~soft[at] & (one == two))
    row, code = np.concatenate([*rows, np.zeros(0, np.int64)]), np.concatenate([*codes, np.zeros(0, np.int64)])
    there = np.zeros(len(cast.tasks) * most * most, dtype=np.bool_)
    there[code] = True
    pair, who = (np.cumsum(there) - 1)[code] if len(code) else code, cast.annotator[row]
    spread = (each * (each - 1) // 2)[row]
    turned, share, tie = (np.concatenate([*x, np.zeros(0, bool)]) for x in (turns, shares, ties))
    key = pair * max(1, len(cast.annotators)) + who
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, bool)
    if not new.all():  # several votes of one annotator on one pair: their order is that of what they say
        order = np.lexsort((spread, tie, share, turned, who, pair))
    first = np.flatnonzero(new)
    often = np.diff(np.append(first, len(key)))
    weight = np.repeat(1 / often, often) * (1.0 if voice is None else voice[who[order]])
    votes = PairVotes(
        pair[order], who[order], turned[order] > 0, share[order] * 1.0, tie[order] > 0, weight, spread[order]
    )
    found = np.flatnonzero(there)
    task = found // max(1, most * most)
    begin = cast.start[task]
    one, two = begin + found // max(1, most) % max(1, most), begin + found % max(1, most)
    name = np.array(cast.responses, dtype=object)
    groups = np.array(cast.tasks, dtype=object)[task].tolist()
    return Pairs(groups, name[one].tolist(), name[two].tolist(), task, one, two), votes


def choices_of(cast: "Ballots", voice: "Floats | None" = None) -> Choices:
    """Ballots as choices among the responses of a task, in the order of their ids; soft labels are choices in part.

    Args:
        voice: how many votes one vote of each annotator is; by default 1.
    """
    import numpy as np

    most = cast.tier.shape[1]
    soft = np.isfinite(cast.soft)
    bits = 1 << np.arange(most)
    whole = (cast.tier > 0) @ bits
    key = (cast.task * max(1, len(cast.annotators)) + cast.annotator) * (1 << most) + whole
    _, group, often = np.unique(key, return_inverse=True, return_counts=True)
    share = 1 / often[group] * (1.0 if voice is None else voice[cast.annotator])
    tasks, available, chosen, weight = [], [], [], []
    for k in range(most):
        mine = cast.tier[:, k]
        same = (cast.tier == mine[:, None]) @ bits
        left = ((cast.tier >= mine[:, None]) & (cast.tier > 0)) @ bits
        # A tier speaks once, by its first response; what is alone has no choice.
        at = np.flatnonzero(~soft & (mine > 0) & (same & -same == bits[k]) & (left & (left - 1) > 0))
        part = np.flatnonzero(soft & (mine > 0))
        first = cast.shown[part, k] == 1
        p = np.where(first, cast.soft[part], 1 - cast.soft[part])
        part, p = part[p > 0], p[p > 0]
        tasks += [cast.task[at], cast.task[part]]
        available += [left[at], whole[part]]
        chosen += [same[at], np.full(len(part), bits[k])]
        weight += [share[at], share[part] * p]
    none = np.zeros(0, dtype=np.int64)
    task, there, best = (np.concatenate([*x, none]) for x in (tasks, available, chosen))
    return Choices(cast.sizes, task, there, best, np.concatenate([*weight, np.zeros(0)]))


def labels_of(con: "Connection", table: str) -> Labels:
    """The labels of a plain table that `curate.tables.read_labels` made."""
    columns = con.execute(
        f"SELECT unit, annotator, value, count(*)::INTEGER AS n FROM {table} GROUP BY ALL"
        " ORDER BY unit, annotator, value"
    ).fetchnumpy()
    import numpy as np

    unit, annotator, value, n = (columns[name] for name in ("unit", "annotator", "value", "n"))
    again = np.flatnonzero(np.append(True, (unit[1:] != unit[:-1]) | (annotator[1:] != annotator[:-1])))
    whole = np.add.reduceat(n, again)
    repeated = int(whole.sum() - len(again))
    weight = None
    if repeated:
        sizes = np.diff(np.append(again, len(unit)))
        weight = n / np.repeat(whole, sizes)
    units, people, values = (names_of(con, f"{table}_{part}") for part in ("units", "annotators", "values"))
    return Labels(unit, annotator, value, weight, units, people, values, repeated)


def names_of(con: "Connection", table: str) -> list[str]:
    """The names of a table (id, name) by number."""
    return [str(row[0]) for row in con.execute(f"SELECT name FROM {table} ORDER BY id").fetchall()]


def comparison_votes(con: "Connection", table: str) -> tuple[Pairs, PairVotes, list[str]]:
    """Pairs, votes and annotators of a plain table that `curate.tables.read_comparisons` made."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE met AS SELECT least(item_a, item_b) AS first,"
        " greatest(item_a, item_b) AS second,"
        f" annotator, item_a > item_b AS turned, winner, count(*) AS n FROM {table} GROUP BY ALL"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE duels AS"
        " SELECT (row_number() OVER (ORDER BY first, second) - 1)::INTEGER AS pair, first, second"
        " FROM (SELECT DISTINCT first, second FROM met)"
    )
    columns = con.execute(
        """SELECT pair::BIGINT AS pair, annotator::BIGINT AS annotator, turned,
            CASE WHEN winner = 0 THEN 0.5::DOUBLE WHEN (winner = 1) <> turned THEN 1.0 ELSE 0.0 END AS share,
            winner = 0 AS tie, n::DOUBLE / sum(n) OVER (PARTITION BY pair, annotator) AS weight, 1::BIGINT AS spread
        FROM met JOIN duels USING (first, second) ORDER BY pair, annotator, turned, share"""
    ).fetchnumpy()
    import numpy as np

    duels = con.execute("SELECT first, second FROM duels ORDER BY pair").fetchnumpy()
    one, two = (np.asarray(duels[name], dtype=np.int64) for name in ("first", "second"))
    names = np.array([*names_of(con, f"{table}_items"), ""], dtype=object)
    pairs = Pairs([""] * len(one), names[one].tolist(), names[two].tolist(), np.arange(len(one)), one, two)
    return pairs, PairVotes(**columns), names_of(con, f"{table}_annotators")
