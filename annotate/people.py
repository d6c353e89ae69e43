"""People who may sign in: add, relink, deactivate, erase, list.

    python -m annotate.people add "Ana" --role annotator --languages en,zh --project demo

`add` and `relink` print a sign-in link that works once, within a week. `erase` forgets the
name for good; judgments and proofs keep only the random id.
"""

import argparse
import json
from pathlib import Path

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import exit_status


def arguments() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, "python -m annotate.people")
    add_store(args)
    add_json(args)
    args.add_argument(
        "--url", default="http://127.0.0.1:7860", help="where people reach the server (default %(default)s)"
    )
    verbs = args.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="let somebody into projects, and print their sign-in link")
    for verb, what in (
        ("relink", "a new link; open sessions end, a deactivated person is let in again"),
        ("deactivate", "end their sessions and let them in no more"),
        ("erase", "deactivate, and forget their name for good"),
    ):
        verbs.add_parser(verb, help=what).add_argument("name")
    verbs.add_parser("list", help="who there is")
    add.add_argument("name")
    add.add_argument("--role", choices=("annotator", "reviewer", "admin"), default="annotator")
    add.add_argument("--languages", default="en", help="codes of the languages they judge in, such as en,zh")
    add.add_argument("--project", action="append", required=True, help="project they work in; may be repeated")
    for sub in verbs.choices.values():  # the shared flags may stand before the verb or after it
        for flag in ("--store", "--url"):
            sub.add_argument(flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--workspace", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return args.parse_args()


def main() -> int:
    """Do what the verb says."""
    args = arguments()
    from annotate import accounts
    from data.store import Tx, open_store

    store = open_store(store_url(args), create=False)
    if args.verb == "list":
        with store.read() as tx:
            people = [row._asdict() for row in tx.all(LIST)]
        if args.json:
            print(json.dumps(people, ensure_ascii=False))
        else:
            for p in people:
                name, projects = p["name"] or "(erased)", p["projects"] or "-"
                print(f"{p['id']}  {name:24} {'active' if p['active'] else 'inactive':9} {projects}")
        return 0
    languages = [code.strip() for code in args.languages.split(",") if code.strip()] if args.verb == "add" else []

    def work(tx: Tx) -> str:
        if args.verb == "add":
            return accounts.add_person(tx, args.name, args.project, args.role, languages)
        if args.verb == "deactivate":
            accounts.deactivate(tx, args.name)
            return ""
        return accounts.relink(tx, args.name) if args.verb == "relink" else accounts.erase(tx, args.name)

    made = store.change(work)
    summary = {"person": args.name, "done": args.verb}
    if args.verb in ("add", "relink"):
        summary["link"] = f"{args.url.rstrip('/')}/join/{made}"
    finish(summary, args.json)
    return 0


LIST = (
    "SELECT p.id, p.name, p.active, (SELECT COUNT(*) FROM members m WHERE m.annotator = p.id) AS projects"
    " FROM people p ORDER BY p.name"
)

if __name__ == "__main__":
    raise SystemExit(exit_status(main))
