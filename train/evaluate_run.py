"""The folder that train.evaluate writes: cases, measures, calibration, answers, page and card; and its summary.

DIR/data/cases.jsonl, measures.jsonl   train/cases.py
DIR/data/calibration.jsonl             each side's scores and curve
DIR/data/answers.jsonl                 what both sides answered
DIR/audit/left_out.jsonl               rows that were not evaluated, and why
"""

from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput
from data.folder import write_folder
from train.cases import Case, Measure
from train.evaluating import Asked, Prepared, file_hash, prepare
from train.evaluation_report import card, page_of
from train.evidence import Evidence, gather
from train.judged_wins import Verdicts, read_verdicts
from train.measuring import measures_of, spelt
from train.sides import short_name

FORMAT = 1


class ToPeople(NamedTuple):
    """The blind project to write for people or judges."""

    out: Path
    overlap: int = 1
    project: str = "ab"


def evaluate(
    asked: Asked, verdicts: Verdicts, to_people: ToPeople | None, out: Path, *, replace: bool = False
) -> dict[str, Any]:
    """Evaluate a run against a reference and write the folder; returns the summary.

    Raises:
        NotThere, BadInput, Refused: in one line, before weights are read wherever that can be known.
    """
    if to_people and asked.against == asked.run:
        raise BadInput("--to-tasks: run and reference are the same model; name another with --against")
    names = short_name(asked.run), short_name(asked.against)
    wins = read_verdicts(verdicts, *names, {})  # what is wrong with them is told before a library is imported
    prepared = prepare(asked)
    if not verdicts.key:  # prompt families are known only now; a key brings its own
        wins = read_verdicts(verdicts, *names, {row.prompt_id: row.cluster for row in prepared.rows})
    config = _config(prepared, verdicts)
    with write_folder(out, "evaluation", config, replace=replace) as folder:
        evidence = gather(prepared)
        evidence.cases.extend(wins.cases)
        evidence.notes.update(wins.notes)
        evidence.remarks.extend(wins.remarks)
        measures = measures_of(evidence.cases, evidence.notes)
        folder.write("data/cases.jsonl", (_rounded(case) for case in evidence.cases))
        folder.write("data/measures.jsonl", (one._asdict() for one in measures))
        folder.write("data/calibration.jsonl", (_calibration(one._asdict()) for one in evidence.calibrations))
        folder.write("data/answers.jsonl", evidence.answers)
        folder.write("audit/left_out.jsonl", (one._asdict() for one in prepared.left_out))
        folder.inputs.update(_inputs(prepared))
        told = {**config, "run": names[0], "against": names[1], "left_out": len(prepared.left_out)}
        folder.write_text("README.md", card(told, measures, evidence.remarks))
        folder.write_text("report.html", page_of(told, measures, evidence))
        digest = folder.seal().digest
    sent = _send(prepared, evidence, to_people) if to_people else {}
    return {**_summary(measures, evidence, prepared), **sent, "digest": digest, "wrote": str(out)}


def default_place(workspace: Path, run: str, against: str) -> Path:
    """WORKSPACE/evaluations/RUN-against-REFERENCE."""
    names = [Path(one.removeprefix("prompt:")).resolve().name for one in (run, against)]
    safe = ["".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60] for name in names]
    return workspace / "evaluations" / "-against-".join(safe)


def _config(prepared: Prepared, verdicts: Verdicts) -> dict[str, Any]:
    """All that the figures hang on, by hash; where things lie is no part of it."""
    asked = prepared.asked
    manifest = prepared.run.found.manifest
    return {
        "format": FORMAT,
        "task": prepared.run.task,
        "run": {"fingerprint": prepared.run.fingerprint, "digest": manifest.digest if manifest else None},
        "reference": {
            "fingerprint": prepared.against.fingerprint,
            "task": prepared.against.task,
            "prompt": prepared.against.better.digest if prepared.against.better else None,
        },
        "export": prepared.export.digest,
        "split": asked.split,
        "limit": asked.limit,
        "seed": asked.seed,
        "dtype": asked.dtype,
        "device": asked.device,
        "by_token": asked.by_token,
        "decoding": {"temperature": 0.0, "max_tokens": asked.max_tokens},
        "templates": prepared.templates,
        "reward_model": prepared.scorer.fingerprint if prepared.scorer else None,
        "regression": file_hash(asked.regression) if asked.regression else None,
        "harness": list(asked.harness),
        "judges": [file_hash(path) for path in verdicts.judges],
        "key": file_hash(verdicts.key) if verdicts.key else None,
        "people": verdicts.people is not None,
        "soft": verdicts.soft,
    }


def _inputs(prepared: Prepared) -> dict[str, Any]:
    asked = prepared.asked
    return {
        "run": asked.run,
        "against": asked.against,
        "export": str(prepared.export.folder),
        "reward_model": asked.reward_model,
        "regression": str(asked.regression) if asked.regression else None,
    }


def _rounded(case: Case) -> dict[str, Any]:
    """A case as a row, its numbers to six digits."""
    against = None if case.against is None else round(case.against, 6)
    return {**case._asdict(), "value": round(case.value, 6), "against": against, "tags": dict(case.tags)}


def _calibration(row: dict[str, Any]) -> dict[str, Any]:
    made = {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
    made["bins"] = [{name: round(value, 6) for name, value in one.items()} for one in row["bins"]]
    return made


def _send(prepared: Prepared, evidence: Evidence, to_people: ToPeople) -> dict[str, Any]:
    """Both sides' answers to the export's prompts as a project in which nobody sees whose is which."""
    from train.contests import Contest
    from train.to_people import write_project

    given = {row["id"]: row for row in evidence.answers}
    contests = [
        Contest(ask.id, ask.cluster, ask.messages, given[ask.id]["run"], given[ask.id]["against"], ask.tags, ask.tools)
        for ask in prepared.wanted.asks
        if not ask.id.startswith("regression:") and given[ask.id]["against"] is not None
    ]
    if not contests:
        raise BadInput("--to-tasks: there are not two answers to any prompt; the reference must answer too")
    config = {"run": prepared.run.fingerprint, "reference": prepared.against.fingerprint}
    made = write_project(
        to_people.out,
        contests,
        project=to_people.project,
        overlap=to_people.overlap,
        seed=prepared.asked.seed,
        config=config,
    )
    return {
        "tasks_for_people": made.get("tasks"),
        "answers_alike": made.get("same_text"),
        "project": str(to_people.out),
    }


def _summary(measures: list[Measure], evidence: Evidence, prepared: Prepared) -> dict[str, Any]:
    """A line a measure, then what is to be known."""
    found: dict[str, Any] = {one.measure: spelt(one) for one in measures if one.slice == "all"}
    found["rows"] = len(prepared.rows)
    for number, remark in enumerate(evidence.remarks, 1):
        found[f"note_{number}"] = remark
    return found
