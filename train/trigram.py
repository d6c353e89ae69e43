"""A trigram model of tokens, the floor that a language model's held-out loss must be below.

Interpolated with Witten-Bell smoothing, down to the uniform distribution, so nothing is tuned:

    P(w | u v) = (c(u v w) + t(u v) · P(w | v)) / (c(u v) + t(u v))

c counts, t is how many different words were seen to follow. I. H. Witten, T. C. Bell, "The zero-frequency
problem", IEEE Trans. Inf. Theory 37 (1991), method C; the interpolated form of S. F. Chen, J. Goodman (1999).
Counts are whole numbers and the sum runs in a fixed order: the same tokens give the same digits.
"""

from collections import Counter
from collections.abc import Sequence
from math import log

NAME = "trigram, interpolated, Witten-Bell smoothing"


class Trigram:
    """Counts of one, two and three tokens in a row, within documents."""

    def __init__(self, documents: Sequence[Sequence[int]], words: int) -> None:
        """Count.

        Args:
            documents: token ids, each in [0, words).
            words: size of the vocabulary; the uniform floor is 1 / words.
        """
        self.words = words
        self.seen: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
        for tokens in documents:
            for n in range(3):
                self.seen[n].update(zip(*(tokens[k:] for k in range(n + 1)), strict=False))
        self.total: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
        self.kinds: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
        for n in range(3):
            for gram, count in self.seen[n].items():
                self.total[n][gram[:-1]] += count
                self.kinds[n][gram[:-1]] += 1

    def probability(self, word: int, before: tuple[int, ...]) -> float:
        """P(word | before), in (0, 1); at most the last two of `before` matter."""
        p = 1.0 / self.words
        for n in range(min(len(before), 2) + 1):
            context = before[len(before) - n :]
            kinds = self.kinds[n][context]
            if kinds:
                p = (self.seen[n][(*context, word)] + kinds * p) / (self.total[n][context] + kinds)
        return p


def held_out_loss(train: Sequence[Sequence[int]], held_out: Sequence[Sequence[int]], words: int) -> float:
    """Mean negative log-probability, in nats a token, of every held-out token but the first of its document."""
    model = Trigram(train, words)
    told = [
        -log(model.probability(tokens[i], tuple(tokens[max(0, i - 2) : i])))
        for tokens in held_out
        for i in range(1, len(tokens))
    ]
    return sum(told) / len(told)
