"""Planted bad annotators found by influence: area under the ROC curve, beside agreement and Dawid-Skene.

    python -m bench.influence

Of 16 people 3 say the opposite of what they think, and 3 click at random. 640 choices, three judgments each;
rows take the majority's side, 480 train a reward model (a small Llama at random, all its weights, by `train.reward`),
160 are held out. `train.influence` ranks people by what one of their votes did; the peers rank them by how often they
agree with the others' majority, and by the reliability of Dawid and Skene's model on the same votes.
"""

import argparse
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench.figures import folder, parsed, report
from bench.noisy_people import INVERTS, RANDOM, SOUND, Choice, Person, choices, panels, people, says_first, words

REACH = 0.95
OVERLAP = 3
KINDS = (*[SOUND] * 10, *[INVERTS] * 3, *[RANDOM] * 3)


def main() -> int:
    """Measure; 1 when the figure is not reached."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seeds", type=int, default=8)
    p.add_argument("--first", type=int, default=100, help="the first seed; damping and sizes were chosen on 0 and 1")
    p.add_argument("--choices", type=int, default=640)
    asked = parsed(p)
    began, load = time.process_time(), os.getloadavg()[0]
    found: dict[str, list[float]] = {}
    said: list[dict[str, int]] = []
    for seed in range(asked.first, asked.first + asked.seeds):
        with folder() as place:
            made, verdicts = one_seed(place, asked.choices, seed)
        for name, auc in made.items():
            found.setdefault(name, []).append(auc)
        said.append(verdicts)
        print(f"  seed {seed}: {made} {verdicts}", flush=True)
    means = {name: round(mean(values), 4) for name, values in found.items()}
    total = {key: sum(one.get(key, 0) for one in said) for key in sorted({key for one in said for key in one})}
    details = {
        "people": {kind: KINDS.count(kind) for kind in (SOUND, INVERTS, RANDOM)},
        "choices": asked.choices,
        "first_seed": asked.first,
        "auc_by_seed": found,
        "auc_mean": means,
        "least": {name: min(values) for name, values in found.items()},
        "verdicts": total,
        "seconds": round(time.process_time() - began, 1),
        "load": round(load, 2),
    }
    figure = f"AUC {means['influence']} over {asked.seeds} seeds"
    peers = f"agreement with the majority {means['majority']}, Dawid-Skene {means['dawid_skene']}; reach {REACH}"
    return report("influence", figure, peers, details, means["influence"] >= REACH)


def one_seed(place: Path, count: int, seed: int) -> tuple[dict[str, float], dict[str, int]]:
    """The areas by method, and how many of each kind of people got which verdict."""
    from data.jsonl import read_lines
    from train.influence_run import Asked, influence
    from train.preparing import Asked as RunAsked
    from train.running import run

    worth = words(24, seed)
    chosen_from = choices(count, worth, seed, length=6)
    who = people(KINDS, seed)
    model = small_model(place / "model", list(worth), seed)
    votes = export_of(place / "exports" / "planted", chosen_from, who, seed)
    given = ("method=full", "length=64", "batch=8", "epochs=2", "learning_rate=3e-3", "device=cpu", "log_every=20")
    run(RunAsked("reward", place / "exports" / "planted", place, str(model), None, given, seed=seed))
    written = Path(influence(Asked(place / "runs" / "reward-planted-model", place, seed=seed))["wrote"])
    rows = [line.value for line in read_lines(written / "data/influence.jsonl")]
    mine = {row["id"]: row for row in rows if row["kind"] == "annotator"}
    kinds = {one.name: one.kind for one in who}
    counts: dict[str, int] = {}
    for name, row in mine.items():
        key = f"{kinds[name]}: {row['verdict']}"
        counts[key] = counts.get(key, 0) + 1
    scores = {
        "influence": {name: row["per_vote"] for name, row in mine.items()},
        "majority": agreement(votes),
        "dawid_skene": reliabilities(votes),
    }
    return {name: round(auc(score, kinds), 4) for name, score in scores.items()}, counts


def small_model(out: Path, known: Sequence[str], seed: int) -> Path:
    """A Llama of random weights with a tokenizer of these words."""
    from train.sample_text import Document
    from train.tiny_model import Shape, make_model, make_tokenizer

    said: Any = [{"role": "user", "content": " ".join(known)}]
    tokenizer: Any = make_tokenizer([Document(said, False)] * 3, 512)
    shape = Shape(words=512, width=48, layers=2, heads=2, inner=96, positions=128)
    model: Any = make_model(tokenizer, shape, seed)
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))
    return out


Votes = list[tuple[int, str, bool]]
"""Number of the choice, person, whether they chose the first answer."""


def export_of(out: Path, made: Sequence[Choice], who: Sequence[Person], seed: int) -> Votes:
    """Write the choices as curate.export does, by counted votes; a quarter of them held out. Returns the votes."""
    from data.folder import write_folder
    from data.records import Judgment

    draw = random.Random(f"votes {seed}")
    cast: Votes = []
    judgments: list[Judgment] = []
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for n, (choice, panel) in enumerate(zip(made, panels(len(made), who, OVERLAP, seed), strict=True)):
        ids = [f"r{n}a", f"r{n}b"]
        here = []
        for person in panel:
            first = says_first(person, choice.gap, draw)
            cast.append((n, person.name, first))
            here.append(
                Judgment.make(
                    task_id=f"t{n}",
                    annotator=person.name,
                    shown=ids,
                    choice="A" if first else "B",
                    submitted_at=f"2026-01-{1 + n % 4:02}T09:00:00Z",
                    token=f"{n} {person.name}",
                )
            )
        judgments += here
        split = "validation" if n % 4 == 3 else "train"
        rows[split].append(_row(n, choice, ids, [one.id for one in here], sum(one.choice == "A" for one in here)))
    with write_folder(out, "export", {"rules": {"prior": "0.5"}}) as folder:
        for split, lines in rows.items():
            folder.write(f"data/{split}.jsonl", lines)
        folder.write("audit/judgments.jsonl", judgments)
    return cast


def _row(n: int, choice: Choice, ids: list[str], judgment_ids: list[str], firsts: int) -> dict[str, Any]:
    side = 0 if 2 * firsts > OVERLAP else 1
    wins = max(firsts, OVERLAP - firsts)
    said = [[{"role": "assistant", "content": text}] for text in choice.answers]
    return {
        "id": f"p{n}",
        "prompt": [{"role": "user", "content": choice.prompt}],
        "chosen": said[side],
        "rejected": said[1 - side],
        "chosen_id": ids[side],
        "rejected_id": ids[1 - side],
        "judgment_ids": judgment_ids,
        "task_id": f"t{n}",
        "cluster": f"c{n}",
        "probability": (wins + 0.5) / (OVERLAP + 1),
        "weight": 1.0,
    }


def agreement(votes: Votes) -> dict[str, float]:
    """How often each person is on the side of the others' majority; the others' ties count half."""
    firsts: dict[int, list[bool]] = {}
    for n, _, first in votes:
        firsts.setdefault(n, []).append(first)
    found: dict[str, list[float]] = {}
    for n, name, first in votes:
        rest = sum(firsts[n]) - first
        lead = 2 * rest - (len(firsts[n]) - 1)
        found.setdefault(name, []).append(0.5 if lead == 0 else float((lead > 0) == first))
    return {name: mean(values) for name, values in found.items()}


def reliabilities(votes: Votes) -> dict[str, float]:
    """Dawid and Skene's, each by the others' votes."""
    from data.consensus import dawid_skene
    from data.reliability import reliability

    names = sorted({name for _, name, _ in votes})
    item = [n for n, _, _ in votes]
    who = [names.index(name) for _, name, _ in votes]
    said = [int(first) for *_, first in votes]
    found = dawid_skene(item, who, said, smoothing=1)
    return dict(zip(names, map(float, reliability(item, who, said, found).estimate), strict=True))


def auc(score: Mapping[str, float], kinds: Mapping[str, str]) -> float:
    """The chance that a sound person scores above a bad one; ties count half."""
    good = [score[name] for name in score if kinds[name] == SOUND]
    bad = [score[name] for name in score if kinds[name] != SOUND]
    won = sum((a > b) + 0.5 * (a == b) for a in good for b in bad)
    return won / (len(good) * len(bad))


if __name__ == "__main__":
    raise SystemExit(main())
