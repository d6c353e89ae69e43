"""Pictures of every state of the page, taken in Chromium from the bundled sample.

    python -m docs.pictures                  all of them, into docs/img/
    python -m docs.pictures ranking lead     only those whose name starts so

A scene is a function that brings a page to the state its name says; LOOKS says in which
windows it is taken. Look at what comes out, one by one, before it is committed.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from annotate import accounts, answers, assign, projects
from annotate.intake import Wishes, load_rows
from bench.annotators import serving
from bench.figures import chromium, folder
from data.formats import read
from data.formats.rows import Row, Vote
from data.records import Message, Prompt, Response
from data.store import Store, Tx, open_store

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
TEAM = ("Amara", "Bruno", "陈静", "Dana", "Emil")
DAY_MS = 24 * 3600 * 1000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Look(NamedTuple):
    """A window: its size, language, colours, and whether it is a phone."""

    width: int
    height: int
    language: str
    theme: str
    phone: bool = False


DESK = Look(1280, 800, "en", "light")
NIGHT = Look(1280, 800, "zh", "dark")
PHONE = Look(390, 844, "zh", "dark", phone=True)
POCKET = Look(390, 844, "en", "light", phone=True)

HOSTILE = (
    "<script>alert(1)</script> [a link](javascript:alert(1)) ${7*7} {{7*7}} \\u{41}\n\n"
    "![a picture](https://example.org/x.png)\n\nسلام، این یک پاسخ است.\n\n" + "longword" * 40
)


# ── what the pictures are of ─────────────────────────────────────────────────


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


# ── scenes ───────────────────────────────────────────────────────────────────


class Stage(NamedTuple):
    """Where a scene plays: a page signed in as somebody, and the server's address."""

    page: Page
    address: str

    def go(self, place: str, wait: str = "#prompt-title") -> Page:
        """Open a place of the page, past its guidelines."""
        self.page.goto(f"{self.address}/{place}")
        self.page.reload()
        self.page.locator(f"{wait}, dialog[open] .submit").first.wait_for()
        if self.page.locator("dialog[open] .submit").count():
            self.page.locator("dialog[open] .submit").click()
        self.page.locator(wait).first.wait_for()
        return self.page


def signin(stage: Stage) -> None:
    stage.page.context.clear_cookies(name="sid")
    stage.page.goto(f"{stage.address}/signin")


def guidelines(stage: Stage) -> None:
    stage.page.goto(f"{stage.address}/#/p/ranking")
    stage.page.locator("dialog[open] .submit").wait_for()


def warning(stage: Stage) -> None:
    stage.page.goto(f"{stage.address}/#/p/warned")
    stage.page.reload()
    stage.page.locator("dialog[open] .submit").wait_for()


def projects_list(stage: Stage) -> None:
    stage.go("#/", ".projects")


def ranking(stage: Stage) -> None:
    page = stage.go("#/p/ranking")
    if not page.locator(".row:not(.unplaced) .chip").count():  # no draft of the look before
        for key in ("b", "=", "d", "a"):
            page.keyboard.press(key)


def ranking_fresh(stage: Stage) -> None:
    stage.go("#/p/ranking")


def ab(stage: Stage) -> None:
    page = stage.go("#/p/ab")
    if not page.locator('[role=radio][aria-checked="true"]').count():
        for key in ("b", "2"):
            page.keyboard.press(key)


def rating(stage: Stage) -> None:
    page = stage.go("#/p/rating")
    for key in ("a", "4", "3"):
        page.keyboard.press(key)


def notes(stage: Stage) -> None:
    page = stage.go("#/p/ab")
    page.keyboard.press("a")
    if not page.locator("#critique-A").is_visible():
        page.keyboard.press("n")
    page.locator("#response-A .flags input").nth(1).check()
    page.locator("#critique-A").fill("Brain scans show otherwise; no source is named.")
    page.locator("#response-A .notes").scroll_into_view_if_needed()


def reading(stage: Stage) -> None:
    stage.go("#/p/ranking").keyboard.press("r")


def differences(stage: Stage) -> None:
    page = stage.go("#/p/ab")
    page.keyboard.press("w")


def keys(stage: Stage) -> None:
    stage.go("#/p/ranking").keyboard.press("?")


def skip(stage: Stage) -> None:
    stage.go("#/p/ranking").keyboard.press("s")


def settings(stage: Stage) -> None:
    page = stage.go("#/p/ranking")
    page.locator(".top nav button").filter(has_text="设置" if _zh(page) else "Settings").click()


def _zh(page: Page) -> bool:
    return page.locator("html").get_attribute("lang") == "zh-CN"


def mine(stage: Stage) -> None:
    page = stage.go("#/p/ab")
    for choice in ("a2", "=", "b1", "x"):
        page.wait_for_timeout(4000)  # a moment of reading, or the pace would be none
        page.mouse.move(300, 300)
        for key in choice:
            page.keyboard.press(key)
        task = page.locator(".task").element_handle()
        page.keyboard.press("Control+Enter")
        task.wait_for_element_state("hidden")
        page.locator(".task, .nothing").first.wait_for()
    page.goto(f"{stage.address}/#/p/ab/mine")
    page.locator(".judgments a").first.wait_for()


def hostile_text(stage: Stage) -> None:
    stage.go("#/p/hostile")


def paused(stage: Stage) -> None:
    stage.go("#/p/paused", ".nothing")


def nothing(stage: Stage) -> None:
    stage.go("#/p/empty", ".nothing")


def offline(stage: Stage) -> None:
    page = stage.go("#/p/ranking")
    page.route("**/api/**", lambda route: route.abort())
    page.keyboard.press("x")  # whatever the draft says, a change
    page.locator(".message").wait_for()


def lead(stage: Stage) -> None:
    stage.go("#/p/team/lead", ".part-people table")
    stage.page.wait_for_timeout(2500)


def lead_load(stage: Stage) -> None:
    page = stage.go("#/p/team/lead", ".part-people table")
    page.wait_for_timeout(1000)
    if page.locator(".chooser").is_visible():  # else the file of the look before still waits
        page.locator("#lead-file").set_input_files(str(SAMPLE / "tasks.jsonl"))
    page.locator("[data-act=load]").wait_for()
    page.locator(".file-result").scroll_into_view_if_needed()


def lead_person(stage: Stage) -> None:
    page = stage.go("#/p/team/lead", ".part-people tbody a")
    page.locator(".part-people tbody a", has_text="陈静").click()
    page.wait_for_url("**/lead/person/**")
    page.wait_for_timeout(1500)


SCENES: dict[str, tuple[Callable[[Stage], None], str, dict[str, Look]]] = {
    # name: the scene, who is signed in, and the looks: the file's ending to the window
    "signin": (signin, "Mia", {"": DESK, "phone": PHONE}),
    "guidelines": (guidelines, "Newcomer", {"": DESK}),
    "warning": (warning, "Mia", {"": DESK}),
    "projects": (projects_list, "Ana", {"": DESK, "phone": PHONE}),
    "ranking": (ranking, "Ana", {"": DESK, "night": NIGHT}),
    "phone-ranking": (ranking, "小伟", {"": PHONE, "light": POCKET}),
    "ranking-fresh": (ranking_fresh, "Ana", {"": DESK}),
    "ab": (ab, "Ana", {"": DESK, "night": NIGHT, "phone": PHONE}),
    "rating": (rating, "Ana", {"": DESK, "night": NIGHT, "phone": PHONE}),
    "notes": (notes, "Ana", {"": DESK, "phone": PHONE}),
    "reading": (reading, "Ana", {"": DESK, "phone": PHONE}),
    "differences": (differences, "Ana", {"": DESK, "night": NIGHT, "phone": PHONE}),
    "keys": (keys, "Ana", {"": DESK, "night": NIGHT}),
    "skip": (skip, "Ana", {"": DESK, "phone": PHONE}),
    "settings": (settings, "Ana", {"": DESK, "phone": PHONE}),
    "hostile": (hostile_text, "Ana", {"": DESK, "phone": POCKET}),
    "paused": (paused, "Ana", {"": DESK}),
    "nothing": (nothing, "Idle", {"": DESK, "phone": PHONE}),
    "offline": (offline, "Ana", {"": DESK, "phone": PHONE}),
    "mine": (mine, "Sam", {"": DESK}),
    "lead": (lead, "Lead", {"": DESK, "night": NIGHT, "phone": PHONE}),
    "lead-load": (lead_load, "Lead", {"": DESK, "phone": PHONE}),
    "lead-person": (lead_person, "Lead", {"": DESK, "phone": PHONE}),
}


def window(browser: Browser, look: Look, address: str, state: Any) -> Page:
    """A page of a new browser with this look, signed in by what `state` keeps."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        locale="zh-CN" if look.language == "zh" else "en-US",
        device_scale_factor=2 if look.phone else 1,
        has_touch=look.phone,
        is_mobile=look.phone,
        storage_state={"cookies": state["cookies"], "origins": []},
    )
    context.add_cookies([{"name": name, "value": value, "url": address} for name, value in _cookies(look)])
    return context.new_page()


def _cookies(look: Look) -> list[tuple[str, str]]:
    return [("lang", look.language), ("theme", look.theme)]


def sign_in(browser: Browser, address: str, links: dict[str, str]) -> dict[str, Any]:
    """Everybody's session, by their name."""
    states = {}
    for name, link in links.items():
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(f"{address}/join/{link}")
        page.locator("button[type=submit]").click()
        page.locator(".concord .top").wait_for()
        states[name] = json.loads(json.dumps(context.storage_state()))
        context.close()
    return states


def take(page: Page, path: Path) -> None:
    """The picture, once nothing moves, with few enough colours to be small."""
    page.wait_for_timeout(700)
    page.screenshot(path=path, animations="disabled", caret="hide")
    Image.open(path).convert("RGB").quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> int:
    """Take the pictures asked for."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("names", nargs="*", help="the start of a scene's name; all when none is given")
    args.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    asked = args.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with folder() as made:
        url = f"sqlite:///{made}/store.db"
        links = prepare(url)
        with serving(url) as servers, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            address = servers[0].address
            states = sign_in(browser, address, links)
            for name, (scene, who, looks) in SCENES.items():
                if asked.names and not name.startswith(tuple(asked.names)):
                    continue
                for ending, look in looks.items():
                    page = window(browser, look, address, states[who])
                    scene(Stage(page, address))
                    path = asked.out / f"{name}{'-' if ending else ''}{ending}.png"
                    take(page, path)
                    print(f"{path.name}  {path.stat().st_size // 1000} kB", flush=True)
                    page.context.close()
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
