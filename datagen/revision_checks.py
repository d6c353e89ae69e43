"""What can be wrong with a critique or a revision, found in the text alone and named.

A critique:  empty, refuses_task, restates_answer, is_revision
A revision:  empty, unchanged, near_unchanged, is_critique, refuses_task, swapped_roles, echo, language_changed

To these come the faults the client names (truncated, refusal, content_filter, …). A pattern that the old
answer shows as well says nothing about the new one, so it is not held against it; English and Chinese are
looked for alike. A revision that declines the user's harmful wish is a good revision; what is named here is
declining to revise. Source of the failures: Bai et al. 2022, arXiv 2212.08073, section 3.1 (models write a
critique where a revision is due), and the recipe of huggingface/llm-swarm, which keeps them all.
"""

import re

from data.text import normalise, script_language, tokens

NEAR_PERCENT = 1  # tokens that differ, in percent of both texts' tokens, up to which a revision changed nothing
ALIKE = (7, 10)  # ROUGE-L F1 above which two texts are taken to say the same
OPENING = 300  # characters in which a text declares what it is
FEW = 4  # tokens below which the script of a text says nothing

CRITIQUE_CHECKS = ("empty", "refuses_task", "restates_answer", "is_revision")
REVISION_CHECKS = (
    *("empty", "unchanged", "near_unchanged", "is_critique", "refuses_task"),
    *("swapped_roles", "echo", "language_changed"),
)

_NOTHING = re.compile(
    r"^\W*(?:no (?:further )?(?:changes?|revisions?|edits?) (?:is |are |was |were )?(?:needed|necessary|required)"
    r"|no violations?\b|nothing (?:needs )?to (?:be )?change"
    r"|(?:无需|无须|不需要|不用|没有必要)(?:做|作|进行)?(?:任何)?(?:修改|改动|更改|改写)|没有违反|未违反|没有问题)",
    re.I,
)
_IS_CRITIQUE = re.compile(
    r"^\W*(?:critique|criticism|feedback on the (?:answer|response))\s*\W?\s*[:：]"
    r"|\bthe assistant'?s (?:last |previous |first )?(?:answer|response|reply)\b"
    r"|^\W*(?:the|this|that) (?:last |previous |first |above )?(?:answer|response|reply) "
    r"(?:is (?:harmful|problematic|inappropriate|unethical|unsafe|rude|wrong to|right to)|fails to|mocks|preaches"
    r"|gives away|passes by|should (?:not )?have|could have|helps (?:the user )?to|tells the user)"
    r"|^\W*(?:评析|批评|点评)\s*[:：]|助手的(?:上一个|上一次|最后一次)?(?:回答|回复)"
    r"|^\W*(?:该|这个|这段|上述|此)?(?:回答|回复)(?:在这里|帮助用户|存在|嘲笑|泄露|忽略了|没有给出|没有说|教用户|在说教)",
    re.I,
)
_CANNOT = r"(?:can(?:no|['’])?t|can not|unable to|won['’]t|will not|not able to|refuse to|decline to|not comfortable)"
_REFUSES = re.compile(  # by one who speaks of themselves: "you cannot revise for this exam" is advice
    rf"\b(?:i|we)(?:['’](?:m|re)| am| are)?\W+{_CANNOT}\W+(?:\w+\W+){{0,4}}?"
    r"(critiqu|criticis|criticiz|revis|rewrit|evaluat)\w*"
    r"|(?:我|抱歉|对不起)[^。！？\n]{0,12}?(?:无法|不能|不便|没办法|不会|拒绝|不愿)[^。！？\n]{0,8}?"
    r"(评析|批评|点评|修改|改写|重写|修订)",
    re.I,
)
_USER_SPEAKS = re.compile(r"^\W{0,3}(?:human|user|用户|人类)\W{0,3}[:：]|^\[(?:user|assistant)\]\s*$", re.I | re.M)
_HEADING = (
    r"(?:here(?:'s|’s| is)|below is)\b[^\n:：]{0,60}?(?:revis|rewrit|new (?:answer|version))[^\n:：]{0,60}"
    r"|revision|revised (?:answer|response|reply|version)|new answer|rewritten (?:answer|response)|assistant"
    r"|(?:以下|下面)是[^\n:：]{0,20}(?:修改|修订|改写)[^\n:：]{0,20}"
    r"|(?:修改后|修订后|改写后)的?(?:回答|回复|版本)?|改写|修订|新回答|助手"
)
_PREFIX = re.compile(rf"^[\s#>]*(?P<bold>[*_]{{0,3}})(?:{_HEADING})(?:\s*[:：](?P=bold)|(?P=bold)\s*[:：])\s*", re.I)
_MARKS = re.compile(r"^\s*<answer-[0-9a-f…]*>\s*|\s*</answer-[0-9a-f…]*>\s*$", re.I)


def finds_nothing(critique: str) -> bool:
    """Whether a critique opens by saying that there is nothing to change."""
    return bool(_NOTHING.match(critique))


def bare(revision: str) -> tuple[str, bool]:
    """The revision without a heading such as "Revision:" and marks around it, and whether there were any."""
    text = revision.strip()
    stripped = _MARKS.sub("", _PREFIX.sub("", _MARKS.sub("", text), count=1)).strip()
    return stripped, stripped != text


def critique_fault(critique: str, answer: str) -> str | None:
    """What makes this no critique of the answer, one of CRITIQUE_CHECKS; None when it is one."""
    if not critique.strip():
        return "empty"
    if _PREFIX.match(critique):
        return "is_revision"
    if _declines(critique, ""):
        return "refuses_task"
    return "restates_answer" if alike(critique, answer) else None


def revision_fault(revision: str, before: str, critique: str, request: str, asked: str = "") -> str | None:
    """What makes this no revision of the answer before it, one of REVISION_CHECKS; None when it is one.

    Args:
        revision: the new text, without its heading (see `bare`).
        before: the answer that was to be revised.
        critique: what was said against it.
        request: the revision request of the principle.
        asked: what the user asked, so that declining a wish to have something rewritten is no fault.
    """
    if not revision.strip():
        return "empty"
    if revision.strip() == before.strip():
        return "unchanged"
    if _near(revision, before):
        return "near_unchanged"
    if _shows(_IS_CRITIQUE, revision, before) or alike(revision, critique):
        return "is_critique"
    if _declines(revision, asked) and not _declines(before, asked):
        return "refuses_task"
    if _USER_SPEAKS.search(revision) and not _USER_SPEAKS.search(before):
        return "swapped_roles"
    if len(tokens(request)) > FEW and normalise(request) in normalise(revision):
        return "echo"
    return "language_changed" if _other_language(revision, before) else None


def alike(a: str, b: str) -> bool:
    """Whether two texts say the same by ROUGE-L F1 above 0.7, decided in whole numbers."""
    first, second = tokens(a), tokens(b)
    over, under = ALIKE
    return 2 * under * _common(first, second) > over * (len(first) + len(second))


def _near(a: str, b: str) -> bool:
    first, second = tokens(a), tokens(b)
    both = len(first) + len(second)
    if not first or not second:
        return False
    return 100 * (both - 2 * _common(first, second)) <= NEAR_PERCENT * both


def _common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence of tokens."""
    from rapidfuzz.distance import LCSseq

    return int(LCSseq.similarity(a, b))


def _shows(pattern: re.Pattern[str], text: str, before: str) -> bool:
    return bool(pattern.search(text[:OPENING])) and not pattern.search(before[:OPENING])


def _declines(text: str, asked: str) -> bool:
    """Whether the text opens by declining the work itself, and the user did not ask for that very work."""
    found = _REFUSES.search(text[:OPENING])
    return found is not None and (found[1] or found[2]).lower() not in asked.lower()


def _other_language(text: str, before: str) -> bool:
    if min(len(tokens(text)), len(tokens(before))) < FEW:
        return False
    new, old = script_language(text), script_language(before)
    return new is not None and old is not None and new != old
