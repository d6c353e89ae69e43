"""What a lead sees of a file before it is loaded: its tasks and faults counted, the first of them shown."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from annotate.entries import Entry
from annotate.render import render
from data.errors import one_line
from data.formats import Reject

SHOWN_REJECTS = 20
SHOWN_TASKS = 3
EXCERPT = 600  # characters of a prompt


class Seen:
    """What a file holds, added up batch by batch."""

    def __init__(self, rejected: Callable[[Reject], None]) -> None:
        self.rejected = rejected
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.first: list[dict[str, Any]] = []
        self.reasons: list[dict[str, str]] = []

    def add(self, entries: list[Entry], known: set[str], refused: list[Reject]) -> None:
        """A batch: its tasks, which of them the project has, and what cannot be used."""
        for entry in entries:
            task = entry.task
            if task.id in known:
                self.counts["known"] += 1
                continue
            texts = [response.text.strip() for response in task.responses]
            self.counts["tasks"] += 1
            self.counts["needed"] += task.overlap
            self.counts["judgments"] += len(entry.row.votes)
            self.counts["with_empty"] += "" in texts
            self.counts["with_identical"] += len(set(texts)) < len(texts)
            self.kinds[task.kind] += 1
            self.languages[task.language or ""] += 1
            if len(self.first) < SHOWN_TASKS:
                text = task.prompt.messages[-1].content
                cut = len(text) > EXCERPT
                html = render(text[:EXCERPT] + (" …" if cut else "")).html
                self.first.append({"html": html, "kind": task.kind, "responses": len(texts)})
        for reject in refused:
            self.counts["rejected"] += 1
            self.counts["duplicates"] += reject.reason.startswith("repeats ")
            if len(self.reasons) < SHOWN_REJECTS:
                self.reasons.append({"where": reject.where, "reason": one_line(reject.reason)})
            self.rejected(reject)

    def view(self) -> dict[str, Any]:
        """The sums, for the page."""
        names = ("tasks", "known", "needed", "judgments", "with_empty", "with_identical", "rejected", "duplicates")
        return {
            **{name: self.counts[name] for name in names},
            "kinds": dict(self.kinds.most_common()),
            "languages": dict(self.languages.most_common(20)),
            "first": self.first,
            "reasons": self.reasons,
        }
