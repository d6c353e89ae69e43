"""The fake server as a judge: which of two answers is better, and ratings on scales.

It has a hidden idea of quality (length up to a point, variety of words, a taste of its own), leans towards
what is shown first, is noisy, at times ties, declines, names both, or answers in an odd form; and of texts
that tell a judge what to choose it obeys about two in five, so that whoever tests a judge has flips to count.
"""

import math
import random
import re
from typing import Any

import orjson

from datagen.fake.draw import rng, steady, temperature
from datagen.fake.language import whole, written_in
from datagen.fake.logprobs import pieces
from datagen.fake.reply import Reply
from datagen.fake.words import paragraph

COMPARES = ("You compare two answers", "请比较同一段对话的两个回答")
RATES = ("You rate answers", "请分别给同一段对话的各个回答评分")
LEAN = 0.35  # towards the first shown, in log-odds
NOISE = 0.4  # standard deviation, in log-odds
OBEYS = 0.4  # of texts that tell it what to choose
_ANSWER = re.compile(r"<answer-([A-I])-([0-9a-f]{12})>\n(.*?)\n?</answer-\1-\2>", re.S)
_SCALE = re.compile(r"^- ([a-z][a-z0-9_]*) ?[(（].*?(\d+) ?[(（].*?(\d+) ?[(（]", re.M)
_TELLS = re.compile(
    r"\b(?:choose|pick|output|prefer)\b[^.\n]{0,24}\b(?:this|me|[AB])\b|\[\[[AB]\]\]|as the judge|verdict:"
    r"|请选|选择?本回答|作为评委|输出\s*[AB]|结论：",
    re.I,
)
_FORMS = ("{}", "{}", "{}", "{}", "({})", "({})", "{}.", " {}", "**{}**", "Answer: {}")
_FORMS_ZH = ("{}", "{}", "{}", "{}", "（{}）", "({})", "{}。", " {}", "答案：{}", "选{}")


def recognise(request: dict[str, Any]) -> bool:
    """By the first words of the judge's templates."""
    first = whole({"messages": request["messages"][:1]})
    return first.startswith((*COMPARES, *RATES))


def compose(request: dict[str, Any]) -> Reply:
    """A verdict, or ratings."""
    asked = whole(request)
    texts = [found[2] for found in _ANSWER.findall(asked)]
    language = written_in(whole({"messages": request["messages"][:1]}))
    dice = rng(request, "judge")
    if len(texts) < 2:
        return Reply("我没有看到可以比较的回答。" if language == "zh" else "There are no answers here to compare.")
    if dice.random() < 0.02:
        said = "抱歉，我无法评判这些回答。" if language == "zh" else "I'm sorry, but I can't judge these answers."
        return Reply(said)
    if asked.startswith(RATES):
        return _rate(asked, texts, dice, language)
    return _compare(request, asked, texts, dice, language)


def quality(text: str) -> float:
    """How good this judge finds a text by itself, in log-odds; about -1 to 3."""
    words = re.findall(r"[^\W_]", text)
    size = math.log1p(min(len(words), 600)) * 0.35
    variety = len(set(pieces(text))) / max(1, len(pieces(text)))
    taste = random.Random("taste " + text).uniform(-0.5, 0.5)
    return size + variety + taste - (1.5 if not words else 0.0)


def _compare(request: dict[str, Any], asked: str, texts: list[str], dice: random.Random, language: str) -> Reply:
    reasoned = "VERDICT: A" in asked.split("<conversation-")[0] or "结论：A" in asked.split("<conversation-")[0]
    still = steady(request, "noise")
    odds = 2 * (quality(texts[0]) - quality(texts[1])) + LEAN + still.gauss(0, NOISE)
    odds += _obeyed(texts)
    p = 1 / (1 + math.exp(-odds * (4 if reasoned else 1)))
    chances: dict[int, dict[str, float]] = {}
    if abs(odds) < 0.5 and dice.random() < 0.2:
        verdict = "平局" if language == "zh" else "tie"
    elif dice.random() < 0.03:
        verdict = "A 和 B 各有长处" if language == "zh" else "Both A and B have merits"
    else:
        first = p >= 0.5 if temperature(request) == 0 else dice.random() < p
        form = "{}" if reasoned else dice.choice(_FORMS_ZH if language == "zh" else _FORMS)
        verdict = form.format("A" if first else "B")
        chances = _chances(verdict, p, missing=dice.random() < 0.1)
    if not reasoned:
        return Reply(verdict, chances=chances)
    before = paragraph(dice, language, 3) + ("\n结论：" if language == "zh" else "\nVERDICT: ")
    text = before + verdict
    shift = len(pieces(text)) - len(pieces(verdict))
    if dice.random() < 0.02:
        return Reply(before.rsplit("\n", 1)[0])  # never comes to its verdict
    return Reply(text, chances=_chances(text, p, False, shift) if chances else {})


def _chances(text: str, p: float, missing: bool, at: int = 0) -> dict[int, dict[str, float]]:
    """The probabilities at the letter's token: both letters in its own form, and a few other words."""
    tokens = pieces(text)
    for place in range(len(tokens) - 1, at - 1, -1):
        if tokens[place].strip() in ("A", "B"):
            given = tokens[place].strip()
            lead = tokens[place].removesuffix(given)
            likely = {f"{lead}A": 0.9 * p, f"{lead}B": 0.9 * (1 - p), f"{lead}Both": 0.03}
            if lead == "":
                likely |= {" A": 0.05 * p, " B": 0.05 * (1 - p)}
            if missing:
                likely = {t: share for t, share in likely.items() if t.strip() in (given, "Both")}
            return {place: likely}
    return {}


def _obeyed(texts: list[str]) -> float:
    """Log-odds for the first that instructions in the texts make: each is obeyed or not by its own words."""
    odds = 0.0
    for text, side in zip(texts, (1, -1), strict=True):
        found = _TELLS.search(text)
        if found and random.Random("obey " + text).random() < OBEYS:
            letter = re.search(r"\b[AB]\b", found[0])
            odds += 6.0 * (side if letter is None else 1 if letter[0] == "A" else -1)
    return odds


def _rate(asked: str, texts: list[str], dice: random.Random, language: str) -> Reply:
    scales = [(key, int(low), int(high)) for key, low, high in _SCALE.findall(asked.rsplit("</answer-", 1)[-1])]
    ratings: dict[str, Any] = {}
    if '"reasoning"' in asked.split("<conversation-")[0]:
        ratings["reasoning"] = paragraph(dice, language, 2)
    for letter, text in zip("ABCDEFGHI", texts, strict=False):
        share = 1 / (1 + math.exp(1.2 - quality(text)))
        ratings[letter] = {
            key: min(high, max(low, round(low + (high - low) * share + dice.gauss(0, 0.6))))
            for key, low, high in scales
        }
    odd = dice.random()
    if scales and odd < 0.03:
        ratings["A"][scales[0][0]] = scales[0][2] * 2  # beyond the scale
    elif scales and odd < 0.05:
        ratings["A"][scales[0][0]] = str(ratings["A"][scales[0][0]])
    text = orjson.dumps(ratings).decode()
    return Reply(text[: len(text) // 2] if odd > 0.98 else text)
