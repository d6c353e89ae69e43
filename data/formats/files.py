"""Files as streams of rows: JSON lines, JSON arrays, CSV, TSV and Parquet, gzipped or not.

A Source knows its name and gives its rows one at a time; memory does not grow with the file.
A row that cannot be read comes as an Item with its problem, and the rows after it still come.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from data.errors import BadInput, nearest
from data.formats.array import elements
from data.jsonl import MAX_LINE, open_bytes, read_lines

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
BATCH = 256  # Parquet rows decoded at a time
READ = 1 << 18  # bytes of a Parquet column read at a time


class Item(NamedTuple):
    """One row: its number from 1, what it holds or why it cannot be read, and its bytes if it had any."""

    number: int
    value: Any
    problem: str | None = None
    raw: bytes | None = None


class Source(NamedTuple):
    """Rows from one place, to be read as often as asked."""

    name: str
    """As messages name it."""
    path: str
    unit: str
    """What `number` counts: "line" or "row"."""
    typed: bool
    """False where every value is text and nothing cannot be told from empty text (CSV)."""
    items: Callable[[], Iterator[Item]]
    stamp: Callable[[], str]
    """First 12 digits of the sha256 of the bytes, read once when first asked for."""


def open_source(path: str, name: str | None = None) -> Source:
    """A file by the ending of its name; NotThere when it is missing, BadInput when the ending is unknown."""
    file = Path(path)
    ending = _ending(file)
    open_bytes(file).close()
    stamp = cache(partial(_stamp, file))
    shown = name or file.name
    if ending == ".parquet":
        return Source(shown, path, "row", True, partial(_parquet, file), stamp)
    if ending in (".csv", ".tsv"):
        return Source(shown, path, "line", False, partial(_table, file, "\t" if ending == ".tsv" else ","), stamp)
    if ending == ".json" and _first_byte(file) == b"[":
        return Source(shown, path, "row", True, partial(_array, file), stamp)
    return Source(shown, path, "line", True, partial(_lines, file), stamp)


def _ending(file: Path) -> str:
    """The ending that says how to read the file, without .gz."""
    bare = file.with_suffix("") if file.suffix == ".gz" else file
    ending = bare.suffix.lower()
    if ending not in ENDINGS or (ending == ".parquet" and file.suffix == ".gz"):
        open_bytes(file).close()  # a file that is missing is said to be missing first
        hint = nearest(ending, ENDINGS)
        raise BadInput(f"{file}: files ending in '{file.suffix}' are not read; known are {', '.join(ENDINGS)}{hint}")
    return ending


def _stamp(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def _first_byte(file: Path) -> bytes:
    """The first byte that is neither white space nor a byte order mark."""
    with open_bytes(file) as opened:
        try:
            while chunk := opened.read(4096):
                if start := chunk.removeprefix(b"\xef\xbb\xbf").strip():
                    return start[:1]
        except (OSError, EOFError) as error:
            raise BadInput(f"{file} cannot be read: {error}") from None
    return b""


def _lines(file: Path) -> Iterator[Item]:
    for line in read_lines(file):
        yield Item(line.number, line.value, line.problem, line.raw)


def _array(file: Path) -> Iterator[Item]:
    with open_bytes(file) as opened:
        try:
            for number, (raw, value, problem) in enumerate(elements(opened), 1):
                yield Item(number, value, problem, raw)
        except (OSError, EOFError) as error:
            raise BadInput(f"{file} cannot be read on: {error}") from None


def _decoded(opened: BinaryIO, file: Path, held: list[bytes]) -> Iterator[str]:
    """Lines as text, their bytes put into `held`; a byte that is not UTF-8 becomes half a surrogate."""
    first = True
    try:
        while raw := opened.readline(MAX_LINE):
            if first:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise BadInput(f"{file} is in UTF-16; save it as UTF-8")
                raw, first = raw.removeprefix(b"\xef\xbb\xbf"), False
            held.append(raw)
            yield raw.decode("utf-8", "surrogateescape")
    except (OSError, EOFError) as error:
        raise BadInput(f"{file} cannot be read on: {error}") from None


def _table(file: Path, delimiter: str) -> Iterator[Item]:
    """Rows of a CSV or TSV file as objects named by its header; a row has the number of its first line."""
    csv.field_size_limit(MAX_LINE)
    held: list[bytes] = []  # the lines of the row being read
    with open_bytes(file) as opened:
        reader = csv.reader(_decoded(opened, file, held), delimiter=delimiter, strict=True)
        header = _header(reader, file)
        while True:
            held.clear()
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Item(number, None, f"not a row of the table: {error}", b"".join(held))
                continue
            if cells:
                yield _cells(number, cells, header, b"".join(held))


def _header(reader: Any, file: Path) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader)]
        "".join(header).encode()
    except StopIteration:
        raise BadInput(f"{file} is empty") from None
    except UnicodeEncodeError:
        raise BadInput(f"{file}, line 1: the header is not UTF-8; save the file as UTF-8") from None
    except csv.Error as error:
        raise BadInput(f"{file}, line 1: the header cannot be read: {error}") from None
    for name in header:
        if header.count(name) > 1:
            raise BadInput(f"{file}, line 1: two columns are called '{name}'; give each its own name")
    return header


def _cells(number: int, cells: list[str], header: list[str], raw: bytes) -> Item:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        wrong = raw[error.start]
        column = next(name for name, cell in zip([*header, *cells], cells, strict=False) if _escaped(cell))
        return Item(number, None, f"column '{column}' is not UTF-8 (byte 0x{wrong:02x}); save the file as UTF-8", raw)
    if len(cells) != len(header):
        return Item(number, None, f"{len(cells)} cells where the header has {len(header)}", raw)
    return Item(number, dict(zip(header, cells, strict=True)), None, raw)


def _escaped(cell: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in cell)


def _parquet(file: Path) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # A stream through the file: without these two whole columns of it are read ahead and kept.
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=READ) as opened:
            for batch in opened.iter_batches(batch_size=BATCH, use_threads=False):
                for value in batch.to_pylist():
                    number += 1
                    yield Item(number, value)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}, after row {number}: the file cannot be read on: {error}") from None
