"""Instructions to measure novelty on: as long, as varied and as repetitive as models' own, from a seed.

Alpaca's 52,000 have 10 tokens on average, 17 at the 95th percentile and 70 at most; word frequencies follow
Zipf's law; and a model asked again and again says nearly the same again and again. So: openings that
instructions have, noun phrases over a Zipfian vocabulary, and one text in three is an earlier one
(or a real one, where there are any) with a few words changed.
"""

import gzip
import json
import os
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

REAL = Path(os.environ.get("CONCORD_REAL") or Path(__file__).resolve().parents[2] / "shared" / "real")
OPENINGS = """
    write a|write a short|create a|generate a list of|describe the|explain the|explain how|given a|find the
    |rewrite the following|summarize the|classify the following|identify the|what is the|what are the|how do you
    |suggest a|compare the|design a|come up with a|translate the following|tell me about|provide an example of a
    |list three|name five|give me a|edit the|calculate the|construct a|convert the|in one sentence explain the
    |what would be a|rank the|analyze the|predict the|you are given a|propose a|outline the|discuss the
"""
GLUE = "of|in|for|to|about|and|with|on|from|that is|by|as|using the|between|into a|based on the|which|or|without"
CHARACTERS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多"
    "定行学法所民得经"
)
OPENINGS_ZH = (
    "请写一首|请写一篇|请解释|请列出|请把下面的|请描述|请比较|如何|为什么|请总结|请给出|请设计一个|请翻译|请判断|请推荐"
    "|什么是|帮我写|请改写|请分类|请计算"
)
_FIRST, _MIDDLE, _LAST = [
    letters.split(",")
    for letters in ("b,c,d,f,g,l,m,n,p,r,s,t,v,st,tr,pl,ch", "a,e,i,o,u,ea,io", "n,r,s,t,l,m,nd,st,ng")
]


class Words:
    """A vocabulary in which the k-th word comes up in proportion to 1/k."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._weights = list(accumulate(1 / (k + 3) for k in range(len(words))))

    def draw(self, rng: random.Random) -> str:
        """One word."""
        return rng.choices(self._words, cum_weights=self._weights)[0]


def real() -> list[str]:
    """The 427 instructions people wrote for Self-Instruct where they lie beside the checkout, in order; else none."""
    folder = REAL / "self_instruct_human_eval"
    names = ("user_oriented_instructions.jsonl", "seed_tasks.jsonl")
    return [row["instruction"] for name in names for row in _rows(folder / name)]


def real_questions() -> list[str]:
    """Those, both turns of MT-bench and what people said first to an assistant (HH-RLHF)."""
    turns = [turn for row in _rows(REAL / "mt_bench" / "question.jsonl") for turn in row["turns"]]
    dialogues = _rows(REAL / "hh_rlhf" / "harmless_test_first_half.jsonl.gz")
    return [*real(), *turns, *(row["chosen"].split("Human:")[1].split("Assistant:")[0].strip() for row in dialogues)]


def _rows(path: Path) -> list[Any]:
    if not path.exists():
        return []
    held = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(held) if path.suffix == ".gz" else held).splitlines()]


def english(rng: random.Random, vocabulary: int = 30_000) -> Iterator[str]:
    """Instructions without end, one in three nearly a repeat."""
    words = Words([_made_up(rng) for _ in range(vocabulary)])
    openings, glue = [Words([x.strip() for x in text.split("|")]) for text in (OPENINGS, GLUE)]
    known = real()
    while True:
        if known and rng.random() < 1 / 3:
            text = mutate(rng, rng.choice(known).split(), words)
        else:
            wanted = min(70, max(3, round(rng.lognormvariate(2.2, 0.36))))
            parts = openings.draw(rng).split()
            while len(parts) < wanted:
                parts += [words.draw(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
                parts += glue.draw(rng).split() if len(parts) < wanted - 1 else []
            text = " ".join(parts[:70])
        yield text
        if len(known) < 200_000 and len(text.split()) <= 20:
            known.append(text)


def chinese(rng: random.Random, vocabulary: int = 8_000) -> Iterator[str]:
    """Chinese instructions without end, words of one to four characters, one in three nearly a repeat."""
    characters = Words(list(CHARACTERS) + [chr(point) for point in rng.sample(range(0x4E00, 0x9FA5), 3000)])
    words = Words(
        ["".join(characters.draw(rng) for _ in range(rng.choice((1, 2, 2, 2, 3, 4)))) for _ in range(vocabulary)]
    )
    openings = Words(OPENINGS_ZH.split("|"))
    known: list[str] = []
    while True:
        if known and rng.random() < 1 / 3:
            text = mutate(rng, list(rng.choice(known)), characters, "")
        else:
            wanted = min(80, max(6, round(rng.lognormvariate(2.7, 0.4))))
            text = openings.draw(rng)
            while len(text) < wanted:
                text += words.draw(rng)
            text += rng.choice(("。", "", "？", "！"))
        yield text
        if len(known) < 200_000:
            known.append(text)


def mutate(rng: random.Random, parts: list[str], words: Words, between: str = " ", most: int = 7) -> str:
    """The text with some of its words or characters replaced, left out, put in or moved, or none."""
    parts = list(parts)
    for _ in range(rng.randrange(min(most, len(parts)) + 1)):
        at, what = rng.randrange(len(parts)), rng.random()
        if what < 0.5:
            parts[at] = words.draw(rng)
        elif what < 0.7 and len(parts) > 3:
            del parts[at]
        elif what < 0.9:
            parts.insert(at, words.draw(rng))
        else:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
    return between.join(parts)


def _made_up(rng: random.Random) -> str:
    syllables = "".join(rng.choice(_FIRST) + rng.choice(_MIDDLE) for _ in range(rng.choice((1, 2, 2, 3))))
    return syllables + rng.choice(_LAST)
