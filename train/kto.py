"""Train a model on answers held good or bad, each alone (KTO).

    python -m train.kto workspace/exports/sky-kto --config train/configs/kto.yaml --model workspace/tiny

EXPORT is of --format trl-unpaired. `desirable` and `undesirable` even out how many of each there are.
All problems of settings and input are told before any weight is loaded; rows that would be cut or dropped are listed,
and refused above `allow_loss`. Writes the run's folder: model/, the scores of held-out rows, metrics, report.html and
a model card. Stopped with Ctrl-C or killed, the same command goes on from the last checkpoint (`save_every`).
"""

from data.errors import exit_status
from train.run_flags import train_command


def main(argv: list[str] | None = None) -> int:
    """Train, and print what came of it."""
    return train_command("kto", __doc__, argv)


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
