"""Where projects stand: tasks, judgments, people, and tasks that nobody left can fill.

python -m annotate.status --project demo
"""

import argparse
import json
from typing import Any

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import exit_status


def arguments() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, "python -m annotate.status")
    args.add_argument("--project", help="one project (default: all)")
    add_store(args)
    add_json(args)
    return args.parse_args()


def main() -> int:
    """Read and say."""
    args = arguments()
    from annotate import projects
    from data.store import open_store

    with open_store(store_url(args), create=False).read() as tx:
        found = [projects.find_project(tx, args.project)] if args.project else projects.all_projects(tx)
        summaries = [standing(tx, project) for project in found]
    if args.json:
        print(json.dumps(summaries[0] if args.project else summaries, ensure_ascii=False))
        return 0
    for number, summary in enumerate(summaries):
        if number:
            print()
        finish(summary)
    if not summaries:
        print("no project yet; load tasks with python -m annotate.load")
    return 0


def standing(tx: Any, project: Any) -> dict[str, Any]:
    """A project's numbers, in the order a lead asks for them."""
    from annotate.projects import out_of_reach

    def count(sql: str) -> int:
        return int(tx.value(sql, id=project.id))

    stuck = out_of_reach(tx, project)
    return {
        "project": project.name,
        "state": "paused" if project.paused else "open",
        "tasks": project.tasks,
        "tasks_done": project.tasks_done,
        "judgments_done": project.done,
        "judgments_needed": project.needed,
        "held_now": count("SELECT COUNT(*) FROM slots WHERE project = :id AND state = 1"),
        "surplus": count("SELECT COUNT(*) FROM judgments WHERE project = :id AND state = 'surplus'"),
        "model_judgments": count("SELECT COUNT(*) FROM judgments WHERE project = :id AND annotator_kind = 'model'"),
        "rule_judgments": count("SELECT COUNT(*) FROM judgments WHERE project = :id AND annotator_kind = 'rule'"),
        "skipped": count("SELECT COUNT(*) FROM passes WHERE project = :id"),
        "people": {
            row.name or row.annotator: row.done
            for row in tx.all(
                "SELECT p.name, m.annotator, m.done FROM members m JOIN people p ON p.id = m.annotator"
                " WHERE m.project = :id ORDER BY m.done DESC, p.name",
                id=project.id,
            )
        },
        "out_of_reach": len(stuck),
        "out_of_reach_tasks": stuck[:10],
    }


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
