"""What an audit looks at, whatever it came from: pairs, ballots (who judged what, and how), and texts.

Rows are sorted by id, so the order in which they came changes nothing. What reads an export folder, a snapshot or
files is in curate/audit_sources.py.
"""

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from data.records import Judgment, PreferencePair

_ASSISTANT = "\n\nAssistant:"


class Pair(NamedTuple):
    """A row with a chosen and a rejected answer."""

    id: str
    prompt_id: str
    prompt: str
    """All its messages, one after another."""
    chosen: str
    rejected: str
    chosen_id: str
    rejected_id: str
    probability: float | None = None
    """That chosen is better; None where nobody says."""
    split: str | None = None
    licence: str | None = None
    language: str | None = None
    where: str | None = None


class Ballot(NamedTuple):
    """One judgment that compares answers."""

    id: str
    task: str
    prompt_id: str
    annotator: str
    kind: str
    """person, model or rule."""
    shown: tuple[str, ...]
    """Answers in the order shown; the order of the table where the material is a table."""
    place: dict[str, int]
    """Answer to the tier it was put in, 0 the best; those not placed are left out."""
    seconds: float | None = None
    where: str | None = None


class Passage(NamedTuple):
    """A text to search, and what it is: a prompt, a response, or a text of a table."""

    id: str
    kind: Literal["prompt", "response", "text"]
    text: str
    where: str | None = None


class Material(NamedTuple):
    """What is audited; each list sorted by id."""

    pairs: list[Pair]
    ballots: list[Ballot]
    passages: list[Passage]
    order_known: bool = True
    """Whether the ballots tell in which order answers were shown."""


def material(
    pairs: Iterable[Pair], ballots: Iterable[Ballot] = (), passages: Iterable[Passage] = (), order_known: bool = True
) -> Material:
    """Put together and sorted; the passages of the pairs are added, each prompt and answer once."""
    rows = list(pairs)
    if len({row.id for row in rows}) == len(rows):
        rows.sort(key=itemgetter(0))
    else:  # of rows under one id the rest decides
        rows.sort(key=lambda row: (*row[:7], repr(row[7:])))
    kinds: dict[str, dict[str, Passage]] = {}
    for passage in passages:
        kinds.setdefault(passage.kind, {})[passage.id] = passage
    prompts, responses = kinds.setdefault("prompt", {}), kinds.setdefault("response", {})
    for row in rows:
        if row.prompt_id not in prompts:
            prompts[row.prompt_id] = Passage(row.prompt_id, "prompt", row.prompt, row.where)
        if row.chosen_id not in responses:
            responses[row.chosen_id] = Passage(row.chosen_id, "response", row.chosen, row.where)
        if row.rejected_id not in responses:
            responses[row.rejected_id] = Passage(row.rejected_id, "response", row.rejected, row.where)
    ordered = sorted(ballots, key=itemgetter(0))
    if any(one.id == other.id for one, other in pairwise(ordered)):  # of a table, say: the annotator decides
        ordered.sort(key=itemgetter(0, 3))
    return Material(
        rows, ordered, [kinds[kind][id] for kind in sorted(kinds) for id in sorted(kinds[kind])], order_known
    )


def text_of(messages: Any) -> str:
    """The text of messages (a list of objects with content or value, one of them, or a text), one after another."""
    if isinstance(messages, str):
        return messages
    if isinstance(messages, dict):  # a turn of sharegpt
        return _said(messages)
    texts: list[str] = [_said(m) if isinstance(m, dict) else m.content for m in messages or []]
    return texts[0] if len(texts) == 1 else "\n\n".join(texts)


def _said(message: dict[str, Any]) -> str:
    said: str = message["content"] if "content" in message else message["value"]
    return said


def pair_of(row: dict[str, Any] | PreferencePair) -> Pair:
    """A row of an export as an audit looks at it; nothing is copied but texts of several messages.

    Args:
        row: of any format that has pairs (curate/layouts.py), as a record or as its columns.
    """
    if isinstance(row, PreferencePair):
        texts = text_of(row.prompt), text_of(row.chosen), text_of(row.rejected)
        ids = row.chosen_id, row.rejected_id
        return Pair(row.id, row.prompt_id, *texts, *ids, row.probability, row.split, row.licence, row.language)
    rest = (row.get(name) for name in ("probability", "split", "licence", "language"))
    return Pair(row["id"], row["prompt_id"], *_sides(row), row["chosen_id"], row["rejected_id"], *rest)


def _sides(row: dict[str, Any]) -> tuple[str, str, str]:
    """Prompt, chosen and rejected of a row, however its format spells them."""
    chosen, rejected = text_of(row["chosen"]), text_of(row["rejected"])
    if "prompt" in row:
        return text_of(row["prompt"]), chosen, rejected
    if "conversations" in row:
        system = [row["system"]] if row.get("system") else []
        return "\n\n".join([*system, text_of(row["conversations"])]), chosen, rejected
    # A transcript: the prompt is what both have before their last answer.
    asked, said, answer = chosen.rpartition(_ASSISTANT)
    if not said or not rejected.startswith(asked + said):
        return "", chosen, rejected
    return asked, answer.removeprefix(" "), rejected[len(asked + said) :].removeprefix(" ")


def ballot_of(j: dict[str, Any] | Judgment, prompt_id: str, where: str | None = None) -> Ballot | None:
    """A judgment as an audit looks at it; None when it compares nothing."""
    get = j.get if isinstance(j, dict) else partial(getattr, j)
    if get("verdict", "answered") != "answered":
        return None
    shown = tuple(get("shown", None) or ())
    ranking, choice, p = get("ranking", None), get("choice", None), get("probability", None)
    place: dict[str, int] = {}
    if ranking is not None:
        place = {r: n for n, tier in enumerate(ranking) for r in tier}
    elif len(shown) == 2 and choice is not None:
        place = dict(zip(shown, {"A": (0, 1), "B": (1, 0)}.get(choice, (0, 0)), strict=True))
    elif len(shown) == 2 and p is not None:
        place = dict(zip(shown, (int(p < 0.5), int(p > 0.5)), strict=True))
    if len(place) < 2:
        return None
    return Ballot(
        id=get("id", ""),
        task=get("task_id", ""),
        prompt_id=prompt_id,
        annotator=get("annotator", ""),
        kind=get("annotator_kind", "person"),
        shown=shown,
        place=place,
        seconds=get("active_seconds", None),
        where=where,
    )
