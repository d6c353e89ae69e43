"""An export, stage by stage: evidence, beliefs, pairs, clusters, duplicates, audit, quota, rows, and what proves them.

What each stage does lies in a module of its own; here is their order. All of it is read from the store
in one read transaction, and written to one folder that appears whole or not at all.
"""

import gc
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.recipe import Recipe
from curate.telling import Looked, Made, summary, tell
from data.command import progress
from data.errors import BadInput, NotEnough, nearest
from data.parallel import beside, processes

if TYPE_CHECKING:
    from curate.beliefs import Believed
    from curate.engine import Connection
    from curate.evidence import Plan, Tally
    from curate.moment import StoredTask
    from curate.rows import Waiting
    from data.folder import Folder

THREADS = 2  # or processes, of the stages that use them; no digit depends on it
_FEW = 4_000  # tasks for which other processes would only cost their start
_BLOCK = 500  # tasks that go to a process at a time


class Source(NamedTuple):
    """Where tasks come from, read at one moment."""

    project: str
    tasks: int
    read: Callable[[], Iterator["StoredTask"]]
    """Every task in the order of ids, each time it is called."""
    retracted: dict[str, str]
    """Why each retracted record was, with what is made from it."""
    came: Callable[[], dict[str, int]]
    """The event of the ledger that brought each task in."""


def run(url: str, recipe: Recipe, out: Path, *, replace: bool = False) -> dict[str, Any]:
    """Export a project of a store to a folder; returns the summary. The ledger keeps the folder's digest.

    Raises:
        ConcordError: whatever stops it; then nothing is written, and a former folder is as it was.
    """
    from curate.audited import take_away_refused
    from curate.moment import came, find_project, read_tasks
    from curate.retracted import closure, read_retractions
    from data import ledger
    from data.folder import write_folder
    from data.store import open_store

    assert recipe.project is not None
    rules, checks = recipe.rules.model_dump(mode="json"), recipe.checks.model_dump(mode="json")
    checks["evaluation"] = sorted(Path(name).name for name in recipe.checks.evaluation)
    config = {"project": recipe.project, "format": recipe.format, "rules": rules, "checks": checks}
    store = open_store(url, create=False)
    gc.disable()  # millions of small values that live to the end, in no cycles: looking for some takes half the time
    try:
        with store.read() as tx:
            found = find_project(tx, recipe.project)
        with write_folder(out, "export", config, replace=replace) as folder:
            with store.read() as tx:
                found = find_project(tx, recipe.project)
                head = {"project": recipe.project, "seq": found.head.seq, "hash": found.head.hash}
                reasons = closure((task.record for task in read_tasks(tx, found.id)), read_retractions(tx, found.id))
                source = Source(
                    recipe.project,
                    found.tasks,
                    lambda: read_tasks(tx, found.id),
                    reasons,
                    lambda: came(tx, found.id),
                )
                made = fill(folder, source, recipe, out)
            folder.write("audit/ledger_head.json", [head])
            folder.inputs["ledger"] = head
            tell(folder, recipe, made, head, out.name)
            manifest = folder.seal()
            rows = sum(made.written.rows.values())
            # Before the folder appears: one that is there is always in the ledger.
            store.change(
                lambda tx: ledger.take(tx, found.id).append(
                    "export", "", [], digest=manifest.digest, pairs=rows, seq=found.head.seq
                )
            )
    finally:
        gc.enable()
        store.close()
    take_away_refused(out)
    return {**summary(recipe, made), "digest": manifest.digest, "wrote": str(out)}


def fill(folder: "Folder", source: Source, recipe: Recipe, out: Path) -> Made:
    """Run every stage and write what it comes to, but the card and the report.

    Raises:
        NotEnough: no pair comes of the project.
        CheckFailed: a finding blocks, or agreement is not reached where it is required.
    """
    from curate.audited import audit, audit_judgments, read_pairs
    from curate.decisions import cluster, quota_of
    from curate.engine import engine
    from curate.evidence import Plan
    from curate.measured import aggregated, annotators, require, write_measures
    from curate.repeated import find_repeated, keep_order
    from curate.rows import Waiting, columns_of, write_rows

    rules, checks = recipe.rules, recipe.checks
    plan = Plan(source.project, rules, recipe.format, source.retracted)
    many = source.tasks > _FEW
    threads = THREADS if many else 1
    with Waiting(folder.path / ".pairs") as waiting, beside(many) as start:
        with engine(THREADS, folder=folder.path) as con:
            tally, found = _look(folder, source, plan, con, waiting)
            if not waiting.briefs:
                raise _nothing(source, tally, waiting.reasons())
            came = source.came() if rules.dedup != "none" else {}
            repeats = start(find_repeated, waiting.whole(), rules, came, threads, folder.path)
            agreed = _agreed(con, source, recipe, None if found is None or rules.criterion else found.cast)
            prompts = dict(con.execute("SELECT task, prompt FROM tasks").fetchall())
        require(agreed, checks)
        people = [] if found is None else annotators(found)
        write_measures(folder, agreed, people)
        heard = start(audit_judgments, folder.path, checks.limits, prompts) if checks.audit else lambda: None
        with progress("clusters, duplicates, audit, rows", total=4) as step:
            clusters = cluster(waiting.prompts, rules)
            step(1)
            pairs = read_pairs(waiting, clusters, recipe)
            twice = repeats()
            twice.write(folder)
            keep_order(folder, waiting, came)
            step(1)
            gone = dict(twice.left_out)
            left_out = gone | quota_of(waiting.briefs, clusters, rules, gone)
            # What the audit leaves out decides which rows a quota keeps; where it leaves out nothing they are known.
            given = (folder, waiting.path, plan, clusters)
            written = None if rules.drop else start(write_rows, *given, left_out)
            audited = audit(folder, pairs, heard(), recipe, gone, out, threads)
            step(1)
            gone |= audited.left_out
            rows = written() if written else write_rows(*given, gone | quota_of(waiting.briefs, clusters, rules, gone))
            step(1)
    if not rows.rows:
        raise _nothing(source, tally, rows.left_out)
    return Made(
        Looked(tally, agreed, people, {} if found is None else aggregated(found)),
        rows,
        audited.findings,
        twice,
        columns_of(recipe.format, waiting.beyond_text),
        len(waiting.briefs),
    )


def _agreed(con: "Connection", source: Source, recipe: Recipe, cast: int | None) -> list[dict[str, Any]]:
    """How far the annotators agree beyond chance, by criterion; `cast` as in curate.measured.agreement."""
    from curate.measured import agreement

    with progress("measuring agreement", total=1) as step:
        agreed = agreement(con, source.project, recipe.checks, recipe.rules.seed, cast)
        step(1)
    return agreed


def _look(
    folder: "Folder", source: Source, plan: "Plan", con: "Connection", waiting: "Waiting"
) -> "tuple[Tally, Believed | None]":
    """Gather the evidence, ask the model, and look at every task; the evidence's tables are in the connection then."""
    from curate.beliefs import FILE, believe, parted
    from curate.evidence import NOTHING, gather, hear_block
    from curate.frames import register
    from curate.rows import look_block
    from curate.spool import Spool

    tally, tables, lasts = NOTHING, [], []
    with processes(THREADS if source.tasks > _FEW else 1) as run, tempfile.TemporaryFile(dir=folder.path) as file:
        aside = Spool(file)
        with progress("reading tasks", total=source.tasks) as step:
            heard = run(hear_block, _blocks(source.read()), repeat(plan))
            for block in gather(folder, heard, step):
                tally = tally.plus(block.tally)
                tables.append(block.tables)
                lasts.append(block.last)
                aside.add(block.sums)
        _check_criterion(plan, tally)
        register(con, tables)
        found = believe(con, source.project, plan.rules)
        beliefs: Iterable[list[dict[str, Any]] | None] = repeat(None)
        if plan.rules.aggregate != "votes":
            rows = [] if found is None else found.rows
            folder.write(FILE, rows)
            beliefs = parted(rows, lasts)
        with progress("looking at tasks", total=len(lasts)) as step:
            for looked in run(look_block, aside.blocks(), beliefs, repeat(plan)):
                waiting.add(looked)
                step(1)
    return tally, None if found is None else found._replace(rows=[])


def _blocks(stored: "Iterator[StoredTask]") -> Iterator[bytes]:
    from curate.spool import packed_tasks

    while block := list(islice(stored, _BLOCK)):
        yield packed_tasks(block)


def _check_criterion(plan: "Plan", tally: "Tally") -> None:
    if plan.rules.criterion is not None and plan.rules.criterion not in tally.criteria:
        hint = nearest(plan.rules.criterion, tally.criteria)
        hint = hint or f"; there are: {', '.join(sorted(tally.criteria)) or 'none'}"
        raise BadInput(f"--criterion: no task of this project is rated on '{plan.rules.criterion}'{hint}")


def _nothing(source: Source, tally: "Tally", left_out: dict[str, int]) -> NotEnough:
    why = ", ".join(f"{n:,} {reason}" for reason, n in (left_out | dict(tally.unused)).items())
    mend = "; where people stand even, one more decides, or they look again under My answers" if "tie" in why else ""
    return NotEnough(f"'{source.project}' gives no pair yet ({why or 'it has no tasks'}); nothing was written{mend}")
