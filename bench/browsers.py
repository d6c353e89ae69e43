"""Thirty real browsers at once to the end of 300 tasks: what was clicked against what is exported.

    python -m bench.browsers

Thirty contexts of one Chromium, each somebody of their own, rank three answers with ties or
choose between two, by mouse and by keys, until nothing is left. What each of them clicked is
written down by the texts on the screen; then the project is exported, and every pair, its
votes and its probability must be what the clicks say, with nothing more and nothing less.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from annotate import accounts
from annotate.intake import Wishes, load_rows
from bench.annotators import serving
from bench.figures import ROOT, Meter, a_store, chromium, folder, parsed, report
from data.formats.rows import Row
from data.records import Message, Prompt, Response
from data.store import Tx, open_store

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

PRIOR = 0.5  # what curate.export adds to each side unless told otherwise


class Pair(NamedTuple):
    """Two texts and how many said what of them; `better` is the one more people preferred."""

    better: str
    worse: str
    votes: tuple[float, float, float]
    """For the better, for the worse, ties."""
    probability: float


def rows(count: int, answers: int, first: int) -> list[Row]:
    """Tasks whose every text is said once, so that a text names its response."""
    made = []
    for n in range(first, first + count):
        prompt = Prompt.make([Message(role="user", content=f"Question {n}: which of these answers is the best one?")])
        texts = [f"Answer {'xyz'[k]} to question {n}.\n\nIt says `{k * n}` and *why*." for k in range(answers)]
        made.append(Row(n, f"row {n}", str(n), prompt, [_response(prompt, text) for text in texts]))
    return made


def _response(prompt: Prompt, text: str) -> Response:
    return Response.make(prompt.id, [Message(role="assistant", content=text)], import_key=text)


def prepare(url: str, tasks: int, people: int, overlap: int) -> list[str]:
    """Half rankings, half A/B, in one project; returns the sign-in links."""
    store = open_store(url)
    half = tasks // 2
    load_rows(store, "p", rows(tasks - half, 3, 0), Wishes(kind="ranking", overlap=overlap), rejected=print)
    load_rows(store, "p", rows(half, 2, tasks), Wishes(kind="ab", overlap=overlap), rejected=print)

    def add(tx: Tx) -> list[str]:
        return [accounts.add_person(tx, f"person {n}", ["p"], "annotator", ["en"]) for n in range(people)]

    links = store.change(add)
    store.close()
    return links


async def answer(page: "Page", rng: random.Random) -> list[tuple[str, str, str]]:
    """Judge the task on the screen by hand; returns (one text, other text, which is better or "tie")."""
    texts = await page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.response')].map("
        "card => [card.dataset.letter, card.querySelector('.exact').textContent]))"
    )
    if await page.locator(".kind-ab").count():
        choice = rng.choice(["A", "B", "tie"])
        if rng.random() < 0.5:
            await page.keyboard.press({"A": "a", "B": "b", "tie": "="}[choice])
        else:
            await page.locator(f'.panel [data-value="{choice}"]').click()
        return [(texts["A"], texts["B"], texts.get(choice, "tie"))]
    rows_ = {letter: rng.randint(1, 3) for letter in texts}
    for letter, row in rng.sample(sorted(rows_.items()), len(rows_)):
        if rng.random() < 0.5:
            await page.keyboard.press(letter.lower())
            await page.keyboard.press(str(row))
        else:
            await page.locator(f"#response-{letter} .place").nth(row - 1).click()
    said = []
    for a, b in combinations(sorted(rows_), 2):
        better = "tie" if rows_[a] == rows_[b] else texts[a] if rows_[a] < rows_[b] else texts[b]
        said.append((texts[a], texts[b], better))
    return said


async def somebody(browser: "Browser", address: str, link: str, seed: int, meter: Meter, said: list[Any]) -> None:
    """One person in a browser of their own until no task is left."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = await context.new_page()
    rng = random.Random(seed)
    await page.goto(f"{address}/join/{link}")
    await page.locator("button[type=submit]").click()
    while True:
        await page.locator(".task, .nothing").first.wait_for(timeout=120_000)
        if await page.locator(".nothing").count():
            if "left" in (await page.locator(".nothing h1").inner_text()) and not await _others(page):
                break
            await page.locator(".nothing .submit").click()  # some are with others: look again
            await page.wait_for_timeout(500)
            continue
        task = await page.locator(".task").element_handle()
        votes = await answer(page, rng)
        await page.keyboard.press("Control+Enter")
        await task.wait_for_element_state("hidden", timeout=120_000)
        said.append(votes)
        meter.say(f"{len(said)} judgments")
    await context.close()


async def _others(page: "Page") -> bool:
    return "with others" in await page.locator(".nothing").inner_text()


async def crowd(address: str, links: list[str]) -> list[list[tuple[str, str, str]]]:
    """Everybody at once; returns what each judgment said of each pair of texts."""
    from playwright.async_api import async_playwright

    said: list[Any] = []
    meter = Meter()
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=flags)
        people = (somebody(browser, address, link, n, meter, said) for n, link in enumerate(links))
        await asyncio.gather(*people)
        await browser.close()
    return said


def expected(said: list[list[tuple[str, str, str]]]) -> set[Pair]:
    """The pairs that clicks give: for each two texts the one more people preferred, when there is one."""
    votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for judgment in said:
        for one, other, better in judgment:
            votes[min(one, other), max(one, other)][better] += 1
    found = set()
    for (a, b), count in votes.items():
        better, worse = (a, b) if count[a] > count[b] else (b, a)
        won, lost, tied = count[better], count[worse], count["tie"]
        if won > lost:
            p = (won + tied / 2 + PRIOR) / (won + lost + tied + 2 * PRIOR)
            found.add(Pair(better, worse, (won, lost, tied), round(p, 9)))
    return found


def exported(url: str, made: Path) -> set[Pair]:
    """The pairs of an export, read from its files."""
    command = [sys.executable, "-m", "curate.export", "--project", "p", "--store", url, "--out", str(made / "export")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = set()
    for path in sorted((made / "export" / "data").glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            votes = tuple(row["votes"][side] for side in ("chosen", "rejected", "tie"))
            texts = row["chosen"][0]["content"], row["rejected"][0]["content"]
            found.add(Pair(*texts, votes, round(row["probability"], 9)))
    return found


def main() -> int:
    """Measure, print, keep."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tasks", type=int, default=300)
    args.add_argument("--people", type=int, default=30)
    args.add_argument("--overlap", type=int, default=2)
    asked = parsed(args)
    with a_store("sqlite") as url, folder() as made:
        links = prepare(url, asked.tasks, asked.people, asked.overlap)
        with serving(url) as servers:
            began = time.perf_counter()
            said = asyncio.run(crowd(servers[0].address, links))
            seconds = time.perf_counter() - began
        clicked, kept = expected(said), exported(url, made)
    differences = len(clicked ^ kept)
    short = asked.tasks * asked.overlap - len(said)
    details: dict[str, Any] = {
        "judgments": len(said),
        "missing_judgments": short,
        "pairs_clicked": len(clicked),
        "pairs_exported": len(kept),
        "differences": differences,
        "first_differences": [str(pair) for pair in sorted(clicked ^ kept)[:5]],
        "seconds": round(seconds, 1),
        **{key: getattr(asked, key) for key in ("tasks", "people", "overlap")},
    }
    figure = (
        f"{asked.people} browsers, {asked.tasks} tasks, {len(said)} judgments, {len(kept)} pairs exported:"
        f" {differences} differences between what was clicked and what is exported"
    )
    return report(
        "browsers", figure, "0; Potato's own test has 10 browsers and 50 tasks", details, not (differences or short)
    )


if __name__ == "__main__":
    sys.exit(main())
