"""A judged project with faults put into it, and what must be found where; or the same without any.

Tasks, people and votes are those of data/sample/simulate.py, with people who are all sound; the faults
are planted on top. Everything follows from the seed.
"""

import random
from typing import Any, NamedTuple

from curate.audit_sources import of_task
from curate.material import Ballot, Material, Pair, Passage, material
from curate.pairs import Stored
from data.records import Judgment, Message, Prompt, Response, Task
from data.sample import simulate

SOUND = tuple(
    simulate.Person(f"sound-{n}", skill, "sound", pace=pace)
    for n, (skill, pace) in enumerate(
        ((930, 240), (920, 260), (910, 220), (930, 250), (900, 230), (920, 240), (910, 210))
    )
)
SPAMMER = simulate.Person("spammer", 501, "answers at random, at once", pace=8)
LEANER = simulate.Person("leaner", 800, "prefers what stands first", first_shown=2500, pace=230)
PRIVATE = (
    "write to lena.brandt@nordwind-mail.de",
    "我的电话是13763528190，随时联系",
    "身份证号码110105194912310021".replace("110105194912310021", "11010519491231002X"),
    "card 4539 1488 0343 6467, please",
    "export KEY=ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "call +49 30 901820 4417 tonight",
)
EVALUATION = (
    "A train leaves the harbour at nine and travels at seventy kilometres an hour towards the mountains; "
    "a second train leaves an hour later. When does the second one overtake the first, and how far from the harbour?"
)


class Planted(NamedTuple):
    """A project, and for each fault the finding's name and an id that must be among its cases."""

    material: Material
    faults: list[tuple[str, str]]
    evaluation: str


class _Project:
    """What is being put together."""

    def __init__(self, rng: random.Random, people: tuple[simulate.Person, ...]) -> None:
        self.rng = rng
        self.people = people
        self.pairs: list[Pair] = []
        self.ballots: list[Ballot] = []
        self.passages: list[Passage] = []
        self.votes = 0

    def ask(self, prompt: str, texts: list[tuple[str, str]], votes: list[dict[str, Any]], split: str) -> list[Pair]:
        """Add an A/B task with its votes (annotator, shown as positions, choice, seconds); its pairs."""
        asked = Prompt.make([Message(role="user", content=prompt)], licence="CC-BY-4.0")
        answers = [Response.make(asked.id, [Message(role="assistant", content=t)], model=m) for t, m in texts]
        self.votes += 1
        task = Task.make("planted", "ab", asked, answers, import_key=str(self.votes))
        stored = [
            Stored(
                "counted",
                Judgment.make(
                    task_id=task.id,
                    annotator=vote["annotator"],
                    shown=[answers[i].id for i in vote["shown"]],
                    choice=vote["choice"],
                    active_seconds=vote["seconds"],
                    token=f"{self.votes}:{n}",
                ),
            )
            for n, vote in enumerate(votes)
        ]
        pairs, ballots, passages = of_task(task, stored)
        pairs = [pair._replace(split=split) for pair in pairs]
        self.pairs += pairs
        self.ballots += ballots
        self.passages += passages
        return pairs

    def judged(self, made: simulate.Made, split: str, who: list[simulate.Person]) -> list[Pair]:
        """Add a simulated task, voted on by these people."""
        votes = []
        for person in who:
            said = simulate.judge(self.rng, person, made, False)
            shown = [i - 1 for i in said["shown"]]
            votes.append(
                {
                    "annotator": person.name,
                    "shown": shown,
                    "choice": said["choice"],
                    "seconds": said["active_seconds"],
                }
            )
        line = made.line
        return self.ask(line["prompt"], [(r["text"], r["model"]) for r in line["responses"]], votes, split)

    def unanimous(self, prompt: str, texts: list[tuple[str, str]], best: int, split: str) -> list[Pair]:
        """Add a task on which three sound people agree."""
        votes = []
        for person in simulate.shuffled(self.rng, self.people[:7])[:3]:
            shown = simulate.shuffled(self.rng, [0, 1])
            votes.append({"annotator": person.name, "shown": shown, "choice": "AB"[shown.index(best)], "seconds": 30.0})
        return self.ask(prompt, texts, votes, split)


def plant(seed: int, tasks: int = 300, clean: bool = False) -> Planted:
    """A project of so many tasks; with every kind of fault, or clean."""
    rng = random.Random(seed)
    people = SOUND if clean else (*SOUND, SPAMMER, LEANER)
    project = _Project(rng, people)
    made = [m for m in simulate.make_tasks(rng, 2 * tasks + 1, 10**9)[0] if m.line["kind"] == "ab"]
    seen: set[str] = set()
    turn = 0
    for m in made:
        # The templates repeat themselves; a clean project has each prompt once.
        if m.line["prompt"] in seen or len(seen) >= tasks:
            continue
        seen.add(m.line["prompt"])
        who = [people[(turn + k) % len(people)] for k in range(3)]
        turn += 3 if len(people) % 3 else 4
        project.judged(m, "train", who)
    faults = [] if clean else _faults(project, rng)
    return Planted(material(project.pairs, project.ballots, project.passages), faults, EVALUATION)


def _two(rng: random.Random, n: int) -> list[tuple[str, str]]:
    words = [
        f"{rng.choice('bdfgklmnprst')}{rng.choice('aeiou')}{rng.choice('lmnrst')}{rng.choice('aeiou')}"
        for _ in range(40)
    ]
    return [(f"{' '.join(words[:20])} {n}", "sim-aspen"), (f"{' '.join(words[20:])} {n}", "sim-birch")]


def _faults(project: _Project, rng: random.Random) -> list[tuple[str, str]]:
    faults = [("speed_outlier", "spammer"), ("agreement_outlier", "spammer"), ("position_bias_person", "leaner")]
    for n in range(5):
        texts, prompt = _two(rng, n), f"Please describe the {n}. {_two(rng, n)[0][0]}"
        first = project.unanimous(prompt, texts, 0, "train")
        again = project.unanimous(prompt, texts, 0, "train")
        faults.append(("duplicate_rows", max(first[0].id, again[0].id)))
        texts, prompt = _two(rng, n), f"Then compare the {n}. {_two(rng, n)[0][0]}"
        first = project.unanimous(prompt, texts, 0, "train")
        swapped = project.unanimous(prompt, texts, 1, "train")
        faults.append(("contradiction", max(first[0].id, swapped[0].id)))
        prompt = f"Now explain {_two(rng, n)[0][0]} to a friend"
        project.unanimous(prompt, _two(rng, n), 0, "train")
        leaked = project.unanimous(f"{prompt.upper()}!" if n % 2 else f"{prompt} once", _two(rng, n + 50), 0, "test")
        faults.append(("split_leak", leaked[0].id))
    for n, text in enumerate(PRIVATE):
        good, bad = _two(rng, n)
        (row,) = project.unanimous(
            f"What about number {n} of {bad[0]}?", [(f"{good[0]} {text}", good[1]), bad], 0, "train"
        )
        faults.append(("private_data", row.chosen_id))
    (row,) = project.unanimous(f"Solve this. {EVALUATION}", _two(rng, 70), 0, "train")
    faults.append(("contamination", row.prompt_id))
    texts = [*_two(rng, 80), _two(rng, 81)[0]]
    prompt = f"Which is best? {_two(rng, 82)[0][0]}"
    for a, b in ((0, 1), (1, 2), (2, 0)):
        (row,) = project.unanimous(prompt, [texts[a], texts[b]], 0, "train")
    faults.append(("intransitive", row.prompt_id))
    return faults
