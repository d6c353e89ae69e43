"""What was trained on an export's rows, how it was evaluated and what its gate decided, as records to walk to.

Each folder of training says in its configuration which folder it was made from, by digest: a run its export, an
evaluation its run, a gate's record its run. So a row leads to every run that was trained on it, and a run to what was
decided of it. A run is made from the rows of its export's training split; held-out rows taught it nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import ConcordError
from data.jsonl import read_lines
from data.manifest import read_manifest
from data.parquet import read_rows

KINDS = ("run", "evaluation", "gate")


class Made(NamedTuple):
    """A folder with a manifest."""

    folder: Path
    what: str
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Which of KINDS it is; empty where it is none."""
        return self.what if self.what in KINDS else "run" if self.what.endswith(" run") else ""


def read_folders(manifests: Iterator[Path] | list[Path]) -> dict[str, Made]:
    """Folders by the digest in their manifest; one that cannot be read is passed over."""
    found = {}
    for path in manifests:
        try:
            manifest = read_manifest(path.parent)
        except ConcordError:
            continue
        found[manifest.digest] = Made(path.parent, manifest.what, manifest.config)
    return found


def sources_of(made: Made, folders: Mapping[str, Made]) -> Iterator[str]:
    """The ids of what a run, an evaluation or a gate was made from: rows, or a run's digest."""
    if made.kind == "run":
        source = folders.get(str(made.config.get("export")))
        if source is not None:
            yield from _trained_on(source.folder)
    elif made.kind:
        run = made.config.get("run")
        digest = str(run.get("digest") if isinstance(run, Mapping) else run)
        if digest in folders and folders[digest].kind == "run":
            yield digest


def _trained_on(export: Path) -> Iterator[str]:
    """The ids of an export's rows to train on."""
    for path in sorted(export.glob("data/train.*")):
        rows = read_rows(path) if path.suffix == ".parquet" else (line.value for line in read_lines(path))
        for row in rows:
            if isinstance(row, dict) and isinstance(row.get("id"), str):
                yield row["id"]
