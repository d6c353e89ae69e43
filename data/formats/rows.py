"""What every layout yields: a Row ready to become a task, or a Reject that says why not.

`each` runs a layout's function over all rows of its sources, turns a fault into a Reject and
goes on, and refuses an id that comes twice.
"""
# ruff: noqa: RUF012 (the empty defaults of these tuples are shared: nobody changes one in place)

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from data.errors import BadInput
from data.formats.files import Item, Source
from data.formats.parts import in_words
from data.jsonl import explain
from data.records import AnnotatorKind, Criterion, Flag, Gold, Kind, Prompt, Response, Verdict, canonical

RAW = 2_000  # characters of a rejected line that are kept beside its reason


class Vote(NamedTuple):
    """A judgment that came with a row. `shown` holds response ids; A is the first of them."""

    annotator: str
    annotator_kind: AnnotatorKind
    key: str
    """Stable in the source: the row's key and the judge, or the id of a whole record."""
    shown: list[str]
    verdict: Verdict = "answered"
    ranking: list[list[str]] | None = None
    choice: str | None = None
    strength: int | None = None
    probability: float | None = None
    ratings: dict[str, dict[str, int]] = {}
    flags: dict[str, list[Flag]] = {}
    critiques: dict[str, str] = {}
    edited: dict[str, str] = {}
    comment: str = ""
    model: str | None = None
    principle: str | None = None
    sample_index: int | None = None
    guideline_version: str | None = None
    active_seconds: float | None = None
    started_at: str | None = None
    submitted_at: str | None = None


class Row(NamedTuple):
    """One row, validated: its prompt and responses have their final ids."""

    number: int
    where: str
    key: str
    """The row's own id in its source, else "<first 12 digits of the file's sha256>:<line>"."""
    prompt: Prompt
    responses: list[Response]
    kind: Kind | None = None
    """None where the source does not say; the caller decides."""
    language: str | None = None
    overlap: int | None = None
    priority: int | None = None
    criteria: list[Criterion] = []
    gold: Gold | None = None
    votes: list[Vote] = []


class Reject(NamedTuple):
    """A line that became no row: where it stood, why, and its first RAW characters."""

    where: str
    number: int
    reason: str
    raw: str


class Place(NamedTuple):
    """Where a row stands in its source."""

    source: Source
    number: int

    @property
    def where(self) -> str:
        """Such as "answers.jsonl, line 3"."""
        return f"{self.source.name}, {self.source.unit} {self.number}"

    def key(self, own: Any) -> str:
        """The row's own id as text, else one made of the file's hash and the line."""
        if isinstance(own, bool) or not isinstance(own, int | str | None):
            raise BadInput(f"id is {in_words(own)}; text or a whole number is needed")
        return f"{self.source.stamp()}:{self.number}" if own is None or own == "" else str(own)


def reject(place: Place, item: Item, reason: str) -> Reject:
    """The Reject for an item that cannot be used."""
    raw = canonical_or_repr(item.value) if item.raw is None else item.raw[: RAW * 4].decode("utf-8", "replace")
    return Reject(place.where, place.number, reason, raw.rstrip("\r\n")[:RAW])


def reject_line(reject: Reject) -> bytes:
    """A line of rejected.jsonl, with its line break."""
    row = {"where": reject.where, "line": reject.number, "reason": reject.reason, "raw": reject.raw}
    return canonical(row) + b"\n"


def canonical_or_repr(value: Any) -> str:
    """A value as JSON where JSON has a spelling for it, else as Python shows it."""
    try:
        return canonical(value).decode()
    except TypeError:
        return repr(value)


def each(sources: list[Source], row: Callable[[dict[str, Any], Place], Row]) -> Iterator[Row | Reject]:
    """`row` over every object of the sources, in order; a line at a time, whatever their size.

    Kept between lines, for rows with an id of their own only: a 16-byte digest of the id and
    one of the content, about 250 bytes per row in all. Rows without an id cannot repeat.
    """
    seen: dict[bytes, tuple[bytes, int, int]] = {}
    for index, source in enumerate(sources):
        for item in source.items():
            place = Place(source, item.number)
            if item.problem:
                yield reject(place, item, item.problem)
            elif not isinstance(item.value, dict):
                yield reject(place, item, f"the row is {in_words(item.value)}; an object with named fields is needed")
            else:
                try:
                    made = row(item.value, place)
                except BadInput as error:
                    yield reject(place, item, str(error))
                except ValueError as error:  # a record of ours refused it: pydantic names the field
                    yield reject(place, item, explain(error))
                else:
                    again = _again(seen, made, sources, index)
                    yield reject(place, item, again) if again else made


def _again(seen: dict[bytes, tuple[bytes, int, int]], row: Row, sources: list[Source], index: int) -> str | None:
    """Why this row is not taken a second time; None when its id is new."""
    if row.key.endswith(f":{row.number}") and row.key == Place(sources[index], row.number).key(None):
        return None
    name = blake2b(row.key.encode(), digest_size=16).digest()
    content = blake2b(canonical(_content(row)), digest_size=16).digest()
    first, file, number = seen.setdefault(name, (content, index, row.number))
    if (file, number) == (index, row.number):
        return None
    earlier = Place(sources[file], number)
    line = f"{earlier.source.unit} {number}" if file == index else earlier.where
    if first == content:
        return f"repeats {line}"
    return f"id '{row.key[:100]}' was used before, {'on' if file == index else 'in'} {line}, with other content"


def _content(row: Row) -> list[Any]:
    """What makes two rows with one id the same row: all that the ids of its records cover, and the votes."""
    gold = row.gold.plain() if row.gold else None
    criteria = [c.plain() for c in row.criteria]
    return [
        row.prompt.id,
        [r.id for r in row.responses],
        row.kind,
        criteria,
        gold,
        [list(v) for v in row.votes],
    ]


def choice_vote(annotator: str, kind: AnnotatorKind, key: str, shown: list[str], choice: str, **rest: Any) -> Vote:
    """A vote between two responses: A for the first of `shown`, B for the second, or tie."""
    return Vote(annotator, kind, f"{key}:{annotator}", shown, choice=choice, **rest)


def has(value: Mapping[str, Any], *keys: str) -> bool:
    """Whether all these keys are there and hold something."""
    return all(value.get(key) is not None for key in keys)
