"""The fake server's answers to the prompts of Self-Instruct: made-up tasks, good ones and every kind of bad one.

Tasks come from the patterns of words.py, of which there are only so many: a run finds fewer and fewer new ones.
About one in four is spoilt on purpose, and so are some answers and instances: each filter of
datagen/filters.py finds its kind.
"""

import random
import re
from typing import Any

from datagen.fake import draw, words
from datagen.fake.language import last_user, whole
from datagen.fake.reply import Reply

# A phrase of each template (datagen/prompts), by language: it tells which step is asked and in what language.
PHRASES = {
    "instructions": {"en": "You write new tasks for a language model", "zh": "你为语言模型编写可供学习的新任务"},
    "classification": {"en": "You tell whether a task is a classification task", "zh": "你判断一个任务是不是分类任务"},
    "input_first": {"en": "You work out examples for a task:", "zh": "你为任务编写示例"},
    "output_first": {"en": "You work out examples for a classification task", "zh": "你为分类任务编写示例"},
    "one_pass": {"en": "You write whole tasks for a language model", "zh": "你为语言模型编写完整的学习任务"},
}
_NEEDS_INPUT = re.compile(r"\b(?:these|this|given|following|sentence)\b|下面|给定|这|读")
_TASK_LINE = re.compile(r"^(?:Task: |任务：)(.+)$", re.MULTILINE)
_LINE = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
_NAMES = {
    "en": ("Example", "Input", "Output", "Class", ": ", "none", "Task", "Instruction"),
    "zh": ("示例", "输入", "输出", "类别", "：", "无", "任务", "指令"),
}


def recognise(request: dict[str, Any]) -> bool:
    """Whether it is a prompt of Self-Instruct."""
    return _step(request) is not None


def compose(request: dict[str, Any]) -> Reply:
    """The answer to one step."""
    step, language = _step(request) or ("instructions", "en")
    dice = draw.rng(request, step)
    asked = last_user(request)
    if step == "instructions":
        return Reply(_list(dice, language, asked))
    if step == "one_pass":
        return Reply(_blocks(dice, language))
    instruction = (_TASK_LINE.findall(asked) or [""])[-1]
    if step == "classification":
        return Reply(_classify(dice, language, instruction))
    return Reply(_examples(dice, language, instruction, step == "output_first"))


def _step(request: dict[str, Any]) -> tuple[str, str] | None:
    text = whole(request)[:400]
    return next(((s, lang) for s, by in PHRASES.items() for lang, phrase in by.items() if phrase in text), None)


def _list(dice: random.Random, language: str, asked: str) -> str:
    """Eight more tasks after those listed; sometimes a remark before, no list, or a last one without end."""
    listed = _LINE.findall(asked)
    if dice.random() < 0.02:
        return {"en": "Gladly! What kind of tasks do you have in mind?", "zh": "好的！您想要哪一类任务？"}[language]
    if dice.random() < 0.01:
        return {"en": "I'm sorry, but I can't help with that.", "zh": "很抱歉，我无法完成这个请求。"}[language]
    tasks = [_task(dice, language, listed) for _ in range(8)]
    if dice.random() < 0.04:
        tasks[dice.randrange(4, 8)] = tasks[0] + " " + words.paragraph(dice, language, 300)
    bold = dice.random() < 0.1
    lines = [f"{len(listed) + 1 + i}. {'**' + t + '**' if bold else t}" for i, t in enumerate(tasks)]
    remark = {"en": "Here are some more tasks:\n\n", "zh": "下面是更多任务：\n\n"}[language]
    return (remark if dice.random() < 0.15 else "") + "\n".join(lines)


def _task(dice: random.Random, language: str, listed: list[str]) -> str:
    """One instruction: three in four good, the rest spoilt in one of the ways that models have."""
    if dice.random() < 0.22:
        return _spoilt(dice, language, listed)
    if dice.random() < 0.3:
        return words.classification(dice, language).instruction
    return words.instruction(dice, language)


def _spoilt(dice: random.Random, language: str, listed: list[str]) -> str:
    topic = words.topic(dice, language)
    known = dice.choice(listed) if listed else topic
    if language == "zh":
        ways = (
            "写首诗。",
            f"画出{topic}，并配上图片。",
            f"编写一个程序，统计{topic}出现的次数。",
            f"、{topic}是什么意思？请解释。",
            known,
            known.rstrip("。") + "，谢谢。",
            known.rstrip("。") + "，要简短。",
            f"Describe {words.topic(dice, 'en')} in two sentences.",
            f"讨论{topic}。" + words.paragraph(dice, language, 40),
            f"为{topic}写一段视频脚本的配乐说明，要有音乐。",
        )
        return dice.choice(ways)
    english = (
        "Write poem.",
        f"Draw a picture of {topic} and describe it.",
        f"Write a program that counts words about {topic}.",
        f"- {topic}: explain what is meant by it.",
        known,
        known.rstrip(".") + " briefly.",
        known.rstrip(".") + " once more.",
        f"Étude in words: describe {topic} twice.",
        f"Please 向 一位 老人 介绍 {words.topic(dice, 'zh')}，并 说明 理由。",
        f"Discuss {topic}. " + words.paragraph(dice, language, 40),
        f"Choose music for a short video on {topic} and say why.",
    )
    return dice.choice(english)


def _classify(dice: random.Random, language: str, instruction: str) -> str:
    sorts = bool(_labels(instruction, language))
    yes, no = {"en": ("Yes", "No"), "zh": ("是", "否")}[language]
    if dice.random() < 0.03:
        return {"en": "It depends on the text.", "zh": "这要看具体的文字。"}[language]
    return (yes if sorts else no) + dice.choice(("", "", "", ".", "\n"))


def _examples(dice: random.Random, language: str, instruction: str, label_first: bool) -> str:
    """Instances in the form the template shows; some spoilt."""
    example, given, output, label, colon, none, *_ = _NAMES[language]
    if not label_first and not _NEEDS_INPUT.search(instruction) and dice.random() < 0.5:
        pairs = [(none, words.paragraph(dice, language, dice.randint(1, 4)))]
    else:
        labels = _labels(instruction, language) or {"en": ["yes", "no"], "zh": ["是", "否"]}[language]
        most = 12 if dice.random() < 0.06 else 3  # long ones run into the limit of tokens
        pairs = [
            (
                words.paragraph(dice, language, dice.randint(1, most)),
                labels[i % len(labels)] if label_first else words.sentence(dice, language),
            )
            for i in range(dice.choice((1, 2, 3, 3, 4, 5, 5, 6)))
        ]
        _spoil(dice, language, pairs)
    if label_first:
        blocks = [[f"{label}{colon}{o}", f"{given}{colon}{i}"] for i, o in pairs]
    else:
        blocks = [[f"{given}{colon}{i}", f"{output}{colon}{o}"] for i, o in pairs]
    if dice.random() < 0.04:
        blocks[-1].reverse()
    return "\n".join(line for n, block in enumerate(blocks, 1) for line in (f"{example} {n}", *block))


def _spoil(dice: random.Random, language: str, pairs: list[tuple[str, str]]) -> None:
    """Now and then: no output, the input again, a bare colon, a repeated example, two outputs for one input."""
    first, out = pairs[0]
    way = dice.random()
    if way < 0.03:
        pairs[-1] = (pairs[-1][0], "")
    elif way < 0.06:
        pairs[-1] = (pairs[-1][0], pairs[-1][0])
    elif way < 0.09:
        pairs[-1] = (pairs[-1][0], {"en": "The answer is:", "zh": "答案如下："}[language])
    elif way < 0.12:
        pairs.append((first, out))
    elif way < 0.16:
        pairs.append((first, words.phrase(dice, language)))
    elif way < 0.22:
        pairs[:] = [({"en": "Text: ", "zh": "文本："}[language] + given, output) for given, output in pairs]


def _labels(instruction: str, language: str) -> list[str]:
    """The labels a classification task asks to choose from; none where it is another task."""
    listed = next((several for several in words.lexicon(language).slots["label"] if several in instruction), "")
    return re.split(r"、|或" if language == "zh" else r", | or ", listed) if listed else []


def _blocks(dice: random.Random, language: str) -> str:
    """One-pass: the tasks 4 to 20, whole; some without a field, and the last one sometimes cut off."""
    _, given, output, _, colon, none, task, instruction = _NAMES[language]
    out = []
    for number in range(4, 21):
        text = _task(dice, language, [])
        needs = bool(_NEEDS_INPUT.search(text))
        sentences = dice.choice((1, 2, 3, 60) if number == 20 else (1, 2, 3))
        fields = [
            f"{instruction}{colon}{text}",
            f"{given}{colon}{words.paragraph(dice, language, 2) if needs else none}",
            f"{output}{colon}{words.paragraph(dice, language, sentences)}",
        ]
        if dice.random() < 0.02:
            del fields[dice.randrange(3)]
        out += [f"### {task} {number}", *fields, ""]
    if dice.random() < 0.1:
        out[-2] += words.paragraph(dice, language, 400)
    return "\n".join(out)
