"""The scenes that are pictured, and in which windows.

A scene is a function that brings a page to the state its name says; SCENES says who is signed in and in which
windows it is taken.
"""

from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page

from docs.picture_projects import SAMPLE


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
