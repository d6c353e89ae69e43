"""A project's judgments by people as counts that add up, so that a new one costs what its own task costs.

A task is an `Entry`. When it changes, what the former entry added is taken out and what the new one adds is
put in: whole numbers all, so no order and no splitting of the history changes any of them. What needs every
vote at once (Dawid and Skene, the bootstrap) is read off the entries.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from curate.live_forms import first_shown, with_majority

T = TypeVar("T")
Pattern = tuple[tuple[int, int], ...]
"""How often each value was given to a unit: (value, count) by value."""
Signature = tuple[Pattern, ...]
"""The units of one prompt, sorted."""
Said = tuple[tuple[str, Signature], ...]
"""What a task's judgments say by criterion: the patterns of its units."""


class Entry(NamedTuple):
    """One judged task."""

    task: str
    prompt: str
    language: str
    """'' where nobody says."""
    models: tuple[str | None, ...]
    """Of the responses, by the order of their ids."""
    votes: tuple[tuple[str, bytes], ...]
    """Annotator and form (curate.live_forms) of each judgment that compares responses."""
    said: Said
    judgments: int
    """Judgments that count."""


class Person:
    """One person's sums."""

    __slots__ = ("first", "others", "shown", "sided")

    def __init__(self) -> None:
        self.first = 0
        """Parts of WHOLE that went to what was shown earlier, in `shown` ballots."""
        self.shown = 0
        self.sided = 0
        """Parts of WHOLE in which they side with the majority of the others, in `others` ballots."""
        self.others = 0


class State:
    """All of a project's sums."""

    def __init__(self) -> None:
        self.tasks: dict[int, Entry] = {}
        self.prompts: dict[str, tuple[int, ...]] = {}
        self.signatures: dict[tuple[str, str], Counter[Signature]] = {}
        """(criterion, language or '' for all) to how many prompts have which units."""
        self.people: dict[str, Person] = {}
        self.models: Counter[tuple[str | None, ...]] = Counter()
        self.judgments = 0
        self._same: dict[Any, Any] = {}

    def shared(self, value: T) -> T:
        """The one object kept of equal ones: a million tasks say few different things."""
        kept: T = self._same.setdefault(value, value)
        return kept


def change(state: State, number: int, entry: Entry | None) -> None:
    """Put a task as it now is in the place of what it was; None when no judgment of it counts."""
    before = state.tasks.get(number)
    if before is None and entry is None:
        return
    prompts = {one.prompt for one in (before, entry) if one is not None}
    for prompt in prompts:
        _count_units(state, prompt, -1)
    if before is not None:
        _count_people(state, before, -1)
        rest = tuple(n for n in state.prompts[before.prompt] if n != number)
        if rest:
            state.prompts[before.prompt] = rest
        else:
            del state.prompts[before.prompt]
        del state.tasks[number]
    if entry is not None:
        entry = _slim(state, entry)
        state.tasks[number] = entry
        state.prompts[entry.prompt] = (*state.prompts.get(entry.prompt, ()), number)
        _count_people(state, entry, 1)
    for prompt in prompts:
        _count_units(state, prompt, 1)


def _slim(state: State, entry: Entry) -> Entry:
    share = state.shared
    return entry._replace(
        language=share(entry.language),
        models=share(entry.models),
        votes=tuple((share(who), share(form)) for who, form in entry.votes),
        said=share(entry.said),
    )


def _count_people(state: State, entry: Entry, sign: int) -> None:
    """What a task's ballots add to each person's sums."""
    state.judgments += sign * entry.judgments
    state.models[entry.models] += sign
    if not state.models[entry.models]:
        del state.models[entry.models]
    people = state.people
    agreed = with_majority(tuple([form for _, form in entry.votes]))
    for (who, form), parts in zip(entry.votes, agreed, strict=True):
        person = people.get(who)
        if person is None:
            person = people[who] = Person()
        first = first_shown(form)
        if first is not None:
            person.first += sign * first
            person.shown += sign
        if parts is not None:
            person.sided += sign * parts
            person.others += sign
    if sign < 0:
        for who, _ in entry.votes:
            if who in people and not people[who].shown and not people[who].others:
                del people[who]


def _count_units(state: State, prompt: str, sign: int) -> None:
    """Count a prompt's units, as its tasks now have them."""
    numbers = state.prompts.get(prompt, ())
    for key, signature in _signatures([state.tasks[n] for n in numbers]):
        counted = state.signatures.get(key)
        if counted is None:
            counted = state.signatures[key] = Counter()
        counted[signature] += sign
        if not counted[signature]:
            del counted[signature]
            if not counted:
                del state.signatures[key]


def _signatures(entries: list[Entry]) -> Iterator[tuple[tuple[str, str], Signature]]:
    if len(entries) == 1:
        one = entries[0]
        for criterion, units in one.said:
            yield (criterion, ""), units
            if one.language:
                yield (criterion, one.language), units
        return
    found: dict[tuple[str, str], list[Pattern]] = {}
    for one in entries:
        for criterion, units in one.said:
            for language in {"", one.language}:
                found.setdefault((criterion, language), []).extend(units)
    for key, patterns in found.items():
        yield key, tuple(sorted(patterns))


def said_of(values: Iterable[tuple[str, object, str, int]]) -> Said:
    """What judgments say, from (criterion, unit, annotator, value): the patterns of a task's units.

    Somebody who spoke of a unit more than once counts with what they said most often, or not at all
    (`curate.observed.settle_repeats`).
    """
    units: dict[tuple[str, object], dict[str, list[int]]] = {}
    for criterion, unit, annotator, value in values:
        units.setdefault((criterion, unit), {}).setdefault(annotator, []).append(value)
    found: dict[str, list[Pattern]] = {}
    for (criterion, _), by_annotator in units.items():
        given = Counter(v for own in by_annotator.values() for v in _settled(own))
        if given:
            found.setdefault(criterion, []).append(tuple(sorted(given.items())))
    return tuple((criterion, tuple(sorted(found[criterion]))) for criterion in sorted(found))


def _settled(own: list[int]) -> list[int]:
    if len(own) == 1:
        return own
    often = Counter(own).most_common(2)
    return [] if len(often) > 1 and often[0][1] == often[1][1] else [often[0][0]]
