"""Whether a run keeps its behaviour contract: pass, fail, or not enough evidence and how much more is needed.

    python -m train.gate workspace/runs/dpo-01 --contract data/sample/contract.yaml

Reads the newest evaluation of this very run (or --evaluation), verified. Each clause passes by its one-sided bound,
and all must; one fails when the bound on the other side shows it broken, Holm-corrected. Each look at new evidence
spends a part of --alpha, so that looking again and again passes no bad run: say how many looks are planned.
Exit status 0 pass, 1 fail, 3 not enough evidence. DIR/data/decision.jsonl has a line for each clause.
"""

from pathlib import Path

from data.bundled import bundled
from data.command import add_json, add_workspace, finish, parser, share
from data.errors import BadInput, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, decide, print the summary."""
    p = parser(__doc__, "python -m train.gate")
    p.add_argument("run", type=Path, metavar="RUN", help="folder that train.sft, reward, dpo or kto wrote")
    p.add_argument("--contract", type=bundled, required=True, metavar="FILE", help="what it must be shown to do (YAML)")
    p.add_argument("--evaluation", type=Path, metavar="DIR", help="folder of train.evaluate (default: its newest)")
    p.add_argument("--alpha", default="0.05", metavar="SHARE", help="chance of a false pass, at most 0.05 (0.05)")
    p.add_argument("--looks-planned", type=int, metavar="K", help="looks to share alpha among, set by the first (3)")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (default: in the workspace)")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    alpha = _alpha(args.alpha)
    if args.looks_planned is not None and not 1 <= args.looks_planned <= 100:
        raise BadInput(f"--looks-planned: {args.looks_planned} is not from 1 to 100")
    from train.gate_run import STATUS, gate, summary_of

    decision, out = gate(
        args.run,
        args.contract,
        args.workspace,
        evaluation=args.evaluation,
        alpha=alpha,
        planned=args.looks_planned,
        out=args.out,
    )
    finish(summary_of(decision, out), args.json)
    return STATUS[decision.outcome]


def _alpha(text: str) -> float:
    alpha = share("--alpha", text, most=0.05)
    if alpha == 0:
        raise BadInput("--alpha is 0; at that level nothing ever passes")
    return alpha


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
