"""What a Self-Instruct run leaves: prompts with their lineage, rows to train on, and what stands behind them.

    data/prompts.jsonl     a Prompt record for each instruction kept, its first instance's input put in:
                           what datagen.respond and datagen.constitutional take
    sft/train.jsonl        a row for each instance: instruction, input and output (Alpaca's three columns), and
                           the same as `prompt` and `completion`, the message lists that trainers take
    audit/tasks.jsonl      each task kept: its instances, its class, the requests and templates of every step
    audit/seeds.jsonl      the seeds by id, as the lineage names them
    audit/rounds.jsonl     the yield of each round; audit/filters.jsonl: what each filter removed, with examples
    audit/rejected.jsonl   everything rejected, by which filter, and the neighbour where one is the cause

`load_dataset(DIR)` gives the rows to train on, `load_dataset(DIR, "prompts")` the prompts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.records import Lineage, Message, Prompt, digest, prompt_id
from datagen.growth import Grown, Growth
from datagen.instances import Instance
from datagen.seeds import Seed
from datagen.steps import Steps

if TYPE_CHECKING:
    from data.folder import Folder
    from datagen.novelty_index import NoveltyIndex

COMMAND = "datagen.self_instruct"
README = """---
configs:
- config_name: sft
  default: true
  data_files:
  - split: train
    path: sft/train.jsonl
- config_name: prompts
  data_files:
  - split: train
    path: data/prompts.jsonl
---

# self_instruct

Written by Concord. `load_dataset(DIR)` gives instructions with inputs and outputs to train on
(`sft/train.jsonl`), `load_dataset(DIR, "prompts")` the prompts to be answered (`data/prompts.jsonl`).
`audit/` has what stands behind each row, `manifest.json` the hash of every file.
"""


def asked(instruction: str, given: str) -> list[Message]:
    """The message that puts a task: the instruction, and under a blank line its input, if there is one."""
    return [Message(role="user", content=f"{instruction}\n\n{given}" if given else instruction)]


def name(instruction: str, first: Instance) -> str:
    """The id of a task: that of the Prompt made of its instruction and its first instance's input."""
    return prompt_id(asked(instruction, first.input))


def prompt(grown: Grown, steps: Steps, step: str, licence: str | None) -> Prompt:
    """The Prompt record of a task, with the examples it was drawn from as its parents."""
    origin = grown.candidate
    kind = {True: ["classification"], False: ["open"], None: []}[grown.is_classification]
    return Prompt.make(
        asked(origin.text, grown.instances[0].input),
        language=steps.language,
        tags=["self-instruct", *kind],
        source="self_instruct",
        licence=licence,
        lineage=Lineage(
            parents=list(origin.parents),
            command=COMMAND,
            model=origin.model,
            template=origin.template,
            sampling={**steps.sampling[step], "request": origin.key},
        ),
    )


def rows(grown: Grown) -> Iterator[dict[str, Any]]:
    """The rows to train on: one for each instance."""
    for one in grown.instances:
        messages = asked(grown.candidate.text, one.input)
        yield {
            "instruction": grown.candidate.text,
            "input": one.input,
            "output": one.output,
            "prompt": [message.plain() for message in messages],
            "completion": [{"role": "assistant", "content": one.output}],
            "prompt_id": grown.id,
        }


def write(
    folder: "Folder",
    growth: Growth,
    steps: Steps,
    seed_rejects: Iterable[Mapping[str, Any]],
    licence: str | None = None,
    neighbours: Mapping[str, Sequence[Any]] | None = None,
) -> int:
    """Fill the folder; returns the rows to train on."""
    step = "one_pass" if growth.rules.one_pass else "instructions"
    folder.write("data/prompts.jsonl", (prompt(g, steps, step, licence) for g in growth.kept))
    count = folder.write("sft/train.jsonl", (row for g in growth.kept for row in rows(g)))
    folder.write("audit/tasks.jsonl", (_task(g, (neighbours or {}).get(g.id)) for g in growth.kept))
    folder.write("audit/seeds.jsonl", (_seed(s) for s in growth.seeds))
    folder.write("audit/rounds.jsonl", growth.rounds)
    folder.write("audit/filters.jsonl", growth.ledger)
    ids = {g.candidate.id: g.id for g in growth.kept}
    folder.write("audit/rejected.jsonl", [*seed_rejects, *(_with_ids(row, ids) for row in growth.rejected)])
    if growth.kept:
        folder.write_text("README.md", README)
    return count


def _task(grown: Grown, neighbours: Sequence[Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": grown.id,
        "candidate": grown.candidate.id,
        "instruction": grown.candidate.text,
        "instances": [one._asdict() for one in grown.instances],
        "is_classification": grown.is_classification,
        "parents": list(grown.candidate.parents),
        "steps": {
            "instructions": {
                "request": grown.candidate.key,
                "template": grown.candidate.template,
                "model": grown.candidate.model,
            },
            **grown.steps,
        },
    }
    if neighbours is not None:
        row["neighbours"] = neighbours
    return row


def _seed(seed: Seed) -> dict[str, Any]:
    return {
        "id": seed.id,
        "instruction": seed.instruction,
        "is_classification": seed.is_classification,
        "hash": digest([seed.instruction, [list(one) for one in seed.instances]]),
    }


def _with_ids(row: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """The row, its neighbour named by the id it has in data/ where it was kept."""
    near = row.get("neighbour")
    return {**row, "neighbour": {**near, "id": ids.get(near["id"], near["id"])}} if near else dict(row)


def top_neighbours(growth: Growth, index: "NoveltyIndex", k: int) -> dict[str, list[dict[str, Any]]]:
    """For each task kept the k most similar of seeds and tasks kept, with their ROUGE-L F1."""
    for seed in growth.seeds:
        index.add(seed.id, seed.instruction)
    for grown in growth.kept:
        index.add(grown.id, grown.candidate.text)
    found: dict[str, list[dict[str, Any]]] = {}
    for grown in growth.kept:
        near = [n for n in index.similar(grown.candidate.text, k + 1) if n.id != grown.id][:k]
        found[grown.id] = [{"id": n.id, "text": n.text, "score": round(n.score, 4)} for n in near]
    return found
