"""The records everything in Concord takes and gives: frozen, one JSON line each, text kept as it came.

Prompt and Response meet in a Task; a Judgment answers a Task; a PreferencePair is what
training reads; a Retraction takes a record back. Ids are hashes of content, so the same
content has the same id on every machine, and a changed byte shows.
"""

import hashlib
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["ranking", "ab", "rating"]
AnnotatorKind = Literal["person", "model", "rule"]
Verdict = Literal["answered", "all_bad", "cannot_judge"]
Purpose = Literal["label", "repeat", "qualification", "adjudication", "import"]
Flag = Literal["harmful", "factually_wrong", "private_data", "refusal", "broken"]
Role = Literal["system", "user", "assistant", "tool"]

LETTERS = "ABCDEFGHI"
MAX_TEXT = 1_000_000  # characters in one message; a longer one is rejected at import


def canonical(value: Any) -> bytes:
    """The one JSON spelling that is hashed: keys sorted, no spaces, UTF-8.

    A number that is not finite has no JSON spelling and becomes null.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(value: Any) -> str:
    """sha256 of the canonical spelling, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def content_id(*parts: Any) -> str:
    """An id from content: the first 32 hexadecimal digits (128 bits) of its digest."""
    return digest(parts)[:32]


class Record(BaseModel):
    """A frozen record; an unknown key is an error, so a misspelt field is never lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def plain(self) -> dict[str, Any]:
        """The record as JSON types, without the fields that hold their default (None, empty)."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def line(self) -> bytes:
        """The record as one canonical JSON line, without the line break."""
        return canonical(self.plain())


class Message(Record):
    """One turn of a dialogue."""

    role: Role
    content: Annotated[str, Field(max_length=MAX_TEXT)]
    tool_calls: list[dict[str, Any]] | None = None
    name: str | None = None


class Lineage(Record):
    """Where a record came from: the ids of its parents and how it was made."""

    parents: list[str] = Field(default_factory=list)
    command: str | None = None
    model: str | None = None
    template: str | None = None
    principle: str | None = None
    sampling: dict[str, Any] | None = None
    author: str | None = None
    """Annotator id of the person who wrote it: that person is never asked to judge it."""


class Prompt(Record):
    """What was asked: one or more messages that end before the response."""

    id: str
    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    language: str | None = None
    tags: list[str] = Field(default_factory=list)
    source: str | None = None
    licence: str | None = None
    lineage: Lineage | None = None

    @classmethod
    def make(cls, messages: list[Message], *, tools: list[dict[str, Any]] | None = None, **rest: Any) -> Self:
        """A prompt with its id: a hash of messages and tools."""
        return cls(id=prompt_id(messages, tools), messages=messages, tools=tools, **rest)


class Response(Record):
    """One answer to a prompt, usually a single assistant message; an empty one is legal."""

    id: str
    prompt_id: str
    messages: list[Message] = Field(min_length=1)
    model: str | None = None
    sampling: dict[str, Any] | None = None
    sample_index: int = 0
    finish_reason: str | None = None
    import_key: str | None = None
    lineage: Lineage | None = None

    @classmethod
    def make(cls, prompt: str, messages: list[Message], **rest: Any) -> Self:
        """A response to the prompt with this id, with its own id."""
        made = cls(id="", prompt_id=prompt, messages=messages, **rest)
        return made.model_copy(update={"id": response_id(made)})

    @property
    def text(self) -> str:
        """The last message's text: what most readers mean by the response."""
        return self.messages[-1].content


class Criterion(Record):
    """One scale of a rating task, with its ends (and, if given, points between) named."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: dict[str, str]
    """Language code to the name shown, such as {"en": "Helpful", "zh": "有帮助"}."""
    description: dict[str, str] = Field(default_factory=dict)
    low: int = 1
    high: int = 5
    anchors: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Point of the scale (as text) to language code to what it means."""

    @model_validator(mode="after")
    def _scale(self) -> Self:
        if not 0 <= self.low < self.high <= 10:
            raise ValueError(f"criterion {self.key}: the scale {self.low} to {self.high} is not within 0 to 10")
        return self


class Gold(Record):
    """A known answer, for qualification and checks; ids are response ids."""

    ranking: list[list[str]] | None = None
    choice: str | None = None
    """The better response's id, or "tie"."""
    ratings: dict[str, dict[str, int]] | None = None


class Task(Record):
    """One question put to annotators: a prompt, 2 to 9 responses, and how to judge them."""

    id: str
    project: str
    kind: Kind
    prompt: Prompt
    responses: list[Response] = Field(min_length=2, max_length=9)
    criteria: list[Criterion] = Field(default_factory=list)
    overlap: int = Field(default=1, ge=1, le=1000)
    priority: int = Field(default=0, ge=-1000, le=1000)
    language: str | None = None
    gold: Gold | None = None
    import_key: str | None = None

    @classmethod
    def make(cls, project: str, kind: Kind, prompt: Prompt, responses: list[Response], **rest: Any) -> Self:
        """A task with its id: a hash of project, kind, prompt, response ids and import key."""
        made = content_id("task", project, kind, prompt.id, [r.id for r in responses], rest.get("import_key"))
        return cls(id=made, project=project, kind=kind, prompt=prompt, responses=responses, **rest)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ids = [r.id for r in self.responses]
        if len(set(ids)) != len(ids):
            raise ValueError("two responses have the same id")
        if self.kind == "ab" and len(ids) != 2:
            raise ValueError(f"an A/B task has 2 responses, not {len(ids)}")
        if self.kind == "rating" and not self.criteria:
            raise ValueError("a rating task needs at least one criterion")
        if any(r.prompt_id != self.prompt.id for r in self.responses):
            raise ValueError("a response answers another prompt")
        return self


class Judgment(Record):
    """One annotator's answer to one task, as given; never overwritten, only superseded.

    `shown` is the order in which the responses stood before the annotator, and `choice`
    names a side of it: A is the first response of `shown`, B the second.
    """

    id: str
    task_id: str
    annotator: str
    annotator_kind: AnnotatorKind = "person"
    verdict: Verdict = "answered"
    shown: list[str]
    ranking: list[list[str]] | None = None
    choice: Literal["A", "B", "tie"] | None = None
    strength: int | None = Field(default=None, ge=1, le=3)
    probability: float | None = Field(default=None, ge=0, le=1)
    """A model's soft label: probability that the first response of `shown` is better."""
    ratings: dict[str, dict[str, int]] = Field(default_factory=dict)
    flags: dict[str, list[Flag]] = Field(default_factory=dict)
    critiques: dict[str, str] = Field(default_factory=dict)
    edited: dict[str, str] = Field(default_factory=dict)
    comment: str = ""
    active_seconds: float | None = None
    started_at: str | None = None
    submitted_at: str | None = None
    guideline_version: str | None = None
    purpose: Purpose = "label"
    supersedes: str | None = None
    token: str | None = None
    """The lease under which it was given; an imported judgment has its import key here."""
    model: str | None = None
    principle: str | None = None
    sample_index: int | None = None

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """A judgment with its id: a hash of task, annotator, lease token and what was answered."""
        made = cls(id="", **fields)
        return made.model_copy(update={"id": judgment_id(made)})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        known = set(self.shown)
        if len(known) != len(self.shown):
            raise ValueError("a response was shown twice")
        if self.ranking is not None:
            placed = [r for tier in self.ranking for r in tier]
            if any(not tier for tier in self.ranking):
                raise ValueError("a tier of the ranking is empty")
            if len(set(placed)) != len(placed):
                raise ValueError("a response stands in the ranking twice")
            if not set(placed) <= known:
                raise ValueError("the ranking names a response that was not shown")
        for field in ("ratings", "flags", "critiques", "edited"):
            if not set(getattr(self, field)) <= known:
                raise ValueError(f"{field} names a response that was not shown")
        return self

    def tiers(self) -> list[list[str]] | None:
        """The order this judgment states, as tiers of response ids, best first; None when it states none.

        A choice becomes one or two tiers; a soft label and ratings state no order by themselves.
        """
        if self.verdict != "answered":
            return None
        if self.ranking is not None:
            return self.ranking
        if self.choice == "tie":
            return [list(self.shown)]
        if self.choice is not None:
            a, b = self.shown
            return [[a], [b]] if self.choice == "A" else [[b], [a]]
        return None


class PreferencePair(Record):
    """A row that training reads: chosen and rejected answers to one prompt, and what stands behind them."""

    id: str
    prompt_id: str
    chosen_id: str
    rejected_id: str
    task_id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    tools: list[dict[str, Any]] | None = None
    """Tools that the prompt offered; exports written before the column was there leave it out."""
    probability: float = Field(ge=0, le=1)
    """Probability that chosen is better, with the prior that `method` states."""
    weight: float = Field(ge=0)
    score_chosen: float | None = None
    score_rejected: float | None = None
    votes: dict[str, float]
    """Weight of the judgments for `chosen`, `rejected` and `tie`."""
    judgment_ids: list[str]
    agreement: float | None = None
    """Share of the judgments' weight that took the side of chosen; a tie counts half."""
    source: Literal["human", "model", "both", "rule"]
    cluster: str
    split: Literal["train", "validation", "test"]
    language: str | None = None
    tags: list[str] = Field(default_factory=list)
    licence: str | None = None
    guideline_versions: list[str] = Field(default_factory=list)
    method: str


class Retraction(Record):
    """A record taken back: everything derived from it is left out from then on."""

    id: str
    record_id: str
    reason: str
    by: str

    @classmethod
    def make(cls, record_id: str, reason: str, by: str) -> Self:
        """A retraction with its id: a hash of record and reason."""
        return cls(id=content_id("retraction", record_id, reason), record_id=record_id, reason=reason, by=by)


def prompt_id(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> str:
    """Id of the prompt with these messages and tools."""
    return content_id("prompt", [m.plain() for m in messages], tools)


def response_id(r: Response) -> str:
    """Id of a response: a hash of prompt, messages, model, sampling, sample index and import key."""
    messages = [m.plain() for m in r.messages]
    return content_id("response", r.prompt_id, messages, r.model, r.sampling, r.sample_index, r.import_key)


def task_id(t: Task) -> str:
    """Id of a task, computed afresh from what it holds."""
    return content_id("task", t.project, t.kind, t.prompt.id, [r.id for r in t.responses], t.import_key)


def judgment_id(j: Judgment) -> str:
    """Id of a judgment, computed afresh from what it holds."""
    payload = j.plain()
    payload.pop("id", None)
    return content_id("judgment", j.task_id, j.annotator, j.token, payload)


def pair_id(task: str, chosen: str, rejected: str, method: str) -> str:
    """Id of a preference pair: a hash of task, chosen, rejected and method."""
    return content_id("pair", task, chosen, rejected, method)


def broken_id(task: Task, but: Collection[str] = ()) -> str | None:
    """The first id in a task that does not fit its content, in words; None when all fit.

    `but` names responses whose text was taken out.
    """
    if prompt_id(task.prompt.messages, task.prompt.tools) != task.prompt.id:
        return f"prompt {task.prompt.id} does not hash to its id"
    for r in task.responses:
        if r.id not in but and response_id(r) != r.id:
            return f"response {r.id} does not hash to its id"
    if task_id(task) != task.id:
        return f"task {task.id} does not hash to its id"
    return None
