"""What is measured over an export's evidence: do the annotators agree, and how far is each to be relied on?

    audit/agreement.jsonl    alpha, percent agreement, AC1 and Kendall's W, with intervals and verdict, by slice, and
                             without each annotator
    audit/annotators.jsonl   each annotator's reliability with its interval, and which side they favour

The same figures as `python -m curate.agreement` and `python -m curate.aggregate` give, over the judgments
that count in this export alone; within slices nobody is left out in turn.
"""

from typing import TYPE_CHECKING, Any

from curate.recipe import Checks
from data.errors import CheckFailed, NotEnough

if TYPE_CHECKING:
    from curate.beliefs import Believed
    from curate.engine import Connection
    from data.folder import Folder

Rows = list[dict[str, Any]]


def agreement(con: "Connection", project: str, checks: Checks, seed: int, cast: int | None = None) -> Rows:
    """The rows of audit/agreement.jsonl, from the tables of curate/frames.py; none where nothing can be compared.

    Args:
        cast: what curate.casting.cast_ballots returned, where it was called for this project without a criterion.
    """
    from curate.agree import Question, agree
    from curate.observed import observe_snapshot, settle_repeats
    from curate.rankings import rankings_agree

    question = Question(None, checks.agreement, seed=seed, sliced=False)
    try:
        scales = observe_snapshot(con, project, cast=cast)
    except NotEnough:
        return []
    settle_repeats(con)
    rows = agree(con, scales, question, False, lambda _: None)
    if any(scale.criterion == "ranking" for scale in scales):
        rows += rankings_agree(con, question)
    return rows


def require(rows: Rows, checks: Checks) -> None:
    """Refuse where agreement is required and some criterion does not reach it.

    Raises:
        CheckFailed: some alpha surely lies below.
        NotEnough: some alpha cannot be told from the threshold yet.
    """
    if not checks.require_agreement:
        return
    whole = [r for r in rows if r["measure"] == "alpha" and r["slice"] == "all" and r["left_out"] is None]
    known = [r for r in whole if r["ratings"]]
    names = {
        v: ", ".join(f"{r['criterion']} by {r['who']}" for r in known if r["verdict"] == v) for v in _verdicts(known)
    }
    if told := names.get("not reached"):
        raise CheckFailed(f"agreement is below {checks.agreement:g} on {told}; nothing was written")
    if told := "; ".join(f"{names[v]}: {v}" for v in names if v != "reached"):
        raise NotEnough(f"agreement of {checks.agreement:g} is not shown yet ({told}); nothing was written")
    if not known:
        raise NotEnough(f"agreement of {checks.agreement:g} is not shown yet: nothing was judged twice")


def _verdicts(rows: Rows) -> list[str]:
    return sorted({str(r["verdict"]) for r in rows})


def annotators(found: "Believed") -> Rows:
    """The rows of audit/annotators.jsonl."""
    from curate.aggregate_rows import people_rows

    return people_rows(found.verdicts, found.annotators, found.kinds)


def aggregated(found: "Believed") -> dict[str, Any]:
    """How the model of annotators and the plain majority differ, and whether the model settled."""
    even = found.verdicts.majority == 0.5
    differ = ((found.verdicts.majority > 0.5) != (found.verdicts.model > 0.5)) & ~even
    return {
        "iterations": found.verdicts.found.iterations,
        "converged": found.verdicts.found.converged,
        "pairs": len(even),
        "even_majorities": int(even.sum()),
        "not_the_majority": int(differ.sum()),
    }


def write_measures(folder: "Folder", agreed: Rows, people: Rows) -> None:
    """Write what was measured; a file without rows is not made."""
    folder.write("audit/agreement.jsonl", agreed)
    folder.write("audit/annotators.jsonl", people)
