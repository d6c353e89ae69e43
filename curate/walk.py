"""What every record was made from, over the store and the folders of a workspace: a graph to walk.

From a row of an export back to its judgments, responses, prompt and seeds; from a seed forward to
the prompts grown from it, their responses, tasks, judgments and rows. Records are known by their
ids; lineage (`Lineage.parents`) and the ids that a record names are the edges. A task only *shows*
its responses: it was not made from them, so a walk forward from a response stops there.

Everything is held in memory: about 1 KB a record.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.walk_runs import KINDS, read_folders, sources_of
from data.errors import one_line
from data.jsonl import parse, read_lines
from data.manifest import MANIFEST
from data.parquet import read_rows

if TYPE_CHECKING:
    from data.store import Tx

ROW = "row"
_NAMED = ("prompt_id", "task_id", "chosen_id", "rejected_id", "response_id")
_SKIPPED = {  # files that speak of records by their ids, and hold none
    *(f"{name}.jsonl" for name in ("left_out", "judgments_unused", "retractions", "rejected")),
    *(f"{name}.jsonl" for name in ("removed", "contradictions", "dropped", "cases", "findings", "beliefs", "came")),
}
_NOTE = 60  # characters of text shown beside an id
_DEEP = 200  # generations that a tree shows


class Node(NamedTuple):
    """A record: its kind (prompt, response, task, judgment, row, record, or one of walk_runs), a few words, where."""

    id: str
    kind: str
    note: str
    where: list[str]


class Graph(NamedTuple):
    """Records by id, and for each its parents and children; an edge is True where the child was made from it."""

    nodes: dict[str, Node]
    parents: dict[str, dict[str, bool]]
    children: dict[str, dict[str, bool]]
    projects: dict[str, set[str]]
    """The store's projects that a record is in, by its id."""
    retracted: dict[str, str]


class Effect(NamedTuple):
    """What retracting a record leaves out: records, rows, and rows that will be computed anew without it."""

    records: list[str]
    rows: list[str]
    anew: list[str]


def empty() -> Graph:
    """A graph without records."""
    return Graph({}, {}, {}, {}, {})


def add_store(graph: Graph, tx: "Tx") -> None:
    """Add every task, prompt, response and judgment of a store, and what was retracted."""
    from curate.moment import read_tasks

    for project in tx.all("SELECT id, name FROM projects ORDER BY name"):
        where = f"store, project {project.name}"
        for stored in read_tasks(tx, project.id):
            task = parse(stored.record.encode())[0]
            judgments = [parse(j.record.encode())[0] for j in stored.judgments]
            for value in (task, *judgments):
                for made in _add(graph, value, where):
                    graph.projects.setdefault(made, set()).add(project.name)
        for row in tx.all("SELECT record, reason FROM retractions WHERE project = :id ORDER BY id", id=project.id):
            graph.retracted[row.record] = row.reason


def add_folders(graph: Graph, workspace: Path) -> None:
    """Add the records of every folder under a workspace that has a manifest; others are passed over."""
    found = [
        path
        for path in sorted(workspace.rglob(MANIFEST))
        if not any(part.startswith(".") for part in path.parent.relative_to(workspace).parts)
    ]
    made = read_folders(found)
    exports = {one.folder for one in made.values() if one.what == "export"}
    for folder in (path.parent for path in found):
        for path in sorted(folder.rglob("*.jsonl")):
            if path.name not in _SKIPPED:
                _add_all(graph, (line.value for line in read_lines(path)), str(path.relative_to(workspace)))
        if folder in exports:
            for path in sorted(folder.glob("data/*.parquet")):
                _add_all(graph, read_rows(path), str(path.relative_to(workspace)))
    for digest, one in made.items():
        if one.kind:
            note = f"{one.folder.name}: {one.config.get('outcome') or one.what}"
            graph.nodes[digest] = Node(digest, one.kind, note, [str(one.folder.relative_to(workspace))])
        for parent in sources_of(one, made):
            graph.parents.setdefault(digest, {})[parent] = True
            graph.children.setdefault(parent, {})[digest] = True


def _add_all(graph: Graph, values: Iterable[Any], where: str) -> None:
    for value in values:
        for _ in _add(graph, value, where):
            pass


def _add(graph: Graph, value: Any, where: str) -> Iterator[str]:
    """Add a record and the records within it; gives the id of each. What has no id is none."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return
    kind = _kind(value)
    own = value["id"]
    edges = dict.fromkeys(_named(value), True)
    if kind == "task":
        yield from _add(graph, value["prompt"], where)
        edges |= {one: True for one in (value["prompt"].get("id"),) if isinstance(one, str)}
        for response in value["responses"]:
            yield from _add(graph, response, where)
            if isinstance(response, dict) and isinstance(response.get("id"), str):
                edges[response["id"]] = False
    node = graph.nodes.setdefault(own, Node(own, kind, _note(value, kind), []))
    if where not in node.where:
        node.where.append(where)
    for parent, made_from in edges.items():
        graph.parents.setdefault(own, {})[parent] = made_from
        graph.children.setdefault(parent, {})[own] = made_from
    yield own


def _kind(value: Mapping[str, Any]) -> str:
    if "judgment_ids" in value:
        return ROW
    if "task_id" in value and "annotator" in value:
        return "judgment"
    if isinstance(value.get("responses"), list) and isinstance(value.get("prompt"), dict):
        return "task"
    if "messages" in value:
        return "response" if "prompt_id" in value else "prompt"
    return "record"


def _named(value: Mapping[str, Any]) -> list[str]:
    """The ids that a record says it was made from."""
    lineage = value.get("lineage")
    lists = [
        value.get("parents"),
        value.get("judgment_ids"),
        lineage.get("parents") if isinstance(lineage, dict) else None,
    ]
    found = [one for many in lists if isinstance(many, list) for one in many]
    found += [value.get(name) for name in _NAMED]
    return [one for one in found if isinstance(one, str) and one != value["id"]]


def _note(value: Mapping[str, Any], kind: str) -> str:
    """A few words by which a person knows the record."""
    if kind == "judgment":
        words = f"by a {value.get('annotator_kind', 'person')}, {value.get('verdict', 'answered')}"
        return words + (", supersedes another" if value.get("supersedes") else "")
    if kind == "task":
        return str(value.get("kind", ""))
    if kind == ROW:
        return ", ".join(
            f"{name} {value[name]}" for name in ("probability", "label", "source", "split") if name in value
        )
    messages = value.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    text = last.get("content") if isinstance(last, dict) else None
    return one_line(str(text or value.get("instruction") or ""), _NOTE)


def tree(graph: Graph, start: str, forward: bool) -> list[dict[str, Any]]:
    """What came of a record (or what it was made from), as nested nodes; a record met before is not opened again."""
    edges = graph.children if forward else graph.parents
    seen: set[str] = {start}

    def below(one: str, depth: int) -> list[dict[str, Any]]:
        found = []
        for other, made_from in sorted(edges.get(one, {}).items(), key=lambda edge: _place(graph, edge[0])):
            again, opened = other in seen, made_from or not forward
            if opened:
                seen.add(other)
            inner = below(other, depth + 1) if opened and not again and depth < _DEEP else []
            found.append({**describe(graph, other), **({"again": True} if again else {}), "next": inner})
        return found

    return below(start, 0)


def _place(graph: Graph, one: str) -> tuple[int, str]:
    order = ("record", "prompt", "task", "judgment", "response", ROW, *KINDS)
    return (order.index(graph.nodes[one].kind) if one in graph.nodes else -1, one)


def describe(graph: Graph, one: str) -> dict[str, Any]:
    """A record as a summary shows it; one that is only named by others is `not here`."""
    node = graph.nodes.get(one, Node(one, "not here", "", []))
    told: dict[str, Any] = {"id": one, "kind": node.kind, "note": node.note, "where": node.where}
    return told | ({"retracted": graph.retracted[one]} if one in graph.retracted else {})


def effect(graph: Graph, start: str) -> Effect:
    """What an export would leave out if this record were retracted, each list by id."""
    out, front = {start}, [start]
    while front:
        children = graph.children.get(front.pop(), {})
        more = [c for c, made_from in children.items() if made_from and c not in out and graph.nodes[c].kind != ROW]
        out.update(more)
        front += more
    shows = {c for one in out for c, made_from in graph.children.get(one, {}).items() if not made_from}
    near = out | shows
    rows = {c for one in near for c in graph.children.get(one, {}) if graph.nodes[c].kind == ROW}
    gone = {r for r in rows if any(p in out and _kind_of(graph, p) != "judgment" for p in graph.parents[r])}
    return Effect(sorted(out - {start}), sorted(gone), sorted(rows - gone))


def _kind_of(graph: Graph, one: str) -> str:
    return graph.nodes[one].kind if one in graph.nodes else ""


def roots(graph: Graph, start: str, project: str) -> list[str]:
    """What must be retracted in a project so that all that came of a record is: itself, and records
    of the project whose link to it lies outside the store, in folders alone.
    """
    out = {start, *effect(graph, start).records}
    inside = {one for one in out if project in graph.projects.get(one, ())}
    cut = [
        one
        for one in sorted(inside - {start})
        if any(made and p in out and p != start and p not in inside for p, made in graph.parents.get(one, {}).items())
    ]
    return [start, *cut]
