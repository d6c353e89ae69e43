"""Win rates as cases, from what judges and people said of both sides' answers, and notes that tell how they came."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import NotEnough, NotThere
from train.cases import Case


class Verdicts(NamedTuple):
    """Where verdicts lie."""

    judges: tuple[Path, ...] = ()
    people: str | None = None
    """A store's URL, a snapshot's or an export's folder, or a judgments.jsonl."""
    key: Path | None = None
    """Which response is whose; where None the responses name their models."""
    project: str | None = None
    soft: bool = False

    @property
    def any(self) -> bool:
        """Whether there is something to read."""
        return bool(self.judges or self.people)


class Found(NamedTuple):
    """Cases of win_rate, win_rate_length_controlled and win_rate_corrected."""

    cases: list[Case]
    notes: dict[str, str]
    remarks: list[str]


def read_verdicts(
    verdicts: Verdicts,
    run: str,
    reference: str,
    clusters: Mapping[str, str],
    difficulty: Mapping[str, float] | None = None,
) -> Found:
    """Every win rate that the verdicts give: people's where there are any, else the judges'.

    Args:
        run, reference: names of the models, for responses that no key knows.
        clusters: prompt id to prompt family.
    """
    if not verdicts.any:
        return Found([], {}, [])
    from train.contests import by_model, read_key, win_cases
    from train.length_control import length_controlled
    from train.people_wins import people_wins
    from train.win_rates import judge_wins

    if verdicts.key is not None and not verdicts.key.is_file():
        raise NotThere(
            f"--key {verdicts.key} is not there; name the audit/key.jsonl of the folder that --to-tasks wrote"
        )
    key = read_key(verdicts.key) if verdicts.key else by_model(run, reference, clusters)
    judged = judge_wins(list(verdicts.judges), key, soft=verdicts.soft) if verdicts.judges else None
    people = None
    if verdicts.people:
        people = people_wins(_source(verdicts.people), key, project=verdicts.project)
    main: Any = people or judged
    level = length_controlled(main, difficulty=difficulty)
    who = "people" if people else "judges, both orders"
    notes = {
        "win_rate": f"by {who}, ties half",
        "win_rate_length_controlled": f"by {who}; {level.from_length:+.3f} of the win rate is length",
    }
    cases = [*win_cases(main), *level.cases]
    remarks = [f"{n} not counted: {why}" for one in (people, judged) if one for why, n in sorted(one.left_out.items())]
    if people and judged:
        try:
            more, notes["win_rate_corrected"] = _corrected(people, judged)
            cases += more
        except NotEnough as error:  # what people said stands by itself
            remarks.append(f"no win rate of judges set right by people: {error}")
    return Found(cases, notes, remarks)


def _source(named: str) -> Any:
    return named if "://" in named else Path(named)


def _corrected(people: Any, judged: Any) -> tuple[Sequence[Case], str]:
    """Both together: the judge's verdicts on all prompts, set right by people's on some."""
    from train.corrected import corrected

    found = corrected(people, judged)
    return found.cases, f"judges on {found.seen + found.unseen} prompts, set right by people on {found.seen}"
