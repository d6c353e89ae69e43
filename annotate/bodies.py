"""What a changing request may carry, on the label path and on a lead's: each body checked before anything is done.

Unknown keys are refused, numbers have a range and texts a length.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from annotate.accounts import Role
from annotate.exporting import PairChoice
from annotate.present import Answer
from annotate.uploads import LAYOUTS
from data.errors import BadInput
from data.records import Kind

MAX_NUMBER = 2**53  # the largest whole number a browser counts to
SkipReason = Literal["too_long", "not_my_language", "not_my_field", "upsetting", "broken", "other"]


class DraftBody(BaseModel):
    """An unfinished answer; `seq` grows with every change, so that an older one never wins."""

    model_config = ConfigDict(extra="forbid")
    seq: int = Field(ge=0, le=MAX_NUMBER)
    answer: dict[str, Any]
    active_ms: int = Field(0, ge=0, le=24 * 3600 * 1000)
    shown_ms: int | None = Field(None, ge=0, le=MAX_NUMBER)


class SubmitBody(BaseModel):
    """A finished answer, the milliseconds its writer was active, and those since the page first showed the task."""

    model_config = ConfigDict(extra="forbid")
    answer: Answer
    active_ms: int = Field(0, ge=0, le=24 * 3600 * 1000)
    shown_ms: int | None = Field(None, ge=0, le=MAX_NUMBER)


class PasswordBody(BaseModel):
    """A first password."""

    model_config = ConfigDict(extra="forbid")
    password: str = Field(max_length=1000)


class SkipBody(BaseModel):
    """Why a task is given back."""

    model_config = ConfigDict(extra="forbid")
    reason: SkipReason
    comment: str = Field("", max_length=2000)


class PauseBody(BaseModel):
    """Whether tasks are handed out."""

    model_config = ConfigDict(extra="forbid")
    paused: bool


class NewPerson(BaseModel):
    """Somebody to let in; languages as one types them."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=200)
    languages: str = Field(max_length=200)
    role: Role


class RoleBody(BaseModel):
    """A role to give."""

    model_config = ConfigDict(extra="forbid")
    role: Role


class Choices(BaseModel):
    """How to read a file; None leaves it to the file."""

    model_config = ConfigDict(extra="forbid")
    format: str | None = Field(None, max_length=40)
    kind: Kind | None = None
    overlap: int | None = Field(None, ge=1, le=1000)
    language: str | None = Field(None, max_length=40)

    def checked(self) -> dict[str, Any]:
        """The choices; BadInput when the layout is none of a file's."""
        if self.format is not None and self.format not in LAYOUTS:
            raise BadInput(f"'{self.format}' is no layout of a file; there are {', '.join(LAYOUTS)}")
        return self.model_dump()


class ExportBody(BaseModel):
    """Which pairs of each task to export."""

    model_config = ConfigDict(extra="forbid")
    pairs: PairChoice = "all"
