"""Plain tables made elsewhere: labels, comparisons or texts from CSV, TSV, JSONL and Parquet.

    labels       unit, annotator, value          one row a label
    comparisons  item_a, item_b, winner, annotator
    texts        text, and an id where there is one

Other column names are given by flag; a misspelt one meets a hint. A row that cannot be used is
rejected with its file, line and reason, and the rest is read on. Names become whole numbers that
do not depend on the order of rows or files; a table beside says what they stand for.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.engine import number_names
from curate.table_columns import Column
from curate.table_files import load_file
from data.errors import BadInput, NotThere

if TYPE_CHECKING:
    from curate.engine import Connection

Rejected = Callable[[dict[str, Any]], None]
"""Is told of each rejected row: file, line, reason. `Lines.add` of a folder's audit/rejected.jsonl fits."""

TIES = ("tie", "draw", "both", "equal", "tie (bothbad)", "bothbad", "0.5")
FIRST = ("a", "model_a", "item_a", "1", "left", "first")
SECOND = ("b", "model_b", "item_b", "2", "right", "second")


class Tally(NamedTuple):
    """How a file was read."""

    file: str
    rows: int
    """Rows kept."""
    missing: int
    """Rows without a value: legal, and left out."""
    rejected: int


def read_labels(
    con: "Connection",
    paths: Sequence[Path],
    unit: str = "unit",
    annotator: str = "annotator",
    value: str = "value",
    rejected: Rejected | None = None,
    table: str = "labels",
    probability: str | None = None,
) -> str:
    """Labels of any number of files as one table; returns its name.

    `labels` has unit, annotator, value (all INTEGER, numbered from 0). Beside it
    `labels_units` and `labels_annotators` (id, name), `labels_values` (id, name, number: DOUBLE,
    NULL where it is not one), ordered by number where all values are numbers ('1' and '1.0' are
    then one value) and else by text, and `labels_files` (the fields of Tally). A row without
    value is a missing label. A repeated (unit, annotator) stays in: what it means is for the
    reader of the table to say.

    Args:
        rejected: is told of each row that cannot be used.
        table: name of the table to make.
        probability: the column of it, for a table that then has probability too (DOUBLE, NULL where there is none).

    Raises:
        NotThere, BadInput: a file that cannot be read, without these columns, or no usable row at all.
    """
    columns = [
        Column("unit", unit, "--unit"),
        Column("annotator", annotator, "--annotator"),
        Column("value", value, "--value", required=False),
    ]
    reasons, sure = [], ""
    if probability is not None:
        default = probability == "probability"
        columns.append(Column("probability", probability, "--probability", required=False, optional=default))
        number = "try_cast(trim(probability) AS DOUBLE)"
        empty = "coalesce(trim(probability), '') = ''"
        reasons = [(f"NOT ({empty} OR coalesce({number} BETWEEN 0 AND 1, FALSE))", "probability is none from 0 to 1")]
        sure = ", try_cast(trim(r.probability) AS DOUBLE) AS probability"
    raw = _read_all(con, table, paths, columns, rejected, "value IS NOT NULL", reasons)
    _drop_no_numbers(con, table, raw)
    number_names(con, f"{table}_units", [(raw, "unit")])
    number_names(con, f"{table}_annotators", [(raw, "annotator")])
    _number_values(con, raw, f"{table}_values")
    con.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT u.id AS unit, a.id AS annotator, s.id AS value{sure} FROM {raw} r"
        f" JOIN {table}_units u ON u.name = r.unit JOIN {table}_annotators a ON a.name = r.annotator"
        " JOIN _spelled s ON s.spelled = r.value"
    )
    con.execute(f"DROP TABLE {raw}; DROP TABLE _spelled")
    return table


def read_comparisons(
    con: "Connection",
    paths: Sequence[Path],
    item_a: str = "item_a",
    item_b: str = "item_b",
    winner: str = "winner",
    annotator: str = "annotator",
    rejected: Rejected | None = None,
    table: str = "comparisons",
) -> str:
    """Comparisons of two items each as one table; returns its name.

    `comparisons` has item_a, item_b, annotator (INTEGER, numbered from 0) and winner: 1 the first
    won, 2 the second, 0 neither. Beside it `comparisons_items`, `comparisons_annotators` (id, name)
    and `comparisons_files` (the fields of Tally). A winner is the name of one of the two items, or
    a word for a side (a, model_a, 1, left; b, …) or for a tie; an item's own name goes before a
    word. Without a column of annotators all are annotator 0, named ''.

    Raises:
        NotThere, BadInput: a file that cannot be read, without these columns, or no usable row at all.
    """
    columns = [
        Column("item_a", item_a, "--item-a"),
        Column("item_b", item_b, "--item-b"),
        Column("winner", winner, "--winner"),
        Column("annotator", annotator, "--annotator", required=False, optional=annotator == "annotator"),
    ]
    sides = dict.fromkeys(TIES, 0) | dict.fromkeys(FIRST, 1) | dict.fromkeys(SECOND, 2)
    values = ", ".join("(?, ?)" for _ in sides)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE _sides AS SELECT * FROM (VALUES {values}) t(word, side)",
        [x for pair in sides.items() for x in pair],
    )
    won = (
        "CASE WHEN winner = item_a THEN 1 WHEN winner = item_b THEN 2"
        " ELSE (SELECT side FROM _sides WHERE word = lower(trim(winner))) END"
    )
    reasons = [
        ("item_a = item_b", "an item is compared with itself"),
        (f"({won}) IS NULL", f"the winner is neither of the two items, nor a word such as a, b, {TIES[0]}"),
    ]
    raw = _read_all(con, table, paths, columns, rejected, "TRUE", reasons)
    con.execute(f"UPDATE {raw} SET annotator = '' WHERE annotator IS NULL")
    number_names(con, f"{table}_items", [(raw, "item_a"), (raw, "item_b")])
    number_names(con, f"{table}_annotators", [(raw, "annotator")])
    con.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT x.id AS item_a, y.id AS item_b, ({won})::TINYINT AS winner,"
        f" n.id AS annotator FROM {raw} r JOIN {table}_items x ON x.name = r.item_a"
        f" JOIN {table}_items y ON y.name = r.item_b JOIN {table}_annotators n ON n.name = r.annotator"
    )
    con.execute(f"DROP TABLE {raw}")
    return table


def read_texts(
    con: "Connection",
    paths: Sequence[Path],
    text: str = "text",
    id: str = "id",
    rejected: Rejected | None = None,
    table: str = "texts",
) -> str:
    """Texts as one table; returns its name.

    `texts` has file (INTEGER, as the paths were given), line (BIGINT, from 1; a Parquet file's rows
    count as lines), id (VARCHAR, NULL where the file has no such column) and text (VARCHAR, as it
    came). Beside it `texts_files` (the fields of Tally). An empty text is legal.

    Raises:
        NotThere, BadInput: a file that cannot be read, without this column, or no usable row at all.
    """
    columns = [
        Column("text", text, "--text", empty=True),
        Column("id", id, "--id", required=False, optional=id == "id"),
    ]
    raw = _read_all(con, table, paths, columns, rejected, "TRUE", lines=True)
    con.execute(f"DROP TABLE IF EXISTS {table}; ALTER TABLE {raw} RENAME TO {table}")
    return table


def read_tally(con: "Connection", table: str) -> list[Tally]:
    """How each file behind a table of this module was read, as the paths were given."""
    rows = con.execute(f"SELECT file, rows, missing, rejected FROM {table}_files ORDER BY number").fetchall()
    return [Tally(*row) for row in rows]


def _read_all(
    con: "Connection",
    table: str,
    paths: Sequence[Path],
    columns: Sequence[Column],
    rejected: Rejected | None,
    keep: str,
    reasons: Iterable[tuple[str, str]] = (),
    lines: bool = False,
) -> str:
    """Every row of the files that can be used, as text, in a table whose name is returned.

    `keep` is the SQL condition of a row that is not missing, `reasons` those of rows to reject.
    """
    if not paths:
        raise NotThere("name at least one file: CSV, TSV, JSONL or Parquet")
    raw = f"{table}_raw"
    fields = ", ".join(f"{column.field} VARCHAR" for column in columns)
    con.execute(f"CREATE OR REPLACE TABLE {raw} (file INTEGER, line BIGINT, {fields})")
    con.execute(
        f"CREATE OR REPLACE TABLE {table}_files (number INTEGER, file VARCHAR, rows BIGINT, missing BIGINT,"
        " rejected BIGINT)"
    )
    first = ""
    for number, path in enumerate(paths):
        bad: list[int] = []

        def refuse(line: int, reason: str, path: Path = path, bad: list[int] = bad) -> None:
            nonlocal first
            bad.append(line)
            first = first or f"{path}, line {line}: {reason}"
            if rejected is not None:
                rejected({"file": str(path), "line": line, "reason": reason})

        load_file(con, raw, number, path, columns, list(reasons), refuse, lines=lines)
        counts = con.execute(
            f"SELECT count(*) FILTER (WHERE {keep}), count(*) FILTER (WHERE NOT ({keep})) FROM {raw} WHERE file = ?",
            [number],
        ).fetchone()
        assert counts is not None
        con.execute(f"INSERT INTO {table}_files VALUES (?, ?, ?, ?, ?)", [number, str(path), *counts, len(bad)])
    con.execute(f"DELETE FROM {raw} WHERE NOT ({keep})")
    if not sum(tally.rows for tally in read_tally(con, table)):
        names = ", ".join(str(path) for path in paths)
        raise BadInput(
            f"{names}: no row can be used"
            + (f"; the first: {first}" if first else "; there is none beneath the header")
        )
    return raw


def _drop_no_numbers(con: "Connection", table: str, raw: str) -> None:
    """Count NaN as a missing value where all other values are numbers: that is how it is written into text."""
    is_nan = "isnan(coalesce(try_cast(trim(value) AS DOUBLE), 0))"
    row = con.execute(
        f"SELECT count(*) FILTER (WHERE {is_nan}), count(*) FILTER (WHERE NOT {is_nan}),"
        f" coalesce(bool_and(try_cast(trim(value) AS DOUBLE) IS NOT NULL) FILTER (WHERE NOT {is_nan}), FALSE)"
        f" FROM {raw}"
    ).fetchone()
    if row is None or not (row[0] and row[1] and row[2]):
        return
    con.execute(
        f"UPDATE {table}_files SET rows = rows - n, missing = missing + n"
        f" FROM (SELECT file AS place, count(*) AS n FROM {raw} WHERE {is_nan} GROUP BY file) WHERE number = place"
    )
    con.execute(f"DELETE FROM {raw} WHERE {is_nan}")


def _number_values(con: "Connection", raw: str, name: str) -> None:
    """The values' table (id, name, number), and `_spelled` (spelled, id): each spelling and what it means."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _spelled AS SELECT spelled, trim(spelled) AS text,"
        f" try_cast(trim(spelled) AS DOUBLE) AS number FROM (SELECT DISTINCT value AS spelled FROM {raw})"
    )
    row = con.execute("SELECT bool_and(number IS NOT NULL AND isfinite(number)) FROM _spelled").fetchone()
    numbers = bool(row and row[0])
    key = "number" if numbers else "text"
    shown = (
        "CASE WHEN number = trunc(number) AND abs(number) < 1e15 THEN number::BIGINT::VARCHAR ELSE number::VARCHAR END"
    )
    con.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT (row_number() OVER (ORDER BY {key}) - 1)::INTEGER AS id,"
        f" {shown if numbers else 'text'} AS name, {'number' if numbers else 'try_cast(text AS DOUBLE) AS number'}"
        f" FROM (SELECT DISTINCT {key} FROM _spelled) ORDER BY id"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE _spelled AS SELECT s.spelled, v.id FROM _spelled s"
        f" JOIN {name} v ON {'v.number = s.number' if numbers else 'v.name = s.text'}"
    )
