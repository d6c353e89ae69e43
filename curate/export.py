"""Preference pairs out of a project's judgments, each row with the proof of where it came from.

    python -m curate.export --project NAME --out DIR

Writes DIR/data/{train,validation,test}.jsonl in TRL's conversational preference format, and
beside it what stands behind every row; `python -m curate.verify DIR` proves it. People's
judgments count unless --sources says otherwise. Ties, answers all bad, and identical texts
give no pair; each is named in DIR/audit/left_out.jsonl with its reason.
"""

from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, progress, store_url
from data.errors import BadInput, NotEnough, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, export, print the summary."""
    p = parser(__doc__, "python -m curate.export")
    p.add_argument("--project", required=True, metavar="NAME", help="the project to export")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former export")
    p.add_argument(
        "--pairs",
        choices=("all", "adjacent", "best-worst"),
        default="all",
        help="of each task: every two responses, neighbours by score, or best against worst (default: all)",
    )
    p.add_argument("--prior", default="0.5", help="votes added to each side of a pair (default: 0.5)")
    p.add_argument("--sources", default="human", help="whose judgments count: human,model,rule (default: human)")
    p.add_argument("--criterion", help="compare responses by their ratings on this criterion")
    p.add_argument("--margin", type=int, default=1, help="points that make a rating better (default: 1)")
    p.add_argument("--splits", default="90,5,5", help="shares of train,validation,test (default: 90,5,5)")
    p.add_argument("--seed", type=int, default=0, help="which prompts go to which split (default: 0)")
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    rules = {
        "pairs": args.pairs,
        "prior": args.prior,
        "sources": [word.strip() for word in args.sources.split(",") if word.strip()],
        "criterion": args.criterion,
        "margin": args.margin,
        "seed": args.seed,
        "splits": _shares(args.splits),
    }
    finish(export(store_url(args), args.project, args.out, rules, replace=args.force), args.json)
    return 0


def _shares(text: str) -> list[int]:
    try:
        return [int(share) for share in text.split(",")]
    except ValueError:
        raise BadInput(f"--splits: '{text}' is not three whole shares such as 90,5,5") from None


def export(url: str, project: str, out: Path, rules: dict[str, Any], *, replace: bool = False) -> dict[str, Any]:
    """Export a project to a folder; returns the summary. The ledger keeps the folder's digest."""
    from curate.moment import find_project, read_tasks
    from curate.pairs import make_rules
    from curate.rows import fill
    from data import ledger
    from data.folder import write_folder
    from data.store import open_store

    made = make_rules(**rules)
    config = {"project": project, "rules": made.model_dump(mode="json")}
    store = open_store(url, create=False)
    try:
        with store.read() as tx:
            found = find_project(tx, project)
        with write_folder(out, "export", config, replace=replace) as folder:
            with store.read() as tx, progress("reading tasks", total=found.tasks) as step:
                found = find_project(tx, project)
                tally = fill(folder, read_tasks(tx, found.id), made, step)
            if not tally.rows:
                why = ", ".join(f"{n:,} {reason}" for reason, n in (tally.left_out | tally.unused).items())
                raise NotEnough(f"'{project}' gives no pair yet ({why or 'it has no tasks'}); nothing was written")
            head = {"project": project, "seq": found.head.seq, "hash": found.head.hash}
            folder.write("audit/ledger_head.json", [head])
            folder.inputs["ledger"] = head
            manifest = folder.seal()
            pairs = sum(tally.rows.values())
            # Before the folder appears: one that is there is always in the ledger.
            store.change(
                lambda tx: ledger.take(tx, found.id).append(
                    "export", "", [], digest=manifest.digest, pairs=pairs, seq=found.head.seq
                )
            )
    finally:
        store.close()
    return {
        "project": project,
        "pairs": pairs,
        **tally.rows,
        "tasks": tally.tasks,
        "judgments": tally.judgments,
        "left_out": tally.left_out,
        "judgments_unused": tally.unused,
        "method": made.method,
        "digest": manifest.digest,
        "wrote": str(out),
    }


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
