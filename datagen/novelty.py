"""Keep the texts of a file that are new, and name for each other one the text it repeats.

    python -m datagen.novelty FILE --out DIR

A row is rejected when the ROUGE-L F1 of its text with a row kept before it is above 0.7, decided exactly,
in the order of the file; Latin words and Chinese, Japanese and Korean characters count alike. FILE is JSON lines,
a JSON list, CSV, Parquet (fields instruction, prompt or text) or .txt, a text a line. Rows pass through
unchanged into DIR/data/kept.jsonl; the others go to DIR/audit/rejected.jsonl with the neighbour and the score.
--index FILE keeps what was kept for the next run, which then rejects against it too.
"""

import argparse
import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import add_json, add_workspace, finish, parser, progress
from data.errors import BadInput, exit_status

if TYPE_CHECKING:
    from data.folder import Folder
    from datagen.novelty_index import Neighbour, NoveltyIndex
    from datagen.texts import Row


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m datagen.novelty")
    p.add_argument("file", type=Path, metavar="FILE", help="texts to go through, in order")
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="the folder to write; must be new (default: novelty in the workspace)"
    )
    p.add_argument("--force", action="store_true", help="put it in the place of a former run's")
    p.add_argument("--field", metavar="NAME", help="the field that holds the text (default: found)")
    p.add_argument("--against", nargs="+", type=Path, default=[], metavar="FILE", help="reject repeats of these too")
    p.add_argument("--threshold", default="0.7", metavar="F1", help="0 to 1, exact, such as 0.7 or 7/10 (default 0.7)")
    p.add_argument("--index", type=Path, metavar="FILE", help="an index of texts kept by former runs; it grows")
    p.add_argument(
        "--novelty-compat",
        choices=("rouge_score",),
        help="decide as that package does: its tokens (ASCII alone) and its floating-point F1",
    )
    p.add_argument("--similar", type=int, default=0, metavar="K", help="list the K nearest of every row (slower)")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    if args.similar < 0:
        raise BadInput(f"--similar is {args.similar}; it counts texts and is at least 0")
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, decide row by row, write the folder and then the index."""
    args = arguments(argv)
    from datagen.novelty_file import grown_alone

    with grown_alone(args.index) if args.index else nullcontext():
        finish(_decide(args), args.json)
    return 0


def _decide(args: argparse.Namespace) -> dict[str, Any]:
    """The work of a run; returns the summary."""
    from data.folder import write_folder
    from datagen.novelty_index import parse_threshold

    out = args.out or args.workspace / "novelty"
    threshold = parse_threshold(args.threshold)
    index = _index(args, threshold)
    known = len(index)
    against, left_out = _against(args, threshold)
    config = {
        "threshold": str(threshold),
        "compat": args.novelty_compat,
        "field": args.field,
        "similar": args.similar,
    }
    with write_folder(out, "novelty", config, replace=args.force) as folder:
        read = [args.file, *args.against, *([args.index] if known else [])]
        folder.inputs["files"] = [{"name": path.name, "sha256": _hash(path)} for path in read]
        tally = _go_through(args, folder, [against, index] if len(against) else [index])
        if tally["rows"] == tally["unusable"]:
            raise BadInput(f"{args.file} holds no text: {tally.get('first_problem', 'it is empty')}")
    if args.against:
        tally["against"] = {"texts": len(against), "rows_without_a_text": left_out}
    if args.index:
        index.save(args.index)
        tally["index"] = f"{args.index} ({len(index):,} texts, {known:,} before)"
    return {**tally, "threshold": str(threshold), "wrote": str(out)}


def _index(args: argparse.Namespace, threshold: Any) -> "NoveltyIndex":
    """The index of former runs, or an empty one; its threshold and its way to decide must be the run's."""
    from datagen.novelty_index import NoveltyIndex

    if args.index is None or not args.index.exists():
        return NoveltyIndex(threshold, args.novelty_compat)
    index = NoveltyIndex.load(args.index)
    for flag, its, ours in (
        ("--threshold", index.threshold, threshold),
        ("--novelty-compat", index.compat, args.novelty_compat),
    ):
        if its != ours:
            raise BadInput(
                f"{args.index} was built with {flag} {its}, not {ours}; name another file, or the same {flag}"
            )
    return index


def _against(args: argparse.Namespace, threshold: Any) -> tuple["NoveltyIndex", int]:
    """The texts of the other files, which do not enter the index that is kept; and how many rows had none."""
    from datagen.novelty_index import NoveltyIndex
    from datagen.texts import read_texts

    against, left_out = NoveltyIndex(threshold, args.novelty_compat), 0
    with progress("reading what is known") as step:
        for path in args.against:
            before = len(against)
            for row in read_texts(path, args.field):
                step(1)
                if row.problem is None:
                    against.add(row.id, row.text)
                else:
                    left_out += 1
            if len(against) == before:
                raise BadInput(f"--against {path} gives no text; name its field with --field")
    return against, left_out


def _go_through(args: argparse.Namespace, folder: "Folder", indexes: list["NoveltyIndex"]) -> dict[str, Any]:
    """Keep or reject each row in order; the last index is the one that grows."""
    from datagen.texts import read_texts

    tally: dict[str, Any] = {"rows": 0, "kept": 0, "too_similar": 0, "unusable": 0}
    with (
        folder.lines("data/kept.jsonl") as kept,
        folder.lines("audit/rejected.jsonl") as rejected,
        folder.lines("audit/similar.jsonl") as similar,
        progress("going through the rows") as step,
    ):
        for row in read_texts(args.file, args.field):
            step(1)
            tally["rows"] += 1
            if row.problem is not None:
                tally["unusable"] += 1
                tally.setdefault("first_problem", f"line {row.number}: {row.problem}")
                rejected.add({"reason": row.problem, "line": row.number, "row": row.value})
                continue
            if args.similar:
                similar.add({"id": row.id, "similar": _similar(row, indexes, args.similar)})
            found = _nearest(row, indexes)
            if found is None:
                tally["kept"] += 1
                indexes[-1].add(row.id, row.text)
                kept.add(row.line)
            else:
                tally["too_similar"] += 1
                rejected.add(
                    {"reason": "too similar", "line": row.number, "neighbour": _plain(found), "row": row.value}
                )
    return tally


def _nearest(row: "Row", indexes: list["NoveltyIndex"]) -> "Neighbour | None":
    found = [near for index in indexes if (near := index.nearest(row.text)) is not None]
    return max(found, key=lambda near: near.score, default=None)  # the first of equal ones


def _similar(row: "Row", indexes: list["NoveltyIndex"], k: int) -> list[dict[str, Any]]:
    found = [near for index in indexes for near in index.similar(row.text, k)]
    return [_plain(near) for near in sorted(found, key=lambda near: -near.score)[:k]]


def _plain(near: "Neighbour") -> dict[str, Any]:
    return {
        "id": near.id,
        "text": near.text,
        "score": near.score,
        "lcs": near.lcs,
        "tokens": [near.m, near.n],
    }


def _hash(path: Path) -> str:
    from data.jsonl import open_bytes

    open_bytes(path).close()  # what is missing is said in a line
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
