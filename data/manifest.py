"""What proves a folder: its manifest, the hash of each row, and their verification byte by byte.

    DIR/data/train.jsonl …    the rows, and nothing else, for load_dataset(DIR)
    DIR/audit/…               what stands behind them: rejects, sources, and rows.sha256
    DIR/README.md             tells `datasets` and the Hub which files are the splits
    DIR/manifest.json         every file's hash, the configuration, the inputs, the run

`digest` covers the data files and the configuration: the same inputs, seed and settings
give the same digest on any machine. `run` (when, where, by which command and versions),
the inputs, README.md, report.html and what lies in audit/ are outside the digest, and inside `seal`, which covers
the whole manifest. A seal is no signature: somebody who writes every hash anew is found by
comparing with the ledger (`python -m curate.verify DIR --store`).

Folders are written by data/folder.py.
"""

import contextlib
import hashlib
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from data.errors import BadInput, NotThere, one_line
from data.jsonl import explain
from data.parallel import in_order, processes
from data.records import Record, digest
from data.version import NAME
from data.version import version as our_version

FORMAT = 1
MANIFEST = "manifest.json"
ROWS = "audit/rows.sha256"
PAGES = ("README.md", "report.html")  # words and pictures about the data; charts are set in the machine's own fonts
_CHUNK = 1 << 20
_LARGE = 200_000_000  # bytes of rows from which on several processes hash them


class FileEntry(Record):
    """One file of a folder: its path inside it, its sha256, its size, and its rows where it is JSONL."""

    path: str
    sha256: str
    bytes: int
    rows: int | None = None


class Manifest(Record):
    """What a folder holds and where it came from."""

    format: int
    what: str
    digest: str
    """sha256 over data files and configuration."""
    config: dict[str, Any]
    files: list[FileEntry]
    inputs: dict[str, Any]
    """What was read: files, snapshots, ledger heads."""
    run: dict[str, Any]
    seal: str
    """sha256 over everything above."""


def make_manifest(
    folder: Path, what: str, config: dict[str, Any], inputs: dict[str, Any], rows: dict[str, int]
) -> Manifest:
    """The manifest of what lies in a folder now; `rows` has the row count of each JSONL file."""
    there = sorted(_files(folder).items())
    with in_order(len(there)) as run:
        hashed = list(run(_hash_file, [path for _, path in there]))
    files = [
        FileEntry(path=name, sha256=sha256, bytes=size, rows=rows.get(name))
        for (name, _), (sha256, size) in zip(there, hashed, strict=True)
    ]
    made = Manifest(
        format=FORMAT,
        what=what,
        digest=content_digest(files, config),
        config=config,
        files=files,
        inputs=inputs,
        run=this_run(),
        seal="",
    )
    return made.model_copy(update={"seal": seal_of(made)})


def content_digest(files: Iterable[FileEntry], config: dict[str, Any]) -> str:
    """sha256 over configuration and data files: all but the pages to read and what lies in audit/."""
    data = [f for f in files if not f.path.startswith("audit/") and f.path not in PAGES]
    return digest([[[f.path, f.sha256, f.bytes] for f in data], config])


def seal_of(manifest: Manifest) -> str:
    """sha256 over everything in a manifest but the seal itself."""
    return digest({k: v for k, v in manifest.model_dump(mode="json").items() if k != "seal"})


def spell(manifest: Manifest) -> bytes:
    """The one spelling of manifest.json: sorted keys, two spaces, a line break at the end."""
    return orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def this_run() -> dict[str, Any]:
    """When, by which command, with which versions and on what kind of machine; no names, no passwords."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version(), NAME: our_version()}
    for name in ("pydantic", "orjson"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    typed = ["python", "-m", module.name] if module else [Path(sys.argv[0]).name]
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": without_secrets(" ".join([*typed, *sys.argv[1:]])),
        "versions": versions,
        "machine": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
    }


def without_secrets(command: str) -> str:
    """A command line without the passwords of its URLs."""
    command = re.sub(r"(://[^\s/@:]*):[^\s/]*@", r"\1:***@", command)
    return re.sub(r"(?i)\b(password|token|key|secret)=[^\s&]+", r"\1=***", command)


def read_manifest(folder: Path) -> Manifest:
    """A folder's manifest.

    Raises:
        NotThere: there is no such folder, or it has no manifest.
        BadInput: the manifest cannot be read, or a newer Concord wrote it.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise NotThere(f"{folder} is not there; name a folder that one of the commands wrote")
    if not path.is_file():
        raise NotThere(f"{folder} has no {MANIFEST}; name a folder that one of the commands wrote")
    try:
        made = Manifest.model_validate(orjson.loads(path.read_bytes()))
    except ValueError as error:
        raise BadInput(f"{path} is no manifest: {explain(error)}") from None
    if made.format > FORMAT:
        raise BadInput(f"{path} has format {made.format}, this Concord knows {FORMAT}; install a newer Concord")
    return made


def verify_folder(folder: Path) -> list[str]:
    """What in a folder is not as it was written, a line each; an empty list when every byte is.

    Names each file that is missing, extra or changed, and each changed row of a JSONL file.

    Raises:
        NotThere: no folder, or no manifest in it.
    """
    try:
        manifest = read_manifest(folder)
    except BadInput as error:
        return [str(error)]
    faults = []
    if (folder / MANIFEST).read_bytes() != spell(manifest) or manifest.seal != seal_of(manifest):
        faults.append(f"{MANIFEST}: changed since it was written")
    if manifest.digest != content_digest(manifest.files, manifest.config):
        faults.append(f"{MANIFEST}: the digest is not that of its files and configuration")
    there = _files(folder)
    listed = {f.path: f for f in manifest.files}
    faults += [f"{name}: missing" for name in sorted(listed.keys() - there.keys())]
    faults += [f"{name}: not written by the run that made this folder" for name in sorted(there.keys() - listed.keys())]
    both = sorted(listed.keys() & there.keys())
    with in_order(len(both)) as run:
        differ = run(_changed, [listed[n] for n in both], [there[n] for n in both])
        changed = [n for n, other in zip(both, differ, strict=True) if other]
    told = _told_rows(folder) if changed else {}
    for name in changed:
        rows = _changed_rows(there[name], name, told[name]) if name in told else []
        faults += rows or [f"{name}: changed since it was written"]
    return faults


def _changed(entry: FileEntry, path: Path) -> bool:
    return path.is_symlink() or not path.is_file() or _hash_file(path) != (entry.sha256, entry.bytes)


def _files(folder: Path) -> dict[str, Path]:
    """Everything below that is no folder, by its path with slashes; the manifest left out."""
    found = {}
    for here, folders, names in os.walk(folder):
        for name in names + [f for f in folders if os.path.islink(os.path.join(here, f))]:
            path = Path(here, name)
            found[path.relative_to(folder).as_posix()] = path
    found.pop(MANIFEST, None)
    return found


def _hash_file(path: Path) -> tuple[str, int]:
    made, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            made.update(chunk)
            size += len(chunk)
    return made.hexdigest(), size


def _rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """Hash and bytes of each line, its line break included."""
    with path.open("rb") as file:
        for line in file:
            yield hashlib.sha256(line).hexdigest(), line


def write_row_hashes(folder: Path) -> dict[str, int]:
    """Write rows.sha256 (hash, file, row id) for every JSONL file; returns the rows of each.

    What data/folder.py wrote line by line was hashed on the way; only other files are read for it.
    """
    counts: dict[str, int] = {}
    target = folder / ROWS
    there = _files(folder)
    names = [name for name in sorted(there) if name.endswith(".jsonl")]
    if names:
        target.parent.mkdir(exist_ok=True)
        todo = [name for name in names if not hashes_of(folder, name).exists()]
        several = os.cpu_count() if sum(there[name].stat().st_size for name in todo) > _LARGE else 1
        with processes(min(several or 1, 4)) as run:
            list(run(_hash_rows, repeat(folder), todo))
        with target.open("wb") as out:
            for name in names:
                counts[name] = _named(hashes_of(folder, name), name, out)
    for path in target.parent.glob(".*.hashes"):
        path.unlink()
    return counts


def _named(hashes: Path, name: str, out: BinaryIO) -> int:
    """Copy the hashes of one file to rows.sha256, each with the file's name; returns how many there are."""
    count = 0
    between = b"  " + name.encode() + b"  "
    with hashes.open("rb") as lines:
        while chunk := lines.readlines(_CHUNK):
            count += len(chunk)
            out.write(b"".join([line[:64] + between + line[64:] for line in chunk]))
    return count


def _hash_rows(folder: Path, name: str) -> None:
    with hashes_of(folder, name).open("wb") as out, (folder / name).open("rb") as lines:
        out.writelines(map(hash_row, lines))


def hashes_of(folder: Path, name: str) -> Path:
    """Where the hashes of a file's rows wait, as `hash_row` gives them, until all are written to rows.sha256."""
    return (folder / ROWS).with_name(f".{name.replace('/', '~')}.hashes")


def hash_row(line: bytes, row_id: object = None) -> bytes:
    """The sha256 of a row (its line break included) and its id, as a line; without an id the row is asked for it."""
    if row_id is None:
        row = orjson.loads(line)
        row_id = (row.get("id") or "-") if isinstance(row, dict) else "-"
    name = str(row_id)
    name = name if name.isalnum() and len(name) <= 80 else one_line(name, 80)
    return f"{hashlib.sha256(line).hexdigest()}{name}\n".encode()


def _told_rows(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """rows.sha256 as it is now: (hash, row id) of each row, by file."""
    told: dict[str, list[tuple[str, str]]] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in (folder / ROWS).read_text(encoding="utf-8").splitlines():
            parts = line.split("  ")
            if len(parts) == 3:
                told.setdefault(parts[1], []).append((parts[0], parts[2]))
    return told


def _changed_rows(path: Path, name: str, told: list[tuple[str, str]]) -> list[str]:
    """Which rows of a changed file are not those that were written."""
    now = [sha256 for sha256, _ in _rows(path)] if path.is_file() else []
    then = Counter(sha256 for sha256, _ in told)
    if then == Counter(now):
        return [f"{name}: the rows are in another order"]
    if len(now) == len(told):
        pairs = zip(now, told, strict=True)
        return [f"{name}, line {i}: row {row} was changed" for i, (h, (was, row)) in enumerate(pairs, 1) if h != was]
    left = then - Counter(now)
    faults = [f"{name}: row {row} (line {i}) is gone" for i, (was, row) in enumerate(told, 1) if was in left]
    more = Counter(now) - then
    return faults + [f"{name}, line {i}: no such row was written" for i, h in enumerate(now, 1) if h in more]
