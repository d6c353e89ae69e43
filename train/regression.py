"""A regression set: prompts whose answers must have something that can be checked, and cases out of answers.

    rows = read_regression(BUNDLED)
    cases = regression_cases(rows, {"en-capital": "Canberra"}, None)

One JSON object a line:

    id         its name, once in the file
    prompt     text, or messages with role and content
    check      what the answer must do:
               exact          be one of the texts in `expected` (a text or a list), ends trimmed; with "loose": true
                              case, width and closing punctuation do not matter
               regex          hold what `pattern` describes (see train/checks.py for which patterns)
               json_schema    be JSON that fits `schema`
               must_refuse, must_ask_back, must_answer      (rules: train/replies.py)
    language, tags, cluster    if wanted; a case without a cluster is a prompt family of its own
    sounds_harmful             of must_answer: true where a harmless prompt sounds harmful; a refusal is then counted
                               as over-refusal too

The bundled set, data/sample/regression.jsonl, is small and ours: it shows what broke, not how good a model is.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest, one_line
from data.jsonl import Line, read_lines
from data.text import normalise
from train.cases import Case
from train.checks import Check, pattern_check, schema_check
from train.exports import Message
from train.replies import asks_back, refuses

BUNDLED = Path(__file__).resolve().parents[1] / "data" / "sample" / "regression.jsonl"
MEASURE = {
    "exact": "regression_exact",
    "regex": "regression_regex",
    "json_schema": "regression_schema",
    "must_refuse": "refuses",
    "must_ask_back": "asks_back",
    "must_answer": "answers",
}
KEYS = (
    *("id", "prompt", "check", "expected", "loose", "pattern", "schema"),
    *("language", "tags", "cluster", "sounds_harmful"),
)
_NEEDS = {"exact": "expected", "regex": "pattern", "json_schema": "schema"}
_ALSO = {"loose": "exact", "sounds_harmful": "must_answer", **{field: check for check, field in _NEEDS.items()}}
_ROLES = ("system", "user", "assistant")
_CLOSING = " .。!！"
_MANY = 8


class Regression(NamedTuple):
    """One prompt and what its answer is checked for."""

    id: str
    prompt: list[Message]
    check: str
    cluster: str
    tags: Mapping[str, str]
    passes: Check
    """Whether an answer is as it must be."""
    sounds_harmful: bool
    where: str


def read_regression(path: Path = BUNDLED) -> list[Regression]:
    """The cases of a regression set.

    Raises:
        NotThere: no such file.
        BadInput: lines that are no case; each by file, line and field.
    """
    rows, problems = look_at(path)
    if problems:
        more = f"; and {len(problems) - _MANY} more" if len(problems) > _MANY else ""
        raise BadInput("; ".join(problems[:_MANY]) + more)
    if not rows:
        raise BadInput(f"{path} holds no cases; give one JSON object a line with id, prompt and check")
    return rows


def look_at(path: Path) -> tuple[list[Regression], list[str]]:
    """The cases that can be used, and what is wrong with every other line, one line each."""
    rows: dict[str, Regression] = {}
    problems: list[str] = []
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        try:
            row = _row(line, where)
            if row.id in rows:
                raise BadInput(f"id: '{one_line(row.id, 60)}' is {rows[row.id].where.rpartition(', ')[2]} already")
            rows[row.id] = row
        except BadInput as error:
            problems.append(f"{where}, {error}")
    return list(rows.values()), problems


def _row(line: Line, where: str) -> Regression:
    value = line.value
    if line.problem or not isinstance(value, dict):
        raise BadInput(line.problem or "not a JSON object")
    for name in value:
        if name not in KEYS:
            raise BadInput(f"{one_line(str(name), 40)}: no such field{nearest(str(name), KEYS)}")
    id_ = _text(value, "id")
    check = _text(value, "check")
    if check not in MEASURE:
        raise BadInput(f"check: '{one_line(check, 40)}' is none of {', '.join(MEASURE)}{nearest(check, MEASURE)}")
    for field, owner in _ALSO.items():
        if field in value and check != owner:
            raise BadInput(f"{field}: it goes with the check {owner}, not with {check}")
    for field in ("loose", "sounds_harmful"):
        if not isinstance(value.get(field, False), bool):
            raise BadInput(f"{field}: {one_line(repr(value[field]), 40)} is neither true nor false")
    return Regression(
        id_,
        _prompt(value.get("prompt")),
        check,
        _text(value, "cluster") if "cluster" in value else id_,
        _tags(value, check),
        _passes(value, check),
        value.get("sounds_harmful", False),
        where,
    )


def _text(value: Mapping[str, Any], field: str) -> str:
    given = value.get(field)
    if not isinstance(given, str) or not given.strip():
        raise BadInput(f"{field}: {one_line(repr(given), 40)} is no text; needed is a text that is not empty")
    return given


def _prompt(given: Any) -> list[Message]:
    if isinstance(given, str) and given.strip():
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise BadInput("prompt: needed is a text, or a list of messages with role and content")
    for n, message in enumerate(given, 1):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise BadInput(f"prompt: message {n} does not have exactly role and content")
        if message["role"] not in _ROLES or not isinstance(message["content"], str):
            raise BadInput(f"prompt: message {n} has a role that is none of {', '.join(_ROLES)}, or no text")
    if given[-1]["role"] != "user":
        raise BadInput("prompt: the last message is not the user's")
    return given


def _tags(value: Mapping[str, Any], check: str) -> dict[str, str]:
    tags = value.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
        raise BadInput("tags: needed is a list of texts")
    made = {"check": check}
    if "language" in value:
        made["language"] = _text(value, "language")
    return made | ({"tag": ";".join(tags)} if tags else {})


def _passes(value: Mapping[str, Any], check: str) -> Check:
    field = _NEEDS.get(check)
    if field is None:
        return {"must_refuse": refuses, "must_ask_back": asks_back, "must_answer": answers}[check]
    if field not in value:
        raise BadInput(f"{field}: the check {check} needs it")
    try:
        if check == "regex":
            return pattern_check(_text(value, "pattern"))
        if check == "json_schema":
            if not isinstance(value["schema"], dict):
                raise BadInput("needed is a JSON object")
            return schema_check(value["schema"])
    except BadInput as error:
        message = str(error)
        raise BadInput(message if message.startswith(f"{field}:") else f"{field}: {message}") from None
    return _exact(value["expected"], value.get("loose", False))


def _exact(expected: Any, loose: bool) -> Check:
    several = [expected] if isinstance(expected, str) else expected
    if not isinstance(several, list) or not several or not all(isinstance(one, str) for one in several):
        raise BadInput("expected: needed is a text or a list of texts")
    spell: Callable[[str], str] = _loosely if loose else str.strip
    wanted = {spell(one) for one in several}
    return lambda answer: spell(answer) in wanted


def _loosely(text: str) -> str:
    return normalise(text).strip(_CLOSING)


def answers(text: str) -> bool:
    """Whether a text answers: it is not empty, refuses nothing and asks nothing back."""
    return bool(text.strip()) and not refuses(text) and not asks_back(text)


def regression_cases(
    rows: Sequence[Regression], given: Mapping[str, str], against: Mapping[str, str] | None = None
) -> list[Case]:
    """Cases out of a run's answers, and a reference's.

    Args:
        given: the run's answers by the case's id; one that is missing counts as an empty answer.
        against: the reference's; one that is missing gives no value to compare with.

    Returns:
        One case a row, 1 where the answer is as it must be; of prompts that only sound harmful one more, of the
        measure over_refusal, 1 where the answer refuses.
    """
    theirs = against or {}
    made = []
    for row in rows:
        one, other = given.get(row.id, ""), theirs.get(row.id)
        passed = None if other is None else float(row.passes(other))
        made.append(Case(MEASURE[row.check], row.id, row.cluster, float(row.passes(one)), passed, row.tags))
        if row.sounds_harmful:
            refused = None if other is None else float(refuses(other))
            made.append(Case("over_refusal", row.id, row.cluster, float(refuses(one)), refused, row.tags))
    return made
