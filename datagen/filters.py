"""What a new instruction has to pass, one named filter after another; each can be switched off, and each is counted.

The order and the limits are those of Self-Instruct's own code (arXiv 2212.10560, appendix A), where a word
is what stands between spaces. Languages written without spaces count letters instead, at five letters for
three words: too short is 5 letters or fewer for 3 words, too long more than 250 for 150 words. The original
drops a whole answer that was cut off; here its last item goes, for the ones before it are whole.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BadInput, nearest
from data.text import base_language, normalise, script_language, tokens

if TYPE_CHECKING:
    from datagen.avoid import Avoid
    from datagen.novelty_index import NoveltyIndex

UNSPACED = ("zh", "ja", "th", "lo", "my", "km")
LEAST, LONGEST = 3, 150  # words: an instruction has more than the first, and no more than the second
LEAST_LETTERS, LONGEST_LETTERS = 5, 250

# What a model of text alone cannot do or see. `one-pass` adds Alpaca's further words.
_WORDS = r"images?|graphs?|pictures?|files?|maps?|draw|plot|go to"
_MORE_WORDS = r"video|audio|music|flowchart|diagram"
# 企图, 试图, 意图, 力图, 妄图 and 贪图 end in the same letter and mean something else.
_ZH_WORDS = r"(?<![企试意力妄贪])图(?:片|像|表|形|画|中)|照片|画图|绘制|画出|文件|地图|曲线图|柱状图|打开网|访问网|点击"
_ZH_MORE_WORDS = r"视频|音频|音乐|录音|流程图|示意图"
_PROGRAM = re.compile(r"write a program", re.IGNORECASE)
_ZH_PROGRAM = re.compile(r"(?:请|请你)?(?:编写|写出|写|编)(?:一个|一段|一份|个|段)?(?:电脑|计算机|小)?程序")
# The script that writes a language, where data.text names it after another one.
_SCRIPT = {"uk": "ru", "be": "ru", "bg": "ru", "mk": "ru", "fa": "ar", "ur": "ar", "mr": "hi", "ne": "hi", "yi": "he"}

_NOT_LATIN = {"zh", "ja", "ko", "ar", "he", "ru", "el", "hi", "th", "lo", "my", "km", "ka", "hy", "bn", "ta", *_SCRIPT}

INSTRUCTION = {
    "truncated": "the answer was cut off in it",
    "too_short": f"{LEAST} words or fewer",
    "too_long": f"more than {LONGEST} words",
    "blacklist": "speaks of what a model of text cannot see or do",
    "program": "begins as 'Write a program'",
    "punctuation": "begins with punctuation",
    "non_ascii": "begins with a letter outside ASCII (English only)",
    "language": "is written in another language",
    "repeated": "the same text as a seed or an earlier one",
    "contaminated": "shares a run of words with an evaluation set (--avoid)",
    "not_novel": "ROUGE-L with a seed or an earlier one is above the threshold",
}
INSTANCE = {
    "truncated_instance": "the last one of an answer that was cut off",
    "empty_output": "no output",
    "same_as_input": "output and input are the same",
    "ends_with_colon": "input or output ends with a colon",
    "repeated_instance": "the same as an earlier one of the task",
    "surplus_instance": "more than five for one task",
    "instance_conflict": "the same input with two outputs: all of the task's instances go",
}
ALWAYS = {
    "bad_answer": "the answer itself was rejected; its fault says why",
    "no_list": "the answer holds no numbered list",
    "malformed_task": "a block without exactly instruction, input and output (one-pass)",
    "unclear_class": "the answer is neither yes nor no",
    "malformed_instance": "a block without exactly its fields",
    "no_instance": "none of the task's instances was left",
}


class Candidate(NamedTuple):
    """A new instruction on its way through the filters, and where it came from."""

    round: int
    request: int
    """The request's number in its round, from 0."""
    position: int
    """The item's place in its answer, from 0."""
    text: str
    parents: tuple[str, ...]
    key: str
    model: str
    template: str
    cut_off: bool = False

    @property
    def id(self) -> str:
        """Its name until it is a record: round, request and position."""
        return f"{self.round}.{self.request}.{self.position}"


class Fault(NamedTuple):
    """Why a candidate does not pass: the filter's name, what exactly, and more fields for its row."""

    filter: str
    detail: str
    more: dict[str, Any]


def choose(only: str | None, without: Sequence[str]) -> frozenset[str]:
    """The filters in use: all, or those of a list "a,b", less those switched off.

    Raises:
        BadInput: a name nobody has.
    """
    known = {**INSTRUCTION, **INSTANCE}
    named = [name.strip() for name in only.split(",") if name.strip()] if only is not None else list(known)
    off = [name.strip() for names in without for name in names.split(",") if name.strip()]
    for name in [*named, *off]:
        if name in ALWAYS:
            raise BadInput(f"'{name}' cannot be switched off: {ALWAYS[name]}")
        if name not in known:
            raise BadInput(f"no filter '{name}'{nearest(name, known) or '; known are ' + ', '.join(known)}")
    return frozenset(named) - frozenset(off)


class Sieve:
    """The filters of a run, with all they compare against: seeds and every instruction that has passed.

    An instruction whose instances fail later still counts for the comparison: a near copy would fail as well.
    """

    def __init__(
        self,
        language: str,
        on: frozenset[str],
        novelty: "NoveltyIndex",
        avoid: "Avoid | None" = None,
        one_pass: bool = False,
    ) -> None:
        self.on = on
        self._novelty = novelty
        self._avoid = avoid
        self._seen: dict[str, str] = {}
        self._language = language
        self._checks = checks(language, one_pass)

    def know(self, id: str, text: str) -> None:
        """Compare with this text from now on."""
        self._seen.setdefault(normalise(text), id)
        if "not_novel" in self.on:
            self._novelty.add(id, text)

    def fault(self, candidate: Candidate) -> Fault | None:
        """The first filter that the candidate does not pass, or None; then it is known from now on."""
        if candidate.cut_off and "truncated" in self.on:
            return Fault("truncated", INSTRUCTION["truncated"], {})
        for name, check in self._checks.items():
            if name in self.on and (why := check(candidate.text)):
                return Fault(name, why, {})
        found = self._compared(candidate.text)
        if found is None:
            self.know(candidate.id, candidate.text)
        return found

    def _compared(self, text: str) -> Fault | None:
        if "repeated" in self.on and (id := self._seen.get(normalise(text))) is not None:
            return Fault("repeated", f"the same as {id}", {"neighbour": {"id": id, "score": 1.0}})
        if "contaminated" in self.on and self._avoid is not None and (match := self._avoid.match(text)):
            return Fault(
                "contaminated", f"'{match.span}' in {match.file}, line {match.line}", {"match": match._asdict()}
            )
        if "not_novel" in self.on and (near := self._novelty.nearest(text)):
            neighbour = {
                "id": near.id,
                "text": near.text,
                "lcs": near.lcs,
                "m": near.m,
                "n": near.n,
                "score": round(near.score, 4),
            }
            return Fault("not_novel", f"F1 2·{near.lcs}/({near.m}+{near.n}) with {near.id}", {"neighbour": neighbour})
        return None


def checks(language: str, one_pass: bool = False) -> dict[str, Callable[[str], str | None]]:
    """The filters that look at the text alone, in order; each gives the reason, or None when the text passes."""
    base = base_language(language)
    chinese = base == "zh"
    words = "|".join([_ZH_WORDS, *([_ZH_MORE_WORDS] if one_pass else [])]) if chinese else ""
    english = "|".join([_WORDS, *([_MORE_WORDS] if one_pass else [])])
    pattern = re.compile(words or rf"\b(?:{english})\b", re.IGNORECASE)
    program = _ZH_PROGRAM if chinese else _PROGRAM
    found: dict[str, Callable[[str], str | None]] = {
        "too_short": lambda text: _length(text, base)[0],
        "too_long": lambda text: _length(text, base)[1],
        "blacklist": lambda text: f"'{match[0]}'" if (match := pattern.search(text)) else None,
        "program": lambda text: f"'{match[0]}'" if (match := program.match(text)) else None,
        "punctuation": lambda text: _punctuation(text, base),
        "non_ascii": lambda text: f"'{text[:1]}'" if base == "en" and not text[:1].isascii() else None,
        "language": lambda text: _other_language(text, base),
    }
    return found


def _length(text: str, base: str) -> tuple[str | None, str | None]:
    """Why the text is too short, and why too long."""
    if base in UNSPACED:
        n, unit, least, longest = len(tokens(text)), "letters", LEAST_LETTERS, LONGEST_LETTERS
    else:
        n, unit, least, longest = len(text.split()), "words", LEAST, LONGEST
    return (f"{n} {unit}" if n <= least else None), (f"{n} {unit}" if n > longest else None)


def _punctuation(text: str, base: str) -> str | None:
    """English as the original: any ASCII sign. Elsewhere what opens a quotation or a title may begin a sentence."""
    first = text[:1]
    if base == "en":
        return f"'{first}'" if first and first in string.punctuation else None
    kind = unicodedata.category(first) if first else ""
    return f"'{first}'" if kind[:1] in ("P", "S") and kind not in ("Ps", "Pi") else None


def _other_language(text: str, base: str) -> str | None:
    """The script gives the language away; two languages in one script are not told apart."""
    found = script_language(text, latin="Latin letters")
    wanted = _SCRIPT.get(base, base) if base in _NOT_LATIN else "Latin letters"
    return f"written in {found}" if found not in (None, wanted) else None
