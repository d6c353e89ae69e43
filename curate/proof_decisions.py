"""Does what an export decided over all tasks follow from its evidence? Beliefs, duplicates, dropped rows, quota.

Beliefs are fitted again, and those kept are used once they are as close as two machines can be; duplicates and
quota are decided again. Rows that a finding took out are found again, but for contamination: the evaluation
files it was measured against do not lie in the folder, so there its list is taken as told.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from curate.audited import DROPPED, dropped_again
from curate.beliefs import FILE, believe, read_beliefs, unlike
from curate.decisions import Clusters, quota_of
from curate.evidence import Heard, Plan
from curate.frames import frames_of, register
from curate.repeated import find_repeated, order_of
from curate.rows import Waiting
from data.errors import BadInput
from data.jsonl import read_lines
from data.manifest import Manifest


def believed_again(
    folder: Path, plan: Plan, evidence: Iterable[Heard], faults: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """The lines about each task's beliefs that a folder keeps; what does not follow from its judgments is a fault."""
    from curate.engine import engine

    tables = frames_of(plan.project, ((h.task, h.judgments, h.gone.responses) for h in evidence))
    with engine() as con:
        register(con, [tables])
        found = believe(con, plan.project, plan.rules)
    if not (folder / FILE).is_file():
        faults += [f"{FILE}: missing"] if found is not None else []
        return {}
    kept = read_beliefs(folder)
    if wrong := unlike(kept, [] if found is None else found.rows):
        faults.append(wrong)
    return {row["task_id"]: [row] for row in kept}


def decided_again(
    folder: Path, manifest: Manifest, plan: Plan, waiting: Waiting, clusters: Clusters, faults: list[str]
) -> dict[str, str]:
    """Why each row goes that goes by a decision over all; a list in the folder that says otherwise is a fault."""
    try:
        came, told = order_of(folder), _dropped(folder)
    except BadInput as error:
        faults.append(str(error))
        return {}
    twice = find_repeated(waiting.whole(), plan.rules, came)
    faults += twice.unlike(folder)
    left_out = dict(twice.left_out)
    if plan.rules.drop:
        faults += dropped_again(folder, manifest.config, plan.rules, waiting, clusters, left_out, told)
        left_out |= told
    return left_out | quota_of(waiting.briefs, clusters, plan.rules, left_out)


def _dropped(folder: Path) -> dict[str, str]:
    """The rows that a folder says a finding took out, with the reason."""
    told = {}
    for line in read_lines(folder / DROPPED) if (folder / DROPPED).is_file() else ():
        if line.problem or not isinstance(line.value, dict) or not {"id", "reason"} <= line.value.keys():
            raise BadInput(f"{DROPPED}, line {line.number}: {line.problem or 'no id and reason'}")
        told[str(line.value["id"])] = str(line.value["reason"])
    return told
