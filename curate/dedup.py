"""Each text once: exact and near duplicates out of a file or folder, every one with its reason and its witness.

    python -m curate.dedup FILE --out DIR

FILE is JSON lines, a JSON list, CSV, TSV or Parquet: preference rows, prompts, tasks, or anything with a column
of text (--text COLUMN); or a folder: an export, or a snapshot. Two texts are near when at least 4 in 5 of all
their shingles (runs of 3 words, or of 3 letters where a script writes no spaces) are in both: each is
checked exactly. A text shorter than a shingle is one shingle, so it is near only what says the same; one without
words counts by its normalised spelling. A row goes only when it is near a row that stays, so likeness is never
handed on along a chain. Of like rows the one judged first stays, then what came first in the ledger, then
the smaller id (a row without one has a hash of itself).

The same prompt with chosen and rejected swapped is no duplicate: it is named in DIR/audit/contradictions.jsonl.
DIR/data holds what stays, DIR/audit/removed.jsonl what goes and for which row. The order of the rows, threads and
memory change no byte.
"""

import argparse
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from data.command import add_json, finish, parser, progress
from data.errors import BadInput, exit_status


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m curate.dedup")
    p.add_argument("input", nargs="+", type=Path, metavar="FILE", help="files or folders to go through")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former run's")
    p.add_argument("--on", choices=("row", "prompt", "response"), default="row", help="what is compared (default: row)")
    p.add_argument("--text", metavar="COLUMN", help="the column of a plain table that holds the text")
    p.add_argument("--against", nargs="+", type=Path, default=[], metavar="FILE", help="remove what is like these too")
    p.add_argument(
        "--threshold", default="0.8", metavar="J", help="Jaccard similarity, exact: 0.8 or 4/5 (default 0.8)"
    )
    p.add_argument("--shingle", type=int, default=3, metavar="N", help="tokens in a shingle (default: 3)")
    p.add_argument("--project", metavar="NAME", help="the project of a snapshot with several")
    p.add_argument("--threads", type=int, default=2, help="processes at work (default: 2)")
    p.add_argument("--memory", type=int, default=1500, metavar="MB", help="about as much is held (default: 1500)")
    add_json(p)
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read the flags, deduplicate, print the summary."""
    args = arguments(argv)
    threshold = _threshold(args.threshold)
    if not 1 <= args.shingle <= 100:
        raise BadInput(f"--shingle is {args.shingle}; it counts tokens, from 1 to 100")
    from curate.dedup_run import How, deduplicate
    from data.folder import write_folder

    how = How(args.on, threshold, args.shingle, args.text, args.project, args.threads, args.memory)
    config: dict[str, Any] = {"on": how.on, "threshold": str(threshold), "shingle": how.n, "text": how.text}
    with write_folder(args.out, "dedup", config, replace=args.force) as folder:
        with progress("reading rows") as step:
            tally = deduplicate(args.input, args.against, how, folder, step)
        folder.inputs["files"] = [{"name": path.name, "sha256": _hash(path)} for path in [*args.input, *args.against]]
        digest = folder.seal().digest
    finish({**tally, "threshold": str(threshold), "digest": digest, "wrote": str(args.out)}, args.json)
    return 0


def _threshold(text: str) -> Fraction:
    """The threshold as it is written, without rounding; BadInput unless it is above 0 and at most 1."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}|\d{1,9}/\d{1,9}", text.strip(), re.ASCII):
        top, _, bottom = text.strip().partition("/")
        value = Fraction(top) / int(bottom or 1) if int(bottom or 1) else Fraction(0)
        if 0 < value <= 1:
            return value
    raise BadInput(f"--threshold: '{text}' is no similarity above 0 and up to 1, such as 0.8 or 4/5")


def _hash(path: Path) -> str:
    """The sha256 of a file; of a folder that of its manifest."""
    import hashlib

    from data.manifest import MANIFEST

    file = path / MANIFEST if path.is_dir() else path
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
