"""Files of prompts and responses in, whatever their layout: `read` finds the layout and yields its rows.

Each layout is a module with a NAME, a LINE for --help, `recognise` (the reason why a row is its own,
or None) and `rows`. To add one: write the module and name it in LAYOUTS. How bytes become rows, JSON
lines or CSV or Parquet, is another question, answered in files.py and dataset.py for all of them.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from data.bundled import bundled
from data.errors import BadInput, nearest
from data.formats import dataset, hh, outputs, pairs, preference, table, tasks, ultrafeedback
from data.formats.files import Source, open_source
from data.formats.rows import Reject, Row, Vote

__all__ = ["FORMATS", "Reading", "Reject", "Row", "Vote", "read"]

LOOK = 20  # rows from which a layout is recognised


class Layout(Protocol):
    """What a layout's module holds."""

    NAME: str
    LINE: str

    def recognise(self, head: dict[str, Any], /) -> str | None: ...

    def rows(self, sources: list[Source], /) -> Iterator[Row | Reject]: ...


LAYOUTS: tuple[Layout, ...] = (tasks, table, outputs, pairs, hh, ultrafeedback, preference)
FORMATS: dict[str, str] = {layout.NAME: layout.LINE for layout in LAYOUTS} | {dataset.NAME: dataset.LINE}


class Reading(NamedTuple):
    """What was recognised and why, and the rows, read as they are asked for."""

    format: str
    why: str
    rows: Iterator[Row | Reject]


def read(paths: list[str], format: str | None = None, split: str = "train", samples: int | None = None) -> Reading:
    """The rows of files, a dataset folder or a dataset name, in the layout recognised or told by `format`.

    A line that cannot be used is a Reject among the rows. `samples` ends the reading after that many
    rows (rejects are not counted). BadInput and NotThere say at once what no row can come from: a
    missing or empty file, an unknown ending or format, a layout that nobody or more than one knows;
    while reading they say that a file cannot be read on.
    """
    if not paths:
        raise BadInput("no file is named; give at least one")
    if format is not None and format not in FORMATS:
        raise BadInput(f"--format {format} is not known{nearest(format, FORMATS)}; known are {', '.join(FORMATS)}")
    paths = [str(ours) if (ours := bundled(path)) != Path(path) else path for path in paths]
    sources = _open(paths, format, split)
    heads = [_heads(source) for source in sources]
    whole = dataset.is_dataset(paths[0]) or format == dataset.NAME
    if format is None or format == dataset.NAME:
        layout, why = _recognised(sources, heads)
    else:
        layout, why = next(known for known in LAYOUTS if format == known.NAME), "as told by --format"
    rows = layout.rows(sources)
    name = layout.NAME
    if whole and format in (None, dataset.NAME):
        name, why = dataset.NAME, f"split {split}; its rows are {layout.NAME}: {why}"
    return Reading(name, why, rows if samples is None else _first(rows, samples))


def _open(paths: list[str], format: str | None, split: str) -> list[Source]:
    """The sources by their paths, named by file name, or by path where two files have one name."""
    folders = [path for path in paths if format == dataset.NAME or dataset.is_dataset(path)]
    if folders:
        if len(paths) > 1:
            raise BadInput(f"{folders[0]} is a dataset; give it alone")
        if Path(folders[0]).is_file():
            raise BadInput(f"{folders[0]} is a file, not a dataset folder; leave out --format dataset")
        return [dataset.open_dataset(folders[0], split)]
    names = [Path(path).name for path in paths]
    sources = [open_source(path, None if names.count(n) == 1 else path) for path, n in zip(paths, names, strict=True)]
    sizes = [Path(path).stat().st_size for path in paths]
    for later, source in enumerate(sources):
        for earlier in range(later):
            if sizes[earlier] == sizes[later] and sources[earlier].stamp() == source.stamp():
                raise BadInput(f"{source.path} holds the same as {sources[earlier].path}; give one of them")
    return sources


def _heads(source: Source) -> list[dict[str, Any]]:
    """The first rows that can be read; BadInput when there is none among the first LOOK."""
    items = source.items()
    first = list(islice(items, LOOK))
    heads = [item.value for item in first if isinstance(item.value, dict)]
    if heads:
        return heads
    if not first:
        raise BadInput(f"{source.path} is empty: there is no row in it")
    what = first[0].problem or "no object with named fields"
    number = first[0].number
    raise BadInput(f"{source.path}: none of the first {len(first)} rows can be read; {source.unit} {number}: {what}")


def _recognised(sources: list[Source], heads: list[list[dict[str, Any]]]) -> tuple[Layout, str]:
    """The one layout that fits every source, and why."""
    found: dict[str, tuple[Layout, str]] = {}
    for source, rows in zip(sources, heads, strict=True):
        # An odd first row does not decide: the first that any layout knows does.
        fits = next((known for head in rows if (known := _fits(head))), {})
        if not fits:
            columns = ", ".join(f"'{name}'" for name in list(rows[0])[:12])
            raise BadInput(f"{source.path}: no layout fits rows with {columns}{_hint(rows[0])}; {_how()}")
        if len(fits) > 1:
            both = "; ".join(f"{name} ({why})" for name, (_, why) in fits.items())
            raise BadInput(f"{source.path}: more than one layout fits: {both}; say which with --format")
        if found and found.keys() != fits.keys():
            said = f"{sources[0].path} looks like {next(iter(found))} and {source.path} like {next(iter(fits))}"
            raise BadInput(f"{said}; load them one after the other, or say which with --format")
        found = found or fits
    return next(iter(found.values()))


def _fits(head: dict[str, Any]) -> dict[str, tuple[Layout, str]]:
    return {layout.NAME: (layout, why) for layout in LAYOUTS if (why := layout.recognise(head))}


def _hint(head: dict[str, Any]) -> str:
    """The first column that is nearly one that some layout needs."""
    needed = (
        "prompt",
        "instruction",
        "responses",
        "response",
        "response_1",
        "response1",
        "chosen",
        "rejected",
    )
    return next((f" ('{n}'{hint})" for n in head if n not in needed and (hint := nearest(n, needed))), "")


def _how() -> str:
    return f"known are {', '.join(FORMATS)}; say which with --format"


def _first(rows: Iterator[Row | Reject], samples: int) -> Iterator[Row | Reject]:
    """Rows until so many have come, with the rejects between them."""
    left = samples
    while left > 0 and (row := next(rows, None)) is not None:
        left -= isinstance(row, Row)
        yield row
