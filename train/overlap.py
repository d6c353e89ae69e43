"""How far a text says what a reference says, in the same words: ROUGE-L and BLEU, one figure a text.

ROUGE-L: the F-measure (precision and recall weigh alike) of the longest common subsequence of tokens, C.-Y. Lin,
"ROUGE", ACL workshop 2004, section 3. Tokens are those of data/text.py: words, and single characters of Chinese.
BLEU: sacrebleu's for one sentence with effective order, M. Post, arXiv 1804.08771; divided by 100.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from data.text import tokens

MISSING_BLEU = "bleu left out: sacrebleu is not installed; pip install sacrebleu"


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L of a text against a reference, in [0, 1]; two texts without tokens agree wholly."""
    ours, theirs = tokens(text), tokens(reference)
    if not ours and not theirs:
        return 1.0
    shared = common_subsequence(ours, theirs)
    return 2 * shared / (len(ours) + len(theirs))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    A column of the usual table is one integer whose bits say where the length grows, so that a token of `a` costs
    a few operations on integers. H. Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
    """
    places: dict[str, int] = {}
    for i, token in enumerate(b):
        places[token] = places.get(token, 0) | 1 << i
    full = (1 << len(b)) - 1
    column = full
    for token in a:
        hits = column & places.get(token, 0)
        column = ((column + hits) | (column - hits)) & full
    return len(b) - column.bit_count()


def has_bleu() -> bool:
    """Whether sacrebleu is installed."""
    return find_spec("sacrebleu") is not None


def bleu(text: str, reference: str, language: str) -> float:
    """BLEU of one text, in [0, 1]; Chinese and Japanese are cut by character, others as mteval 13a does."""
    return float(_scorer(language).sentence_score(text, [reference]).score) / 100


def corpus_bleu(texts: Sequence[str], references: Sequence[str], language: str) -> tuple[float, str]:
    """BLEU of all texts together on sacrebleu's scale of 100, and the signature by which it is told to others."""
    scorer = _scorer(language, effective_order=False)
    found = scorer.corpus_score(list(texts), [list(references)])
    return float(found.score), str(scorer.get_signature())


def _scorer(language: str, effective_order: bool = True) -> Any:
    from sacrebleu.metrics import BLEU

    cut = {"zh": "zh", "ja": "char"}.get(language.split("-")[0].lower(), "13a")
    return BLEU(effective_order=effective_order, tokenize=cut)
