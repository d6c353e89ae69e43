"""The page in Chromium: from submit to the next task painted, the start, and the weight.

    python -m bench.page

One person ranks four answers of 1,500 characters (Markdown, a table, code, formulas) again
and again. Timed in the browser, from the key that submits to the frame in which the next
task stands painted. Beside it: from the address to the first task, with an empty cache and
again, and how many bytes came over the wire.
"""

import argparse
import random
import sys
from typing import TYPE_CHECKING, Any

from annotate.intake import Wishes, load_rows
from bench.annotators import WORDS, prepare, serving
from bench.figures import a_store, chromium, parsed, report, spread
from data.formats.rows import Row
from data.records import Message, Prompt, Response
from data.store import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REACH_MS = 150
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
# From the key to the frame after the one that drew the new task: a task from its first callback in that frame.
TIMER = """() => {
  window.timed = [];
  let began = 0;
  document.addEventListener("keydown", (e) => { if (e.ctrlKey && e.key === "Enter") began = performance.now(); }, true);
  new MutationObserver(() => {
    const task = document.querySelector(".task");
    if (!began || !task || task === window.seen) return;
    window.seen = task;
    const from = began;
    began = 0;
    const after = new MessageChannel();
    after.port1.onmessage = () => window.timed.push(performance.now() - from);
    requestAnimationFrame(() => after.port2.postMessage(0));
  }).observe(document.querySelector(".concord"), { childList: true, subtree: true });
  window.seen = document.querySelector(".task");
}"""


def rich(seed: int, characters: int = 1500) -> str:
    """An answer as models write them."""
    rng = random.Random(seed)

    def say(n: int) -> str:
        return " ".join(rng.choices(WORDS, k=n))

    parts = [f"## {say(4)}", say(40), f"- {say(8)}\n- **{say(3)}** {say(5)}\n- `{say(1)}` {say(6)}"]
    parts += [
        f"```python\ndef f(x):\n    return x + {seed}  # {say(6)}\n```",
        f"Then $x_{{{seed}}} = \\frac{{1}}{{2}}$.",
    ]
    parts += [f"| a | b |\n|---|---|\n| {say(3)} | {say(4)} |"]
    text = "\n\n".join(parts)
    return text + "\n\n" + say(max(1, (characters - len(text)) // 5))


def tasks(count: int, answers: int = 4) -> Any:
    """Ranking tasks with four such answers."""
    for n in range(count):
        prompt = Prompt.make([Message(role="user", content=f"{n}: please explain this, with an example in code.")])
        texts = (rich(n * 10 + k) for k in range(answers))
        made = [Response.make(prompt.id, [Message(role="assistant", content=t)], import_key=t) for t in texts]
        yield Row(n, f"row {n}", str(n), prompt, made)


def label(page: "Page", count: int, read_ms: int) -> list[float]:
    """Rank so many tasks by keys, with a moment of reading before each; returns milliseconds of each change."""
    page.evaluate(TIMER)
    for _ in range(count):
        page.wait_for_timeout(read_ms)
        for key in "abcd":
            page.keyboard.press(key)
        done = page.evaluate("window.timed.length")
        page.keyboard.press("Control+Enter")
        page.wait_for_function("n => window.timed.length > n", arg=done)
    timed: list[float] = page.evaluate("window.timed")
    return timed


def visit(browser: "Browser", address: str, state: Any) -> tuple[float, float, int, int]:
    """Open the page twice in a new browser: seconds to the first task cold and warm, bytes and requests cold."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", storage_state=state)
    page = context.new_page()
    sizes: list[int] = []
    watch = context.new_cdp_session(page)
    watch.send("Network.enable")
    watch.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
    seconds = []
    for _ in range(2):
        page.goto(f"{address}/#/p/p")
        page.locator(".task").wait_for()
        seconds.append(page.evaluate("performance.now()") / 1000)
        if len(seconds) == 1:
            page.wait_for_timeout(500)
            weight, requests = sum(sizes), len(sizes)
            page.goto("about:blank")
    context.close()
    return seconds[0], seconds[1], weight, requests


def main() -> int:
    """Measure, print, keep."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tasks", type=int, default=120)
    args.add_argument("--read-ms", type=int, default=700, help="how long each task is read before it is answered")
    args.add_argument("--store", default="sqlite")
    asked = parsed(args)
    from playwright.sync_api import sync_playwright

    with a_store(asked.store) as url:
        store = open_store(url)
        load_rows(store, "p", tasks(asked.tasks + 60), Wishes(kind="ranking", overlap=3), rejected=print)
        store.close()
        (link,) = prepare(url, 0, 1)
        with serving(url) as servers, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
            page = context.new_page()
            page.goto(f"{servers[0].address}/join/{link}")
            page.locator("button[type=submit]").click()
            page.locator(".task").wait_for()
            timed = label(page, asked.tasks, asked.read_ms)
            visits = [visit(browser, servers[0].address, context.storage_state()) for _ in range(5)]
            browser.close()
    painted = spread([ms / 1000 for ms in timed])
    cold, warm = (sorted(one[n] for one in visits)[2] for n in (0, 1))
    details: dict[str, Any] = {
        "submit_to_next_painted_ms": painted,
        "changes": len(timed),
        "first_task_cold_s": round(cold, 2),
        "first_task_warm_s": round(warm, 2),
        "cold_kilobytes": round(visits[0][2] / 1000),
        "cold_requests": visits[0][3],
        "read_ms": asked.read_ms,
        "store": asked.store,
    }
    figure = (
        f"submit to next task painted: p50 {painted['p50']} ms, p95 {painted['p95']} ms; first task {cold:.2f} s cold"
        f" ({details['cold_kilobytes']} kB), {warm:.2f} s warm"
    )
    against = f"p95 < {REACH_MS} ms"
    return report("page", figure, against, details, painted["p95"] < REACH_MS)


if __name__ == "__main__":
    sys.exit(main())
