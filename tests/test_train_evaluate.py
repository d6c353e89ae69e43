"""`python -m train.evaluate`: a run against a reference, from the models' own numbers to the folder the gate reads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import BadInput, NotThere
from data.folder import write_folder
from data.manifest import read_manifest, verify_folder
from train import evaluate as command
from train.cases import read_cases
from train.evaluating import Asked, prepare
from train.finding import fingerprint
from train.likelihoods import likelihoods, reward_scores
from train.loading import load_tokenizer, open_model
from train.preferences import Preference
from train.sides import side_of
from train.tokens import tokenise

Evaluated = dict[str, Any]


def said(role: str, text: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": text}]


def pairs(n: int = 12) -> list[dict[str, Any]]:
    rows = []
    for i in range(n):
        language = "zh" if i % 2 else "en"
        asked = f"请问 {i} 加一等于几？" if i % 2 else f"What is {i} plus one?"
        rows.append(
            {
                "id": f"p{i}",
                "prompt": said("user", asked),
                "chosen": said("assistant", f"{i + 1}."),
                "rejected": said("assistant", f"It is {i + 2}, of course." if i % 2 else f"{i}"),
                "probability": 0.5 if i == 3 else 0.2 if i == 4 else 0.9,
                "weight": 1.0,
                "cluster": f"family-{i // 2}" if i < 4 else None,
                "prompt_id": f"prompt-{i}",
                "language": language,
                "tags": ["maths", "simulated"],
            }
        )
    return rows


def export(out: Path, rows: list[dict[str, Any]]) -> Path:
    with write_folder(out, "export", {"format": "trl"}) as made:
        made.write("data/test.jsonl", rows)
    return out


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def held(there: Path) -> Path:
    return export(there / "exports" / "sky", pairs())


def run_folder(out: Path, tiny: Path, held: Path, task: str) -> Path:
    """A run with an adapter drawn at random, as its trainer would leave it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    kind: Any = "reward" if task == "reward" else "causal"
    loaded = open_model(str(tiny), kind=kind, trainable=True)
    task_type = "SEQ_CLS" if kind == "reward" else "CAUSAL_LM"
    lora = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type=task_type, init_lora_weights=False)
    made: Any = get_peft_model(loaded.model, lora)
    config = {
        "task": task,
        "settings": {"method": "lora", "beta": 0.3, "loss": "sigmoid"},
        "base": fingerprint(str(tiny)),
        "export": read_manifest(held).digest,
    }
    with write_folder(out, f"{task} run", config) as folder:
        made.save_pretrained(folder.path / "model")
        loaded.tokenizer.save_pretrained(folder.path / "model")
        folder.inputs.update({"model": str(tiny), "base": str(tiny), "export": held.name})
    return out


@pytest.fixture(scope="module")
def dpo(there: Path, tiny: Path, held: Path) -> Path:
    return run_folder(there / "runs" / "dpo", tiny, held, "dpo")


@pytest.fixture(scope="module")
def reward(there: Path, tiny: Path, held: Path) -> Path:
    return run_folder(there / "runs" / "reward", tiny, held, "reward")


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> Evaluated:
    """The summary of a run of the command; the regression set is asked where a test names one."""
    quick = [] if "--regression" in words else ["--no-regression"]
    assert command.main([*words, *quick, "--json"]) == 0
    found: Evaluated = json.loads(capsys.readouterr().out)
    return found


def cases_of(out: Path, measure: str) -> dict[str, Any]:
    return {one.id: one for one in read_cases(out / "data" / "cases.jsonl") if one.measure == measure}


def by_hand(model: Any, prompt: list[int], answer: list[int]) -> float:
    """log π(answer | prompt), one sequence alone."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        logs = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
    return sum(float(logs[at - 1, ids[0, at]]) for at in range(len(prompt), ids.shape[1]))


def test_likelihoods_in_padded_batches_are_those_of_each_sequence_alone(tiny: Path) -> None:
    model = open_model(str(tiny)).model
    rows = [([5, 6, 7], [8, 9]), ([5], [6, 7, 8, 9, 10, 11]), ([], [5, 6]), ([4] * 20, [])]
    found = likelihoods(model, rows)
    assert [one.tokens for one in found] == [2, 6, 1, 0]
    for one, (prompt, answer) in list(zip(found, rows, strict=True))[:2]:
        assert one.total == pytest.approx(by_hand(model, prompt, answer), abs=1e-4)
    assert found[2].total == pytest.approx(by_hand(model, [5], [6]), abs=1e-4)  # the first has no probability
    alone = likelihoods(model, rows, batch_tokens=1)
    assert [one.total for one in alone] == pytest.approx([one.total for one in found], abs=1e-4)


def test_reward_scores_in_batches_are_those_of_each_dialogue_alone(reward: Path) -> None:
    model = open_model(str(reward), kind="reward").model
    rows = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [4]]
    assert reward_scores(model, rows) == pytest.approx(reward_scores(model, rows, batch_tokens=1), abs=1e-5)


def test_a_dpo_run_is_held_against_its_base_with_every_measure_as_its_definition_says(
    dpo: Path, tiny: Path, held: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    summary = evaluated(capsys, str(dpo), "--against", str(tiny), "--out", str(out))  # the run's own export
    assert verify_folder(out) == []
    own, base = open_model(str(dpo)).model, open_model(str(tiny)).model
    asked = Asked(str(dpo), str(tiny), held)
    prepared = prepare(asked)
    calibration, accuracy = cases_of(out, "calibration"), cases_of(out, "accuracy")
    for row, tokens in zip(prepared.rows, prepared.tokens[0], strict=True):
        both = [
            by_hand(own, tokens.prompt, one) - by_hand(base, tokens.prompt, one)
            for one in (tokens.chosen, tokens.rejected)
        ]
        mine = Preference(0.3 * both[0], 0.3 * both[1])
        theirs = Preference(*(by_hand(base, tokens.prompt, one) for one in (tokens.chosen, tokens.rejected)))
        q, other = mine.probability, theirs.probability
        case = calibration[row.id]
        assert case.value == pytest.approx(row.p * (1 - q) ** 2 + (1 - row.p) * q**2, abs=1e-4)
        assert case.against == pytest.approx(row.p * (1 - other) ** 2 + (1 - row.p) * other**2, abs=1e-4)
        if row.p != 0.5:
            assert accuracy[row.id].value == float((mine.margin > 0) == (row.p > 0.5))
            assert accuracy[row.id].against == float((theirs.margin > 0) == (row.p > 0.5))
        nats = -by_hand(own, tokens.prompt, tokens.chosen) / len(tokens.chosen)
        assert cases_of(out, "log_perplexity")[row.id].value == pytest.approx(nats, abs=1e-4)
    assert set(calibration) - set(accuracy) == {"p3"}  # about which people are evenly divided
    assert {accuracy["p0"].cluster, accuracy["p1"].cluster} == {"family-0"}
    assert accuracy["p5"].cluster == "prompt-5"
    assert dict(accuracy["p1"].tags) == {"language": "zh", "tag": "maths;simulated"}
    assert all(one.value == 1.0 for one in cases_of(out, "template_match").values())
    rows = [json.loads(line) for line in (out / "data" / "measures.jsonl").read_text("utf-8").splitlines()]
    assert {"all", "language=zh", "tag=maths"} <= {row["slice"] for row in rows if row["measure"] == "accuracy"}
    assert summary["accuracy"].startswith(f"{sum(one.value for one in accuracy.values()) / 11:.3f}")
    page = (out / "report.html").read_text("utf-8")
    assert "Preference accuracy" in page
    assert "偏好准确率" in page


def test_a_reward_run_prefers_by_its_scores_and_takes_no_flag_that_wants_answers(
    reward: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    evaluated(capsys, str(reward), "--against", str(tiny), "--out", str(out))
    loaded = open_model(str(reward), kind="reward")
    prepared = prepare(Asked(str(reward), str(tiny), None))
    for row, tokens in zip(prepared.rows, prepared.tokens[0], strict=True):
        ids = [[*tokens.prompt, *one] for one in (tokens.chosen, tokens.rejected)]
        chosen, rejected = reward_scores(loaded.model, ids)
        if row.p != 0.5:
            assert cases_of(out, "accuracy")[row.id].value == float((chosen > rejected) == (row.p > 0.5))
    assert not cases_of(out, "log_perplexity")
    with pytest.raises(BadInput, match="gives no answers"):
        command.main([str(reward), "--against", str(tiny), "--regression", "x.jsonl", "--out", str(tmp_path / "b")])


def test_answers_are_scored_by_a_reward_model_and_the_same_run_gives_the_same_digest(
    dpo: Path, reward: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(dpo), "--against", str(tiny), "--reward-model", str(reward), "--max-tokens", "6", "--limit", "5"]
    one = evaluated(capsys, *words, "--out", str(tmp_path / "one"))
    two = evaluated(capsys, *words, "--out", str(tmp_path / "two"))
    assert one["digest"] == two["digest"]
    assert one["rows"] == 5
    scored = cases_of(tmp_path / "one", "reward_score")
    assert len(scored) == 5
    lines = (tmp_path / "one" / "data" / "answers.jsonl").read_text("utf-8").splitlines()
    answers = {row["id"]: row for row in map(json.loads, lines)}
    assert {id: case.value for id, case in scored.items()} == {id: row["score"] for id, row in answers.items()}
    other = evaluated(capsys, *words[:-1], "4", "--out", str(tmp_path / "three"))
    assert other["digest"] != one["digest"]
    kept = {row.id for row in prepare(Asked(str(dpo), str(tiny), None, limit=4)).rows}
    assert kept < {row.id for row in prepare(Asked(str(dpo), str(tiny), None, limit=5)).rows}


def test_the_base_with_a_better_prompt_is_a_reference_and_sees_that_prompt(
    dpo: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    better = tmp_path / "better.yaml"
    better.write_text("system: Answer with a number.\n")
    prepared = prepare(Asked(str(dpo), f"prompt:{better}", None))
    assert prepared.against.found.base == str(tiny.resolve())
    plain, longer = (tokens[0] for tokens in prepared.tokens)
    assert len(longer.prompt) > len(plain.prompt)
    assert longer.chosen == plain.chosen
    out = tmp_path / "evaluation"
    evaluated(capsys, str(dpo), "--against", f"prompt:{better}", "--out", str(out), "--limit", "4")
    assert all(one.against is not None for one in cases_of(out, "accuracy").values())
    assert read_manifest(out).config["reference"]["prompt"] == prepared.against.better.digest  # type: ignore[union-attr]


def test_answers_of_an_export_for_imitation_are_held_against_its_own(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{k: v for k, v in row.items() if k not in ("chosen", "rejected", "probability")} for row in pairs(4)]
    folder = export(tmp_path / "sft", [{**row, "completion": said("assistant", "1 2 3")} for row in rows])
    words = [str(tiny), "--against", str(tiny), "--export", str(folder), "--max-tokens", "4"]
    summary = evaluated(capsys, *words, "--out", str(tmp_path / "out"))
    overlap = cases_of(tmp_path / "out", "rouge_l")
    assert len(overlap) == 4
    assert all(one.value == one.against for one in overlap.values())  # the same model
    assert "accuracy" not in summary
    from train.overlap import has_bleu

    assert has_bleu() == ("bleu" in summary) == (not any("sacrebleu" in str(one) for one in summary.values()))


def test_rows_longer_than_the_model_can_take_are_left_out_and_listed(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pairs(3)
    rows[1]["chosen"] = said("assistant", "long " * 3000)
    folder = export(tmp_path / "export", rows)
    words = [str(tiny), "--against", str(tiny), "--export", str(folder), "--out", str(tmp_path / "out")]
    summary = evaluated(capsys, *words)
    assert summary["rows"] == 2
    (left,) = map(json.loads, (tmp_path / "out" / "audit" / "left_out.jsonl").read_text().splitlines())
    assert left["id"] == "p1"
    assert "that the model can take" in left["why"]
    assert "p1" not in cases_of(tmp_path / "out", "calibration")


def test_another_template_when_served_is_no_match(tiny: Path, held: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    open_model(str(tiny)).model.save_pretrained(served)
    tokenizer = load_tokenizer(str(tiny))
    tokenizer.chat_template = tokenizer.chat_template.replace("<|end|>", "<|end|> ")
    tokenizer.save_pretrained(served)
    same, other = (prepare(Asked(str(tiny), str(tiny), held, served=one)) for one in (None, str(served)))
    assert {one.value for one in same.template_cases} == {1.0}
    assert {one.value for one in other.template_cases} == {0.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "validation"], "no rows in its split 'validation'"),
        (["--limit", "0"], "--limit: 0 is below 1"),
        (["--reward-model", "BASE"], "gives no scores"),
        (["--against", "prompt:none.yaml"], "none.yaml is not there"),
        (["--against", "nowhere/at/all"], "is not there"),
        (["--include", "tasks"], "--include is for --harness"),
        (["--regression", "a.jsonl", "--no-regression"], "say yes and no; give one"),
        (["--from-judgments", "a", "--store", "b"], "give one"),
        (["--judge", "none.jsonl", "--key", "none.jsonl"], "--key none.jsonl is not there"),
        (["--device", "cuda"], "there is no GPU"),
        (["--key", "some.jsonl"], "--key .*; name the verdicts with --judge"),
        (["--soft"], "--soft .*; name its files with --judge"),
    ],
)
def test_what_a_user_can_mend_is_one_line_before_any_weight_is_read(
    words: list[str], said: str, tiny: Path, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("train.loading.open_model", opened)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    given = [str(tiny) if one == "BASE" else one for one in words]
    base = ["--against", str(tiny)] if "--against" not in given else []
    with pytest.raises((BadInput, NotThere), match=said) as raised:
        command.main([str(tiny), *base, "--export", str(held), *given, "--out", str(tmp_path / "out")])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_the_bundled_regression_set_is_asked_unless_told_not_to(
    dpo: Path, reward: Path, tiny: Path, held: Path, tmp_path: Path
) -> None:
    from train.regression import BUNDLED, read_regression

    def asked(run: Path, **more: Any) -> list[str]:
        prepared = prepare(Asked(str(run), str(tiny), held, **more))
        return [one.id for one in prepared.wanted.asks]

    assert asked(dpo, bundled=True) == [f"regression:{one.id}" for one in read_regression(BUNDLED)]
    assert asked(dpo) == []
    assert asked(reward, bundled=True) == []  # it gives no answers
    own = tmp_path / "own.jsonl"
    own.write_text('{"id": "a", "prompt": "Say it.", "check": "must_answer"}\n')
    assert asked(dpo, regression=own, bundled=True) == ["regression:a"]
    out = tmp_path / "out"
    words = [str(dpo), "--against", str(tiny), "--limit", "2", "--max-tokens", "2", "--out", str(out)]
    assert command.main(words) == 0
    assert len(cases_of(out, "regression_exact")) == 12


def test_a_run_whose_export_is_not_found_asks_for_it(dpo: Path, tiny: Path, tmp_path: Path) -> None:
    import shutil

    alone = tmp_path / "runs" / "alone"
    shutil.copytree(dpo, alone)
    with pytest.raises(NotThere, match="--export"):
        prepare(Asked(str(alone), str(tiny), None))


def test_the_tokens_of_a_side_are_those_that_training_saw(tiny: Path, held: Path) -> None:
    prepared = prepare(Asked(str(tiny), str(tiny), held))
    tokenizer = load_tokenizer(str(tiny))
    assert prepared.tokens[0] == list(tokenise([row.source for row in prepared.rows], tokenizer))
    assert side_of(str(tiny)).task == "base"
