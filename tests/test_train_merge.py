"""A merged model is the adapter it came from, as near as its form allows, and every figure of it is measured."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import BadInput, CheckFailed, NotThere, Refused
from data.folder import write_folder
from data.manifest import read_manifest, verify_folder
from train import merge as command
from train.finding import find_model, fingerprint
from train.likeness import HeldOut, likeness, score_likeness
from train.loading import load_tokenizer, open_model
from train.merge_run import Plan, merge_and_write, ways
from train.same_tokenizer import copy_tokenizer, tokenizer_hash
from train.tokens import template_hash

IDS = torch.tensor([[1, 4, 40, 77, 300, 12, 9, 2, 5, 60, 61]])


def lora_run(out: Path, base: Path, method: str = "lora", kind: str = "causal", export: str = "") -> Path:
    """A run's folder around an adapter with weights at random, large enough to matter."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    loaded = open_model(str(base), kind=kind, four_bit=method == "qlora", trainable=kind == "reward")  # type: ignore[arg-type]
    task = "SEQ_CLS" if kind == "reward" else "CAUSAL_LM"
    targets = ["q_proj", "v_proj", "up_proj", "down_proj"]
    made: Any = get_peft_model(loaded.model, LoraConfig(r=4, target_modules=targets, task_type=task))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05)
    config = {"task": kind, "settings": {"method": method, "dtype": "float32"}, "base": fingerprint(str(base))}
    with write_folder(out, "dpo run" if kind == "causal" else "reward run", config | {"export": export}) as folder:
        made.save_pretrained(folder.path / "model")
        loaded.tokenizer.save_pretrained(folder.path / "model")
        folder.inputs |= {"base": str(base), "export": "sky"}
    return out


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lora_run(tmp_path_factory.mktemp("runs") / "dpo-a", tiny)


@pytest.fixture(scope="module")
def qlora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lora_run(tmp_path_factory.mktemp("runs") / "dpo-q", tiny, "qlora")


@pytest.fixture(scope="module")
def reward(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lora_run(tmp_path_factory.mktemp("runs") / "reward-a", tiny, kind="reward")


def plan(run: Path, **more: Any) -> Plan:
    given: dict[str, Any] = {"bits": 16, "dtype": "float32", "onto": None, "data": None, "prompts": ()}
    return Plan(str(run), **{**given, "texts": 6, "length": 96, "batch": 4, **more})


def logits(name: Path, kind: Any = "causal") -> torch.Tensor:
    model = open_model(str(name), kind=kind).model
    with torch.no_grad():
        return torch.as_tensor(model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits)


def figures(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "audit" / "likeness.jsonl").read_text().splitlines()
    return {row["onto"]: row for row in map(json.loads, lines)}


def test_a_merged_adapter_gives_the_logits_of_the_unmerged_one_to_1e_5(run: Path, tiny: Path, tmp_path: Path) -> None:
    summary = merge_and_write(plan(run), tmp_path / "merged")
    apart = (logits(tmp_path / "merged") - logits(run)).abs().max()
    assert apart < 1e-5
    assert (logits(tmp_path / "merged") - logits(tiny)).abs().max() > 0.01  # the adapter did something
    found = figures(tmp_path / "merged")["16bit"]
    assert found["agreement"] == 1.0
    assert found["difference"] < 1e-9
    assert found["logits"] < 1e-5
    assert summary["kept"] == "16bit"
    assert verify_folder(tmp_path / "merged") == []


def test_bfloat16_is_rounded_once_and_says_what_it_costs(run: Path, tmp_path: Path) -> None:
    merge_and_write(plan(run, dtype="bfloat16"), tmp_path / "half")
    from safetensors.torch import load_file

    merge_and_write(plan(run), tmp_path / "whole")
    half, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("half", "whole"))
    assert all(torch.equal(half[name], whole[name].bfloat16()) for name in whole)
    found = figures(tmp_path / "half")["16bit"]
    assert 0 < found["difference"] < 1e-2
    assert found["difference"] <= found["greatest"]


@pytest.mark.parametrize("bits", [16, 4])
def test_a_4_bit_base_is_merged_both_ways_and_the_better_one_is_kept(qlora: Path, tmp_path: Path, bits: int) -> None:
    summary = merge_and_write(plan(qlora, bits=bits), tmp_path / "merged")
    found = figures(tmp_path / "merged")
    assert set(found) == {"4bit", "16bit"}
    better = min(found, key=lambda way: found[way]["difference"])
    assert summary["kept"] == better
    assert read_manifest(tmp_path / "merged").config["onto"] == better
    if bits == 16:  # what the adapter was trained on is the same model; the base as it is was rounded, so is not
        assert better == "4bit"
        assert found["4bit"]["logits"] < 1e-4
        assert found["16bit"]["difference"] > 100 * found["4bit"]["difference"]


def test_the_way_can_be_chosen(qlora: Path, run: Path, tmp_path: Path) -> None:
    summary = merge_and_write(plan(qlora, onto="16bit"), tmp_path / "merged")
    assert summary["kept"] == "16bit"
    assert set(figures(tmp_path / "merged")) == {"16bit"}
    assert ways(find_model(str(run)), None, "r") == ["16bit"]
    with pytest.raises(Refused, match="not trained on a 4-bit base"):
        merge_and_write(plan(run, onto="4bit"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("bits", "stored"), [(8, torch.int8), (4, torch.uint8)])
def test_a_quantised_form_comes_back_from_its_folder_as_it_was_measured(
    run: Path, tmp_path: Path, bits: int, stored: torch.dtype
) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "merged"
    merge_and_write(plan(run, bits=bits), out)
    loaded: Any = AutoModelForCausalLM.from_pretrained(out)
    assert loaded.model.layers[0].mlp.up_proj.weight.dtype == stored
    assert loaded.lm_head.weight.dtype == torch.float32
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    if bits == 4:
        assert (config["bnb_4bit_quant_type"], config["bnb_4bit_use_double_quant"]) == ("nf4", True)
    else:
        assert config["load_in_8bit"] is True
    reference = open_model(str(run)).model
    rows = [HeldOut(IDS[0].tolist(), 1)]
    again = likeness(reference, loaded.eval(), rows)
    assert again == likeness(reference, open_model(str(out)).model, rows)
    assert 0 < again.difference < 1
    assert (out / "model.safetensors").stat().st_size < 4 * sum(p.numel() for p in reference.parameters())


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_a_reward_run_keeps_its_score_head(reward: Path, tmp_path: Path, bits: int) -> None:
    out = tmp_path / "merged"
    summary = merge_and_write(plan(reward, bits=bits), out)
    assert summary["kind"] == "reward"
    merged = open_model(str(out), kind="reward")
    trained = open_model(str(reward), kind="reward").model
    head = next(p for name, p in trained.named_parameters() if "score.modules_to_save" in name)
    assert torch.equal(merged.model.score.weight, head)
    apart = (logits(out, "reward") - logits(reward, "reward")).abs().max()
    assert apart < (1e-5 if bits == 16 else 1.0)
    with pytest.raises(Refused, match="scores and does not answer"):
        open_model(str(out))


def test_a_base_without_adapter_can_be_quantised_and_no_adapter_is_spoken_of(tiny: Path, tmp_path: Path) -> None:
    summary = merge_and_write(plan(tiny, bits=4), tmp_path / "four")
    assert summary["kept"] == "16bit"
    assert "adapter" not in summary["verdict"] + (tmp_path / "four" / "README.md").read_text("utf-8")
    assert figures(tmp_path / "four")["16bit"]["difference"] > 0


def test_kl_and_agreement_are_those_of_two_known_distributions() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self, shares: list[float]) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(shares).log(), requires_grad=False)
            self.config = type("C", (), {"get_text_config": lambda _s: type("T", (), {"pad_token_id": 0})()})()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            return type("Out", (), {"logits": self.weight.expand(*input_ids.shape, 3)})()

    one, other = Fixed([0.5, 0.3, 0.2]), Fixed([0.2, 0.3, 0.5])
    rows = [HeldOut([1, 2, 1, 0], 2), HeldOut([1, 1], 1)]
    found = likeness(one, other, rows)
    expected = 0.5 * math.log(0.5 / 0.2) + 0.2 * math.log(0.2 / 0.5)  # p log(p/q) over the three words
    assert found.n == 3  # tokens 2 and 3 of the first text, token 1 of the second
    assert found.difference == pytest.approx(expected, abs=1e-6)
    assert found.greatest == pytest.approx(expected, abs=1e-6)
    assert (found.agreement, found.texts) == (0.0, 2)
    assert likeness(one, one, rows)[3:7] == (1.0, 0.0, 0.0, 0.0)
    # what stands there: words 1, 0 and 1
    assert found.reference_loss == pytest.approx(-(2 * math.log(0.3) + math.log(0.5)) / 3, abs=1e-6)
    assert found.loss == pytest.approx(-(2 * math.log(0.3) + math.log(0.2)) / 3, abs=1e-6)


def test_padding_does_not_change_what_is_measured(run: Path, tiny: Path) -> None:
    a, b = open_model(str(run)).model, open_model(str(tiny)).model
    rows = [HeldOut(IDS[0, :n].tolist(), 2) for n in (4, 7, 11)]
    together, alone = likeness(a, b, rows, batch=3), likeness(a, b, rows, batch=1)
    assert together.n == alone.n == 2 + 5 + 9
    assert together.difference == pytest.approx(alone.difference, abs=1e-6)


def test_scores_agree_by_the_order_of_each_pair(reward: Path, tiny: Path) -> None:
    a = open_model(str(reward), kind="reward").model
    rows = [HeldOut([1, 4, n, 9, 2], 1, pair) for pair, two in enumerate([(5, 60), (70, 8)]) for n in two]
    same = score_likeness(a, a, rows)
    assert (same.n, same.agreement, same.difference) == (4, 1.0, 0.0)
    a_head = next(p for name, p in a.named_parameters() if "score.modules_to_save" in name)
    turned = open_model(str(reward), kind="reward").model
    next(p for name, p in turned.named_parameters() if "score.modules_to_save" in name).data.copy_(-a_head)
    assert score_likeness(a, turned, rows).agreement == 0.0


def test_the_tokenizer_is_copied_byte_for_byte_and_proved(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "merged"
    merge_and_write(plan(run), out)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (run / "model" / name).read_bytes()
    was = load_tokenizer(str(run / "model"))
    config = read_manifest(out).config
    assert config["tokenizer"] == tokenizer_hash(was) == tokenizer_hash(load_tokenizer(str(out)))
    assert config["template"] == template_hash(was)
    changed = load_tokenizer(str(run / "model"))
    changed.chat_template += " "
    assert tokenizer_hash(changed) != tokenizer_hash(was)
    with pytest.raises(CheckFailed, match="is not the one of"):
        copy_tokenizer(find_model(str(run)), changed, tmp_path / "copy")


def test_an_adapter_that_cannot_be_merged_is_refused_in_one_line(tiny: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model

    base = open_model(str(tiny))
    made: Any = get_peft_model(base.model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    made.save_pretrained(tmp_path / "prompts")
    with pytest.raises(Refused, match="no weights to merge"):
        merge_and_write(plan(tmp_path / "prompts"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_the_runs_own_export_is_what_it_is_measured_over(tiny: Path, tmp_path: Path) -> None:
    def said(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows = [
        {"id": f"p{n}", "prompt": said("user", f"why {n}?"), "chosen": said("assistant", "because"),
         "rejected": said("assistant", "no")} for n in range(3)
    ]  # fmt: skip
    with write_folder(tmp_path / "exports" / "sky", "export", {}) as folder:
        folder.write("data/train.jsonl", rows[:2])
        folder.write("data/test.jsonl", rows[2:])
    digest = read_manifest(tmp_path / "exports" / "sky").digest
    run = lora_run(tmp_path / "runs" / "dpo-a", tiny, export=digest)
    assert merge_and_write(plan(run), tmp_path / "m1")["texts"] == "2 of held-out rows of sky"
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "why is the sky blue?"}\n')
    assert merge_and_write(plan(run, prompts=[prompts]), tmp_path / "m2")["texts"] == "1 of prompts.jsonl"
    shutil.rmtree(tmp_path / "exports")
    assert "bundled" in merge_and_write(plan(run), tmp_path / "m3")["texts"]
    with pytest.raises(NotThere):
        merge_and_write(plan(run, data=tmp_path / "gone"), tmp_path / "m4")


def test_the_command_prints_what_it_measured_and_refuses_a_place_that_is_taken(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "merged")
    given = [str(run), "--texts", "3", "--length", "64", "--device", "cpu", "--out", out]
    assert command.main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dtype"] == "bfloat16"
    assert "the same top token" in told["onto_16bit"]
    assert (Path(out) / "README.md").read_text().count("(kept)") == 1
    with pytest.raises(Refused, match="--force"):
        command.main(given)
    with pytest.raises(BadInput, match="--texts 0"):
        command.main([str(run), "--texts", "0", "--out", str(tmp_path / "x")])


def test_the_same_merge_gives_the_same_digest(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        merge_and_write(plan(run, bits=4), tmp_path / name)
    assert read_manifest(tmp_path / "a").digest == read_manifest(tmp_path / "b").digest
