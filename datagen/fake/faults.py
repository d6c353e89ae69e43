"""Faults on demand: which one a request meets, decided by the request and the attempt, never by the clock.

    --fault NAME            every time
    --fault NAME=0.1        one attempt in ten, by a hash of the request and the number of the attempt
    --fault NAME=first:2    the first two attempts of each request, then well

One request asks for a fault by the header `X-Fault: NAME` (or NAME=RATE), or by the model `fault:NAME`.
What each fault is: datagen/fake/misbehaving.py.
"""

from collections.abc import Iterable
from typing import NamedTuple

from data.errors import BadInput, nearest
from datagen.fake.draw import share
from datagen.fake.misbehaving import BODIES, EDITS, MANNERS, REFUSALS

FAULTS: dict[str, str] = {
    name: line for table in (EDITS, BODIES, MANNERS, REFUSALS) for name, (line, _) in table.items()
}
"""Every fault's name and what it does, in one line."""

MODEL_PREFIX = "fault:"
FIRST = "first:"


class Rule(NamedTuple):
    """When a fault comes."""

    name: str
    rate: float = 1.0
    """Share of attempts, 0 to 1."""
    first: int | None = None
    """Only the first so many attempts of each request, in place of the rate."""

    def fires(self, key: bytes, attempt: int, seed: int = 0) -> bool:
        """Whether this attempt (from 1) of this request meets the fault."""
        if self.first is not None:
            return attempt <= self.first
        return share(key, self.name, attempt, seed) < self.rate


def rule(text: str) -> Rule:
    """A rule as one types it.

    Raises:
        BadInput: no such fault, or no such rate.
    """
    name, _, rate = text.partition("=")
    if name not in FAULTS:
        raise BadInput(f"'{name}' is no fault{nearest(name, FAULTS) or '; --list-faults lists them'}")
    if rate in ("", "always"):
        return Rule(name)
    try:
        if rate.startswith(FIRST):
            first = int(rate.removeprefix(FIRST))
            if first >= 0:
                return Rule(name, first=first)
        elif 0 <= (share_of_all := float(rate)) <= 1:
            return Rule(name, share_of_all)
    except ValueError:
        pass
    raise BadInput(f"fault {name}: '{rate}' is neither a share from 0 to 1 nor always nor first:K") from None


def pick(rules: Iterable[Rule], key: bytes, attempt: int, seed: int = 0) -> str | None:
    """The name of the first fault that fires, or None."""
    return next((one.name for one in rules if one.fires(key, attempt, seed)), None)
