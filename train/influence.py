"""Which annotators, batches or guideline versions help or hurt a run's held-out accuracy.

    python -m train.influence workspace/runs/reward-sky-tiny
    python -m train.influence RUN --confirm 2

RUN is of train.reward or train.dpo. Each vote behind a row that was trained on is held against the same vote as a tie:
what that does to held-out accuracy, by the gradients of the run's trained weights and their curvature. A group's votes
are added up, with an interval; where its own votes lie on held-out rows, the others' votes are the label there. Rows
of the validation split are held against by default, so that the test split stays untouched. --confirm N trains again
without the N annotators that hurt most, from the same seed, and tells the difference in held-out accuracy.
"""

from pathlib import Path

from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, exit_status
from train.devices import DEVICES


def main(argv: list[str] | None = None) -> int:
    """Read the flags, compute, print what was found."""
    p = parser(__doc__, "python -m train.influence")
    p.add_argument("run", type=Path, metavar="RUN", help="folder that train.reward or train.dpo wrote")
    p.add_argument("--export", type=Path, metavar="DIR", help="what it was trained on (default: found by its digest)")
    p.add_argument("--split", default="validation", choices=("validation", "test"), help="rows held against")
    p.add_argument(
        "--damping", type=float, default=10.0, metavar="X", help="curvature added, in means of the run's own (10)"
    )
    p.add_argument("--width", type=int, default=2048, metavar="N", help="numbers a gradient is sketched to (2048)")
    p.add_argument("--confirm", type=int, default=0, metavar="N", help="train again without the worst N annotators")
    p.add_argument("--device", default="auto", choices=DEVICES, help="where the model runs (auto)")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (WORKSPACE/influence/NAME)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    p.add_argument("--seed", type=int, default=0, help="of the sketch (0)")
    add_workspace(p)
    add_json(p)
    a = p.parse_args(argv)
    if not 0 < a.damping < 1e6:
        raise BadInput(f"--damping: {a.damping:g} is not above 0 and below a million")
    for flag, least in (("width", 64), ("confirm", 0), ("seed", 0)):
        if getattr(a, flag) < least:
            raise BadInput(f"--{flag}: {getattr(a, flag)} is below {least}")
    from train.influence_run import Asked, influence

    asked = Asked(
        a.run, a.workspace, a.export, a.split, a.damping, a.width, a.confirm, a.seed, a.device, a.out, a.force
    )
    finish(influence(asked), a.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
