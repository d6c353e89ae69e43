"""From the command to the page, with 50,000 tasks loaded, against importing Gradio alone.

    python -m bench.startup

`python -m annotate.serve` is started again and again; timed is until /signin answers, and
until / answers somebody who is signed in. Between the starts `python -c "import gradio"` is
timed, so that both meet the same machine. Medians.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import httpx

from annotate import accounts
from annotate.intake import Wishes, load_rows
from annotate.running import take_port
from bench.figures import ROOT, a_store, min_median_max, parsed, report
from bench.overlap import rows
from data.store import open_store

REACH_S = 2.0
QUIET = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}


def import_gradio() -> float:
    """Seconds of a process that only imports Gradio."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio"], env=QUIET, cwd=ROOT, check=True)
    return time.perf_counter() - began


class Serving:
    """One run of the server, timed from its command."""

    def __init__(self, url: str, port: int) -> None:
        self.began = time.perf_counter()
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "annotate.serve", "--store", url, "--port", str(port)]
        self.process = subprocess.Popen(command, env=QUIET, cwd=ROOT, stdout=subprocess.DEVNULL)

    def until(self, http: httpx.Client, path: str) -> float:
        """Seconds from the command until this path answers 200."""
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with status {self.process.returncode}")
            try:
                answer = http.get(self.address + path, headers={"Accept": "text/html"})
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            if answer.status_code != 200:
                raise SystemExit(f"{path} answered {answer.status_code}: {answer.text[:200]}")
            return time.perf_counter() - self.began

    def end(self) -> None:
        """Stop it and wait."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(url: str, tasks: int, repeats: int) -> dict[str, Any]:
    """Load, start once to warm up and to sign in, then time."""
    store = open_store(url)
    load_rows(store, "p", rows(tasks), Wishes(kind="ranking", overlap=3), rejected=print)
    with store.write() as tx:
        link = accounts.add_person(tx, "Ana", ["p"], "annotator", ["en"])
    store.close()
    free = take_port("127.0.0.1", 0)
    port = int(free.getsockname()[1])
    free.close()
    http = httpx.Client(timeout=120)
    first = Serving(url, port)
    first.until(http, "/signin")
    http.post(f"{first.address}/join/{link}")
    first.until(http, "/")
    first.end()
    import_gradio()
    alone, signin, page = [], [], []
    for _ in range(repeats):
        alone.append(import_gradio())
        run = Serving(url, port)
        signin.append(run.until(http, "/signin"))
        page.append(run.until(http, "/"))
        run.end()
    return {
        "import_gradio_s": round(median(alone), 2),
        "until_signin_s": round(median(signin), 2),
        "until_page_s": round(median(page), 2),
        "more_than_gradio_s": round(median(page) - median(alone), 2),
        "seconds_each": {"gradio": min_median_max(alone), "page": min_median_max(page)},
        "tasks": tasks,
        "repeats": repeats,
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--store", default="sqlite", help="sqlite, postgresql, or the URL of an empty store")
    args.add_argument("--tasks", type=int, default=50_000)
    args.add_argument("--repeats", type=int, default=5)
    return parsed(args)


def main() -> int:
    """Measure and say."""
    args = arguments()
    with a_store(args.store) as url:
        found = measure(url, args.tasks, args.repeats)
    figure = (
        f"the page answers {found['until_page_s']} s after the command with {args.tasks:,} tasks,"
        f" {found['more_than_gradio_s']} s more than importing Gradio ({found['import_gradio_s']} s)"
    )
    against = f"< {REACH_S:g} s more than importing Gradio; Potato takes 5.7 s with all in memory"
    return report("startup", figure, against, found, ok=found["more_than_gradio_s"] < REACH_S)


if __name__ == "__main__":
    sys.exit(main())
