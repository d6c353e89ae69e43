"""Pictures of every state of the page, taken in Chromium from the bundled sample.

    python -m docs.pictures                  all of them, into docs/img/
    python -m docs.pictures ranking lead     only those whose name starts so

What they show is in picture_projects.py, the scenes are in picture_scenes.py. Look at what comes out, one by
one, before it is committed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bench.annotators import serving
from bench.figures import chromium, folder
from docs.picture_projects import prepare
from docs.picture_scenes import SCENES, Look, Stage

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


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
