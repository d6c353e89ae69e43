"""What a person does at the labelling page, and what the store kept of it."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from made import load as load_made
from serving import Server, add_person, opened, sign_in

from data.formats.rows import Row
from data.records import Criterion

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CRITERIA = (
    Criterion(key="helpful", name={"en": "Helpful", "zh": "有帮助"}, anchors={"1": {"en": "Useless", "zh": "无用"}}),
    Criterion(key="clear", name={"en": "Clear", "zh": "清楚"}, low=1, high=3),
)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
_numbers = count(1)


def project(server: Server, rows: Iterable[Row], **wishes: Any) -> str:
    """A project of its own with these tasks; returns its name."""
    name = f"p{next(_numbers)}"
    with opened(server.store_url) as store:
        load_made(store, rows, project=name, **wishes)
    return name


def arrive(browser: "Browser", server: Server, project: str, *, wait: str = "#prompt-title", **context: Any) -> "Page":
    """Somebody new, in a browser of their own, at their first task of the project."""
    options: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US", **context}
    link = add_person(server.store_url, f"Person {next(_numbers)}", [project], ["en", "zh"])
    page = sign_in(browser.new_context(**options), server.url, link)
    page.locator(wait).wait_for()
    return page


def away_from_midnight() -> tuple[str, int]:
    """A time zone in which no day ends within the hour, and its minutes ahead of UTC: what counts "today" is safe."""
    near = datetime.now(UTC).hour == 15  # 23 o'clock in Shanghai
    return ("Asia/Kolkata", 330) if near else ("Asia/Shanghai", 480)


def texts(page: "Page") -> dict[str, str]:
    """The exact text of each response on the page, by its letter."""
    found: dict[str, str] = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.response')].map("
        "card => [card.dataset.letter, card.querySelector('.exact').textContent]))"
    )
    return found


def press(page: "Page", *keys: str) -> None:
    """Press these keys, one after another."""
    for key in keys:
        page.keyboard.press(key)


def onward(page: "Page", act: Callable[[], object]) -> None:
    """Do what ends this task, and wait until the next one (or the word that there is none) is drawn."""
    before = page.locator(".task").element_handle()
    act()
    before.wait_for_element_state("hidden")
    page.locator(".task, .nothing").wait_for()


def submit(page: "Page") -> None:
    """Ctrl+Enter, and on to the next."""
    onward(page, lambda: press(page, "Control+Enter"))


def tab_to(page: "Page", selector: str, limit: int = 60) -> None:
    """Press Tab until the focus is on what the selector names."""
    for _ in range(limit):
        if page.evaluate("s => document.activeElement?.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{limit} times Tab did not lead to {selector}")


def saved(page: "Page") -> None:
    """Wait until the server has the draft."""
    page.locator(".saved", has_text="Draft saved").wait_for()


def places(page: "Page") -> dict[str, int]:
    """The rank of each response that has one, as the board shows it."""
    found: dict[str, int] = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.row .chip')].map("
        "chip => [chip.dataset.chip, Number(chip.closest('.row').dataset.row)]).filter(([, row]) => row))"
    )
    return found


def kept(server: Server, project: str) -> list[dict[str, Any]]:
    """The project's judgments, oldest first, each response by its text instead of its id, with the judgment's state."""
    with opened(server.store_url) as store, store.read() as tx:
        rows = tx.all(
            "SELECT j.record, j.state, r.record AS task FROM judgments j JOIN task_records r ON r.task = j.task"
            " JOIN projects p ON p.id = j.project WHERE p.name = :name ORDER BY j.at_ms",
            name=project,
        )
    found = []
    for row in rows:
        text = {r["id"]: r["messages"][-1]["content"] for r in json.loads(row.task)["responses"]}
        found.append({**_said(json.loads(row.record), text), "state": row.state})
    return found


def _said(value: Any, text: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {text.get(key, key): _said(held, text) for key, held in value.items()}
    if isinstance(value, list):
        return [_said(held, text) for held in value]
    return text.get(value, value) if isinstance(value, str) else value
