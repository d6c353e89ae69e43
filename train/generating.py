"""What train.generate does: answer every prompt n times, and write answers, tasks for people, or rows to imitate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.command import progress
from data.errors import BadInput, Refused
from data.folder import write_folder
from data.records import Lineage, Message, Response, digest
from train.answering import Sampling, answer_tokens, render
from train.best_of import score_dialogues
from train.finding import check_tokenizer, find_model, fingerprint, kind_of
from train.generated_rows import Answers, best_rows, ranking_tasks
from train.kept_lines import drop_lines, is_going, keep_lines
from train.loading import open_model, open_tokenizer
from train.prompt_rows import SPLITS, Asked
from train.tokens import check_template, template_hash

COMMAND = "train.generate"
MOST = 9  # responses that a task can hold


class Wanted(NamedTuple):
    """What is to be made of each prompt."""

    n: int
    sampling: Sampling
    batch: int
    seed: int
    reward: str
    """The reward model's name, where the best of n is kept; else empty."""
    floor: float | None
    keep_cut: bool
    tasks: bool
    project: str
    overlap: int

    def check(self) -> None:
        """Refuse what cannot be, before any weight is loaded. Raises BadInput or Refused."""
        self.sampling.checked()
        if self.n < 1 or self.batch < 1:
            raise BadInput(f"--n {self.n} or --batch {self.batch} is below 1")
        if self.n > 1 and self.sampling.temperature == 0:
            raise Refused(f"greedy answers are all the same: {self.n} of them need --temperature above 0, such as 0.8")
        if self.tasks and not 2 <= self.n <= MOST:
            raise Refused(f"a ranking task holds 2 to {MOST} answers, not {self.n}; change --n")
        if self.floor is not None and not self.reward:
            raise BadInput("--floor is for --best-of with --reward-model")


class Named(NamedTuple):
    """A model as records name it."""

    name: str
    """What people call it, with the first digits of its fingerprint: dpo-sky@1f0c…"""
    fingerprint: str
    template: str
    """sha256 of its chat template."""


def name_model(name: str) -> Named:
    """How a model is named, computed without loading a weight; raises as `find_model` does."""
    found = find_model(name)
    check_tokenizer(found, name)
    mark = fingerprint(name)
    tokenizer = open_tokenizer(found)
    check_template(tokenizer, name)
    short = Path(name).resolve().name if found.folder else name
    if short == "model":  # as a run's folder has it, and many another
        short = Path(name).resolve().parent.name
    return Named(f"{short}@{mark.rpartition('@')[2][:12]}", mark, template_hash(tokenizer))


class Job(NamedTuple):
    """One run: what answers what, and how."""

    model: str
    """Any name that `train.loading.open_model` follows."""
    asked: Sequence[Asked]
    wanted: Wanted
    out: Path
    device: str = "cpu"
    dtype: str = "float32"


def generate(job: Job, rejected: list[dict[str, Any]], *, replace: bool = False) -> dict[str, Any]:
    """Answer every prompt and write the folder; a run that was killed goes on where it stopped.

    Args:
        rejected: lines of the prompt files that hold none, to be listed.

    Returns:
        The summary.
    """
    wanted = job.wanted
    wanted.check()
    if kind_of(find_model(job.model)) == "reward":
        raise Refused(f"{job.model} is a reward model: it scores and does not answer; name a language model")
    if wanted.reward and kind_of(find_model(wanted.reward)) != "reward":
        raise Refused(f"{wanted.reward} answers and does not score; --reward-model takes a run of train.reward")
    named = name_model(job.model)
    config = _config(job, named)
    with write_folder(job.out, "generated answers", config, replace=replace, again=is_going(job.out)) as folder:
        folder.inputs.update({"model": named.name, "device": job.device})
        made = _answer_all(job, named, config)
        refused = [*rejected, *({"prompt_id": key, "reason": why} for key, why in made.refused.items())]
        folder.write("data/prompts.jsonl", (one.prompt for one in job.asked if one.prompt.id in made.responses))
        folder.write("data/responses.jsonl", (r for group in made.responses.values() for r in group))
        summary = _counts(job, made)
        if wanted.tasks:
            tasks, again = ranking_tasks(job.asked, made.responses, wanted.project, wanted.overlap, wanted.seed)
            folder.write("data/tasks.jsonl", tasks)
            refused += again
            summary["tasks"] = len(tasks)
        if wanted.reward:
            scores = _score_all(job, made.responses, config)
            rows, left_out = best_rows(job.asked, made.responses, scores, wanted.floor, wanted.keep_cut)
            for split in SPLITS:
                folder.write(f"data/{split}.jsonl", (row for row in rows if row["split"] == split))
            folder.write("audit/left_out.jsonl", left_out)
            summary |= _told(rows, left_out, scores)
        folder.write("audit/rejected.jsonl", refused)
    drop_lines(job.out)
    return {"model": named.name, **summary, "rejected": len(refused), "wrote": str(job.out)}


def _config(job: Job, named: Named) -> dict[str, Any]:
    """What the bytes hang on, as the manifest keeps it."""
    wanted = job.wanted
    return {
        "prompts": digest([[one.prompt.plain(), one.cluster, one.split] for one in job.asked]),
        "model": named._asdict(),
        "dtype": job.dtype,
        **wanted._asdict(),
        "reward": name_model(wanted.reward)._asdict() if wanted.reward else None,
        "sampling": wanted.sampling._asdict(),
    }


class Made(NamedTuple):
    """Every answer, by its prompt's id in the order of the prompts; and the prompts the template refuses."""

    responses: Answers
    refused: dict[str, str]
    again: int
    """How many were finished by an earlier run."""


def _answer_all(job: Job, named: Named, config: Any) -> Made:
    wanted, asked = job.wanted, job.asked
    with (
        keep_lines(job.out, "answers", config) as kept,
        progress("answering", total=len(asked) * wanted.n) as step,
    ):
        loaded = open_model(job.model, dtype=job.dtype, device=job.device)
        rendered = render(
            loaded.tokenizer, [_plain(one.prompt.messages) for one in asked], [one.prompt.tools for one in asked]
        )
        able = [(one, ids) for one, ids in zip(asked, rendered, strict=True) if not isinstance(ids, str)]
        refused = {one.prompt.id: ids for one, ids in zip(asked, rendered, strict=True) if isinstance(ids, str)}
        places = [(one, n, ids) for one, ids in able for n in range(wanted.n)]
        done = {int(row["place"]) for row in kept.rows}
        step(len(done))
        answers = answer_tokens(
            loaded.model,
            loaded.tokenizer,
            [ids for _, _, ids in places],
            [n for _, n, _ in places],
            sampling=wanted.sampling,
            batch=wanted.batch,
            seed=wanted.seed,
            done=done,
        )
        for some in answers:
            new = {at: one for at, one in some.items() if at not in done}
            kept.add([{"place": at, **one._asdict()} for at, one in new.items()])
            step(len(new))
        found = {int(row["place"]): row for row in kept.rows}
    responses: Answers = {}
    for at, (one, n, _) in enumerate(places):
        responses.setdefault(one.prompt.id, []).append(_response(one, n, found[at], named, wanted))
    return Made(responses, refused, len(done))


def _plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [m.plain() for m in messages]


def _response(one: Asked, n: int, row: dict[str, Any], named: Named, wanted: Wanted) -> Response:
    sampling = {**wanted.sampling._asdict(), "seed": wanted.seed}
    return Response.make(
        one.prompt.id,
        [Message(role="assistant", content=row["text"])],
        model=named.name,
        sampling=sampling,
        sample_index=n,
        finish_reason=row["finish"],
        lineage=Lineage(
            parents=[one.prompt.id],
            command=COMMAND,
            model=named.fingerprint,
            template=named.template,
            sampling={**sampling, "tokens": row["tokens"]},
        ),
    )


def _score_all(job: Job, responses: Answers, config: Any) -> dict[str, float | None]:
    """Each answer's score by the reward model, by the answer's id; those an earlier run gave are not given again."""
    todo = [(one, r) for one in job.asked for r in responses.get(one.prompt.id, [])]
    block = 16 * job.wanted.batch
    with keep_lines(job.out, "scores", config) as kept, progress("scoring", total=len(todo)) as step:
        known: dict[str, float | None] = {row["id"]: row["score"] for row in kept.rows}
        step(len(known))
        loaded = open_model(job.wanted.reward, kind="reward", dtype=job.dtype, device=job.device)
        for first in range(0, len(todo), block):
            some = todo[first : first + block]
            if all(r.id in known for _, r in some):
                continue
            dialogues = [(_plain([*one.prompt.messages, *r.messages]), one.prompt.tools) for one, r in some]
            found = score_dialogues(loaded.model, loaded.tokenizer, dialogues, batch=job.wanted.batch, tell=step)
            new = {r.id: score for (_, r), score in zip(some, found, strict=True)}
            kept.add([{"id": key, "score": score} for key, score in new.items()])
            known |= new
    return known


def _counts(job: Job, made: Made) -> dict[str, Any]:
    every = [r for group in made.responses.values() for r in group]
    return {
        "prompts": len(job.asked),
        "answers": len(every),
        "from_an_earlier_run": made.again or None,
        "cut_at_their_limit": sum(r.finish_reason == "length" for r in every),
        "empty": sum(not r.text.strip() for r in every),
    }


def _told(
    rows: list[dict[str, Any]], left_out: list[dict[str, Any]], scores: dict[str, float | None]
) -> dict[str, Any]:
    every = [score for score in scores.values() if score is not None]
    best = [float(row["score"]) for row in rows]
    return {
        "rows_to_imitate": len(rows),
        "prompts_left_out": len(left_out),
        "mean_score_of_all": round(sum(every) / len(every), 4) if every else None,
        "mean_score_of_the_best": round(sum(best) / len(best), 4) if best else None,
    }
