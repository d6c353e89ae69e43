"""What train.gate does: verify run and evaluation, take a look that is paid for, decide, write the record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.command import progress
from data.folder import check_place, write_folder
from train.cases import read_cases
from train.chained import Entry, held
from train.contract import Clause, contract_digest, read_contract
from train.deciding import FAIL, NOT_ENOUGH, PASS, Evidence, Judged, decide, evidence_digest, gather
from train.gate_page import Decision, page_of, words_of
from train.looks import LOOKS, check_tail, gate_records, look_body, next_look
from train.spending import FUNCTION
from train.verified import verified_evaluation, verified_run

FORMAT = 1
STATUS = {PASS: 0, FAIL: 1, NOT_ENOUGH: 3}


def gate(
    run: Path,
    contract: Path,
    workspace: Path,
    *,
    evaluation: Path | None = None,
    alpha: float = 0.05,
    planned: int | None = None,
    out: Path | None = None,
) -> tuple[Decision, Path]:
    """Decide whether a run keeps a contract, and write the record.

    Args:
        planned: looks that are planned; None takes what the first look said, else three.
        out: the folder to write; None takes a name in WORKSPACE/gates.

    Returns:
        The decision and the record's folder.

    Raises:
        NotThere, BadInput, CheckFailed, Refused: with what to do, before any look is taken.
    """
    clauses = read_contract(contract)
    if out is not None:
        check_place(out, replace=True)
    with progress("verifying the run and its evaluation", total=3) as step:
        the_run = verified_run(run)
        step(1)
        measured = verified_evaluation(evaluation, the_run, workspace)
        step(1)
        cases = list(read_cases(measured.folder / "data" / "cases.jsonl"))
        step(1)
    evidence = [gather(clause, cases) for clause in clauses]
    of = {
        "run": the_run.manifest.digest,
        "contract": contract_digest(clauses),
        "evidence": evidence_digest(evidence),
    }
    gates = workspace / "gates"
    with held(gates / LOOKS) as log, progress("deciding", total=len(clauses)) as step:
        records = gate_records(gates)
        check_tail(log.entries, records, log.path)
        look = next_look(log.entries, records, evidence, of, planned=planned, alpha=alpha)
        outcome, judged = decide(evidence, look.levels, look.spend)
        step(len(clauses))
        entry = look.entry or log.append(look_body(look, evidence, of, outcome))
        others = sum(e.body["run"] == of["run"] and e.body["contract"] != of["contract"] for e in log.entries)
        decision = Decision(outcome, judged, look, the_run, measured, others)
        name = f"{the_run.folder.resolve().name[:80]}-{entry.seq}-{measured.manifest.digest[:8]}"
        place = out or gates / name
        _write(place, decision, evidence, clauses, of, entry)
    return decision, place


def _write(
    out: Path,
    decision: Decision,
    evidence: Sequence[Evidence],
    clauses: Sequence[Clause],
    of: dict[str, str],
    entry: Entry,
) -> None:
    look = decision.look
    config: dict[str, Any] = {
        "format": FORMAT,
        **of,
        "outcome": decision.outcome,
        "clauses": [clause._asdict() for clause in clauses],
        "alpha": look.alpha,
        "spending": FUNCTION,
        "look": look.number,
        "planned": look.planned,
        "spend": look.spend,
        "spent": look.spent,
        "evaluation": {"digest": decision.evaluation.manifest.digest, **decision.evaluation.manifest.config},
    }
    with write_folder(out, "gate", config, replace=None, again=True) as folder:
        folder.inputs["run"] = decision.run.folder.resolve().name
        folder.inputs["evaluation"] = decision.evaluation.folder.resolve().name
        folder.inputs["look"] = {"seq": entry.seq, "hash": entry.hash}
        folder.write("data/decision.jsonl", (one._asdict() for one in decision.judged))
        folder.write(
            "data/evidence.jsonl",
            (
                {"clause": one.clause.clause, "content": one.clause.content, **case._asdict()}
                for one in evidence
                for case in one.used
            ),
        )
        folder.write_text("README.md", words_of(decision))
        folder.write_text("report.html", page_of(decision))


def summary_of(decision: Decision, out: Path) -> dict[str, Any]:
    """What the command prints."""
    look = decision.look
    failed = [one for one in decision.judged if one.outcome == FAIL]
    open_ones = [one for one in decision.judged if one.outcome == NOT_ENOUGH]
    counted = f"{look.number} of {look.planned}" if look.number else "not counted: nothing to decide on"
    again = ", looked at before: nothing spent" if look.entry else ""
    return {
        "decision": decision.outcome,
        "passed": f"{sum(one.outcome == PASS for one in decision.judged)} of {len(decision.judged)} clauses",
        "failed": [_told(one) for one in failed],
        "not_enough": [_told(one) for one in open_ones],
        "evaluation": decision.evaluation.folder.name,
        "look": counted + again,
        "other_contracts": f"{decision.others} looks at this run under others" if decision.others else None,
        "alpha_spent": f"{look.spent:.4g} of {look.alpha:g}",
        "next": _next(decision),
        "wrote": str(out),
    }


def _told(one: Judged) -> str:
    """A clause that is not kept, in few words; all of it is in the record."""
    found = "no cases" if one.value is None else f"{one.value:.3g} of {one.n:,}"
    sign = ">=" if one.direction == "at_least" else "<="
    more = f", {one.more:,} more needed" if one.more else ""
    return f"{one.clause} ({found}, {sign} {one.limit:.3g}{more})"


def _next(decision: Decision) -> str:
    run = decision.run.folder
    if decision.outcome == PASS:
        return f"python -m train.release {run}"
    if decision.outcome == FAIL:
        return "train again; the clauses that failed say on what"
    if decision.look.number >= decision.look.planned:
        return "the planned looks are taken: more cases cannot pass this run; train again, with more looks planned"
    return f"more cases, then python -m train.evaluate {run} and this command again"
