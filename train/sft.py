"""Train a model on good answers (imitation).

    python -m train.sft workspace/exports/sky-sft --config train/configs/sft.yaml --model workspace/tiny

EXPORT is of --format sft, or trl-unpaired, of which the answers held good are taken. Where `weights` is agreement, a
row's loss weighs as its evidence does.
All problems of settings and input are told before any weight is loaded; rows that would be cut or dropped are listed,
and refused above `allow_loss`. Writes the run's folder: model/, the scores of held-out rows, metrics, report.html and
a model card. Stopped with Ctrl-C or killed, the same command goes on from the last checkpoint (`save_every`).
"""

from data.errors import exit_status
from train.run_flags import train_command


def main(argv: list[str] | None = None) -> int:
    """Train, and print what came of it."""
    return train_command("sft", __doc__, argv)


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
