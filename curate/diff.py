"""What changed between two exports, and why: rows added, removed and changed.

    python -m curate.diff A B

Why is one or several of: new judgments, superseded ones, retracted records, other rules, another
configuration. Rows are known by their task and responses, so a pair that turned round is one
changed row. Differences are no failure: the exit status is 0.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from data.command import add_json, finish, parser
from data.errors import BadInput, exit_status, one_line

SHOWN = 20  # rows printed; the rest are counted, and in --json


def main(argv: list[str] | None = None) -> int:
    """Read the flags, compare, print what changed."""
    p = parser(__doc__, "python -m curate.diff")
    p.add_argument("a", type=Path, metavar="A", help="an export, the earlier one")
    p.add_argument("b", type=Path, metavar="B", help="an export to compare it with")
    add_json(p)
    args = p.parse_args(argv)
    summary, rows = diff(args.a, args.b)
    if args.json:
        finish({**summary, "changes": rows}, True)
        return 0
    for row in rows[:SHOWN]:
        columns = f" in {', '.join(row['columns'])}" if row["columns"] else ""
        print(
            one_line(f"{row['what']} row {row['ids'][-1]} of task {row['task_id']}{columns}: {'; '.join(row['why'])}")
        )
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN:,} more; --json has them all")
    finish(summary)
    return 0


def diff(a: Path, b: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What changed from one export to the other: the summary, and each row that is not the same.

    Raises:
        BadInput: a folder is no export, or one has rows of responses and the other of pairs.
    """
    from curate.changes import changes, settings, side

    one, other = side(a), side(b)
    alone = {"trl-unpaired", "sft"}
    if one.plan.format != other.plan.format and {one.plan.format, other.plan.format} & alone:
        raise BadInput(
            f"{a} is {one.plan.format} and {b} is {other.plan.format}: their rows are about different things;"
            " export one of them anew in the format of the other"
        )
    same = one.manifest.digest == other.manifest.digest
    rows = [] if same else [change._asdict() for change in changes(one, other)]
    whats = Counter(row["what"] for row in rows)
    reasons = Counter(re.sub(r"( duplicate) of \S+$", r"\1", why) for row in rows for why in row["why"])
    ledgers = [side.manifest.inputs.get("ledger", {}).get("seq") for side in (one, other)]
    summary: dict[str, Any] = {
        "same": same,
        **{what: whats[what] for what in ("added", "removed", "changed")},
        "why": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "settings": {name: f"{mine} to {theirs}" for name, (mine, theirs) in settings(one, other).items()},
        "ledger_events": f"{ledgers[0]} to {ledgers[1]}",
    }
    return summary, rows


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
