"""Words and sentences for made-up answers, English and Chinese: every function takes dice and a language."""

import random

SUBJECTS = {
    "en": ("The first step", "A small garden", "Most people", "This approach", "A good plan"),
    "zh": ("第一步", "一个小花园", "多数人", "这种做法", "一份好计划"),
}
PREDICATES = {
    "en": ("takes time", "helps more than one expects", "needs a clear goal", "works best in small steps"),
    "zh": ("需要时间", "比想象的更有用", "需要清楚的目标", "最好一小步一小步地来"),
}
TOPICS = {
    "en": ("bread", "rivers", "city parks", "train journeys", "old maps"),
    "zh": ("面包", "河流", "城市公园", "火车旅行", "旧地图"),
}


def topic(dice: random.Random, language: str) -> str:
    """Something one can talk about: a noun phrase."""
    return dice.choice(TOPICS[language])


def phrase(dice: random.Random, language: str) -> str:
    """A few words, no sentence."""
    return topic(dice, language)


def sentence(dice: random.Random, language: str) -> str:
    """One sentence with its full stop."""
    subject, rest = dice.choice(SUBJECTS[language]), dice.choice(PREDICATES[language])
    return f"{subject}{rest}。" if language == "zh" else f"{subject} {rest}."


def paragraph(dice: random.Random, language: str, sentences: int) -> str:
    """So many sentences."""
    return ("" if language == "zh" else " ").join(sentence(dice, language) for _ in range(sentences))
