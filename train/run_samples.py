"""The worst samples of a run as readable texts: prompt, then both answers side by side."""

from collections.abc import Mapping
from shlex import quote
from typing import Any

from markupsafe import Markup, escape

from data.report import Words, code, data, grid, level_mark, note, number, paragraph, percent, say
from data.text import visible
from train import run_words as words
from train.held_out import sigmoid
from train.run_story import BETTER, RunStory, Texts, place_of

SHOWN = 6
"""Samples whose texts stand in the page."""
LONGEST = 1_200
"""Characters of a text that are shown."""
LINES = 30
"""Lines of it."""


def worst_parts(story: RunStory) -> list[Markup]:
    """What it did worst on, and how to have it looked at."""
    compares = story.task in BETTER
    if not story.held_out:
        return []
    if not story.worst:
        return [note("good", paragraph(words.WORST_NONE))] if compares else []
    about = words.WORST_PAIRS if compares else words.WORST_ANSWERS
    parts = [paragraph(about, "soft", n=len(story.worst))]
    parts += [_sample(row, story.texts.get(str(row.get("id"))), compares) for row in story.worst[:SHOWN]]
    first = story.worst[0]
    if compares:
        load = f"python -m annotate.load {quote(place_of(story) + '/audit/ask_again.jsonl')}"
        project = quote(f"{story.name}-again")
        parts += [paragraph(words.AGAIN), typed(f"{load} --project {project} --kind ab --overlap 3")]
    parts += [paragraph(words.TRACE), typed(f"python -m curate.trace {quote(str(first.get('id')))}")]
    return parts


def typed(line: str) -> Markup:
    """A line to type, whole: half a command is none."""
    return Markup("<pre><code>{}</code></pre>").format(visible(" ".join(line[:4_000].split())))


def _sample(row: Mapping[str, Any], texts: Texts | None, compares: bool) -> Markup:
    why = str(row.get("why"))
    mark = level_mark("warn", words.WHYS[why]) if why in words.WHYS else data(why)
    split = row.get("split")
    about = {"id": code(str(row.get("id"))), "split": say(words.SPLIT[split]) if split in words.SPLIT else data(split)}
    task = row.get("task_id")
    ids = paragraph(words.ROW_IS if task else words.ROW_ALONE, "soft", task=code(str(task)), **about)
    head = Markup('<div class="finding">{}<p>{}</p>').format(mark, _says(row, compares))
    if texts is None:
        return head + paragraph(words.NO_TEXT, "soft") + ids + Markup("</div>")
    shown = [_text(words.PROMPT, texts.prompt, "info")]
    if texts.rejected is None:
        level = "block" if texts.label is False else "good"
        shown.append(_text(words.HELD[texts.label], texts.chosen, level))
    else:
        shown.append(
            grid(
                _text(words.CHOSEN_BY_PEOPLE, texts.chosen, "good"),
                _text(words.REJECTED_BY_PEOPLE, texts.rejected, "block"),
            )
        )
    return head + Markup("").join(shown) + ids + Markup("</div>")


def _says(row: Mapping[str, Any], compares: bool) -> Markup:
    if not compares:
        return say(words.ANSWER_SAYS, loss=number(float(row.get("loss") or 0)))
    margin, p = float(row.get("margin") or 0), float(row["p"]) if row.get("p") is not None else 1.0
    said = words.PAIR_SAYS if margin < 0 else words.PAIR_SAYS_OTHER
    return say(said, p=percent(p), q=percent(sigmoid(abs(margin))), margin=number(margin, 2))


def _text(title: Words, text: str, level: str) -> Markup:
    """A text in a box under its name, line by line, cut, with what cannot be seen written out."""
    kept = "\n".join(text[:LONGEST].splitlines()[:LINES])
    rest = len(text) - len(kept) if len(text) > LONGEST or len(text[:LONGEST].splitlines()) > LINES else 0
    lines = [escape(visible(line)) for line in kept.split("\n")]
    body = Markup("<br>").join(lines) if text.strip() else say(words.EMPTY)
    more = paragraph(words.CUT_TEXT, "soft", n=rest) if rest else Markup()
    name = Markup('<p class="soft"><b>{}</b></p>').format(say(title))
    return note(level, name, Markup('<p dir="auto"><bdi>{}</bdi></p>').format(body), more)
