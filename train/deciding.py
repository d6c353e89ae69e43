"""Does a run keep its contract? Each clause by its one-sided bound; passing needs all, failing is Holm-corrected.

Passing: every clause must be shown, so a run that truly breaks one passes with a chance of at most the level of that
clause's bound (intersection-union test), and no correction for many clauses is needed. Failing: a clause fails when
the bound on the other side shows it broken, at a level that Holm divides among the clauses (S. Holm, Scandinavian
Journal of Statistics 6 (1979), 65-70), so that a run that keeps them all fails with a chance of at most the level.
What is neither is undecided, with how many more cases would decide it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.errors import BadInput
from data.records import digest
from train.bounds import FEW, Seen, few, limits, look, p_value
from train.cases import Case, in_slice
from train.contract import EXACT, Clause
from train.needed import needed, needed_unseen

PASS, FAIL, NOT_ENOUGH = "pass", "fail", "not enough evidence"


class Used(NamedTuple):
    """A case as a clause takes it."""

    id: str
    cluster: str
    value: float
    """The run's, or run minus reference."""


class Evidence(NamedTuple):
    """What one clause is decided on."""

    clause: Clause
    used: list[Used]
    without: int
    """Cases left out, because the reference has no value for them."""
    seen: Seen | None
    """None where there is no case."""


class Judged(NamedTuple):
    """One clause, decided."""

    clause: str
    measure: str
    slice: str
    compare: str
    direction: str
    threshold: float
    margin: float
    limit: float
    """The threshold, given way by the margin."""
    outcome: str
    value: float | None
    low: float | None
    """One-sided bounds at `level`; None where there are too few clusters."""
    high: float | None
    level: float | None
    """One-sided, of both bounds; None where no bound decides."""
    p_holds: float | None
    """Smallest level at which the clause is shown, and at which it is shown broken; from 1e-12 to 0.5."""
    p_broken: float | None
    n: int
    clusters: int
    without: int
    more: int | None
    """Cases that would be needed besides; None where it is decided, or no number would do."""
    why: str
    why_zh: str


def gather(clause: Clause, cases: Sequence[Case]) -> Evidence:
    """The cases of a clause's measure and slice, in an order that depends on them alone.

    Raises:
        BadInput: a value outside the measure's range.
    """
    there = [one for one in cases if one.measure == clause.measure and in_slice(one, clause.slice)]
    if clause.compare == "difference":
        both = [(one, one.value - one.against) for one in there if one.against is not None]
        used = sorted(Used(one.id, one.cluster, round(value, 12)) for one, value in both)
    else:
        used = sorted(Used(one.id, one.cluster, one.value) for one in there)
    seen = None
    if used:
        try:
            seen = look([one.value for one in used], [one.cluster for one in used], clause.ends)
        except BadInput as error:
            raise BadInput(f"the cases of '{clause.clause}' ({clause.measure}): {error}") from None
    return Evidence(clause, used, len(there) - len(used), seen)


def evidence_digest(evidence: Sequence[Evidence]) -> str:
    """Hash of what every clause is decided on."""
    return digest(sorted([one.clause.content, [list(case) for case in one.used]] for one in evidence))


def bounded(evidence: Evidence) -> bool:
    """Whether there is enough for a bound."""
    return evidence.clause.measure not in EXACT and evidence.seen is not None and evidence.seen.clusters >= FEW


def decide(evidence: Sequence[Evidence], levels: Mapping[str, float], spend: float) -> tuple[str, list[Judged]]:
    """Every clause and the whole.

    Args:
        levels: by a clause's content, the one-sided level of the bound it passes by; 0 where nothing is left.
        spend: the level that Holm divides, of failing; 0 where nothing is left.

    Returns:
        "pass", "fail" or "not enough evidence", and the clauses in their order.
    """
    broken = {
        one.clause.content: p_value(one.seen, one.clause.limit, not one.clause.at_least)
        for one in evidence
        if bounded(one) and one.seen is not None
    }
    many = sum(one.clause.measure not in EXACT for one in evidence)
    failed = holm(broken, spend, many)
    judged = [_judge(one, levels.get(one.clause.content, 0.0), broken, failed) for one in evidence]
    outcomes = {one.outcome for one in judged}
    whole = FAIL if FAIL in outcomes else PASS if outcomes == {PASS} else NOT_ENOUGH
    return whole, judged


def holm(p_values: Mapping[str, float], level: float, many: int) -> set[str]:
    """The names whose p-values are rejected, from the smallest up, each at level / (those not yet rejected).

    Args:
        many: how many hypotheses there are, those without a p-value included.
    """
    rejected: set[str] = set()
    for name, p in sorted(p_values.items(), key=lambda item: (item[1], item[0])):
        if not 0 < p <= level / (many - len(rejected)):
            break
        rejected.add(name)
    return rejected


def _judge(evidence: Evidence, level: float, broken: Mapping[str, float], failed: set[str]) -> Judged:
    clause, seen = evidence.clause, evidence.seen
    mean = None if seen is None else float(seen.mean)
    told: dict[str, Any] = {"value": _rounded(mean)}
    if clause.measure in EXACT and mean is not None:
        kept = mean >= clause.limit if clause.at_least else mean <= clause.limit
        told |= {"outcome": PASS if kept else FAIL, "why": "no sample: it is so", "why_zh": "并非抽样：事实如此"}
    elif seen is None or not bounded(evidence):
        told |= _too_few(evidence, level)
    else:
        told |= _by_bounds(clause, seen, level, broken[clause.content], clause.content in failed)
    return Judged(
        **{name: getattr(clause, name) for name in clause._fields},
        limit=float(f"{clause.limit:.9g}"),
        n=len(evidence.used),
        clusters=seen.clusters if seen else 0,
        without=evidence.without,
        **{**dict.fromkeys(("low", "high", "level", "p_holds", "p_broken", "more")), **told},
    )


def _by_bounds(clause: Clause, seen: Seen, level: float, p_broken: float, failed: bool) -> dict[str, Any]:
    p_holds = p_value(seen, clause.limit, clause.at_least)
    told: dict[str, Any] = {"p_holds": _rounded(p_holds), "p_broken": _rounded(p_broken)}
    if level > 0:
        low, high = (float(end) for end in limits(seen, level))
        told |= {"level": _rounded(level), "low": _rounded(low), "high": _rounded(high)}
        if low >= clause.limit if clause.at_least else high <= clause.limit:
            return {**told, "outcome": PASS, "why": "shown by its bound", "why_zh": "由单侧界证实"}
    if failed:
        return {**told, "outcome": FAIL, "why": "the other bound shows it broken", "why_zh": "另一侧的界表明未达标"}
    told["outcome"] = NOT_ENOUGH
    if level <= 0:
        why, zh = "all planned looks are taken", "计划的查看次数已用完"
        return {**told, "why": why, "why_zh": zh}
    plan = needed(seen, clause.limit, clause.at_least, level)
    if plan.more is None:
        why, zh = "the mean lies at the limit: no number of cases would decide", "均值正在界限上：再多的案例也无法判定"
    elif plan.shows == "holds":
        why = "about so many more would show it, at this mean and design effect (80% power)"
        zh = "按当前均值与设计效应，约再有这么多例可证实（功效 80%）"
    else:
        why = "about so many more would show it broken, at this mean and design effect (80% power)"
        zh = "按当前均值与设计效应，约再有这么多例可表明未达标（功效 80%）"
    return {**told, "more": plan.more, "why": why, "why_zh": zh}


def _too_few(evidence: Evidence, level: float) -> dict[str, Any]:
    """No bound yet: what the least number of cases is that could show the clause."""
    clause, seen = evidence.clause, evidence.seen
    least = needed_unseen(clause.limit, clause.at_least, level or 0.05, clause.ends) or FEW
    if clause.measure in EXACT:
        least = 1
    more = max(1, least - len(evidence.used))
    if seen is not None:
        more = max(more, FEW - seen.clusters)
        why, zh = few(seen.clusters), f"太少：{seen.clusters} 个提示族，至少要 {FEW} 个"
    elif evidence.without:
        why, zh = "the reference has no value for any of its cases", "参照模型在这些案例上没有数值"
    else:
        why, zh = "no cases of this measure and slice", "没有该指标与切片的案例"
    why += "; so many more in families of their own, if there is no exception among them"
    zh += "；若无一例外，且各属不同提示族，还需这么多例"
    return {"outcome": NOT_ENOUGH, "more": more, "why": why, "why_zh": zh}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")
