"""Load tasks into a project.

    python -m annotate.load answers.jsonl --project demo --kind ranking --overlap 3

The layout of the files is recognised and said; --format forces one. Lines that cannot be
used go to rejected.jsonl with their reason, the others are loaded. Loading the same file
again adds nothing; loading more into a live project is fine.
"""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from data.bundled import bundled
from data.command import add_json, add_store, finish, parser, progress, store_url
from data.errors import BadInput, exit_status

KINDS = ("ranking", "ab", "rating")


def arguments() -> argparse.Namespace:
    """The command line."""
    from data.formats import FORMATS

    args = parser(__doc__, "python -m annotate.load")
    args.add_argument("files", nargs="+", metavar="FILE", help="files of one layout, a folder, or a dataset's name")
    args.add_argument("--project", required=True, help="project to load into; made if it is not there")
    args.add_argument("--kind", choices=KINDS, help="what people do with each task (default: as the rows say)")
    args.add_argument("--overlap", type=int, metavar="K", help="people who judge each task, 1 to 1000 (default 1)")
    args.add_argument("--priority", type=int, metavar="N", help="higher is served first, -1000 to 1000 (default 0)")
    args.add_argument("--language", metavar="CODE", help="language of rows that do not say theirs, such as en or zh")
    args.add_argument("--criteria", type=bundled, metavar="FILE", help="YAML or JSON list of criteria for rating tasks")
    args.add_argument("--guidelines", type=bundled, nargs="+", metavar="FILE", help="guidelines.en.md guidelines.zh.md")
    args.add_argument("--title", help="the project's name as annotators read it")
    args.add_argument("--format", choices=sorted(FORMATS), help="the files' layout (default: recognised)")
    args.add_argument("--split", default="train", help="split of a dataset (default train)")
    add_store(args)
    add_json(args)
    return args.parse_args()


def main() -> int:
    """Read, load, say what came of it."""
    args = arguments()
    for name, low, high in (("overlap", 1, 1000), ("priority", -1000, 1000)):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise BadInput(f"--{name} is {value}; it goes from {low} to {high}")
    from annotate import projects
    from annotate.intake import Wishes, load_rows
    from data.criteria import read_criteria
    from data.formats import read
    from data.store import open_store

    criteria = read_criteria(args.criteria) if args.criteria or args.kind == "rating" else ()
    wishes = Wishes(args.kind, args.overlap, args.priority, args.language, criteria)
    texts = _guidelines(args.guidelines or [])
    reading = read(args.files, args.format, args.split)
    store = open_store(store_url(args))
    with _Rejects(args.workspace, args.project) as rejects, progress("loading tasks") as advance:
        tally = load_rows(
            store,
            args.project,
            reading.rows,
            wishes,
            rejected=rejects.add,
            loaded=advance,
            source=", ".join(Path(file).name for file in args.files),
        )
    if not (tally.tasks or tally.known):
        kept = f"; all reasons in {rejects.path}" if tally.rejected > 1 else ""
        raise BadInput(f"nothing to load: {rejects.first or f'{args.files[0]} holds no rows'}{kept}")
    with store.write() as tx:
        project = projects.find_project(tx, args.project)
        if args.title:
            projects.change_settings(tx, project, {"title": args.title})
        version = projects.set_guidelines(tx, project, texts) if texts else None
    finish(_summary(args, reading, tally, rejects, version), args.json)
    return 0


def _summary(args: argparse.Namespace, reading: Any, tally: Any, rejects: "_Rejects", version: str | None) -> Any:
    summary = {"project": args.project, "format": reading.format, "recognised": reading.why, **tally._asdict()}
    quiet = ("known", "judgments", "judgments_known", "surplus", "rejected", "differing")
    if not args.json:  # a person reads only what happened
        summary = {key: value for key, value in summary.items() if value or key not in quiet}
    if tally.rejected:
        summary["rejected_to"] = str(rejects.path)
        summary["first_reason"] = rejects.first
    if version:
        summary["guidelines"] = version
    return summary


def _guidelines(paths: list[Path]) -> dict[str, str]:
    from annotate.projects import guideline_language

    texts = {}
    for path in paths:
        try:
            texts[guideline_language(path)] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"the guidelines {path} cannot be read: {error}") from None
    return texts


class _Rejects:
    """rejected.jsonl of one run, made when the first line is rejected."""

    def __init__(self, workspace: Path, project: str) -> None:
        name = re.sub(r"[^\w.-]+", "-", project)[:60] or "project"
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self.path = workspace / "imports" / f"{name}-{stamp}" / "rejected.jsonl"
        self.first = ""
        self._file: IO[bytes] | None = None

    def add(self, reject: Any) -> None:
        from data.formats.rows import reject_line

        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            self.first = f"{reject.where}: {reject.reason}"
        self._file.write(reject_line(reject))

    def __enter__(self) -> "_Rejects":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
