"""Small projects made on the spot, for tests that need one in a store."""

from collections.abc import Iterable, Iterator
from typing import Any

from annotate import accounts
from annotate.intake import Tally, Wishes, load_rows
from annotate.projects import find_project
from data.formats.rows import Row, Vote
from data.records import Lineage, Message, Prompt, Response
from data.store import Store


def row(
    number: int,
    *,
    prefix: str = "q",
    answers: int = 3,
    author: str | None = None,
    votes: Iterable[dict[str, Any]] = (),
    **rest: Any,
) -> Row:
    """A row with its own id; the models' names are such that no answer of the server may hold them."""
    key = f"{prefix}{number}"
    prompt = Prompt.make([Message(role="user", content=f"question {key}")])
    lineage = Lineage(author=author) if author else None
    responses = [
        Response.make(
            prompt.id,
            [Message(role="assistant", content=f"answer {n} to {key}")],
            model=f"secret-model-{n}",
            import_key=key,
            lineage=lineage,
        )
        for n in range(answers)
    ]
    shown = [r.id for r in responses]
    made = [
        Vote(**{"annotator_kind": "person", "key": f"{key}:{v['annotator']}", "shown": shown, "ranking": [shown], **v})
        for v in votes
    ]
    return Row(number, f"rows, line {number}", key, prompt, responses, votes=made, **rest)


def load(store: Store, rows: Iterable[Row], project: str = "p", **wishes: Any) -> Tally:
    """Load rows into a project; a reject fails the test."""

    def rejected(reject: Any) -> None:
        raise AssertionError(reject)

    return load_rows(store, project, rows, Wishes(**wishes), rejected=rejected)


def rows(count: int, **rest: Any) -> Iterator[Row]:
    """Rows numbered from 0."""
    return (row(n, **rest) for n in range(count))


def add(
    store: Store, name: str, languages: tuple[str, ...] = ("en",), project: str = "p", role: Any = "annotator"
) -> str:
    """Somebody who may work in the project; returns their id."""

    def work(tx: Any) -> str:
        accounts.add_person(tx, name, [project], role, list(languages))
        return str(tx.value("SELECT id FROM people WHERE name = :name", name=name))

    return store.change(work)


def project_id(store: Store, name: str = "p") -> int:
    """The project's number in the store."""
    with store.read() as tx:
        return find_project(tx, name).id


def answer(shown: list[str], verdict: str = "answered") -> dict[str, Any]:
    """The fields of a judgment: the order as shown, or no order."""
    return {"verdict": verdict, "ranking": [[id_] for id_ in shown]} if verdict == "answered" else {"verdict": verdict}
