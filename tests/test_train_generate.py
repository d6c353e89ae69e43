"""Answers in batches are the answers alone; what train.generate writes goes back to people and into training."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput, ConcordError, NotThere, Refused
from data.folder import write_folder
from data.formats import Reject, read
from data.jsonl import read_records
from data.manifest import read_manifest, verify_folder
from data.records import Message, Prompt, Response, Task, response_id, task_id
from train import answering, generating
from train import generate as command
from train.answering import Sampling, _Draws, _take, answer_prompts, answer_tokens, render
from train.best_of import Scored, choose, score_dialogues
from train.exports import read_export
from train.finding import fingerprint
from train.generated_rows import ranking_tasks
from train.generating import Job, Wanted, generate
from train.kept_lines import keep_lines
from train.loading import load_tokenizer, open_model
from train.prompt_rows import Asked, read_prompts
from train.tokens import template_hash


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


TEXTS = ["why?", "Why is the sky blue, and why is it red at night? " * 3, "天空为什么是蓝色的？", "", "1 + 1"]
PROMPTS = [[said("user", text)] for text in TEXTS]


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> Any:
    return open_model(str(tiny))


def answers(loaded: Any, prompts: list[Any], sampling: Sampling, **more: Any) -> Any:
    return answer_prompts(loaded.model, loaded.tokenizer, prompts, sampling=sampling, **more)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=24), Sampling(0.9, 0.95, 50, 24)])
def test_an_answer_is_the_same_whatever_else_is_in_the_batch(loaded: Any, sampling: Sampling) -> None:
    alone = [answers(loaded, [prompt], sampling, seed=4)[0] for prompt in PROMPTS]
    assert answers(loaded, PROMPTS, sampling, batch=5, seed=4) == alone
    assert answers(loaded, PROMPTS[::-1], sampling, batch=2, seed=4) == alone[::-1]
    assert len({one.text for one in alone}) > 1


def test_batches_of_a_size_nobody_set_give_the_answers_of_prompts_alone(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [*PROMPTS, *([{"role": "user", "content": f"Say {n} things about clocks."}] for n in range(12))]
    sampling = Sampling(max_tokens=24)
    alone = [answers(loaded, [prompt], sampling)[0] for prompt in many]
    told: list[int] = []
    assert answers(loaded, many, sampling, tell=told.append) == alone
    assert told == [len(many)]
    monkeypatch.setattr(answering, "ROOM", 1)
    told.clear()
    assert answers(loaded, many, sampling, tell=told.append) == alone
    assert max(told) == answering.LEAST


def test_a_batch_grows_to_what_its_answers_may_take(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded.model.config
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    monkeypatch.setattr(answering, "ROOM", 20 * 30 * token)
    assert answering.rows_at_once(loaded.model, [10] * 90, 20) == 20
    assert answering.rows_at_once(loaded.model, [10] * 15 + [20] * 90, 20) == 15
    assert answering.rows_at_once(loaded.model, [900] * 90, 20) == answering.LEAST
    assert answering.rows_at_once(loaded.model, [1] * 90, 1) == answering.MOST
    assert answering.rows_at_once(loaded.model, [900] * 3, 20) == 3


def test_greedy_answers_are_those_of_transformers_generate(loaded: Any) -> None:
    made = answers(loaded, PROMPTS, Sampling(max_tokens=24), batch=3)
    for prompt, one in zip(PROMPTS, made, strict=True):
        ids = loaded.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
        out = loaded.model.generate(**ids, do_sample=False, max_new_tokens=24)[0][ids["input_ids"].shape[1] :]
        assert one.text == loaded.tokenizer.decode(out, skip_special_tokens=True)
        assert one.tokens == len(out)
        assert one.finish == ("stop" if int(out[-1]) == loaded.tokenizer.eos_token_id else "length")


def test_a_prompt_listed_again_gets_another_sample_and_the_seed_decides_which(loaded: Any) -> None:
    hot = Sampling(temperature=1.5, max_tokens=12)
    twice = answers(loaded, [PROMPTS[0], PROMPTS[0]], hot, seed=1)
    assert twice[0] != twice[1]
    assert answers(loaded, [PROMPTS[0]], hot, samples=[1], seed=1) == twice[1:]
    assert answers(loaded, [PROMPTS[0]], hot, seed=2) != twice[:1]


def test_an_answer_ends_at_its_stop_token_at_its_limit_or_at_the_end_of_the_context(loaded: Any) -> None:
    bias = loaded.model.lm_head
    assert answers(loaded, PROMPTS[:1], Sampling(max_tokens=3))[0]._replace(text="") == ("", "length", 3)
    room = loaded.model.config.max_position_embeddings
    ids = [[5] * (room - 2), [5] * room]
    made: dict[int, Any] = {}
    for some in answer_tokens(
        loaded.model, loaded.tokenizer, ids, [0, 0], sampling=Sampling(max_tokens=9), batch=2, seed=0
    ):
        made.update(some)
    assert made[0].finish == "length"
    assert made[0].tokens == 2
    assert made[1] == ("", "length", 0)
    hook = bias.register_forward_hook(lambda _m, _i, out: ends(out, loaded.tokenizer.eos_token_id))
    try:
        assert answers(loaded, PROMPTS[:1], Sampling(max_tokens=3)) == [("", "stop", 1)]
    finally:
        hook.remove()


def ends(out: torch.Tensor, token: int) -> torch.Tensor:
    out[..., token] = 1e9
    return out


def test_a_model_in_training_is_put_back_as_it_was(loaded: Any) -> None:
    loaded.model.train()
    answers(loaded, PROMPTS[:1], Sampling(max_tokens=1))
    assert loaded.model.training
    loaded.model.eval()


@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12),
    st.floats(0.1, 3),
    st.floats(0.05, 1),
    st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
def test_sampling_keeps_to_the_tokens_that_top_p_and_top_k_leave(
    logits: list[float], heat: float, top_p: float, top_k: int
) -> None:
    shares = torch.softmax(torch.tensor(logits, dtype=torch.float64) / heat, 0)
    ranked = sorted(range(len(logits)), key=lambda at: (-logits[at], at))[: top_k or None]
    total = sum(float(shares[at]) for at in ranked)
    heaped, allowed = 0.0, set()
    for at in ranked:
        if heaped / total < top_p + 1e-9:
            allowed.add(at)
        heaped += float(shares[at])
    rows = torch.tensor([logits] * 20)
    drawn = _take(rows, [_Draws(str(n)) for n in range(20)], Sampling(heat, top_p, top_k))
    assert set(drawn) <= allowed


def test_sampling_follows_the_probabilities() -> None:
    shares = torch.tensor([0.1, 0.2, 0.7])
    n = 4000
    drawn = _take(shares.log().repeat(n, 1), [_Draws(f"s{at}") for at in range(n)], Sampling(1.0))
    for token, share in enumerate(shares.tolist()):
        assert abs(drawn.count(token) / n - share) < 4 * (share * (1 - share) / n) ** 0.5


def test_settings_out_of_range_are_one_line(loaded: Any) -> None:
    for bad in (Sampling(-1), Sampling(1, 0), Sampling(1, 1, -1), Sampling(max_tokens=0)):
        with pytest.raises(BadInput):
            answers(loaded, PROMPTS, bad)
    with pytest.raises(BadInput, match="a batch of 0"):
        answers(loaded, PROMPTS, Sampling(), batch=0)


def test_a_prompt_that_the_template_refuses_is_named(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = "{%- if messages|length > 1 -%}{{ raise_exception('one message only') }}{%- endif -%}hi"
    monkeypatch.setattr(loaded.tokenizer, "chat_template", refusing)
    two = [said("user", "a"), said("user", "b")]
    assert isinstance(render(loaded.tokenizer, [PROMPTS[0], two])[0], list)
    with pytest.raises(BadInput, match="prompt 2: the chat template refuses it: one message only"):
        answers(loaded, [PROMPTS[0], two], Sampling())


def prompts_file(path: Path, texts: list[str] = TEXTS) -> Path:
    rows = [Prompt.make([Message(role="user", content=text)], tags=["t"]).plain() for text in texts]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def wanted(**more: Any) -> Wanted:
    given: dict[str, Any] = {
        "n": 3, "sampling": Sampling(1.2, max_tokens=10), "batch": 4, "seed": 0, "reward": "", "floor": None,
        "keep_cut": False, "tasks": False, "project": "p", "overlap": 1,
    }  # fmt: skip
    return Wanted(**{**given, **more})


def asked(tmp_path: Path) -> list[Any]:
    return read_prompts([prompts_file(tmp_path / "prompts.jsonl")])[0]


def made(tiny: Path, tmp_path: Path, name: str = "out", **more: Any) -> Path:
    generate(Job(str(tiny), asked(tmp_path), wanted(**more), tmp_path / name), [])
    return tmp_path / name


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def scorer(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scorer") / "reward"
    torch.manual_seed(0)
    base = open_model(str(tiny), kind="reward", trainable=True)
    base.model.save_pretrained(out)
    base.tokenizer.save_pretrained(out)
    return out


def test_answers_are_response_records_that_say_by_what_and_how_they_were_made(tiny: Path, tmp_path: Path) -> None:
    out = made(tiny, tmp_path)
    responses = list(read_records(out / "data" / "responses.jsonl", Response))
    prompts = list(read_records(out / "data" / "prompts.jsonl", Prompt))
    assert [r.prompt_id for r in responses] == [p.id for p in prompts for _ in range(3)]
    mark = fingerprint(str(tiny))
    one = responses[4]
    assert one.id == response_id(one)
    assert one.sample_index == 1
    assert one.model is not None
    assert one.model.endswith(f"@{mark[:12]}")
    assert one.sampling == {"temperature": 1.2, "top_p": 1.0, "top_k": 0, "max_tokens": 10, "seed": 0}
    assert one.lineage is not None
    assert (one.lineage.parents, one.lineage.model) == ([one.prompt_id], mark)
    assert one.lineage.template == template_hash(load_tokenizer(str(tiny)))
    assert one.finish_reason in ("stop", "length")
    assert verify_folder(out) == []


def test_a_run_that_was_killed_goes_on_and_gives_the_same_bytes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(tiny, tmp_path, "whole")
    real, count = answering._generate, [0]

    def dies(*args: Any) -> Any:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(answering, "_generate", dies)
    with pytest.raises(KeyboardInterrupt):
        made(tiny, tmp_path, "out")
    assert not (tmp_path / "out").exists()
    log = next((tmp_path / ".out.going").iterdir())
    with log.open("ab") as file:
        file.write(b'{"place":14,"te')  # the power went while it wrote
    count[0] = 10
    out = made(tiny, tmp_path, "out")
    assert count[0] == 12  # four batches in all, of which two were done
    assert read_manifest(out).digest == read_manifest(whole).digest
    assert not (tmp_path / ".out.going").exists()
    with pytest.raises(Refused, match="is there already"):
        made(tiny, tmp_path, "out")


def test_a_run_killed_while_it_drops_its_kept_answers_is_over(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def half(path: Path, **more: Any) -> None:
        for kept in path.glob("answers-*"):
            kept.unlink()
            raise KeyboardInterrupt
        remove(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            made(tiny, tmp_path, "out")
    with pytest.raises(Refused, match="is there already"):  # not answered all over again
        made(tiny, tmp_path, "out")


def test_tasks_load_into_a_project_with_the_different_answers_alone(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--prompts", str(prompts_file(tmp_path / "prompts.jsonl")), "--n", "4", "--to-tasks", "--max-tokens", "8"]
    out = tmp_path / "out"
    assert command.main([str(tiny), *given, "--device", "cpu", "--out", str(out), "--overlap", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answers"], told["tasks"]) == (20, 5)
    tasks = list(read_records(out / "data" / "tasks.jsonl", Task))
    assert all(t.kind == "ranking" and t.overlap == 2 and t.id == task_id(t) for t in tasks)
    reading = read([str(out / "data" / "tasks.jsonl")])
    found = list(reading.rows)
    assert (reading.format, len(found)) == ("tasks", 5)
    assert not any(isinstance(row, Reject) for row in found)
    same = [response(tasks[0].prompt.id, "yes", n) for n in range(3)]
    two = [*same, response(tasks[0].prompt.id, "no", 3)]
    one = [Asked(tasks[0].prompt, "c", "train")]
    kept, refused = ranking_tasks(one, {tasks[0].prompt.id: two}, "p", 1, 0)
    assert sorted(r.text for r in kept[0].responses) == ["no", "yes"]
    assert [row["reason"] for row in refused] == ["the same answer again"] * 2
    assert ranking_tasks(one, {tasks[0].prompt.id: same}, "p", 1, 0)[0] == []


def response(prompt: str, text: str, n: int, finish: str = "stop") -> Response:
    said = [Message(role="assistant", content=text)]
    return Response.make(prompt, said, model="m", sample_index=n, finish_reason=finish)


def test_the_best_of_n_is_the_highest_score_and_below_the_floor_nothing() -> None:
    prompt = Prompt.make([Message(role="user", content="why?")], licence="CC0")
    one = Asked(prompt, "family", "train")
    scored = [
        Scored(response(prompt.id, "a", 0), 0.5),
        Scored(response(prompt.id, "b", 1, "length"), 9.0),
        Scored(response(prompt.id, "c", 2), 1.5),
        Scored(response(prompt.id, "d", 3), 1.5),
        Scored(response(prompt.id, "e", 4), None),
    ]
    row = choose(one, scored, 1.0).row
    assert row is not None
    assert row["completion"] == [said("assistant", "c")]
    assert (row["score"], row["tried"], row["cluster"], row["licence"]) == (1.5, 5, "family", "CC0")
    assert row["scores"] == [0.5, 9.0, 1.5, 1.5, None]
    cut = choose(one, scored, None, keep_cut=True).row
    assert cut is not None
    assert cut["completion"] == [said("assistant", "b")]
    none = choose(one, scored, 2.0)
    assert none.row is None
    assert none.left_out is not None
    assert "below the floor of 2" in none.left_out["reason"]
    assert choose(one, scored[1:2], None).row is None


def test_rejection_sampling_writes_rows_that_training_reads(tiny: Path, scorer: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"reward": str(scorer), "keep_cut": True}
    out = made(tiny, tmp_path, "all", **more)
    export = read_export(out)
    assert export.kind == "sft"
    rows = export.answers["train"]
    assert len(rows) == len(TEXTS)
    loaded = open_model(str(scorer), kind="reward")
    for row in rows:
        alone = score_dialogues(loaded.model, loaded.tokenizer, [([*row.prompt, *row.completion], None)])
        assert row.row["score"] == pytest.approx(alone[0], abs=2e-6)
        assert row.row["score"] == max(row.row["scores"])
        assert row.row["tried"] == 3
    floor = sorted(row.row["score"] for row in rows)[2]
    some = made(tiny, tmp_path, "some", **more, floor=floor)
    assert len(read_export(some).answers["train"]) == 3
    left = rows_of(some / "audit" / "left_out.jsonl")
    assert len(left) == 2
    assert all("below the floor" in row["reason"] for row in left)


def test_scores_are_the_same_in_any_batch_and_too_long_a_dialogue_has_none(scorer: Path) -> None:
    loaded = open_model(str(scorer), kind="reward")
    dialogues = [([said("user", text), said("assistant", "so")], None) for text in TEXTS]
    alone = [score_dialogues(loaded.model, loaded.tokenizer, [one])[0] for one in dialogues]
    assert score_dialogues(loaded.model, loaded.tokenizer, dialogues, batch=5) == pytest.approx(alone, abs=1e-6)
    long = [([said("user", "x y " * 3000)], None)]
    assert score_dialogues(loaded.model, loaded.tokenizer, long) == [None]


def test_prompts_come_from_records_tasks_and_exports_each_once(tmp_path: Path) -> None:
    file = prompts_file(tmp_path / "a.jsonl", ["one", "two"])
    known = Prompt.make([Message(role="user", content="three")])
    task = Task.make("p", "ab", known, [response(known.id, "a", 0), response(known.id, "b", 1)])
    with write_folder(tmp_path / "respond", "respond", {}) as folder:
        folder.write("data/tasks.jsonl", [task])
    pair = {"prompt": [said("user", "four")], "chosen": [], "rejected": [], "cluster": "c4", "split": "train"}
    with write_folder(tmp_path / "sky", "export", {}) as folder:
        folder.write("data/train.jsonl", [pair, pair])
        folder.write("data/test.jsonl", [{**pair, "prompt": [said("user", "five")], "split": "test"}])
    with file.open("a") as more:
        more.write('not json\n{"a": 1}\n{"prompt": "one"}\n{"prompt": 3}\n')
    found, rejected = read_prompts([file, tmp_path / "respond", tmp_path / "sky"])
    assert [one.prompt.messages[0].content for one in found] == ["one", "two", "three", "four"]
    assert found[3].cluster == "c4"
    assert [row["where"] for row in rejected] == [f"a.jsonl, line {n}" for n in (3, 4, 6)]
    assert rejected[2]["reason"] == "field prompt: 3 is neither a text nor a list of messages"
    test, _ = read_prompts([tmp_path / "sky"], "test")
    assert [one.prompt.messages[0].content for one in test] == ["five"]
    assert len(read_prompts([tmp_path / "sky"], "all")[0]) == 2
    with pytest.raises(NotThere):
        read_prompts([tmp_path / "gone"])
    with pytest.raises(BadInput, match="--split all"):
        read_prompts([tmp_path / "sky"], "validation")


def test_what_cannot_be_is_told_in_one_line_before_a_weight_is_loaded(
    tiny: Path, scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a weight was loaded")

    monkeypatch.setattr(generating, "open_model", never)
    file = str(prompts_file(tmp_path / "prompts.jsonl"))
    base = ["--prompts", file, "--device", "cpu", "--out", str(tmp_path / "out")]
    cases: list[tuple[list[str], str]] = [
        ([str(tiny), "--best-of", "4"], "--reward-model RUN is missing"),
        ([str(tiny), "--reward-model", "x"], "--best-of N is missing"),
        ([str(tiny), "--best-of", "4", "--n", "2", "--reward-model", "x"], "not the same"),
        ([str(tiny), "--n", "3", "--temperature", "0"], "greedy answers are all the same"),
        ([str(tiny), "--n", "10", "--to-tasks"], "2 to 9 answers"),
        ([str(tiny), "--floor", "1"], "--floor is for --best-of"),
        ([str(tiny), "--top-p", "2"], "top_p 2"),
        ([str(tiny), "--best-of", "2", "--reward-model", str(tiny)], "answers and does not score"),
        ([str(scorer)], "scores and does not answer"),
        ([str(tmp_path / "gone")], "is not there"),
    ]
    for flags, says in cases:
        with pytest.raises(ConcordError, match=says):
            command.main([*base, *flags])
    assert not (tmp_path / "out").exists()


def test_two_runs_for_one_folder_do_not_share_what_they_keep(tmp_path: Path) -> None:
    with keep_lines(tmp_path / "out", "answers", {}) as kept:
        kept.add([{"place": 0}])
        with pytest.raises(Refused, match="another run"), keep_lines(tmp_path / "out", "answers", {}):
            pass
    with keep_lines(tmp_path / "out", "answers", {}) as kept:
        assert kept.rows == [{"place": 0}]
    with keep_lines(tmp_path / "out", "answers", {"other": 1}) as kept:
        assert kept.rows == []
