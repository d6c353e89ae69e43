"""The commands of one seed in their order, each a process of its own, from seed tasks to what was trained on them.

    grown → asked of people → measured, audited, exported → trained on, held to a set that experts judged, decided

`Chain.whole` adds what the proof has no need of, and a newcomer wants to see: revisions by principles, a model as
judge held against people, SFT, release, and new answers back to people.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.jsonl import read_lines, write_lines
from tour.people import EXPERTS, Person, Seat, judge, server
from tour.stages import ROOT, Desk, keep, run
from tour.truth import said, worth

LENGTH = 768
HERE = ROOT / "tour"
CONTRACT, UNDECIDED = HERE / "contract.yaml", HERE / "undecided.yaml"
TINY = ROOT / "train" / "configs" / "tiny.yaml"
GUIDELINES = (HERE / "guidelines.en.md", HERE / "guidelines.zh.md")


class Chain(NamedTuple):
    """What one seed runs."""

    seed: int
    crew: Sequence[Person]
    url: str
    """An OpenAI-compatible server."""
    model: Path
    """The tiny model."""
    tasks: int = 600
    """Prompts that people judge answers to."""
    held: int = 240
    """Prompts that experts judge answers to; no run is trained on them."""
    gated: bool = False
    """Trains by DPO too, and asks the gate."""
    whole: bool = False


class Followed(NamedTuple):
    """A seed's chain, and where it ran."""

    chain: Chain
    desk: Desk


def grow(desk: Desk, chain: Chain) -> None:
    """Prompts from seed tasks, without near-duplicates, and two models' answers to each, as two projects' tasks."""
    place, asked = desk.place, ("--base-url", chain.url, "--seed", chain.seed)
    grown, apart = place / "self_instruct", place / "prompts"
    run(desk, "self_instruct", "datagen.self_instruct", "--num", chain.tasks, "--model", "tour", *asked, out=grown)
    run(desk, "dedup", "curate.dedup", grown / "data" / "prompts.jsonl", out=apart)
    other, held = place / "self_instruct_held", place / "prompts_held"
    later = ("--base-url", chain.url, "--seed", chain.seed + 1000)
    run(desk, "self_instruct_held", "datagen.self_instruct", "--num", chain.held, "--model", "tour", *later, out=other)
    against = ("--against", apart / "data" / "train.jsonl")
    run(desk, "dedup_held", "curate.dedup", other / "data" / "prompts.jsonl", *against, out=held)
    for key, prompts, project, overlap in (("respond", apart, "answers", 3), ("respond_held", held, "held", 2)):
        models = ("--model", "tour-a", "--model", "tour-b", "--max-tokens", 90)
        words = ("--prompts", prompts / "data" / "train.jsonl", "--n", 2, "--overlap", overlap, "--project", project)
        run(desk, key, "datagen.respond", *words, *models, *asked, out=place / key)
    if chain.whole:
        some = ("--prompts", prompts_head(apart, place / "some_prompts.jsonl", 40), "--model", "tour", *asked)
        run(desk, "constitutional", "datagen.constitutional", "--constitution", "harmless", *some,
            out=place / "constitutional")  # fmt: skip


def prompts_head(folder: Path, to: Path, most: int) -> Path:
    """The first prompts of a folder as a file of their own."""
    lines = (folder / "data" / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
    to.write_text("".join(lines[:most]), "utf-8")
    return to


def ask_people(desk: Desk, chain: Chain) -> None:
    """Tasks into projects, and people at the page's routes until none is left; DIR/people.jsonl says who is who."""
    place, seed = desk.place, f"{chain.seed}"
    for project, folder in (("answers", "respond"), ("held", "respond_held")):
        tasks = place / folder / "data" / "tasks.jsonl"
        words = ("--project", project, "--guidelines", *GUIDELINES)
        run(desk, f"load_{project}", "annotate.load", tasks, *words, seed=f"{seed} load {project}")
    as_lead = ("add", "Lead", "--role", "admin", "--languages", "en", "--project", "answers", "--project", "held")
    lead = run(desk, "lead", "annotate.people", *as_lead, seed=f"{seed} lead")
    link = "join/" + str(lead.summary["link"]).rsplit("join/", 1)[1]
    who: list[dict[str, Any]] = []
    desk.tell("people")
    began = time.monotonic()
    with server(desk.store, f"{seed} serve") as address:
        boss = Seat(address, link, "answers", Person("Lead", 1.0), seed)
        for project, crew in (("answers", chain.crew), ("held", EXPERTS)):
            seats, replies = judge(address, boss, project, crew, seed)
            for seat in seats:
                mine = [reply.right for reply in replies if reply.person == seat.id]
                told = {"id": seat.id, "name": seat.person.name, "skill": seat.person.skill}
                who.append({**told, "project": project, "judged": len(mine), "right": sum(mine)})
    write_lines(place / "people.jsonl", who)
    told = {"people": len(who), "judgments": sum(one["judged"] for one in who)}
    keep(desk, "people", time.monotonic() - began, told)


def ask_models(desk: Desk, chain: Chain) -> None:
    """A model as judge of the same tasks, its judgments beside people's, and how far it can stand in for them."""
    place = desk.place
    tasks = place / "respond" / "data" / "tasks.jsonl"
    words = ("--model", "tour-judge", "--constitution", "helpful", "--both-orders", "--base-url", chain.url)
    run(desk, "judge", "datagen.judge", "--tasks", tasks, *words, "--seed", chain.seed, out=place / "judge")
    judged = place / "judge" / "data" / "tasks.jsonl"
    run(desk, "load_judge", "annotate.load", judged, "--project", "answers", seed=f"{chain.seed} load judge")
    revised = place / "constitutional" / "tasks" / "tasks.jsonl"
    run(desk, "load_revised", "annotate.load", revised, "--project", "revisions", seed=f"{chain.seed} load revised")
    run(desk, "calibrate", "curate.calibrate", "--project", "answers", out=place / "calibrate", expect=(0, 3))


def curate(desk: Desk, chain: Chain) -> None:
    """What people said, measured, audited and exported, each with its proof."""
    place = desk.place
    frozen, pairs = place / "snapshot", place / "exports" / "answers"
    run(desk, "snapshot", "curate.snapshot", out=frozen)
    run(desk, "agreement", "curate.agreement", "--project", "answers", out=place / "agreement")
    run(desk, "aggregate", "curate.aggregate", "--project", "answers", "--sources", "human", out=place / "aggregate")
    run(desk, "audit", "curate.audit", frozen, "--project", "answers", out=place / "audit", expect=(0, 1))
    recipe = ("--recipe", HERE / "export.yaml")
    run(desk, "export", "curate.export", "--project", "answers", *recipe, out=pairs)
    run(desk, "export_held", "curate.export", "--project", "held", *recipe, "--splits", "0,0,100",
        out=place / "exports" / "held")  # fmt: skip
    if chain.whole:
        run(desk, "export_sft", "curate.export", "--project", "answers", *recipe, "--format", "sft",
            out=place / "exports" / "answers-sft")  # fmt: skip
    run(desk, "verify", "curate.verify", pairs, "--store")


def train(desk: Desk, chain: Chain) -> None:
    """A reward model; where the chain is gated DPO too, an evaluation on what experts judged, and the gate."""
    place = desk.place
    pairs, held = place / "exports" / "answers", place / "exports" / "held"
    tiny = ("--config", TINY, "--set", f"length={LENGTH}")
    run(desk, "reward", "train.reward", pairs, "--model", chain.model, *tiny, "learning_rate=2e-3",
        out=place / "runs" / "reward")  # fmt: skip
    if not chain.gated:
        return
    start, adapter = chain.model, place / "runs" / "dpo"
    if chain.whole:
        start = place / "runs" / "sft"
        run(desk, "sft", "train.sft", place / "exports" / "answers-sft", "--model", chain.model, *tiny, out=start)
    run(desk, "dpo", "train.dpo", pairs, "--model", start, *tiny, out=adapter)
    given = ("--against", chain.model, "--export", held, "--max-tokens", 48)
    run(desk, "evaluate", "train.evaluate", adapter, *given, out=place / "evaluations" / "dpo")
    decided = ("--evaluation", place / "evaluations" / "dpo")
    run(desk, "gate", "train.gate", adapter, "--contract", CONTRACT, *decided, expect=(0, 1, 3))
    run(desk, "release", "train.release", adapter, expect=(0, 1, 3))
    if chain.whole:
        run(desk, "gate_undecided", "train.gate", adapter, "--contract", UNDECIDED, *decided, expect=(3,))
        give_back(desk, chain, adapter)


def give_back(desk: Desk, chain: Chain, adapter: Path) -> None:
    """The released model's answers to prompts that nobody has seen, as tasks for people."""
    place = desk.place
    words = ("--prompts", place / "exports" / "held", "--split", "test", "--limit", 24, "--n", 2, "--max-tokens", 48)
    run(desk, "generate", "train.generate", adapter, *words, "--keep-cut", "--to-tasks", "--project", "next",
        out=place / "next")  # fmt: skip
    tasks = place / "next" / "data" / "tasks.jsonl"
    run(desk, "load_next", "annotate.load", tasks, "--project", "next", seed=f"{chain.seed} load next")


def one_row(place: Path) -> dict[str, Any]:
    """A row that was trained on: the first whose answers are far apart, and on which people still did not agree."""
    rows = [line.value for line in read_lines(place / "exports" / "answers" / "data" / "train.jsonl")]
    apart = (row for row in rows if worth(said(row["chosen"])) > worth(said(row["rejected"])) + 1)
    told = (row for row in apart if 0.5 < row["agreement"] < 1)
    found: dict[str, Any] = next(told, rows[0])
    return found


def follow(desk: Desk, chain: Chain) -> None:
    """Every stage of one seed."""
    grow(desk, chain)
    ask_people(desk, chain)
    if chain.whole:
        ask_models(desk, chain)
    curate(desk, chain)
    train(desk, chain)
    if chain.whole:
        run(desk, "trace", "curate.trace", one_row(desk.place)["id"])
