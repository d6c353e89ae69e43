"""The fake server's critiques and revisions, with everything that goes wrong in real ones now and then."""

import random
import re
from typing import Any

from datagen.fake.draw import rng
from datagen.fake.language import last_user, written_in
from datagen.fake.reply import Reply
from datagen.fake.words import paragraph, sentence

CRITIQUE = ("Critique request: ", "评析要求：")
REVISION = ("Revision request: ", "改写要求：")
_ANSWER = re.compile(r"<answer-([0-9a-f]+)>\n(.*)\n</answer-\1>", re.DOTALL)
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]?\s*")

FAULTS = {
    "en": (
        "The words “{quote}” promise more than anybody can keep.",
        "A reader could take “{quote}” as leave to do harm.",
        "What is said with “{quote}” treats somebody unfairly.",
        "The part that begins “{quote}” leaves out what the user needs to know.",
    ),
    "zh": (
        "“{quote}”这句话说得太满，没有人能做到。",
        "读者可能把“{quote}”当作可以伤害他人的许可。",
        "“{quote}”这种说法对他人不公平。",
        "从“{quote}”开始的部分漏掉了用户需要知道的内容。",
    ),
}
KINDER = {
    "en": ("Take your time with it.", "If in doubt, ask somebody you trust.", "There is a safer way to the same end."),
    "zh": ("不必着急，慢慢来。", "拿不准的时候，请问问你信任的人。", "要达到同样的目的，有更稳妥的办法。"),
}
NOTHING = {"en": "No change needed. The answer does nothing of the kind.", "zh": "无需修改。回答没有这样的问题。"}
CANNOT = {
    "en": ("I'm sorry, but I can't help with criticising this.", "I am not able to rewrite this answer for you."),
    "zh": ("抱歉，我无法评析这段内容。", "我不便改写这段内容。"),
}
DECLINES = {
    "en": "I won't help with that, because somebody could get hurt. I'll gladly help you look for another way.",
    "zh": "这件事我不会帮忙，因为可能有人受到伤害。我很乐意帮你另想办法。",
}
HEADING = {"en": "Revision: ", "zh": "修改后的回答："}


def recognise(request: dict[str, Any]) -> bool:
    """Whether a critique or a revision is asked for, by the last lines of our templates."""
    asked = last_user(request)
    return bool(_ANSWER.search(asked)) and any(phrase in asked for phrase in CRITIQUE + REVISION)


def compose(request: dict[str, Any]) -> Reply:
    """One critique or one revision."""
    asked = last_user(request)
    found = _ANSWER.search(asked)
    answer = found[2].strip() if found else ""
    language = written_in(answer) if answer else written_in(asked)
    wants_critique = any(phrase in asked for phrase in CRITIQUE)
    dice = rng(request, "constitution")
    return Reply(critique(dice, answer, language) if wants_critique else revision(dice, answer, language))


def critique(dice: random.Random, answer: str, language: str) -> str:
    """Mostly a fault that is named with a quotation; at times nothing, a refusal, a copy, or a revision."""
    roll = dice.random()
    if roll < 0.15:
        return NOTHING[language]
    if roll < 0.19:
        return CANNOT[language][0]
    if roll < 0.21:
        return answer or sentence(dice, language)
    if roll < 0.23:
        return HEADING[language] + paragraph(dice, language, 2)
    quote = answer[: dice.randint(6, 24)].strip().replace("\n", " ") or "…"
    picked = dice.sample(FAULTS[language], dice.randint(1, 2))
    return ("" if language == "zh" else " ").join(one.format(quote=quote) for one in picked)


def revision(dice: random.Random, answer: str, language: str) -> str:
    """Mostly the answer with sentences taken out and others put in; at times one of the known failures."""
    other = "en" if language == "zh" else "zh"
    roll = dice.random()
    if roll < 0.05:
        return answer
    if roll < 0.08:
        return f"{answer.rstrip('.。')} …"
    if roll < 0.11:
        return critique_in_place(dice, answer, language)
    if roll < 0.14:
        return CANNOT[language][1]
    if roll < 0.16:
        return f"{sentence(dice, language)}\n{'用户：' if language == 'zh' else 'User: '}{sentence(dice, language)}"
    if roll < 0.18:
        return paragraph(dice, other, 3)
    if roll < 0.30:
        return DECLINES[language] if roll < 0.24 else HEADING[language] + better(dice, answer, language)
    return better(dice, answer, language)


def critique_in_place(dice: random.Random, answer: str, language: str) -> str:
    """What models write when they mistake their part: a critique where a revision is due."""
    quote = answer[:12].strip() or "…"
    opening = "评析：" if language == "zh" else "Critique: "
    return opening + dice.choice(FAULTS[language]).format(quote=quote)


def better(dice: random.Random, answer: str, language: str) -> str:
    """The answer with some sentences dropped and one or two new ones, so that it changes and its length does."""
    kept = [one.strip() for one in _SENTENCE.findall(answer) if dice.random() < 0.6]
    new = [sentence(dice, language), dice.choice(KINDER[language])][: dice.randint(1, 2)]
    place = dice.randint(0, len(kept))
    return ("" if language == "zh" else " ").join([*kept[:place], *new, *kept[place:]])
