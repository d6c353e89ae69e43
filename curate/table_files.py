"""One file of a plain table into DuckDB: CSV, TSV, JSONL or Parquet, columns as text, bad rows told apart.

A clean CSV or Parquet file is read by DuckDB. A file in which anything is wrong is read a line at
a time instead, so that each bad line is named by its number and the others are kept. (What that
second reading accepts is what counts: a file is never half from one reader, half from the other.)
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engine import add_rows, bad_file, pattern
from curate.table_columns import Column, check_columns
from data.errors import BadInput, NotThere, nearest
from data.jsonl import MAX_LINE, open_bytes, read_lines

if TYPE_CHECKING:
    from curate.engine import Connection

KINDS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_BATCH = 50_000  # rows handed to DuckDB at a time

Refuse = Callable[[int, str], None]


def load_file(
    con: "Connection",
    raw: str,
    number: int,
    path: Path,
    columns: Sequence[Column],
    reasons: Sequence[tuple[str, str]],
    refuse: Refuse,
    *,
    lines: bool,
) -> None:
    """Append the usable rows of a file to `raw` (file, line, a VARCHAR per field).

    Args:
        number: what `file` becomes.
        reasons: SQL conditions over the fields under which a row is rejected, each with its reason.
        refuse: is told the line and the reason of each rejected row.
        lines: whether `line` is wanted for rows that are kept (it costs DuckDB's CSV reader).

    Raises:
        NotThere, BadInput: the file is not there, of no known kind, or lacks a column.
    """
    kind = _kind(path)
    if kind == "parquet":
        _load_parquet(con, raw, number, path, columns)
    elif kind == "jsonl":
        _load_lines(con, raw, number, _json_rows(path, columns, refuse), columns)
    elif lines or not _load_csv(con, raw, number, path, columns, reasons):
        _load_lines(con, raw, number, _csv_rows(path, columns, refuse), columns)
    required = [
        (f"{c.field} IS NULL" if c.empty else f"coalesce(trim({c.field}), '') = ''", f"no {c.name}")
        for c in columns
        if c.required
    ]
    _reject(con, raw, number, [*required, *reasons], refuse)


def _kind(path: Path) -> str:
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotThere(f"{path} is not there{nearest(path.name, beside) or '; check the path'}")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name the files in it")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    kind = KINDS.get(suffix.lower())
    if kind is None or (kind == "parquet" and path.suffix == ".gz"):
        raise BadInput(f"{path}: its kind is told by the ending, one of {', '.join(KINDS)} (text may be .gz as well)")
    return kind


def _quoted(name: str) -> str:
    """A column name of a file as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _load_parquet(con: "Connection", raw: str, number: int, path: Path, columns: Sequence[Column]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} is no Parquet file: {error}") from None
    check_columns(path, schema.names, columns)
    chosen = []
    for column in columns:
        if column.name not in schema.names:
            chosen.append(f"NULL::VARCHAR AS {column.field}")
            continue
        kind = schema.field(column.name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise BadInput(f"{path}: column '{column.name}' holds {kind}, neither text nor numbers")
        text = f"{_quoted(column.name)}::VARCHAR"
        if pa.types.is_floating(kind):  # no number is no value
            text = f"CASE WHEN isnan({_quoted(column.name)}) THEN NULL ELSE {text} END"
        chosen.append((text if column.empty else f"nullif({text}, '')") + f" AS {column.field}")
    con.execute(
        f"INSERT INTO {raw} BY NAME SELECT ? AS file, file_row_number + 1 AS line, {', '.join(chosen)}"
        " FROM read_parquet(?, file_row_number = true)",
        [number, pattern(path)],
    )


def _delimiter(path: Path, columns: Sequence[Column]) -> tuple[str, list[str]]:
    """What separates the columns, and the header: tabs for .tsv, else whichever of , ; tab finds them."""
    with open_bytes(path) as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise BadInput(f"{path} is UTF-16; save it as UTF-8 (in spreadsheets: CSV UTF-8)")
    with _text(path) as file:
        head = file.readline(MAX_LINE)
    if not head.strip():
        raise BadInput(f"{path} is empty; its first line names the columns")
    tabs = path.name.removesuffix(".gz").lower().endswith(".tsv")
    found = []
    for delimiter in ("\t",) if tabs else (",", ";", "\t"):
        with _text(path) as file:
            header = next(csv.reader(file, delimiter=delimiter))
        found.append((sum(c.name in header for c in columns), delimiter, header))
    best = max(found, key=lambda one: one[0])
    return best[1], best[2]


def _text(path: Path) -> io.TextIOWrapper:
    csv.field_size_limit(MAX_LINE)
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline="")


def _load_csv(
    con: "Connection",
    raw: str,
    number: int,
    path: Path,
    columns: Sequence[Column],
    reasons: Sequence[tuple[str, str]],
) -> bool:
    """Read a clean file the fast way; False, and nothing kept, when anything in it is not as it should be."""
    delimiter, header = _delimiter(path, columns)
    check_columns(path, header, columns)
    places = {c.field: f"c{header.index(c.name)}" for c in columns if c.name in header}
    chosen = [
        f"nullif({places[c.field]}, '') AS {c.field}" if c.field in places else f"NULL AS {c.field}" for c in columns
    ]
    types = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(header)))
    bad = [f"coalesce(trim({c.field}), '') = ''" for c in columns if c.required] + [sql for sql, _ in reasons]
    con.execute("BEGIN")
    try:
        con.execute(
            f"INSERT INTO {raw} BY NAME SELECT ? AS file, {', '.join(chosen)} FROM read_csv(?, delim = ?, quote = '\"',"
            f" escape = '\"', header = true, auto_detect = false, strict_mode = true, columns = {{{types}}},"
            " max_line_size = 64000000)",
            [number, pattern(path), delimiter],
        )
        row = con.execute(f"SELECT count(*) FROM {raw} WHERE file = ? AND ({' OR '.join(bad)})", [number]).fetchone()
        clean = row is not None and row[0] == 0
    except Exception as error:
        con.execute("ROLLBACK")
        if not bad_file(error):
            raise
        return False
    con.execute("COMMIT" if clean else "ROLLBACK")
    return clean


Row = tuple[int, list[str | None]]


def _csv_rows(path: Path, columns: Sequence[Column], refuse: Refuse) -> Iterator[Row]:
    delimiter, header = _delimiter(path, columns)
    check_columns(path, header, columns)
    places = [header.index(c.name) if c.name in header else None for c in columns]
    with _text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        line = reader.line_num
        try:
            for row in reader:
                began, line = line + 1, reader.line_num
                if not row:
                    continue
                if len(row) != len(header):
                    refuse(began, f"{len(row)} fields where the header has {len(header)}")
                    continue
                picked = [None if p is None else row[p] for p in places]
                if any(text is not None and not _is_unicode(text) for text in picked):
                    refuse(began, "not UTF-8; save the file as UTF-8")
                    continue
                yield began, [t if t or c.empty else None for t, c in zip(picked, columns, strict=True)]
        except (csv.Error, OSError, EOFError) as error:
            raise BadInput(f"{path}, after line {line}: the file cannot be read on: {error}") from None


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _json_rows(path: Path, columns: Sequence[Column], refuse: Refuse) -> Iterator[Row]:
    seen: set[str] = set()
    first: list[str] = []
    refused = False
    for line in read_lines(path):
        if line.problem or not isinstance(line.value, dict):
            refuse(line.number, line.problem or "not a JSON object")
            refused = True
            continue
        first = first or list(line.value)
        values = [line.value.get(c.name) for c in columns]
        seen.update(c.name for c, v in zip(columns, values, strict=True) if v is not None)
        nested = [c.name for c, v in zip(columns, values, strict=True) if isinstance(v, (list, dict))]
        if nested:
            refuse(line.number, f"{nested[0]} is neither text nor a number")
            continue
        yield line.number, [_word(v, c.empty) for v, c in zip(values, columns, strict=True)]
    if not first and not refused:
        raise BadInput(f"{path} is empty; each of its lines is to be an object")
    check_columns(path, [*first, *sorted(seen - set(first))], columns)


def _word(value: Any, empty: bool) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = None if value is None or value != value else str(value)
    return text if text or empty else None


def _load_lines(con: "Connection", raw: str, number: int, rows: Iterator[Row], columns: Sequence[Column]) -> None:
    """Hand rows to DuckDB in batches."""
    import pyarrow as pa

    types = pa.schema([("file", pa.int32()), ("line", pa.int64()), *((c.field, pa.string()) for c in columns)])
    batch: list[Row] = []

    def give() -> None:
        fields = list(zip(*(values for _, values in batch), strict=True))
        data = [[number] * len(batch), [line for line, _ in batch], *map(list, fields)]
        add_rows(con, raw, pa.table([pa.array(c, t.type) for c, t in zip(data, types, strict=True)], schema=types))
        batch.clear()

    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            give()
    if batch:
        give()


def _reject(con: "Connection", raw: str, number: int, reasons: Sequence[tuple[str, str]], refuse: Refuse) -> None:
    """Take rows out of `raw` that meet a condition, each told with the first that it meets."""
    cases = " ".join(f"WHEN {sql} THEN {i}" for i, (sql, _) in enumerate(reasons))
    if not cases:
        return
    met = f"CASE {cases} END"
    found = con.execute(
        f"SELECT line, {met} FROM {raw} WHERE file = ? AND ({met}) IS NOT NULL ORDER BY line", [number]
    ).fetchall()
    if found:
        con.execute(f"DELETE FROM {raw} WHERE file = ? AND ({met}) IS NOT NULL", [number])
    for line, which in found:
        refuse(line, reasons[which][1])
