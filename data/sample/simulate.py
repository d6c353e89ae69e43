"""Write a judged project whose truth is known, the same bytes for the same seed on every machine.

    python -m data.sample.simulate --out data/sample/judged --seed 7 --tasks 600

OUT/tasks.jsonl has the tasks with their judgments (the short task layout: data/sample/README.md),
OUT/truth.json what stands behind them.

**The model.** Answer i has a true worth u_i = strength of its model + a normal part of its own
(standard deviation 0.6). Person p, with sensitivity b_p, perceives it as

    z_i = b_p u_i + f_p [i was shown first] + l_p (padding sentences of i) + e_i,   e_i ~ Gumbel(0, 1),

puts the answers in the order of z, and ties neighbours in that order whose z lie within T = 0.3.
Without ties the order of z is exactly a Plackett-Luce ranking with worths exp(b u + habits): that
independent Gumbel terms give Luce's choice rule was shown by E. J. Holman and A. A. J. Marley (in
Luce and Suppes, 1965). For two answers it is the model of R. A. Bradley and M. E. Terry (Biometrika
39, 1952), and the tie zone makes it that of P. V. Rao and L. L. Kupper (JASA 62, 1967): with
d = b (u_i - u_j) + habits,

    P(i before j) = 1 / (1 + exp(T - d)),   P(tie) = 1 - P(i before j) - P(j before i).

Skill s is the chance of putting the better one first at a gap of one unit, ties and habits aside:
s = 1 / (1 + exp(-b)), so b = ln(s / (1 - s)).

**The same bytes everywhere.** Worths, habits and noise are whole thousandths; logarithms are taken by
`decimal`, which rounds correctly where a C library need not; the only thing asked of `random` is
`random()`, the one method whose sequence Python promises to keep.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from data.errors import BadInput, exit_status
from data.sample.templates import GRADES, PADDING, TOPICS, Topic

T = TypeVar("T")

TIE_ZONE = 300  # thousandths of a log-odds, like every whole number below that speaks of worth
OWN_SPREAD = 600
GRADE_STARTS = (-900, 0, 900)  # worth at which an answer becomes vague, thin, full; below the first: wrong
MODELS = {
    "sim-aspen": 1500,
    "sim-birch": 900,
    "sim-cedar": 300,
    "sim-dogwood": -300,
    "sim-elm": -900,
    "sim-fir": -1500,
}
REPEAT_EVERY = 33  # one task in 33 asks an earlier one again
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
EXACT = Context(prec=20)


class Person(NamedTuple):
    """A simulated annotator; see the model above."""

    name: str
    skill: int  # thousandths: 950 is 0.95
    note: str
    first_shown: int = 0
    padding: int = 0  # per padding sentence
    reverses: bool = False  # from the second half of their judgments on, best and worst change places
    pace: int = 200  # tenths of a second a judgment takes at least

    @property
    def sensitivity(self) -> int:
        """The slope b that gives this skill, in thousandths."""
        odds = Decimal(self.skill) / Decimal(1000 - self.skill)
        return int((odds.ln(EXACT) * 1000).to_integral_value())


PEOPLE = (
    Person("sim-01", 950, "careful", pace=320),
    Person("sim-02", 930, "careful", pace=280),
    Person("sim-03", 900, "careful", pace=260),
    Person("sim-04", 880, "sound"),
    Person("sim-05", 850, "sound"),
    Person("sim-06", 820, "sound"),
    Person("sim-07", 780, "hasty", pace=140),
    Person("sim-08", 720, "hasty", pace=120),
    Person("sim-09", 550, "close to random", pace=30),
    Person("sim-10", 780, "leans strongly to the answer shown first", first_shown=2500),
    Person("sim-11", 780, "prefers longer answers, whatever the extra sentences say", padding=1500),
    Person("sim-12", 880, "careful at first, then reads the scale the wrong way round", reverses=True),
)


def below(rng: random.Random, n: int) -> int:
    """A whole number from 0 to n - 1; `randrange` would do, but its sequence is not promised to stay."""
    return int(rng.random() * n)


def shuffled(rng: random.Random, things: Sequence[T]) -> list[T]:
    """The things in a random order (Fisher and Yates)."""
    order = list(things)
    for i in range(len(order) - 1, 0, -1):
        j = below(rng, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def normal(rng: random.Random, spread: int) -> int:
    """About normal with mean 0 and this standard deviation: twelve uniform draws have variance one."""
    return sum(below(rng, 1001) - 500 for _ in range(12)) * spread // 1000


def gumbel(rng: random.Random) -> int:
    """Standard Gumbel noise in thousandths: -ln(-ln U), with U a midpoint of 2^20 equal steps."""
    u = Decimal(2 * below(rng, 1 << 20) + 1) / Decimal(1 << 21)
    return int((-(-u.ln(EXACT)).ln(EXACT) * 1000).to_integral_value())


def deal(rng: random.Random, topic: Topic) -> list[tuple[str, tuple[str, ...]]]:
    """Every prompt of a topic once, with its value, in a random order."""
    return shuffled(rng, [(wording, value) for wording in topic.prompts for value in topic.values])


def answer(topic: Topic, value: tuple[str, ...], worth: int, padding: Sequence[str]) -> str:
    """An answer of the grade its worth earns, with sentences hung on that add nothing."""
    grade = sum(worth >= start for start in GRADE_STARTS)
    gap = "" if topic.language == "zh" else " "
    parts = [topic.answers[grade].format(*value), *padding]
    return ("\n\n" if "\n" in parts[0] else gap).join(parts[:2]) + "".join(gap + p for p in parts[2:])


class Made(NamedTuple):
    """A task without judgments, and its truth."""

    line: dict[str, Any]
    worth: list[int]
    padding: list[int]


def make_tasks(rng: random.Random, count: int, rankings: int) -> tuple[list[Made], dict[str, str]]:
    """Tasks in order, one in `rankings` a ranking of four and the others A/B; and who repeats whom."""
    decks: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    made: list[Made] = []
    repeats: dict[str, str] = {}
    for i in range(count):
        name = f"judged-{i + 1:04d}"
        if i % REPEAT_EVERY == REPEAT_EVERY - 1:
            earlier = made[below(rng, i)]
            repeats[name] = repeats.get(earlier.line["id"], earlier.line["id"])
            made.append(earlier._replace(line={**earlier.line, "id": name}))
            continue
        which = i % len(TOPICS)
        topic = TOPICS[which]
        if not decks.get(which):
            decks[which] = deal(rng, topic)
        wording, value = decks[which].pop()
        kind, width = ("ranking", 4) if i % rankings == 0 else ("ab", 2)
        models = shuffled(rng, list(MODELS))[:width]
        worth = [MODELS[m] + normal(rng, OWN_SPREAD) for m in models]
        texts: dict[str, int] = {}  # to the number of sentences that add nothing
        for w in worth:
            while True:  # two answers of one grade must not come out word for word the same
                hung = shuffled(rng, PADDING[topic.language])[: below(rng, 4)]
                text = answer(topic, value, w, hung)
                if text not in texts:
                    break
            texts[text] = len(hung)
        line = {
            "id": name,
            "kind": kind,
            "prompt": wording.format(value[0]),
            "responses": [{"text": t, "model": m} for t, m in zip(texts, models, strict=True)],
            "language": topic.language,
            "tags": [topic.tag, "simulated"],
        }
        made.append(Made(line, worth, list(texts.values())))
    return made, repeats


def assign(rng: random.Random, made: Sequence[Made], repeats: dict[str, str], overlap: int) -> list[list[int]]:
    """Who judges each task: those with the fewest so far; a repeated task goes to other people if it can."""
    load = [0] * len(PEOPLE)
    chosen: dict[str, list[int]] = {}
    for task in made:
        before = chosen.get(repeats.get(task.line["id"], ""), [])
        luck = [below(rng, 1 << 30) for _ in PEOPLE]
        order = sorted(range(len(PEOPLE)), key=lambda p: (p in before, load[p], luck[p]))
        chosen[task.line["id"]] = order[:overlap]
        for p in order[:overlap]:
            load[p] += 1
    return list(chosen.values())


def perceive(rng: random.Random, person: Person, task: Made, shown: Sequence[int], reversed_now: bool) -> list[int]:
    """The perceived worth z of each answer, in thousandths; `shown` has positions from 0."""
    slope = -person.sensitivity if reversed_now else person.sensitivity
    habits = [person.padding * p for p in task.padding]
    habits[shown[0]] += person.first_shown
    return [slope * w // 1000 + h + gumbel(rng) for w, h in zip(task.worth, habits, strict=True)]


def tiers(z: Sequence[int]) -> list[list[int]]:
    """Positions from 1, best first; neighbours within the tie zone share a tier, in ascending order."""
    order = sorted(range(len(z)), key=lambda i: (-z[i], i))
    out = [[order[0] + 1]]
    for ahead, i in pairwise(order):
        if z[ahead] - z[i] <= TIE_ZONE:
            out[-1].append(i + 1)
        else:
            out.append([i + 1])
    return [sorted(tier) for tier in out]


def judge(rng: random.Random, person: Person, task: Made, reversed_now: bool) -> dict[str, Any]:
    """One judgment in the short task layout, without its time."""
    shown = shuffled(rng, range(len(task.worth)))
    z = perceive(rng, person, task, shown, reversed_now)
    said: dict[str, Any] = {"annotator": person.name, "shown": [i + 1 for i in shown]}
    order = tiers(z)
    if task.line["kind"] == "ranking":
        said["ranking"] = order
    elif len(order) == 1:
        said["choice"] = "tie"
    else:
        said["choice"] = "A" if order[0][0] == said["shown"][0] else "B"
        said["strength"] = 1 + sum(abs(z[0] - z[1]) > edge for edge in (1000, 2500))
    letters = sum(len(r["text"]) for r in task.line["responses"])
    said["active_seconds"] = (person.pace + below(rng, 150) + letters * person.pace // 600) / 10
    return said


def timed(rng: random.Random, judgments: Sequence[dict[str, Any]]) -> None:
    """Give one person's judgments their times: forty a day from 09:00 UTC, with short pauses."""
    for i, said in enumerate(judgments):
        if i % 40 == 0:
            now = START + timedelta(days=i // 40, minutes=below(rng, 60))
        now += timedelta(seconds=int(said["active_seconds"]) + 1 + below(rng, 20))
        said["submitted_at"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")


def simulate(
    seed: int = 7, tasks: int = 600, overlap: int = 3, rankings: int = 3
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of tasks.jsonl and the content of truth.json.

    Args:
        seed: any whole number; the same one gives the same result.
        tasks: how many, from 1.
        overlap: judgments per task, 1 to 12.
        rankings: one task in so many ranks four answers, the others are A/B; 1: all rank.
    """
    if tasks < 1 or rankings < 1 or not 1 <= overlap <= len(PEOPLE):
        raise BadInput(f"--tasks and --rankings start at 1, --overlap goes from 1 to {len(PEOPLE)}")
    rng = random.Random(seed)
    made, repeats = make_tasks(rng, tasks, rankings)
    judges = assign(rng, made, repeats, overlap)
    work: list[list[int]] = [[i for i, ps in enumerate(judges) if p in ps] for p in range(len(PEOPLE))]
    said: list[list[dict[str, Any]]] = [[] for _ in made]
    truth_people: dict[str, Any] = {}
    for p, person in enumerate(PEOPLE):
        half = len(work[p]) // 2
        mine = [judge(rng, person, made[i], person.reverses and n >= half) for n, i in enumerate(work[p])]
        timed(rng, mine)
        for i, j in zip(work[p], mine, strict=True):
            said[i].append(j)
        truth_people[person.name] = {
            "skill": person.skill / 1000,
            "sensitivity": person.sensitivity / 1000,
            "first_shown": person.first_shown / 1000,
            "padding": person.padding / 1000,
            "reverses_from": half + 1 if person.reverses else None,
            "judgments": len(mine),
            "note": person.note,
        }
    lines = [{**m.line, "judgments": s} for m, s in zip(made, said, strict=True)]
    return lines, truth(seed, overlap, rankings, made, repeats, truth_people)


def truth(
    seed: int, overlap: int, rankings: int, made: list[Made], repeats: dict[str, str], people: dict[str, Any]
) -> dict[str, Any]:
    """The content of truth.json; worths and habits in log-odds, as in the model above."""
    return {
        "seed": seed,
        "settings": {
            "tasks": len(made),
            "overlap": overlap,
            "one_ranking_in": rankings,
            "tie_zone": TIE_ZONE / 1000,
            "own_spread": OWN_SPREAD / 1000,
            "grades": list(GRADES),
            "grade_starts": [g / 1000 for g in GRADE_STARTS],
        },
        "model": "Rao-Kupper for two answers, Plackett-Luce with ties for four: data/sample/simulate.py",
        "models": {m: s / 1000 for m, s in MODELS.items()},
        "people": people,
        "responses": {m.line["id"]: {"utility": [w / 1000 for w in m.worth], "padding": m.padding} for m in made},
        "repeats": repeats,
    }


def write(out: Path, seed: int, tasks: int, overlap: int, rankings: int) -> dict[str, Any]:
    """Write OUT/tasks.jsonl and OUT/truth.json and say how much they hold."""
    from data.jsonl import write_lines

    lines, known = simulate(seed, tasks, overlap, rankings)
    write_lines(out / "tasks.jsonl", lines)
    write_lines(out / "truth.json", [known])
    return {"out": str(out), "tasks": len(lines), "judgments": len(lines) * overlap, "people": len(PEOPLE)}


def run(argv: Sequence[str] | None = None) -> int:
    """Read the command line, write, and say what was written."""
    parser = argparse.ArgumentParser(
        prog="python -m data.sample.simulate", description="Write a judged project whose truth is known."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for tasks.jsonl and truth.json")
    parser.add_argument("--seed", type=int, default=7, help="whole number (default %(default)s)")
    parser.add_argument("--tasks", type=int, default=600, help="how many tasks (default %(default)s)")
    parser.add_argument("--overlap", type=int, default=3, help="judgments per task, 1 to 12 (default 3)")
    parser.add_argument(
        "--rankings", type=int, default=3, help="one task in so many ranks four answers (default 3; 1: all)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    args = parser.parse_args(argv)
    made = write(args.out, args.seed, args.tasks, args.overlap, args.rankings)
    if args.json:
        import json

        print(json.dumps(made))
    else:
        print(f"{made['tasks']} tasks, {made['judgments']} judgments by {made['people']} people: {made['out']}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(run))
