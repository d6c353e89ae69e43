"""Rows into train, validation and test, with nothing that is nearly the same on two sides.

    python -m curate.split rows.jsonl --out workspace/splits/rows

Takes JSON lines with a prompt (prompt, messages, instruction, question, text, or chosen alone), or an
export folder. Near-duplicate prompts, and dialogues that begin alike, stay together; a group goes by
its content and the seed, so a row's split never hangs on the order of the others. The greatest
similarity across splits is measured, printed, and kept in DIR/audit/certificate.jsonl.

Memory holds every prompt, and some 300 bytes a row beside it; answers and all else lie on disk meanwhile,
so it does not grow with the length of the answers.
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from data.command import add_json, finish, parser, progress
from data.errors import BadInput, CheckFailed, exit_status

if TYPE_CHECKING:
    from curate.groups import Asked, Groups, Nearest
    from data.folder import Folder


def main(argv: list[str] | None = None) -> int:
    """Read the flags, split, print the summary."""
    p = parser(__doc__, "python -m curate.split")
    p.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="JSONL files, or an export folder")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former split")
    p.add_argument("--splits", default="90,5,5", help="shares of train,validation,test (default: 90,5,5)")
    p.add_argument("--threshold", default="0.8", metavar="J", help="similarity that keeps prompts together (0.8)")
    p.add_argument("--seed", type=int, default=0, help="which groups go to which split (default: 0)")
    p.add_argument("--threads", type=int, default=1, help="processes that work at a time (default: 1)")
    add_json(p)
    args = p.parse_args(argv)
    shares, threshold = _shares(args.splits), _threshold(args.threshold)
    from curate.groups import group, nearest_across, splits
    from data.folder import write_folder

    config = {"splits": shares, "threshold": str(threshold), "seed": args.seed}
    with (
        write_folder(args.out, "split", config, replace=args.force) as folder,
        tempfile.TemporaryFile(dir=folder.path) as lines,
        progress("splitting", total=4) as step,
    ):
        with folder.lines("audit/rejected.jsonl") as rejected:
            read = _read(args.inputs, rejected.add, lines)
        folder.inputs["files"] = [path.name for path in args.inputs]
        step(1)
        rows = read.asked
        made = group(rows, threshold, args.threads)
        step(1)
        sides = splits(made.group, args.seed, shares)
        nearest = nearest_across(rows, made.prompt, sides, args.threads)
        step(1)
        counts = _write(folder, read, made, sides, nearest)
        manifest = folder.seal()
    told = "none" if nearest.similarity is None else f"{nearest.similarity:.4f}"
    summary = {
        "rows": len(rows),
        **counts,
        "groups": len(set(made.group)),
        "rows_in_the_largest_group": made.largest,
        "greatest_similarity_across_splits": f"{told} (looked for from {nearest.at_least:g} up)",
        "digest": manifest.digest,
        "wrote": str(args.out),
    }
    finish(summary, args.json)
    if nearest.similarity is not None and nearest.similarity >= threshold:
        raise CheckFailed(f"two prompts on different sides are {told} alike; see {args.out}/audit/certificate.jsonl")
    return 0


class Read:
    """The rows that were read: what each asks in memory, its line on disk."""

    def __init__(self, files: list[Path], lines: BinaryIO) -> None:
        self.files = files
        self.lines = lines
        self.asked: list[Asked] = []
        self.start = array("q", [0])
        self.file, self.number = array("q"), array("q")

    def add(self, line: bytes, asked: "Asked", file: int, number: int) -> None:
        """Keep a row."""
        self.lines.write(line)
        self.asked.append(asked)
        self.start.append(self.start[-1] + len(line))
        self.file.append(file)
        self.number.append(number)

    def line(self, row: int) -> bytes:
        """A row in its canonical spelling, as it came."""
        self.lines.seek(self.start[row])
        return self.lines.read(self.start[row + 1] - self.start[row])

    def where(self, row: int) -> str:
        """Where a row stood."""
        return f"{self.files[self.file[row]].name}, line {self.number[row]}"


def _shares(text: str) -> list[int]:
    words = text.split(",")
    if len(words) != 3 or not all(w.strip().isdecimal() for w in words) or not 0 < sum(map(int, words)) <= 1_000_000:
        raise BadInput(f"--splits: '{text}' is not three whole shares such as 90,5,5")
    return [int(word) for word in words]


def _threshold(text: str) -> Any:
    from fractions import Fraction

    try:
        value = Fraction(text) if len(text) < 20 and "e" not in text.lower() else None
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or not 0 < value <= 1:
        raise BadInput(f"--threshold: '{text}' is no similarity above 0 and at most 1, such as 0.8")
    return value


def _read(inputs: list[Path], rejected: Any, lines: BinaryIO) -> Read:
    """Every row that asks something; the others are told to `rejected` with the reason."""
    from curate.groups import asked
    from data.jsonl import read_lines
    from data.records import canonical

    files: list[Path] = []
    for path in inputs:
        files += sorted((path / "data").glob("*.jsonl")) if path.is_dir() else [path]
    found = Read(files, lines)
    for file, path in enumerate(files):
        for line in read_lines(path):
            why = line.problem or ("" if isinstance(line.value, dict) else "no object with named fields")
            if not why:
                try:
                    found.add(canonical(line.value), asked(line.value), file, line.number)
                    continue
                except BadInput as error:
                    why = str(error)
            rejected({"file": path.name, "line": line.number, "reason": why})
    if not found.asked:
        raise BadInput(f"{', '.join(map(str, inputs))}: no row with a prompt")
    return found


def _write(folder: "Folder", read: Read, made: "Groups", sides: list[str], nearest: "Nearest") -> dict[str, int]:
    """The splits, which group each row is in, and the certificate; returns the rows of each split."""
    from contextlib import ExitStack

    from data.folder import SPLITS
    from data.jsonl import parse

    with ExitStack() as stack:
        outs = {split: stack.enter_context(folder.lines(f"data/{split}.jsonl")) for split in SPLITS}
        groups = stack.enter_context(folder.lines("audit/groups.jsonl"))
        for i, line in _in_order(read, made.group, sides):
            row = parse(line)[0]
            outs[sides[i]].add(line)
            groups.add({"id": row.get("id"), "where": read.where(i), "group": made.group[i], "split": sides[i]})
        counts = {split: out.rows for split, out in outs.items() if out.rows}
    two = [
        {"id": parse(read.line(i))[0].get("id"), "where": read.where(i), "split": sides[i]}
        for i in (nearest.a, nearest.b)
        if i is not None
    ]
    kept = {"greatest_similarity_across_splits": nearest.similarity, "looked_for_from": nearest.at_least, "rows": two}
    folder.write("audit/certificate.jsonl", [kept])
    return counts


def _in_order(read: Read, groups: list[str], sides: list[str]) -> Iterator[tuple[int, bytes]]:
    """Rows with their lines by group, then by content, so that the order of the input shows nowhere."""
    from itertools import groupby

    from data.jsonl import parse
    from data.records import canonical

    def line(row: int) -> bytes:
        whole = read.line(row)
        held = parse(whole)[0] if b'"split":' in whole else {}
        return canonical({**held, "split": sides[row]}) if "split" in held else whole

    order = sorted(range(len(groups)), key=groups.__getitem__)
    for _, rows in groupby(order, key=groups.__getitem__):
        yield from sorted(((row, line(row)) for row in rows), key=lambda one: (one[1], one[0]))


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
