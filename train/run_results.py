"""How good a run is on its held-out rows, as its page tells it: the figure to see first, and the section of results."""

from collections.abc import Callable
from math import exp
from typing import Any

from markupsafe import Markup

from data.report import Words, grid, number, paragraph, percent, say
from train import run_words as words
from train.held_out import Kind, Share, by_slice, loss, reliability, split_of, told_by
from train.run_figures import reliability_figure, share_figure
from train.run_story import RunStory

SPELL: dict[Kind, Callable[[float], str]] = {"accuracy": percent, "auc": number, "loss": number}
_NAMES: dict[Kind, Words] = {"accuracy": words.HELD_ACCURACY, "auc": words.HELD_AUC, "loss": words.HELD_LOSS}
_TITLES: dict[Kind, Words] = {"accuracy": words.ACCURACY, "auc": words.AUC, "loss": words.LOSS}


def held_figure(story: RunStory) -> tuple[Words, Any, Markup | None]:
    """The figure to see first: accuracy of a task that compares, the area under the curve of kto, else the loss."""
    kind, split, share = headline(story)
    if share is None or split is None:
        return _NAMES[kind], "–", say(words.NONE_HELD)
    spell = SPELL[kind]
    about = {"split": say(words.SPLIT[split]), "n": share.n}
    if share.low is None or share.high is None:
        return _NAMES[kind], spell(share.value), say(words.FEW_ROWS, clusters=share.clusters, **about)
    return _NAMES[kind], spell(share.value), say(words.OF_ROWS, low=spell(share.low), high=spell(share.high), **about)


def headline(story: RunStory) -> tuple[Kind, str | None, Share | None]:
    """What the run is told by, the split to speak of, and the figure there; a loss is of answers not held bad."""
    told = told_by(story.held_out, story.task)
    split = split_of(told.rows)
    spoken = [row for row in told.rows if row.get("split") == split]
    if told.kind == "loss":
        spoken = [row for row in spoken if row.get("label") is not False]
    return told.kind, split, told.of(spoken, split) if split else None


def results(story: RunStory) -> list[Markup]:
    """Figures by split and slice, and whether probabilities hold; nothing without held-out rows."""
    told = told_by(story.held_out, story.task)
    shares = _by_split(story, told.kind)
    if not shares:
        return []
    split = split_of(told.rows)
    spoken = [row for row in told.rows if row.get("split") == split]
    drawn = [
        share_figure(
            "held-out", _TITLES[told.kind], [*shares, *by_slice(spoken, told.of)], _about(story, told.kind), told.kind
        )
    ]
    if told.kind == "accuracy" and (held := reliability(spoken)):
        drawn.append(reliability_figure(held))
    if told.kind == "auc":
        losses = [*_by_split(story, "loss"), *by_slice(spoken, loss)]
        drawn.append(share_figure("held-out-loss", words.LOSS, losses, _about(story, "loss"), "loss"))
    more = []
    if story.task == "sft":
        value = shares[-1].value
        more = [paragraph(words.PERPLEXITY_TOLD, loss=number(value), p=number(exp(min(value, 50.0)), 1))]
    both = [paragraph(words.CHOSE_BY, "soft")] if len(shares) > 1 else []
    return [paragraph(words.RESULTS_ABOUT, "soft"), *both, *more, grid(*drawn)]


def _by_split(story: RunStory, kind: Kind) -> list[Share]:
    told = told_by(story.held_out, story.task)
    of, rows = (told.of, told.rows) if kind == told.kind else (loss, list(story.held_out))
    found = (of([row for row in rows if row.get("split") == split], split) for split in ("validation", "test"))
    return [one for one in found if one]


def _about(story: RunStory, kind: Kind) -> Markup:
    if kind == "loss":
        return say(words.LOSS_TOLD_KTO if story.task == "kto" else words.LOSS_TOLD)
    return say(words.ACCURACY_TOLD if kind == "accuracy" else words.AUC_TOLD)
