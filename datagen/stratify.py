"""A representative sample: strata get places in proportion to their size, by largest remainder.

Pure arithmetic and hashes: no files, no random state. Source: the method of A. Hamilton (1792), the
quota rule of apportionment; see M. Balinski and H. Young, "Fair Representation" (1982), chapter 2.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data.errors import BadInput, nearest
from data.records import Prompt, digest
from data.text import base_language, script_language

FIELDS = ("tag", "language", "source", "licence", "length", "turns")
SHORT, LONG = 200, 1000  # characters of a prompt: below SHORT is short, from LONG on long

Stratum = tuple[str, ...]


class Share(NamedTuple):
    """A stratum: how many prompts the file has of it, and how many were picked."""

    stratum: dict[str, str]
    in_file: int
    picked: int


def fields(text: str) -> tuple[str, ...]:
    """What `--stratify tag,language` names; BadInput for a name that is none of FIELDS."""
    named = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in named:
        if word not in FIELDS:
            raise BadInput(
                f"--stratify '{word}' is none of {', '.join(FIELDS)}{nearest(word, FIELDS)}; join several by a comma"
            )
    return named


def stratum(prompt: Prompt, by: Sequence[str]) -> Stratum:
    """The stratum of a prompt: one value for each field, "" where the prompt does not say.

    All tags together are one value ("code+math"). A prompt without a language has the one its script
    tells; `length` is short, medium or long; `turns` the number of the user's messages.
    """
    said = "\n".join(m.content for m in prompt.messages if m.role == "user")
    language = base_language(prompt.language or "") or script_language(said) or ""
    size = "short" if len(said) < SHORT else "medium" if len(said) < LONG else "long"
    values = {
        "tag": "+".join(sorted(set(prompt.tags))),
        "language": language,
        "source": prompt.source or "",
        "licence": prompt.licence or "",
        "length": size,
        "turns": str(sum(m.role == "user" for m in prompt.messages)),
    }
    return tuple(values[field] for field in by)


def allocate(sizes: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    """How many of `n` places each stratum gets, none more than it has.

    In proportion to size, the places left over to the largest remainders, equal remainders to the
    larger stratum and then by name. Where n is at least the number of strata, one that would get nothing
    gets one, from the stratum that has most places beyond its share; where n is less, some get none.
    All in integers. The places add up to n, or to all there are when n is more.

    Raises:
        ValueError: n or a size is below 1.
    """
    if n < 1 or any(size < 1 for size in sizes.values()):
        raise ValueError("allocate: n and every size are at least 1")
    total = sum(sizes.values())
    if n >= total:
        return dict(sizes)
    order = sorted(sizes, key=lambda s: (-(sizes[s] * n % total), -sizes[s], s))
    places = {s: sizes[s] * n // total for s in sizes}
    for s in order[: n - sum(places.values())]:
        places[s] += 1
    if n >= len(sizes):
        for s in sorted(s for s in sizes if places[s] == 0):
            rich = [other for other in sizes if places[other] > 1]
            giver = max(rich, key=lambda other: (places[other] * total - sizes[other] * n, places[other], other))
            places[giver] -= 1
            places[s] = 1
    return places


def pick(prompts: Sequence[Prompt], n: int, by: Sequence[str], seed: int) -> tuple[list[int], list[Share]]:
    """Which prompts are in a sample of n: their places in `prompts`, rising, and the strata they come from.

    Within a stratum those with the smallest hash of seed and id, so the same prompts are picked in
    whatever order they come, and a larger n mostly adds to a smaller one.
    """
    groups: dict[Stratum, list[int]] = {}
    for place, prompt in enumerate(prompts):
        groups.setdefault(stratum(prompt, by), []).append(place)
    places = allocate({s: len(held) for s, held in groups.items()}, n)
    picked: list[int] = []
    for s, held in groups.items():
        picked += sorted(held, key=lambda place: digest([seed, prompts[place].id]))[: places[s]]
    shares = [Share(dict(zip(by, s, strict=True)), len(groups[s]), places[s]) for s in sorted(groups)]
    return sorted(picked), shares
