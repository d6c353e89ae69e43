"""Biases, leaks, private data and faults of people or files, each found, counted and traceable.

    python -m curate.audit workspace/exports/answers --out workspace/audits/answers

Takes an export folder, a snapshot (--project), preference files in any layout that annotate.load
reads, labels (unit, annotator, value), comparisons (--comparisons: item_a, item_b, winner, annotator) or texts
(--text COLUMN).
--evaluation FILE looks for its texts among ours. Writes DIR/audit/findings.jsonl, and every case in
cases.jsonl, with DIR/report.html to read; --redact writes a copy of JSONL rows without private data
to DIR/data. Exit status: 0 nothing blocks, 1 a finding of level block that --allow does not name, 2 something to mend.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import Parser, add_json, finish, parser, progress
from data.errors import BadInput, CheckFailed, exit_status, nearest, one_line

if TYPE_CHECKING:
    from curate.auditing import Limits
    from curate.findings import Found
    from curate.material import Material
    from data.folder import Folder


def main(argv: list[str] | None = None) -> int:
    """Read the flags, audit, print what was found."""
    p = parser(__doc__, "python -m curate.audit")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="an export or snapshot folder, or files")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former audit")
    _add_inputs(p)
    p.add_argument("--evaluation", nargs="+", type=Path, default=[], metavar="FILE", help="files to look for")
    p.add_argument("--n", type=int, default=13, help="tokens of a run that counts as shared (default: 13)")
    p.add_argument("--shortest", type=int, default=8, help="tokens of the shortest text looked for (default: 8)")
    p.add_argument("--only", nargs="+", default=[], metavar="NAME", help="look for these findings alone")
    p.add_argument("--allow", nargs="+", default=[], metavar="NAME", help="findings that shall not block")
    p.add_argument("--limit", nargs="+", default=[], metavar="NAME=X", help="from where on one warns: length=0.2")
    p.add_argument("--threads", type=int, metavar="N", help="that work at once (default: one for each core)")
    p.add_argument("--redact", action="store_true", help="write the rows without private data to DIR/data")
    add_json(p)
    args = p.parse_args(argv)
    from curate.auditing import check_only, findings, looked_for
    from curate.evaluation import read_evaluation
    from curate.findings import blocking
    from curate.report_pages import audit_page
    from data.folder import write_folder
    from data.parallel import how_many

    limits = _limits(args.limit, args.only)
    blocking([], args.allow)
    check_only(limits)
    threads = how_many(args.threads)
    config = {"limits": limits.model_dump(mode="json"), "n": args.n, "shortest": args.shortest}
    config |= {"allow": sorted(args.allow), "redact": args.redact, "evaluation": [p.name for p in args.evaluation]}
    files = _redactable(args.inputs) if args.redact else []
    with write_folder(args.out, "audit", config, replace=args.force) as folder:
        with progress("checks") as step:
            material = _material(args, folder)
            step(1)
            index = read_evaluation(args.evaluation, args.n, args.shortest) if args.evaluation else None
            found = findings(material, limits, index, lambda _: step(1), threads)
        replaced = _write(folder, found, files)
        counts = {"rows": len(material.pairs), "judgments": len(material.ballots), "texts": len(material.passages)}
        name = ", ".join(Path(word).name for word in args.inputs)
        folder.write_text("report.html", audit_page([one.finding for one in found], counts, name, args.allow))
        manifest = folder.seal()
    stops = blocking([one.finding for one in found], args.allow)
    summary = {
        **counts,
        "looked_for": ", ".join(looked_for(material, limits, index)) or "nothing: no rows, judgments or texts",
        "findings": {level: sum(f.finding.level == level for f in found) for level in ("block", "warn", "info")},
        **({"evaluation_texts": len(index.texts), "too_short_to_look_for": index.too_short} if index else {}),
        **({"replaced": replaced} if args.redact else {}),
        "digest": manifest.digest,
        "wrote": str(args.out),
    }
    _say(found, summary, args.json)
    if stops:
        names = " ".join(dict.fromkeys(one.name for one in stops))
        raise CheckFailed(f"{names.replace(' ', ', ')} block; mend the rows, or go on with --allow {names}")
    return 0


def _say(found: "Sequence[Found]", summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        finish({**summary, "found": [one.finding.plain() for one in found]}, True)
        return
    for one in found:
        examples = ", ".join(c.id for c in one.finding.examples[:3])
        print(one_line(f"{one.finding.level:5} {one.finding.name}: {one.finding.says}", 300))
        if examples:
            print(one_line(f"      such as {examples}; {one.finding.trace}", 300))
    finish(summary)


def _add_inputs(p: Parser) -> None:
    p.add_argument("--project", metavar="NAME", help="of a snapshot with several")
    p.add_argument("--format", metavar="NAME", help="layout of the files, where it is not recognised")
    p.add_argument("--comparisons", action="store_true", help="the files are comparisons of two items")
    for name in ("item-a", "item-b", "winner", "annotator"):
        default = name.replace("-", "_")
        p.add_argument(f"--{name}", default=default, metavar="COLUMN", help=f"of comparisons (default: {default})")
    for name in ("unit", "value"):
        p.add_argument(f"--{name}", default=name, metavar="COLUMN", help=f"of labels (default: {name})")
    p.add_argument("--text", metavar="COLUMN", help="the files are texts, in this column")
    p.add_argument("--id", default="id", metavar="COLUMN", help="of texts (default: id)")


def _limits(given: list[str], only: list[str]) -> "Limits":
    from curate.auditing import Limits

    known = {name for name in Limits.model_fields if name != "only"}
    values: dict[str, Any] = {}
    for word in given:
        name, _, value = word.partition("=")
        if name not in known:
            raise BadInput(f"--limit: '{name}' is none of {', '.join(sorted(known))}{nearest(name, known)}")
        try:
            values[name] = float(value)
        except ValueError:
            raise BadInput(f"--limit {name}: '{value}' is no number") from None
    return Limits(**values, only=tuple(only))


def _material(args: Any, folder: "Folder") -> "Material":
    """What the flags and paths name, read; rows that cannot be used go to audit/rejected.jsonl."""
    from curate import audit_sources as sources
    from curate.engine import engine
    from curate.tables import read_comparisons, read_labels, read_texts
    from data.manifest import read_manifest

    paths = [Path(word) for word in args.inputs]
    folder.inputs["paths"] = [path.name for path in paths]
    if len(paths) == 1 and (paths[0] / "manifest.json").is_file():
        manifest = read_manifest(paths[0])
        folder.inputs["digest"] = manifest.digest
        if manifest.what != "snapshot":
            return sources.from_export(paths[0])
        with engine() as con:
            return sources.from_snapshot(con, paths[0], args.project)
    with folder.lines("audit/rejected.jsonl") as rejected:
        if args.comparisons:
            with engine() as con:
                columns = (args.item_a, args.item_b, args.winner, args.annotator)
                return sources.from_comparisons(con, read_comparisons(con, paths, *columns, rejected=rejected.add))
        if not args.format and not args.text and _has_labels(paths, (args.unit, args.annotator, args.value)):
            with engine() as con:
                table = read_labels(con, paths, args.unit, args.annotator, args.value, rejected.add)
                return sources.from_labels(con, table)
        if args.text:
            with engine() as con:
                return sources.from_texts(con, read_texts(con, paths, args.text, args.id, rejected=rejected.add))
        return sources.from_files(args.inputs, args.format, rejected.add)


def _has_labels(paths: list[Path], columns: tuple[str, str, str]) -> bool:
    """Whether the first row of the first file has the columns of a table of labels."""
    from data.formats.files import open_source

    if not paths[0].is_file():
        return False
    first = next(iter(open_source(str(paths[0])).items()), None)
    return first is not None and isinstance(first.value, dict) and set(columns) <= first.value.keys()


def _redactable(inputs: list[str]) -> list[Path]:
    """The JSONL files whose rows --redact copies."""
    paths = [Path(word) for word in inputs]
    files = sorted((paths[0] / "data").glob("*.jsonl")) if paths[0].is_dir() else paths
    if not files or any(".jsonl" not in path.suffixes for path in files):
        raise BadInput("--redact copies JSON lines; name an export folder or .jsonl files")
    if len({path.name for path in files}) < len(files):
        raise BadInput("--redact: two files have one name; redact them one after the other")
    return files


def _write(folder: "Folder", found: "list[Found]", files: list[Path]) -> int:
    """The findings, their cases, and the redacted rows; returns how many pieces were replaced."""
    from curate.findings import FILE
    from curate.redaction import about, redact_file

    folder.write(FILE, (one.finding for one in found))
    cases = ({"finding": one.finding.name, **c.plain()} for one in found for c in one.cases)
    folder.write("audit/cases.jsonl", cases)
    replaced = 0
    with folder.lines("audit/redactions.jsonl") as told:
        for path in files:
            with folder.lines(f"data/{path.name.removesuffix('.gz')}") as out:
                replaced += redact_file(path, out, told)
    if files:
        digest = folder.inputs.get("digest")
        folder.inputs["redacted"] = {"replaced": replaced, **({"of": digest} if digest else {})}
        splits = [path.name.removesuffix(".gz").removesuffix(".jsonl") for path in files]
        there = [name for name in splits if (folder.path / "data" / f"{name}.jsonl").is_file()]
        folder.write_text("README.md", about(there, digest, replaced))
        named = files[0].parent.parent / "dataset_info.json"
        if digest and named.is_file():  # by which LLaMA-Factory finds the files; no text of ours is in it
            folder.write_text("dataset_info.json", named.read_text("utf-8"))
    return replaced


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
