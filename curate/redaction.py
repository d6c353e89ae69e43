"""A copy of rows with placeholders for private data, and a list of what was replaced where.

Every text of a row is looked at but ids: what is under `id`, or a name that ends in `_id` or `_ids`.
The copy's rows keep their ids, so they can still be traced; `curate.verify` will say that their texts
are not those of the store, which is the point.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate import private
from data.errors import BadInput
from data.jsonl import read_lines

if TYPE_CHECKING:
    from data.folder import Lines

_AT_ONCE = 2000  # rows whose texts are looked at together


def redact_file(path: Path, out: "Lines", told: "Lines") -> int:
    """Write the rows of a JSONL file without private data; returns how many pieces were replaced.

    Args:
        told: is given for each its row, field, kind and place; never the text.
    """
    rows = (line for line in read_lines(path))
    replaced = 0
    while some := list(islice(rows, _AT_ONCE)):
        for line in some:
            if line.problem:
                raise BadInput(f"{path}, line {line.number}: {line.problem}")
        values = [line.value for line in some]
        places = [place for n, value in enumerate(values) for place in _texts(value, (n,))]
        hits = sorted({one.text for one in private.scan([_get(values, place) for place in places])})
        for hit in hits:
            place = places[hit]
            text, found = private.redact(_get(values, place))
            _get(values, place[:-1])[place[-1]] = text
            row = values[place[0]]
            for one in found:
                told.add(
                    {
                        "file": path.name,
                        "line": some[place[0]].number,
                        "id": row.get("id") if isinstance(row, dict) else None,
                        "field": ".".join(str(step) for step in place[1:]),
                        "kind": one.kind,
                        "begin": one.begin,
                        "end": one.end,
                    }
                )
                replaced += 1
        for value in values:
            out.add(value)
    return replaced


def _texts(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The place of every text within a value that may be redacted."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name != "id" and not name.endswith(("_id", "_ids")):
                yield from _texts(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, (*place, number))


def _get(values: Any, place: Sequence[Any]) -> Any:
    for step in place:
        values = values[step]
    return values
