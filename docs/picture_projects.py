"""What the pictures are of: the bundled sample in projects of every kind and state, and people at work in them."""

import random
from functools import partial
from pathlib import Path
from typing import Any

from annotate import accounts, answers, assign, projects
from annotate.intake import Wishes, load_rows
from data.formats import read
from data.formats.rows import Row, Vote
from data.records import Message, Prompt, Response
from data.store import Store, Tx, open_store

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
TEAM = ("Amara", "Bruno", "陈静", "Dana", "Emil")
DAY_MS = 24 * 3600 * 1000
HOSTILE = (
    "<script>alert(1)</script> [a link](javascript:alert(1)) ${7*7} {{7*7}} \\u{41}\n\n"
    "![a picture](https://example.org/x.png)\n\nسلام، این یک پاسخ است.\n\n" + "longword" * 40
)


def prepare(url: str) -> dict[str, str]:
    """Projects of the bundled sample, one for each kind and one for each odd state; returns sign-in links by name."""
    store = open_store(url)
    rows, judged = bundled("tasks.jsonl"), bundled("judged/tasks.jsonl")
    texts = {code: (SAMPLE / f"guidelines.{code}.md").read_text("utf-8") for code in ("en", "zh")}
    of_kind = {kind: [row for row in rows if row.kind == kind] for kind in ("ranking", "ab", "rating")}
    sets: dict[str, tuple[list[Any], dict[str, Any]]] = {
        **{kind: (found, {"title": f"Sample · {kind}"}) for kind, found in of_kind.items()},
        "empty": ([], {"title": "Nothing to do"}),
        "paused": (of_kind["ab"][:2], {"title": "Paused"}),
        "warned": (of_kind["ab"][:3], {"title": "With a warning", "content_warning": True}),
        "hostile": ([hostile()], {"title": "Hostile text"}),
        "team": ([row._replace(votes=[]) for row in judged], {"title": "Which answer helps?"}),
    }
    for name, (found, settings) in sets.items():
        load_rows(store, name, found or of_kind["ab"][:1], Wishes(overlap=3), rejected=print, source="sample")
        with store.write() as tx:
            project = projects.find_project(tx, name)
            projects.change_settings(tx, project, settings)
            if name not in ("hostile", "empty"):
                projects.set_guidelines(tx, project, texts)
    with store.write() as tx:
        projects.pause(tx, projects.find_project(tx, "paused"), True)
        links = people(tx)
    at_work(store, judged)
    store.close()
    return links


def bundled(name: str) -> list[Row]:
    """The rows of a file of the sample."""
    return [row for row in read([str(SAMPLE / name)], "tasks").rows if isinstance(row, Row)]


def hostile() -> Row:
    """A task whose answers try everything."""
    prompt = Prompt.make([Message(role="user", content="Say **hello** <b>twice</b>.")])
    texts = (HOSTILE, "Hello, hello.", "")
    answers = [
        Response.make(prompt.id, [Message(role="assistant", content=t)], import_key=str(i)) for i, t in enumerate(texts)
    ]
    return Row(1, "hostile", "hostile", prompt, answers)


def people(tx: Tx) -> dict[str, str]:
    """An annotator for each look and state, and a lead of the team."""
    everywhere = ["ranking", "ab", "rating", "paused", "warned", "hostile"]
    links = {
        name: accounts.add_person(tx, name, everywhere, "annotator", ["en", "zh"])
        for name in ("Ana", "小伟", "Sam", "Mia")
    }
    links["Newcomer"] = accounts.add_person(tx, "Newcomer", ["ranking"], "annotator", ["en", "zh"])
    links["Idle"] = accounts.add_person(tx, "Idle", ["empty"], "annotator", ["ar"])
    links["Lead"] = accounts.add_person(tx, "Lea", ["team"], "admin", ["en"])
    return links


def at_work(store: Store, rows: list[Row], share: float = 0.55) -> None:
    """Let a team of five answer a part of the judged sample, each in the words of one of its simulated people."""
    votes = {row.key: row.votes for row in rows}
    rng = random.Random(7)

    def hire(tx: Tx) -> list[str]:
        for name in TEAM:
            accounts.add_person(tx, name, ["team"], "annotator", ["en", "zh"])
        return [tx.value("SELECT id FROM people WHERE name = :name", name=name) for name in TEAM]

    def one(tx: Tx, project: int, who: int, person: str) -> None:
        lease = assign.claim(tx, project, person)
        if lease is not None and lease.task.import_key is not None:
            tx.run("UPDATE leases SET at_ms = at_ms - 300000 WHERE token = :t", t=lease.token)
            said = votes[lease.task.import_key]
            answers.submit(tx, person, lease.token, answer(lease, said[who % len(said)], rng))

    team = store.change(hire)
    with store.read() as tx:
        project = projects.find_project(tx, "team")
    for _ in range(int(project.needed * share)):
        who = min(int(rng.expovariate(0.6)), len(team) - 1)
        store.change(partial(one, project=project.id, who=who, person=team[who]))
    with store.write() as tx:
        over_days(tx, rng)


def answer(lease: assign.Lease, vote: Vote, rng: random.Random) -> dict[str, Any]:
    """A simulated person's answer to the same task, in the order this person was shown it."""
    said: dict[str, Any] = {"verdict": "answered", "active_seconds": 12 + rng.gammavariate(3, 12)}
    if vote.ranking:
        return {**said, "ranking": vote.ranking}
    if vote.choice in ("A", "B"):
        better = vote.shown["AB".index(vote.choice)]
        return {**said, "choice": "AB"[lease.shown.index(better)], "strength": rng.randint(1, 3)}
    return {**said, "choice": "tie"}


def over_days(tx: Tx, rng: random.Random) -> None:
    """Let what was just answered lie in the last twelve days, fewer at the weekend: for the pictures only."""
    now = tx.now()
    for row in tx.all("SELECT id FROM judgments WHERE annotator_kind = 'person' AND purpose = 'label'"):
        days = rng.choices(range(12), weights=[3, 9, 8, 10, 7, 2, 1, 8, 9, 6, 5, 4])[0]
        at = now - days * DAY_MS - rng.randrange(DAY_MS // 8)
        tx.run("UPDATE judgments SET at_ms = :at WHERE id = :id", at=at, id=row.id)
