"""A small pool worked until it is empty, again and again: 20 tasks, 60 people, three judges a task.

    python -m bench.drain --rounds 100

This is where tools over-assign: more people than work, all asking at once. Everybody goes
on asking until the pool is done; one answer in ten is a skip, and one person in ten asks
twice at once. Afterwards every task must have its three judges and none a fourth.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from typing import Any

from annotate import accounts
from bench.annotators import Annotator, Book, crowd, leave, prepare, serving, wrongs
from bench.figures import Meter, a_store, parsed, report
from data.store import Store, Tx, open_store

RIVALS = "Potato 20 of 20 tasks over-assigned, Label Studio 4 of 20 (one round each, two cores, November 2026)"


async def work(person: Annotator, rng: random.Random, done: asyncio.Event, needed: int) -> None:
    """One person until the pool is done."""
    while not done.is_set():
        if rng.random() < 0.1:
            task = (await asyncio.gather(person.next(), person.next()))[0]
        else:
            task = await person.next()
        if task is None:  # with others, who may still skip
            await asyncio.sleep(0.05)
        elif rng.random() < 0.1:
            await person.skip(task)
        else:
            await person.submit(task, rng.choice(("A", "B", "tie")))
        if person.stand["done"] >= needed:
            done.set()


async def drain(address: str, links: list[str], rounds: list[str], needed: int) -> list[Book]:
    """Each pool in turn, by the same people."""
    people = await crowd([address], links, Book())
    books, meter = [], Meter()
    for number, name in enumerate(rounds):
        book, done = Book(), asyncio.Event()
        for person in people:
            person.book, person.project = book, name
        seeds = [random.Random(number * 1000 + n) for n in range(len(people))]
        await asyncio.gather(*(work(p, rng, done, needed) for p, rng in zip(people, seeds, strict=True)))
        books.append(book)
        meter.say(f"{number + 1} of {len(rounds)} pools")
    await leave(people)
    return books


def pools(url: str, rounds: list[str], people: int, size: int, overlap: int) -> list[str]:
    """A project for each round, everybody a member of all; returns the sign-in links."""
    for name in rounds:
        prepare(url, size, 0, overlap=overlap, name=name)
    store = open_store(url)

    def add(tx: Tx) -> list[str]:
        return [accounts.add_person(tx, f"person {n}", rounds, "annotator", ["en"]) for n in range(people)]

    links = store.change(add)
    store.close()
    return links


def left_short(store: Store, name: str) -> int:
    """Tasks of the project with fewer judges than they need."""
    with store.read() as tx:
        return int(
            tx.value(
                "SELECT COUNT(*) FROM tasks t JOIN projects p ON p.id = t.project WHERE p.name = :name AND"
                " (SELECT COUNT(*) FROM judgments j WHERE j.task = t.id AND j.state = 'counted') < t.overlap",
                name=name,
            )
        )


def main() -> int:
    """Measure, print, keep."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=100)
    args.add_argument("--tasks", type=int, default=20)
    args.add_argument("--people", type=int, default=60)
    args.add_argument("--overlap", type=int, default=3)
    args.add_argument("--store", default="sqlite")
    asked = parsed(args)
    names = [f"pool {n}" for n in range(asked.rounds)]
    wrong, failed = Counter[str](), Counter[str]()
    with a_store(asked.store) as url:
        links = pools(url, names, asked.people, asked.tasks, asked.overlap)
        with serving(url) as servers:
            books = asyncio.run(drain(servers[0].address, links, names, asked.tasks * asked.overlap))
        store = open_store(url)
        for name, book in zip(names, books, strict=True):
            wrong.update({**wrongs(store, book.acknowledged, name), "left_short": left_short(store, name)})
            failed.update(book.failed)
        store.close()
    details: dict[str, Any] = {
        "wrong": dict(wrong),
        "failed": dict(failed),
        "acknowledged": sum(len(book.acknowledged) for book in books),
        "requests": sum(len(seconds) for book in books for seconds in book.seconds.values()),
        **{key: getattr(asked, key) for key in ("rounds", "tasks", "people", "overlap", "store")},
    }
    figure = (
        f"{asked.rounds} pools of {asked.tasks} tasks worked empty by {asked.people} people:"
        f" {wrong['over_assigned']} tasks over-assigned, {wrong['left_short']} left short"
    )
    ok = not any(wrong.values()) and not failed
    return report(f"drain_{asked.store.split(':')[0]}", figure, f"0 and 0; {RIVALS}", details, ok)


if __name__ == "__main__":
    sys.exit(main())
