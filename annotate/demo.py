"""Serve the bundled sample project, with people to try it as.

    python -m annotate.demo

The first run loads the tasks and adds the people; later runs keep all work done, and print
fresh sign-in links (older sessions go on).
"""

import argparse
from pathlib import Path

from data.command import add_store, parser, store_url
from data.errors import exit_status

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
PROJECT = "sample"
PEOPLE = (("Ana", "annotator"), ("Wei 小伟", "annotator"), ("Sam", "annotator"), ("Lead", "admin"))


def arguments() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, "python -m annotate.demo")
    args.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    args.add_argument("--port", type=int, default=7860, help="port to listen on (default %(default)s)")
    add_store(args)
    return args.parse_args()


def main() -> int:
    """Load what is missing, then serve."""
    args = arguments()
    from annotate import accounts, projects
    from annotate.assign import LEASE_MS
    from annotate.intake import Wishes, load_rows
    from annotate.running import address, run, take_port
    from data.formats import read
    from data.store import open_store

    sock = take_port(args.host, args.port)  # before the links are made anew: another demo may be running
    store = open_store(store_url(args))
    with store.read() as tx:  # people come last: a first run that was cut off is done again
        ready = tx.value(
            "SELECT 1 FROM members m JOIN projects p ON p.id = m.project WHERE p.name = :name LIMIT 1", name=PROJECT
        )
    if not ready:
        rows = read([str(SAMPLE / "tasks.jsonl")], "tasks").rows
        load_rows(store, PROJECT, rows, Wishes(overlap=3), rejected=print, source="bundled sample")
        texts = {code: (SAMPLE / f"guidelines.{code}.md").read_text("utf-8") for code in ("en", "zh")}
        with store.write() as tx:
            project = projects.find_project(tx, PROJECT)
            projects.set_guidelines(tx, project, texts)
            projects.change_settings(tx, project, {"title": "Concord sample · 示例项目"})
            for name, role in PEOPLE:
                accounts.add_person(tx, name, [PROJECT], role, ["en", "zh"])  # type: ignore[arg-type]
    with store.write() as tx:
        known = {row.name for row in tx.all("SELECT name FROM people WHERE active = 1")}
        links = [(name, role, accounts.new_link(tx, name)) for name, role in PEOPLE if name in known]
    join = f"{address(sock, args.host)}/join/"
    notes = "Sign in as one of these (each link works once):\n" + "\n".join(
        f"  {name:8} {role:10} {join}{link}" for name, role, link in links
    )
    run(store, sock, args.host, base="", lease_ms=LEASE_MS, proxies="127.0.0.1", notes=notes)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
