"""Rows of an export as Parquet, written in blocks of one size and read back a block at a time.

Tools and tool calls differ in shape from row to row, so they are JSON text inside, marked as
JSON: `datasets` and DuckDB give them back as what they were.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import BadInput, one_line
from data.jsonl import parse
from data.records import canonical

if TYPE_CHECKING:
    import pyarrow as pa

Kind = str | tuple[str, Any]
"""A column's type: a scalar's name, or "list" or "struct" with what it holds."""
BLOCK = 5_000
"""Rows of a row group; what is held in memory at once."""
_JSON = ("tool_calls", "tools")


class ParquetRows:
    """A Parquet file being written; a file that gets no row is not made."""

    def __init__(self, path: Path, columns: dict[str, Kind]) -> None:
        self.path = path
        self.rows = 0
        self._columns = columns
        self._waiting: list[dict[str, Any]] = []
        self._writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        """Add a row with every column."""
        self._waiting.append(_packed(row))
        self.rows += 1
        if len(self._waiting) == BLOCK:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        marked = _schema(self._columns, json=True)
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, marked, compression="zstd", use_dictionary=False)
        table = pa.Table.from_pylist(self._waiting, schema=_schema(self._columns, json=False))
        self._writer.write_table(table.cast(marked), row_group_size=BLOCK)
        self._waiting = []

    def __enter__(self) -> "ParquetRows":
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of such a file as they were added; BadInput when it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BLOCK, use_threads=False):
                for row in batch.to_pylist():
                    yield _unpacked(row)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {one_line(str(error), 200)}") from None


def count(path: Path) -> int:
    """How many rows a file has, by its footer."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _packed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _pack(name, value) for name, value in row.items()}


def _pack(name: str, value: Any) -> Any:
    if name in _JSON:
        return None if value is None else canonical(value).decode()
    if isinstance(value, list):
        return [_packed(one) if isinstance(one, dict) else one for one in value]
    return value


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    """The row with JSON texts read, and its messages without the fields they do not have."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name in _JSON and isinstance(value, str):
            found[name] = parse(value.encode())[0]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found[name] = [{k: v for k, v in _unpacked(one).items() if v is not None} for one in value]
        else:
            found[name] = value
    return found


def _schema(columns: dict[str, Kind], *, json: bool) -> "pa.Schema":
    import pyarrow as pa

    scalars = {
        "string": pa.string(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "json": pa.json_(pa.string()) if json else pa.string(),
    }

    def arrow(kind: Kind) -> "pa.DataType":
        if isinstance(kind, str):
            return scalars[kind]
        shape, inner = kind
        within = scalars[inner] if isinstance(inner, str) else pa.struct([(k, scalars[v]) for k, v in inner])
        return pa.list_(within) if shape == "list" else within

    return pa.schema([(name, arrow(kind)) for name, kind in columns.items()])
