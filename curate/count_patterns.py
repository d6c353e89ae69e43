"""Count patterns in SQL: a long table of judgments becomes how often each row of counts occurs.

A unit's counts are packed into one whole number (some bits for each value), so that one sum in one
pass over the rows gives them all; units with equal counts are then one row. A million units with ten
judgments of five values are about a thousand patterns. Whole numbers only: the same on any number of
threads and in any order.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curate.engine import Connection

Ints = NDArray[np.int64]
_WORD = 60  # bits used of a whole number


class Packing(NamedTuple):
    """How counts are packed: how many values, bits for each, values in a word."""

    values: int
    bits: int
    per_word: int

    @property
    def words(self) -> int:
        """Words that all values take."""
        return -(-self.values // self.per_word)


class Counted(NamedTuple):
    """Patterns of one slice: counts (rows x values), how many units have them, and the block where asked for."""

    counts: Ints
    times: Ints
    blocks: NDArray[np.intp] | None = None


def packing(values: int, most: int) -> Packing:
    """A packing for this many values when no unit has more than `most` judgments of one value."""
    bits = max(1, int(most).bit_length())
    return Packing(values, bits, max(1, _WORD // bits))


def words(packed: Packing, where: str = "") -> list[str]:
    """SQL for each word's sum over rows with a column `value`; `where` restricts the rows that count."""
    found = []
    for word in range(packed.words):
        low = word * packed.per_word
        bit = f"1::BIGINT << ((value - {low}) * {packed.bits})::INTEGER"
        if packed.words > 1:
            bit = f"CASE WHEN value BETWEEN {low} AND {low + packed.per_word - 1} THEN {bit} ELSE 0 END"
        total = f"sum({bit})" + (f" FILTER (WHERE {where})" if where else "")
        found.append(f"coalesce({total}, 0)::BIGINT" if where else f"{total}::BIGINT")
    return found


def unpack(packed: Packing, columns: list[Ints]) -> Ints:
    """Counts (rows x values) out of the words."""
    mask = (1 << packed.bits) - 1
    found = [
        (columns[v // packed.per_word] >> (v % packed.per_word * packed.bits)) & mask for v in range(packed.values)
    ]
    return np.stack(found, axis=1).astype(np.int64)


def count_patterns(
    con: "Connection", source: str, packed: Packing, *, key: str = "''", blocks: bool = False
) -> dict[str, Counted]:
    """Patterns of each slice of a long table, by the slice's key in order.

    Args:
        source: SQL of a table or sub-query of ours with columns unit, value (0 to values - 1) and, where
            asked for, block; one row a judgment.
        key: SQL expression of text that names a row's slice; a row whose key is NULL is in none.
        blocks: keep units of different blocks apart.
    """
    named = [f"w{i}" for i in range(packed.words)]
    sums = ", ".join(f"{sql} AS {name}" for sql, name in zip(words(packed), named, strict=True))
    block = "block, " if blocks else ""
    fetched = con.execute(
        f"SELECT key, {block}{', '.join(named)}, count(*) AS times FROM (SELECT {key} AS key, {block}unit, {sums}"
        f" FROM {source} WHERE ({key}) IS NOT NULL GROUP BY ALL) GROUP BY ALL ORDER BY ALL"
    ).fetchnumpy()
    keys = np.asarray(fetched["key"], dtype=object)
    counts = unpack(packed, [np.asarray(fetched[name], dtype=np.int64) for name in named])
    times = np.asarray(fetched["times"], dtype=np.int64)
    place = np.asarray(fetched["block"], dtype=np.int64) if blocks else None
    found: dict[str, Counted] = {}
    if not len(keys):
        return found
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        part = slice(int(start), int(stop))
        of = None if place is None else np.unique(place[part], return_inverse=True)[1]
        found[str(keys[start])] = Counted(counts[part], times[part], of)
    return found


def count_both(
    con: "Connection", source: str, packed: Packing, first: str, *, blocks: bool = False
) -> tuple[Ints, Ints, Ints, NDArray[np.intp] | None]:
    """Patterns of two groups side by side: counts where the SQL condition `first` holds, counts of the others,
    how many units have both, and their blocks where asked for."""
    one = [f"a{i}" for i in range(packed.words)]
    two = [f"b{i}" for i in range(packed.words)]
    made = zip([*words(packed, first), *words(packed, f"NOT ({first})")], [*one, *two], strict=True)
    sums = ", ".join(f"{sql} AS {name}" for sql, name in made)
    block = "block, " if blocks else ""
    fetched = con.execute(
        f"SELECT {block}{', '.join([*one, *two])}, count(*) AS times FROM (SELECT {block}unit, {sums}"
        f" FROM {source} GROUP BY ALL) GROUP BY ALL ORDER BY ALL"
    ).fetchnumpy()
    columns = {name: np.asarray(fetched[name], dtype=np.int64) for name in (*one, *two, "times")}
    of = np.unique(np.asarray(fetched["block"]), return_inverse=True)[1] if blocks else None
    return (
        unpack(packed, [columns[n] for n in one]),
        unpack(packed, [columns[n] for n in two]),
        columns["times"],
        of,
    )


def without_annotators(con: "Connection", source: str, packed: Packing) -> dict[int, Counted]:
    """Patterns that remain when each annotator in turn is left out, by annotator; one pass for all of them.

    `source` has the column annotator too. Only units an annotator judged differ from the whole.
    """
    named = [f"w{i}" for i in range(packed.words)]
    sums = ", ".join(f"{sql} AS {name}" for sql, name in zip(words(packed), named, strict=True))
    columns = ", ".join(named)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _packs AS SELECT unit, {sums} FROM {source} GROUP BY unit")
    whole = con.execute(f"SELECT {columns}, count(*) AS times FROM _packs GROUP BY ALL ORDER BY ALL").fetchnumpy()
    touched = con.execute(
        f"SELECT annotator, value, {columns}, count(*) AS times FROM {source} JOIN _packs USING (unit)"
        " GROUP BY ALL ORDER BY ALL"
    ).fetchnumpy()
    con.execute("DROP TABLE _packs")
    counts = unpack(packed, [np.asarray(whole[name], dtype=np.int64) for name in named])
    times = np.asarray(whole["times"], dtype=np.int64)
    rows = unpack(packed, [np.asarray(touched[name], dtype=np.int64) for name in named])
    less = rows.copy()
    less[np.arange(len(rows)), np.asarray(touched["value"], dtype=np.intp)] -= 1
    often = np.asarray(touched["times"], dtype=np.int64)
    annotators = np.asarray(touched["annotator"])
    found = {}
    for annotator in np.unique(annotators):
        of = annotators == annotator
        both = np.concatenate([counts, rows[of], less[of]])
        change = np.concatenate([times, -often[of], often[of]])
        patterns, place = np.unique(both, axis=0, return_inverse=True)
        left = np.bincount(place.ravel(), change, len(patterns)).astype(np.int64)
        kept = (left > 0) & (patterns.sum(axis=1) > 0)
        found[int(annotator)] = Counted(patterns[kept], left[kept])
    return found
