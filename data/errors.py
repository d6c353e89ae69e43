"""Every error a person can meet, in one tree; only the process boundary turns one into a line.

    ConcordError                 status 2: something a user can mend
    ├── BadInput                 a file, a line or a field that cannot be used as it is
    ├── NotThere                 a project, person, file or folder by a name nobody has
    ├── Refused                  understood, and not allowed as things stand
    ├── StoreError               the store cannot be used
    │   ├── StoreDown            it does not answer; it may come back
    │   └── StoreTooNew          it was written by a newer version of Concord
    ├── ModelError               a model's server cannot be used as asked: wrong key, no such model, quota used up
    ├── BudgetEnded              the next request could pass the cap on spending; what was paid for is kept
    ├── CheckFailed              status 1: a verification or a gate said no
    └── NotEnough                status 3: not enough evidence to decide

A message says what is wrong, where, and what to do next, in one line.
"""

import difflib
import sys
from collections.abc import Callable, Iterable


class ConcordError(Exception):
    """Something a user can mend; its text is the line they read."""

    status = 2


class BadInput(ConcordError):
    """A file, a line or a field that cannot be used as it is."""


class NotThere(ConcordError):
    """A project, person, file or folder by a name nobody has."""


class Refused(ConcordError):
    """Understood, and not allowed as things stand.

    `code` is a stable word for programs (the page shows its own text for it).
    """

    def __init__(self, message: str, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code


class StoreError(ConcordError):
    """The store cannot be used."""


class StoreDown(StoreError):
    """The store does not answer; it may come back."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of Concord."""


class ModelError(ConcordError):
    """A model's server cannot be used as asked: a wrong key, no such model, the quota used up, too long a prompt."""


class BudgetEnded(ConcordError):
    """The next request could pass the cap on spending; what was paid for is kept."""


class CheckFailed(ConcordError):
    """A verification or a gate said no."""

    status = 1


class NotEnough(ConcordError):
    """Not enough evidence to decide."""

    status = 3


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint `; did you mean 'x'?` when a known word is close to this one, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def one_line(text: str, limit: int = 400) -> str:
    """The text with line breaks and other controls made harmless, cut to `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def exit_status(main: Callable[[], int]) -> int:
    """Run a command; a ConcordError becomes one line on stderr and its exit status.

    Ctrl-C ends with 130; what was finished by then is kept by the command itself.
    """
    try:
        return main()
    except ConcordError as error:
        print(f"error: {one_line(str(error), 1000)}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) went away
        sys.stderr.close()
        return 0
