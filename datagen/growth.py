"""How far a run of Self-Instruct has come: what it aims at, what it kept and rejected, and the ledger of each round."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data.text import excerpt
from datagen.filters import ALWAYS, INSTANCE, INSTRUCTION, Candidate, Sieve
from datagen.instances import Instance
from datagen.seeds import Seed
from datagen.steps import LAST_TASK, WANTED

ONE_PASS_SEEDS = 3
PATIENCE = 3  # rounds over which the yield is looked at
EXAMPLES = 3  # of each filter's rejects in a round's ledger


class Rules(NamedTuple):
    """What a run aims at."""

    num: int
    one_pass: bool = False
    seed: int = 0
    round: int = 20
    """Requests for instructions in a round."""
    min_yield: float = 0.05
    """The run ends when fewer are kept per instruction asked for, over the last 3 rounds."""

    @property
    def wanted(self) -> int:
        """Instructions that one request asks for."""
        return LAST_TASK - ONE_PASS_SEEDS if self.one_pass else WANTED


class Grown(NamedTuple):
    """A new task that was kept: its instruction, its instances, and the answers they came from."""

    id: str
    """The id it has as a parent: that of its Prompt record."""
    candidate: Candidate
    instances: tuple[Instance, ...]
    is_classification: bool | None
    """None with one-pass, which does not ask."""
    steps: dict[str, dict[str, str]]
    """Step to the request's key, the template's hash and the model that answered."""


class Growth:
    """What a run has come to: everything kept, everything rejected, and the ledger of each round."""

    def __init__(self, seeds: Sequence[Seed], rules: Rules, sieve: Sieve) -> None:
        self.seeds, self.rules, self.sieve = seeds, rules, sieve
        self.kept: list[Grown] = []
        self.ids: set[str] = set()
        self.rejected: list[dict[str, Any]] = []
        self.rounds: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.stopped = ""
        """Why the run ended: enough, budget or yield."""
        for seed in seeds:
            sieve.know(seed.id, seed.instruction)

    @property
    def needed(self) -> int:
        """Tasks still to be grown."""
        return self.rules.num - len(self.kept)

    def reject(self, candidate: Candidate | None, stage: str, name: str, detail: str, text: str, **more: Any) -> None:
        """Note what was rejected, by which filter, and why."""
        row: dict[str, Any] = {
            "round": len(self.rounds),
            "stage": stage,
            "filter": name,
            "detail": detail,
            "text": text,
        }
        if candidate is not None:
            row |= {"request": candidate.request, "position": candidate.position, "key": candidate.key}
        self.rejected.append({**row, **more})

    def close_round(self, came: int, passed: int, left: int, kept: int, since: int, ended: bool) -> None:
        """Write the round's row and its ledger; decide whether the run ends here.

        Args:
            came: instructions that were read out of the answers.
            passed: those of them that passed the filters.
            left: those of them that were not needed any more.
            kept: tasks that were kept.
            since: how many had been rejected before the round.
            ended: the budget ended in it.
        """
        number, requests = len(self.rounds), self.rules.round
        wanted = requests * self.rules.wanted
        row = {"round": number, "requests": requests, "asked": wanted, "came": came, "passed": passed}
        row |= {"not_needed": left, "kept": kept}
        self.rounds.append({**row, "yield": round(kept / wanted, 4), "total": len(self.kept)})
        counts: dict[str, list[str]] = {name: [] for name in _filters(self.sieve.on, self.rules.one_pass)}
        for rejected in self.rejected[since:]:
            counts.setdefault(rejected["filter"], []).append(excerpt(rejected["text"], 160))
        for name, texts in counts.items():
            self.ledger.append({"round": number, "filter": name, "removed": len(texts), "examples": texts[:EXAMPLES]})
        if self.needed <= 0:
            self.stopped = "enough"
        elif ended:
            self.stopped = "budget"
        elif len(self.rounds) >= PATIENCE and self._lately() < self.rules.min_yield:
            self.stopped = "yield"

    def _lately(self) -> float:
        """Kept per instruction asked for, over the last rounds."""
        last = self.rounds[-PATIENCE:]
        return float(sum(row["kept"] for row in last) / sum(row["asked"] for row in last))


def _filters(on: frozenset[str], one_pass: bool) -> list[str]:
    always = [
        name for name in ALWAYS if one_pass is (name == "malformed_task") or name in ("bad_answer", "no_instance")
    ]
    return [*always, *(name for name in [*INSTRUCTION, *INSTANCE] if name in on)]
