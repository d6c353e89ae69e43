"""A copy of rows with placeholders for private data, and a list of what was replaced where.

Every text of a row is looked at but the ids of the row itself: what it has under `id`, or under a name
that ends in `_id` or `_ids`. Within messages, tool calls and other values nothing is passed over: a
name in an object and a long whole number are looked at as texts are. A text that is JSON
(the arguments of a tool call) is read, redacted inside and spelled again, so that it stays JSON; a
transcript is looked at turn by turn, so that no turn disappears.

The copy's rows keep their ids, so they can still be traced, but an id is a hash of the text as it was:
`curate.verify` will not accept the copy as an export, which is right. `about` says so in the folder.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate import private
from data.errors import BadInput
from data.folder import readme
from data.jsonl import parse, read_lines
from data.records import canonical

if TYPE_CHECKING:
    from data.folder import Lines

_AT_ONCE = 2000  # rows whose texts are looked at together
_TURN = re.compile(r"(\n\n(?:Human|Assistant|System):)")
_LEAST_NUMBER = 10**8  # whole numbers from nine digits on may be somebody's


class Replaced(NamedTuple):
    """One piece replaced: its kind, and its place in the text as it came, or in the JSON text's value."""

    kind: str
    begin: int
    end: int


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
        lines = [line.number for line in some]
        replaced += _redact_rows(values, path, lines, told)
        for value, number in zip(values, lines, strict=True):
            try:
                out.add(value)
            except TypeError:
                raise BadInput(f"{path}, line {number}: nested too deep to be written; take the line out") from None
    return replaced


def _redact_rows(values: list[Any], path: Path, lines: Sequence[int], told: "Lines") -> int:
    """Redact rows in place; returns how many pieces were replaced."""
    replaced = 0
    try:
        places = [place for n, value in enumerate(values) for place in _texts(value, (n,))]
        for place in _hits(values, places):
            text, found = redact_text(_get(values, place))
            _get(values, place[:-1])[place[-1]] = text
            replaced += _tell(told, path, lines[place[0]], values[place[0]], place[1:], found)
        for line, value in zip(lines, values, strict=True):
            replaced += _tell(told, path, line, value, ("names",), _rename(value))
    except RecursionError:
        raise BadInput(f"{path}, lines {lines[0]} to {lines[-1]}: a row is nested too deep; take it out") from None
    return replaced


def _tell(told: "Lines", path: Path, line: int, row: Any, place: tuple[Any, ...], found: Sequence[Replaced]) -> int:
    """Say what was replaced in one text; returns how many pieces."""
    for one in found:
        told.add(
            {
                "file": path.name,
                "line": line,
                "id": row.get("id") if isinstance(row, dict) else None,
                "field": ".".join(private.redact(str(step))[0] for step in place),
                "kind": one.kind,
                "begin": one.begin,
                "end": one.end,
            }
        )
    return len(found)


def _hits(values: Sequence[Any], places: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The places of texts in which something may have to be replaced."""
    texts = [_get(values, place) for place in places]
    spelled = [text if isinstance(text, str) else str(text) for text in texts]
    hits = {one.text for one in private.scan(spelled)}
    # In JSON an escape can hide what is looked for.
    hits |= {n for n, text in enumerate(texts) if isinstance(text, str) and "\\" in text and _like_json(text)}
    for hit in sorted(hits):
        yield places[hit]


def redact_text(value: str | int) -> tuple[str | int, list[Replaced]]:
    """A text (or a long whole number) with placeholders; JSON stays JSON, a transcript keeps its turns."""
    if isinstance(value, int):
        text, found = private.redact(str(value))
        return (text, _plain(found)) if found else (value, [])
    if _like_json(value):
        inner, problem = parse(value.encode("utf-8", "surrogatepass"))
        if not problem and isinstance(inner, (dict, list)):
            with suppress(RecursionError, TypeError):  # nested deeper than can be spelled: looked at as a text
                made, told = _redacted(inner)
                return (canonical(made).decode("utf-8", "surrogatepass"), told) if told else (value, [])
    parts, told, begin = [], [], 0
    for part in _TURN.split(value):
        clean, found = private.redact(part)
        parts.append(clean)
        told += [Replaced(one.kind, one.begin + begin, one.end + begin) for one in found]
        begin += len(part)
    return "".join(parts), told


def _plain(found: Sequence[private.Found]) -> list[Replaced]:
    return [Replaced(one.kind, one.begin, one.end) for one in found]


def _like_json(text: str) -> bool:
    """Whether a text may be an object or a list in JSON."""
    return text.lstrip()[:1] in ("{", "[")


def _redacted(value: Any) -> tuple[Any, list[Replaced]]:
    """A value with every text, long number and name in it redacted."""
    if isinstance(value, dict):
        told: list[Replaced] = []
        made: dict[str, Any] = {}
        for name, inner in value.items():
            clean, found = _redacted(inner)
            spelled, renamed = private.redact(name)
            while spelled in made or (renamed and spelled in value):
                spelled += "'"
            made[spelled] = clean
            told += _plain(renamed) + found
        return made, told
    if isinstance(value, list):
        both = [_redacted(inner) for inner in value]
        return [clean for clean, _ in both], [one for _, found in both for one in found]
    if isinstance(value, str) or _is_long(value):
        return redact_text(value)
    return value, []


def _rename(row: Any) -> list[Replaced]:
    """Redact the names of objects within a row's values, in place; the names of its columns stay."""
    told: list[Replaced] = []
    for column, inner in row.items() if isinstance(row, dict) else ():
        if isinstance(inner, (dict, list)) and private.scan(list(_names(inner))):
            row[column], found = _redacted(inner)
            told += found
    return told


def _names(value: Any) -> Iterator[str]:
    """Every name of an object within a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _texts(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The place of every text and long number within a value that may be redacted."""
    if isinstance(value, str) or (_is_long(value) and len(place) > 2):
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            if len(place) > 1 or (name != "id" and not name.endswith(("_id", "_ids"))):
                yield from _texts(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, (*place, number))


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LEAST_NUMBER


def about(splits: Sequence[str], digest: str | None, replaced: int) -> str:
    """The README.md of a redacted copy: what it is, and of what."""
    whose = f"of the folder with the digest `{digest}`" if digest else "of the files named in manifest.json"
    return readme("Redacted copy", splits, proved=False) + (
        f"The rows in `data/` are a copy {whose}, with placeholders such as [EMAIL] for {replaced:,} pieces of"
        " private data; `audit/redactions.jsonl` says where. A row's id is that of the row before: its text may"
        " differ, so `python -m curate.verify` does not take this copy for an export.\n"
    )


def _get(values: Any, place: Sequence[Any]) -> Any:
    for step in place:
        values = values[step]
    return values
