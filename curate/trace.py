"""Where a record came from and what came of it; and what retracting it would leave out.

    python -m curate.trace ID

ID is any record's: a row of an export, a task, response, prompt, judgment or seed. The walk goes
back to its judgments and seeds and forward to every row, over the store and the folders in the
workspace. With --retract it lists what would be left out; --apply writes the retraction, and
every export from then on leaves out all that was made from the record, naming it with the reason.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import BadInput, NotThere, Refused, StoreError, exit_status, nearest, one_line

if TYPE_CHECKING:
    from curate.walk import Graph

SHOWN = 8  # records printed below one; the rest are counted


def main(argv: list[str] | None = None) -> int:
    """Read the flags, walk, print the trees; write the retraction where told to."""
    p = parser(__doc__, "python -m curate.trace")
    p.add_argument("id", metavar="ID", help="a record's id")
    p.add_argument("--project", metavar="NAME", help="retract in this project alone (default: where it matters)")
    p.add_argument("--retract", action="store_true", help="list what would be left out without this record")
    p.add_argument("--reason", default="", metavar="TEXT", help="why it is taken back; every export tells it")
    p.add_argument("--by", default="command line", metavar="WHO", help="who takes it back: an annotator id or a role")
    p.add_argument("--apply", action="store_true", help="with --retract: write the retraction into the store")
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    if (args.apply or args.reason) and not args.retract:
        raise BadInput("--apply and --reason go with --retract")
    if args.apply and not args.reason.strip():
        raise BadInput("--apply needs --reason: every export that leaves something out tells why")
    graph = _graph(store_url(args), args.workspace, needs_store=args.retract or bool(args.store))
    told, lines = trace(graph, args.id)
    if args.retract:
        why = one_line(args.reason, 200) if args.apply else None
        told |= retract(store_url(args), graph, args.id, args.project, why, args.by)
    if args.json:
        finish(told, True)
        return 0
    print("\n".join(lines))
    finish({name: value for name, value in told.items() if name not in ("record", "back", "forward", "left_out")})
    return 0


def trace(graph: "Graph", record: str) -> tuple[dict[str, Any], list[str]]:
    """The walk from a record both ways: for programs, and as lines to read."""
    from curate import walk

    if record not in graph.nodes and record not in graph.children:
        hint = nearest(record, graph.nodes) or "; looked through the store and the workspace"
        raise NotThere(f"no record has the id '{one_line(record, 80)}'{hint}")
    back, forward = walk.tree(graph, record, forward=False), walk.tree(graph, record, forward=True)
    lines = [_line(walk.describe(graph, record)), "", "made from" if back else "made from nothing that is known"]
    lines += _drawn(back, "  ")
    lines += ["", "what came of it" if forward else "nothing came of it yet"]
    lines += [*_drawn(forward, "  "), ""]
    return {"record": walk.describe(graph, record), "back": back, "forward": forward}, lines


def _graph(url: str, workspace: Path, needs_store: bool) -> "Graph":
    from curate import walk
    from data.store import open_store

    graph = walk.empty()
    try:
        store = open_store(url, create=False)
    except StoreError:
        missing = url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()
        if needs_store or not missing or not workspace.is_dir():
            raise
    else:
        try:
            with store.read() as tx:
                walk.add_store(graph, tx)
        finally:
            store.close()
    if workspace.is_dir():
        walk.add_folders(graph, workspace)
    return graph


def _line(told: dict[str, Any]) -> str:
    where = f" ({told['where'][0]}{' and elsewhere' if len(told['where']) > 1 else ''})" if told["where"] else ""
    note = f"  {told['note']}" if told["note"] else ""
    gone = f"  RETRACTED: {told['retracted']}" if "retracted" in told else ""
    return one_line(f"{told['kind']} {told['id']}{note}{where}{' (above)' if told.get('again') else ''}{gone}", 300)


def _drawn(nodes: list[dict[str, Any]], indent: str) -> list[str]:
    lines = []
    for node in nodes[:SHOWN]:
        lines += [indent + _line(node), *_drawn(node["next"], indent + "  ")]
    if len(nodes) > SHOWN:
        lines.append(f"{indent}and {len(nodes) - SHOWN:,} more; --json has them all")
    return lines


def retract(url: str, graph: "Graph", record: str, project: str | None, reason: str | None, by: str) -> dict[str, Any]:
    """What retracting a record leaves out; with a reason the retraction is written.

    Raises:
        Refused: the record is a row, which every export makes anew.
        NotThere: no project of the store has anything made from it, and none was named.
    """
    from curate import walk

    if record in graph.nodes and graph.nodes[record].kind == walk.ROW:
        raise Refused("a row is made anew by each export; retract a judgment, response, task or prompt behind it")
    gone = walk.effect(graph, record)
    names = {project} if project else {p for one in (record, *gone.records) for p in graph.projects.get(one, ())}
    if not names:
        raise NotThere(f"nothing in the store was made from '{one_line(record, 80)}'; --project NAME retracts it there")
    kinds: dict[str, int] = {}
    for one in gone.records:
        kinds[graph.nodes[one].kind] = kinds.get(graph.nodes[one].kind, 0) + 1
    told = {
        "would_leave_out" if reason is None else "leaves_out": {**kinds, "row": len(gone.rows)},
        "rows_computed_anew": len(gone.anew),
        "left_out": {"records": gone.records, "rows": gone.rows, "computed_anew": gone.anew},
        "projects": sorted(names),
    }
    if reason is not None:
        told["retractions_written"] = sum(
            _write(url, name, walk.roots(graph, record, name), reason, by) for name in names
        )
    return told


def _write(url: str, project: str, records: list[str], reason: str, by: str) -> int:
    """Write the retractions of a record and of what leads to it outside the store; returns how many are new."""
    from curate.moment import find_project
    from curate.retracted import write_retractions
    from data.records import Retraction
    from data.store import Tx, open_store

    first, *cut = records
    rows = [Retraction.make(first, reason, by)]
    rows += [Retraction.make(one, one_line(f"{reason} (made from {first})", 300), by) for one in cut]

    def work(tx: Tx) -> int:
        return len(write_retractions(tx, find_project(tx, project).id, rows))

    store = open_store(url, create=False)
    try:
        return store.change(work)
    finally:
        store.close()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
