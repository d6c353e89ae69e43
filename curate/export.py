"""A project's judgments as data to train on, each row with the proof of where it came from.

    python -m curate.export --project NAME --out DIR

Writes DIR/data/{train,validation,test}.jsonl in TRL's conversational preference format, or in
another (--format), and beside it what stands behind every row; `python -m curate.verify DIR`
proves it. People's judgments count unless --sources says otherwise; `source` tells them apart.
Ties, answers all bad, identical texts, what is weaker than asked for and what was retracted
give no row; each is named in DIR/audit/left_out.jsonl with its reason.
"""

from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, progress, store_url
from data.errors import BadInput, NotEnough, exit_status

FORMATS = ("trl", "trl-unpaired", "sft", "hh-rlhf", "llama-factory", "parquet")  # those of curate/layouts.py


def main(argv: list[str] | None = None) -> int:
    """Read the flags, export, print the summary."""
    p = parser(__doc__, "python -m curate.export")
    p.add_argument("--project", required=True, metavar="NAME", help="the project to export")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former export")
    p.add_argument(
        "--format",
        choices=FORMATS,
        default="trl",
        help="trl: pairs; trl-unpaired: a response and its label; sft: the best response of each task; "
        "hh-rlhf: transcripts; llama-factory: sharegpt; parquet: as trl (default: trl)",
    )
    p.add_argument(
        "--pairs",
        choices=("all", "adjacent", "best-worst"),
        default="all",
        help="of each task: every two responses, neighbours by score, or best against worst (default: all)",
    )
    p.add_argument("--prior", default="0.5", help="votes added to each side of a pair (default: 0.5)")
    p.add_argument("--sources", default="human", help="whose judgments count: human,model,rule (default: human)")
    p.add_argument(
        "--weights", default="", help="votes that one judgment of a source is, such as model=0.3 (default: 1 each)"
    )
    p.add_argument("--min-votes", type=int, default=1, metavar="N", help="judgments that compared the two (default: 1)")
    p.add_argument("--min-probability", default="0.5", metavar="P", help="that chosen is better (default: 0.5)")
    p.add_argument("--min-agreement", default="0", metavar="P", help="share of votes that chose it (default: 0)")
    p.add_argument(
        "--per-prompt", type=int, default=0, metavar="N", help="most pairs of a prompt, drawn by turns (default: all)"
    )
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
        "weights": _weights(args.weights),
        "min_votes": args.min_votes,
        "min_probability": args.min_probability,
        "min_agreement": args.min_agreement,
        "per_prompt": args.per_prompt,
        "sources": [word.strip() for word in args.sources.split(",") if word.strip()],
        "criterion": args.criterion,
        "margin": args.margin,
        "seed": args.seed,
        "splits": _shares(args.splits),
    }
    finish(export(store_url(args), args.project, args.out, rules, args.format, replace=args.force), args.json)
    return 0


def _shares(text: str) -> list[int]:
    try:
        return [int(share) for share in text.split(",")]
    except ValueError:
        raise BadInput(f"--splits: '{text}' is not three whole shares such as 90,5,5") from None


def _weights(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        source, equals, weight = part.partition("=")
        if not equals or source.strip() in found:
            raise BadInput(f"--weights: '{text}' is no list such as human=1,model=0.3")
        found[source.strip()] = weight.strip()
    return found


def export(
    url: str, project: str, out: Path, rules: dict[str, Any], format: str = "trl", *, replace: bool = False
) -> dict[str, Any]:
    """Export a project to a folder; returns the summary. The ledger keeps the folder's digest."""
    from curate.moment import find_project, read_tasks
    from curate.retracted import closure, read_retractions
    from curate.rows import Plan, fill
    from curate.rules import make_rules
    from data import ledger
    from data.folder import write_folder
    from data.store import open_store

    made = make_rules(**rules)
    config = {"project": project, "format": format, "rules": made.model_dump(mode="json")}
    store = open_store(url, create=False)
    try:
        with store.read() as tx:
            found = find_project(tx, project)
        with write_folder(out, "export", config, replace=replace) as folder:
            with store.read() as tx, progress("reading tasks", total=found.tasks) as step:
                found = find_project(tx, project)
                taken = read_retractions(tx, found.id)
                reasons = closure((task.record for task in read_tasks(tx, found.id)), taken)
                plan = Plan(project, made, format, reasons)
                tally = fill(folder, lambda: read_tasks(tx, found.id), plan, step)
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
        "format": format,
        "pairs" if format not in ("trl-unpaired", "sft") else "rows": pairs,
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
