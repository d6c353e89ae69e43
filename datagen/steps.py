"""The questions Self-Instruct asks: each step's template, what goes into it, and its sampling.

The sampling is that of Self-Instruct's own code (davinci) and, for one-pass, of Alpaca's. Left out is what
chat models have no use for: stops at a blank line, and the bias against ending. `--sampling` changes any of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest
from datagen.instances import MOST
from datagen.request import Request
from datagen.seeds import Seed
from datagen.templates import Template, find

WANTED = 8  # instructions asked for in one request, after the eight in its list
LAST_TASK = 20  # one-pass: the number of the last task, three of which are given
SAMPLING: dict[str, dict[str, Any]] = {
    "instructions": {
        "temperature": 0.7,
        "top_p": 0.5,
        "presence_penalty": 2,
        "frequency_penalty": 0,
        "max_tokens": 1024,
    },
    "classification": {"temperature": 0, "max_tokens": 3},
    "input_first": {"temperature": 0, "presence_penalty": 1.5, "max_tokens": 350},
    "output_first": {"temperature": 0, "presence_penalty": 1.5, "max_tokens": 300},
    "one_pass": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 3072},
}
PARAMS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "stop", "seed")
_CUT_OFF_IS_FINE = frozenset({"truncated"})
_CLASS = re.compile(
    r"(?:classification|分类)?[\s:：*\"'“「`]*(?:(?P<yes>yes\b|是(?!否|不是))|(?P<no>no\b|否|不是))", re.IGNORECASE
)


class Steps(NamedTuple):
    """How a run asks: the model, the language, the templates and the sampling of each step."""

    model: str
    language: str
    sampling: Mapping[str, Mapping[str, Any]]
    folder: Path | None = None
    """The user's own templates, looked at first."""

    def template(self, step: str) -> Template:
        """The template of a step."""
        return find(step, self.language, self.folder)

    def instructions(self, examples: Sequence[str]) -> Request:
        """Go on with this list of instructions."""
        lines = [" ".join(text.split()) for text in examples]
        return self._request("instructions", examples=lines, wanted=WANTED, language=self.language)

    def one_pass(self, seeds: Sequence[Seed]) -> Request:
        """Go on with these whole tasks."""
        first = [{"instruction": s.instruction, **s.instances[0]._asdict()} for s in seeds]
        return self._request("one_pass", examples=first, last=LAST_TASK, language=self.language)

    def classification(self, instruction: str) -> Request:
        """Has the task a fixed set of answers?"""
        return self._request("classification", instruction=_line(instruction), language=self.language)

    def instances(self, instruction: str, label_first: bool) -> Request:
        """Up to five instances: the label first for classification, else the input first."""
        step = "output_first" if label_first else "input_first"
        return self._request(step, instruction=_line(instruction), most=MOST, language=self.language)

    def _request(self, step: str, **values: Any) -> Request:
        messages = self.template(step).messages(**values)
        params = dict(self.sampling[step])
        return Request(self.model, messages, params, stage=step, accept=_CUT_OFF_IS_FINE)


def _line(text: str) -> str:
    """One line, so that no instruction can pass for the end of its place in a template."""
    return " ".join(text.split())


def read_class(text: str) -> bool | None:
    """The model's yes or no, in English or Chinese; None where it says neither, for no guess is made."""
    found = _CLASS.match(text.strip())
    return bool(found["yes"]) if found else None


def sampling(changes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The sampling of every step with changes such as "instructions.temperature=1" or "input_first.top_p=none".

    Raises:
        BadInput: a step or a parameter nobody knows, or a value that is none.
    """
    made = {step: dict(params) for step, params in SAMPLING.items()}
    for change in changes:
        name, given, value = change.partition("=")
        step, dot, param = name.partition(".")
        if not given or not dot:
            raise BadInput(f"--sampling '{change}': write it as STEP.NAME=VALUE, such as instructions.temperature=1")
        if step not in made:
            raise BadInput(f"--sampling: no step '{step}'{nearest(step, made) or '; known are ' + ', '.join(made)}")
        if param not in PARAMS:
            raise BadInput(f"--sampling: no parameter '{param}'{nearest(param, PARAMS)}; known are {', '.join(PARAMS)}")
        made[step].pop(param, None)
        if value.lower() not in ("none", ""):
            made[step][param] = _value(change, value)
    return made


def _value(change: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise BadInput(f"--sampling '{change}': the value is no number (none takes the parameter away)") from None
