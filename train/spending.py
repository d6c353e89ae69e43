"""What each look costs: a chance of a false pass of 5% over all looks, spent bit by bit.

    level([], spent(1 / 3, 0.05))                               # the first of three looks: 0.0226
    level([Looked(200, 0.0226)], 0.0155, 400)   # the second, with twice the cases: 0.0231

A run that is looked at again and again would pass at last by luck. Lan and DeMets let a fixed chance be spent along
a function of how far one has come; here that is the share of the planned looks, and the function is Pocock's type,
α · ln(1 + (e − 1) t), which is about even: three looks spend 0.0226, 0.0155 and 0.0118 of 0.05. Where a look has the
cases of the one before and more, the two means rise and fall together, and the level of its bound is greater than
what it spends; where the cases are others, it is what it spends, which holds however they depend on each other.

Sources: K. Lan and D. DeMets, Biometrika 70 (1983), 659-663; P. Armitage, C. McPherson and B. Rowe, JRSS A 132
(1969), 235-244 (the repeated integral).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from data.errors import BadInput

FUNCTION = "Lan-DeMets, Pocock type: alpha * ln(1 + (e - 1) * look / planned)"
_REACH = 8.0  # standard deviations that the integral covers
_POINTS = 1601
_NEAREST = 0.999  # information is taken to grow by a thousandth at least: less is below the grid, and errs on no side


class Looked(NamedTuple):
    """A look before, of cases that the next one has too."""

    information: float
    """In any unit, such as cases; never falling."""
    level: float
    """The one-sided level its bound had."""


def spent(share: float, alpha: float) -> float:
    """How much of `alpha` is spent when this share, within [0, 1], of the planned looks is taken."""
    return alpha * math.log1p((math.e - 1) * min(1.0, max(0.0, share)))


def spends(look: int, planned: int, alpha: float) -> float:
    """What the `look`-th (from 1) of the planned looks spends; 0 beyond the last.

    Raises:
        BadInput: a number outside its range.
    """
    if look < 1 or planned < 1 or not 0 < alpha < 0.5:
        raise BadInput(
            f"spending: look {look} of {planned}, alpha {alpha:g}; looks are from 1, alpha is within 0 to 0.5"
        )
    return max(0.0, spent(look / planned, alpha) - spent((look - 1) / planned, alpha))


def level(before: Sequence[Looked], spend: float, information: float = 1.0) -> float:
    """The level of a look's bound, such that the chance to pass at it, and at none before it, is `spend`.

    Args:
        before: the looks whose cases this one has too, oldest first, each with fewer cases than the next.
        information: of this look, in their unit.

    Returns:
        At least `spend`; 0 where nothing is left to spend.
    """
    if spend <= 0:
        return 0.0
    chain = [one for one in before if one.level > 0]
    if not chain:
        return spend
    import numpy as np
    from scipy.special import ndtr, ndtri

    grown = _growing([*(one.information for one in chain), information])
    density: Any = None
    points: Any = None
    weights: Any = None
    for place, one in enumerate(chain):
        nodes, widths = _grid(-_REACH, float(-ndtri(one.level)))
        if density is None:
            made = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
        else:
            step = math.sqrt(grown[place] - grown[place - 1])
            move = (nodes[:, None] * math.sqrt(grown[place]) - points[None, :] * math.sqrt(grown[place - 1])) / step
            kernel = np.exp(-(move**2) / 2) * (math.sqrt(grown[place]) / step / math.sqrt(2 * math.pi))
            made = kernel @ (density * weights)
        density, points, weights = made, nodes, widths
    step = math.sqrt(grown[-1] - grown[-2])

    def crossed(z: float) -> float:
        beyond = ndtr((points * math.sqrt(grown[-2]) - z * math.sqrt(grown[-1])) / step)
        return float((density * weights * beyond).sum())

    low, high = -_REACH, _REACH
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if crossed(middle) > spend else (low, middle)
    return max(spend, min(0.4999, float(ndtr(-high))))


def _growing(information: list[float]) -> list[float]:
    """The same, each a little more than the one before, scaled to end at 1."""
    grown = [1.0]
    for less, more in zip(reversed(information[:-1]), reversed(information[1:]), strict=True):
        grown.append(grown[-1] * min(_NEAREST, less / more))
    return grown[::-1]


def _grid(low: float, high: float) -> tuple[Any, Any]:
    """Places and weights of Simpson's rule."""
    import numpy as np

    weights = np.full(_POINTS, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return np.linspace(low, high, _POINTS), weights * (high - low) / (_POINTS - 1) / 3
