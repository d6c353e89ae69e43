"""Training runs as they look when they went as such runs do, made without training: one a task."""

import math
import random
from functools import cache

from train.exports import Answer, Pair
from train.run_story import RunStory
from train.watching import watch
from train.worst import texts_of, worst_rows

QUESTIONS = (
    ("en", "maths", "Please work out 15% × 260 for me.", "Ten per cent is 26 and half of that 13, so it is **39**."),
    (
        "zh",
        "food",
        "怎样煮溏心蛋？请给出步骤。",
        "1. 水烧开，放入常温鸡蛋。\n2. 煮六分半钟。\n3. 立刻放进冰水，剥壳即可。",
    ),
    (
        "en",
        "code",
        "Reverse a string in Python.",
        "```python\ntext[::-1]\n```\nSlicing with a step of −1 walks backwards.",
    ),
    ("zh", "travel", "周末去苏州一天，怎么安排？", "上午看拙政园，下午逛平江路，傍晚在山塘街吃饭；地铁都能到。"),
    ("en", "writing", "Write a note to thank a neighbour.", "Dear Ana,\n\nthank you for watering the plants.\n\nJo"),
)
FILLER = " I hope this is of some use to you, and feel free to ask again at any time."
METRIC_KEYS = {
    "sft": (),
    "reward": ("accuracy", "margin", "chosen_reward", "rejected_reward", "length_correlation"),
    "kto": ("margin", "chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp", "kl"),
    "dpo": (
        *("accuracy", "margin", "chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp", "kl"),
        "length_correlation",
    ),
}
METHOD = {"sft": "full", "reward": "lora", "dpo": "qlora", "kto": "lora"}


def metrics(task: str, steps: int = 120, every: int = 1) -> list[dict]:
    """What such a run logs, with two looks at the validation split."""
    rng = random.Random(task)
    rows = []
    for step in range(every, steps + 1, every):
        part = step / steps
        rows.append(_row(task, step, part, "train", rng))
        if step % max(every, steps // 4) == 0:
            rows.append(_row(task, step, part, "validation", rng))
    return rows


def _row(task: str, step: int, part: float, split: str, rng: random.Random) -> dict:
    noise = 0.08 if split == "train" else 0.01
    gain = 1 - math.exp(-3 * part)
    start, end = (2.9, 1.7) if task == "sft" else (0.693, 0.41)
    row = {"step": step, "epoch": part, "split": split, "loss": start - (start - end) * gain + rng.gauss(0, noise)}
    if split == "train":
        row |= {"learning_rate": 5e-6 * (1 - part), "grad_norm": 1.4 + rng.random(), "tokens": 4096 * step}
        row |= {"seconds": 1.9 * step + rng.random() / 3, "memory_bytes": int(5.1e9 + 4e8 * min(1, part * 8))}
    figures = {
        "accuracy": min(1.0, max(0.0, 0.5 + 0.28 * gain + rng.gauss(0, noise))),
        "margin": 1.1 * gain + rng.gauss(0, noise),
        "chosen_reward": -0.3 * gain + rng.gauss(0, noise),
        "rejected_reward": -1.4 * gain + rng.gauss(0, noise),
        "chosen_logp": -142 - 3 * gain + rng.gauss(0, 4 * noise),
        "rejected_logp": -151 - 14 * gain + rng.gauss(0, 4 * noise),
        "kl": -8 * gain + rng.gauss(0, noise),
        "length_correlation": 0.2 + rng.gauss(0, noise),
    }
    return row | {key: figures[key] for key in METRIC_KEYS[task]}


def sources(task: str, n: int = 240) -> dict[str, Pair | Answer]:
    """Held-out rows of an export, by id."""
    rng = random.Random(f"{task} rows")
    made = {}
    for i in range(n):
        language, tag, prompt, good = QUESTIONS[i % 5]
        bad = good.split("\n")[0][:40] + FILLER * rng.randint(1, 4)
        key, split = f"{i:04x}" * 8, "test" if i % 3 else "validation"
        about = {"prompt_id": f"p{i // 3}", "task_id": f"t{i // 3}", "judgment_ids": [f"j{i}", f"j{i}b"]}
        about |= {
            "language": language,
            "tags": [tag],
            "licence": "CC-BY-4.0",
            "source": "human",
            "cluster": f"c{i // 3}",
        }
        asked = [{"role": "user", "content": f"{prompt} ({i // 5})"}]
        first, second = ([{"role": "assistant", "content": text}] for text in (good, bad))
        if task in ("sft", "kto"):
            label = None if task == "sft" else i % 2 == 0
            made[key] = Answer(
                key, asked, second if label is False else first, None, label, 1.0, split, f"line {i}", about
            )
        else:
            p = rng.choice([0.625, 0.83, 0.875, 0.97])
            made[key] = Pair(key, asked, first, second, None, p, 1.0, split, f"line {i}", about)
    return made


def held_out(task: str, rows: dict[str, Pair | Answer]) -> list[dict]:
    """Their scores, right about three times in four, and as sure as that."""
    rng = random.Random(f"{task} scores")
    made = []
    for one in rows.values():
        about = {key: one.row[key] for key in ("cluster", "language", "tags")}
        row = {"id": one.id, "split": one.split, "w": 1.0, "chosen_tokens": 40, "rejected_tokens": 60, **about}
        if isinstance(one, Answer):
            row |= {"p": 1.0, "chosen": round(abs(rng.gauss(1.7, 0.4)), 6), "rejected": None, "correct": None}
            row |= {"label": one.label} if task == "kto" else {}
        else:
            margin = rng.gauss(1.0, 1.4)
            row |= {
                "p": one.p,
                "chosen": round(margin / 2, 6),
                "rejected": round(-margin / 2, 6),
                "correct": margin > 0,
            }
        made.append(row)
    return made


def story(task: str, **more) -> RunStory:
    """A run of 120 steps."""
    return _story(task)._replace(**more)


@cache
def _story(task: str) -> RunStory:
    rows, logged = sources(task), metrics(task)
    scored = held_out(task, rows)
    worst = worst_rows(scored, rows, task)
    lost = [
        {
            "id": f"{i:064x}",
            "split": "train",
            "fate": "cut" if i else "dropped",
            "why": f"{30 + i} tokens are over 1024",
        }
        | {"prompt_tokens": 1100 + i, "chosen_tokens": 210, "rejected_tokens": 340}
        for i in range(3)
    ]
    return RunStory(
        name=f"sky-{task}",
        task=task,
        method=METHOD[task],
        base="/home/somebody/models/Tiny-Llama-Chat",
        export="sky",
        command=f"python -m train.{task} workspace/exports/sky --config train/configs/{task}.yaml --model tiny",
        config={"learning_rate": 5e-6, "seed": 0, "lora": {"rank": 16, "targets": ["q_proj", "v_proj"]}},
        digests={"export": "e" * 64, "model": "a1" * 32, "template": "7f" * 32},
        rows={"train": 4210, "validation": 80, "test": 160},
        seconds=241.7,
        metrics=logged,
        held_out=scored,
        worst=worst,
        texts={one["id"]: texts_of(rows[one["id"]]) for one in worst[:8]},
        lost=lost,
        looked={"rows": 4450, "kept": 4447, "cut": 2, "dropped": 1, "no_signal": 0},
        warnings=[one._asdict() for one in watch(logged, clip=1.0)],
        estimate=[
            {"part": "weights", "predicted_bytes": 4.2e9, "used_bytes": 4.21e9},
            {"part": "activations", "predicted_bytes": 6.1e8, "used_bytes": 6.4e8},
            {"part": "peak", "predicted_bytes": 5.2e9, "used_bytes": 5.5e9},
            {"part": "time", "predicted_seconds": 260.0, "used_seconds": 241.7},
        ],
        licences={"CC-BY-4.0": 4300, "none stated": 150},
        base_licence="apache-2.0",
        sources={"human": 4000, "both": 450},
        languages={"en": 2650, "zh": 1800},
        versions={"torch": "2.13.0", "trl": "1.16.0"},
        trainable=41_943_040,
        parameters=8_030_261_248,
    )
