"""Answers that try to tell the judge what to choose: found by what they say, so that people can look at them.

A find is a mark, no proof, and takes nothing away: a quiz may well say "choose A". English and Chinese.
"""

import re
from typing import NamedTuple

from data.text import excerpt, visible


class Told(NamedTuple):
    """One thing in a text that is addressed to a judge, or hidden from a reader."""

    what: str
    """Its kind: one of KINDS."""
    excerpt: str
    """The words, on one line, invisible characters written out."""


_LETTER = (
    r"(?:(?-i:\(?\[*\(?[AB12]\b)|(?:the )?(?:first|second|last) (?:one|answer|response|option)"
    r"|(?:this|my) (?:answer|response|one))"
)
_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        "asks to be chosen",
        rf"\b(?:choose|pick|select|prefer|favou?r|vote for|output|print|reply with|respond with|answer with)\s+"
        rf"(?:option |answer |response |assistant )?{_LETTER}"
        r"|\b(?:this|my) (?:answer|response) (?:is|should be) (?:\w+ )?(?:the )?"
        r"(?:better|best|winner|chosen|preferred)"
        r"|(?:请|务必|必须|应该|应当|直接)[^。！？\n]{0,8}(?:选择?|输出|判定?|回复|偏向)[^。！？\n]{0,6}"
        r"(?:[ABＡＢ]|本回答|这个回答|此回答|第一个|第二个|我)"
        r"|(?:本|这个|此|我的)(?:回答|答案)(?:才?是|就是|应该是|更|最)[^。！？\n]{0,4}(?:好|优|佳|胜)",
    ),
    (
        "speaks to the judge",
        r"\b(?:as|dear|attention,?|note to|hey,?) (?:the |an? )?(?:impartial )?"
        r"(?:judge|grader|evaluator|rater|reviewer)\b"
        r"|\b(?:judge|grader|evaluator|rater)s?\s*[:,]\s*(?:please|you|choose|pick|ignore)"
        r"|(?:作为|致|各位|尊敬的|注意[，,:：]?)(?:公正的)?(?:评委|裁判|评审|评判者|打分者|评分者|评估者)",
    ),
    (
        "asks for a score",
        r"\b(?:give|award|rate|score|assign)\b[^.!?\n]{0,30}\b(?:10|ten|5|five|full|highest|maximum|top|perfect)\b"
        r"[^.!?\n]{0,12}(?:/\s*\d+|points?|stars?|marks?|score|rating|out of)"
        r"|(?:给|打|评)[^。！？\n]{0,8}(?:满分|最高分|10\s*分|5\s*分|十分|五星)",
    ),
    (
        "sets instructions aside",
        r"\b(?:ignore|disregard|forget|override)\b[^.!?\n]{0,20}\b(?:previous|prior|above|earlier|all|other)\b"
        r"[^.!?\n]{0,20}\b(?:instruction|rule|prompt|criteri|principle|guideline)"
        r"|(?:忽略|无视|不要理会|忘记|忘掉)[^。！？\n]{0,8}(?:以上|之前|前面|先前|上述|所有|其他)[^。！？\n]{0,6}(?:指令|指示|要求|规则|提示|标准)",
    ),
    (
        "writes a verdict",
        r"\[\[\s*[ab]\s*\]\]|\b(?:final )?verdict\s*[:=]\s*\W{0,3}[ab]\b"
        r"|(?:最终)?(?:结论|判定|评判结果)\s*[:：]\s*\W{0,3}[abＡＢ]",
    ),
    (
        "forges a boundary",
        r"</?\s*(?:answer|response|conversation|material|question|system|instructions?|assistant|user)\b[^>\n]{0,40}>"
        r"|<\|[a-z_]{2,20}\|>|\[/?INST\]|<</?SYS>>"
        r"|^[#=\-<\[\s]{2,}(?:end|begin|start)(?: of)? (?:the )?(?:answer|response|material|conversation|text)\b"
        r"|^[#=\-<\[【\s]+(?:以上|回答|材料|对话)(?:结束|完毕|到此为止)",
    ),
)
_FOUND = [(what, re.compile(pattern, re.IGNORECASE | re.MULTILINE)) for what, pattern in _PATTERNS]
HIDDEN = "hides characters"
KINDS = (*(what for what, _ in _FOUND), HIDDEN)
_WRITTEN_OUT = re.compile(r"\[U\+[0-9A-F]{4,6}\]")


def tells_judge(text: str) -> list[Told]:
    """What in a text is addressed to a judge or hidden from a reader, at most one find of each kind."""
    seen = visible(text)
    found = []
    for what, pattern in _FOUND:
        # Characters put between the letters must not hide the words.
        if match := pattern.search(seen) or pattern.search(_WRITTEN_OUT.sub("", seen)):
            found.append(Told(what, excerpt(match[0])))
    if seen.replace("\r\n", "\n") != text.replace("\r\n", "\n"):
        mark = _WRITTEN_OUT.search(seen)
        found.append(Told(HIDDEN, excerpt(seen[max(0, mark.start() - 20) : mark.end() + 20] if mark else seen)))
    return found
