"""Models by any name: a base, an adapter, a run; what is gone, changed or of the other kind is one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import BadInput, NotThere, Refused
from data.folder import write_folder
from train.finding import find_model, fingerprint
from train.loading import keep_gradients, open_model


def lora(model: Any, kind: str = "CAUSAL_LM") -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    made: Any = get_peft_model(
        model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type=kind, init_lora_weights=False)
    )
    return made


def scores(loaded: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        return torch.as_tensor(loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)


def run_folder(out: Path, tiny: Path, kind: str, method: str, model: Any) -> Path:
    config = {"task": kind, "settings": {"method": method}, "base": fingerprint(str(tiny))}
    with write_folder(out, f"{kind} run", config) as folder:
        model.save_pretrained(folder.path / "model")
        folder.inputs["base"] = str(tiny)
    return out


def test_a_base_answers_and_an_adapter_is_put_on_its_base_with_the_same_scores(tiny: Path, tmp_path: Path) -> None:
    base = open_model(str(tiny))
    assert (base.adapter, base.kind, base.model.training) == (None, "causal", False)
    made = lora(base.model)
    made.save_pretrained(tmp_path / "adapter")
    found = open_model(str(tmp_path / "adapter"))
    assert found.base == str(tiny.resolve())
    assert torch.equal(scores(found), scores(found._replace(model=made)))
    assert not any(p.requires_grad for p in found.model.parameters())
    again = open_model(str(tmp_path / "adapter"), trainable=True)
    assert any(p.requires_grad for p in again.model.parameters())
    assert again.model.training


def test_a_run_is_opened_in_four_bits_as_it_was_trained_and_keeps_gradients(tiny: Path, tmp_path: Path) -> None:
    made = lora(open_model(str(tiny), four_bit=True).model)
    run = run_folder(tmp_path / "run", tiny, "dpo", "qlora", made)
    link = tmp_path / "current"
    link.symlink_to(run)
    found = open_model(str(link), trainable=True)
    guarded = keep_gradients(found.model)
    assert guarded > 0
    scores(found._replace(model=found.model.eval()))
    found.model.train()
    ids = torch.tensor([[5, 6, 7, 8]])
    found.model(input_ids=ids, labels=ids).loss.backward()
    gradients = [p.grad for p in found.model.parameters() if p.requires_grad]
    assert gradients
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)
    assert keep_gradients(open_model(str(run), four_bit=False).model) == 0


@pytest.mark.parametrize("four_bit", [False, True])
def test_a_reward_model_keeps_its_score_head_through_a_folder(tiny: Path, tmp_path: Path, four_bit: bool) -> None:
    torch.manual_seed(0)
    base = open_model(str(tiny), kind="reward", four_bit=four_bit, trainable=True)
    made = lora(base.model, "SEQ_CLS").eval()
    run = run_folder(tmp_path / "run", tiny, "reward", "qlora" if four_bit else "lora", made)
    torch.manual_seed(99)
    found = open_model(str(run), kind="reward")
    assert torch.equal(scores(found), scores(found._replace(model=made)))
    assert found.model.config.pad_token_id == found.tokenizer.pad_token_id
    with pytest.raises(Refused, match="scores and does not answer"):
        open_model(str(run))


def test_a_whole_reward_model_is_told_from_a_language_model(tiny: Path, tmp_path: Path) -> None:
    base = open_model(str(tiny), kind="reward", trainable=True)
    base.model.save_pretrained(tmp_path / "whole")
    base.tokenizer.save_pretrained(tmp_path / "whole")
    found = open_model(str(tmp_path / "whole"), kind="reward")
    assert torch.equal(scores(found), scores(base._replace(model=base.model.eval())))
    with pytest.raises(Refused, match="no score head"):
        open_model(str(tiny), kind="reward")
    lora(open_model(str(tiny)).model).save_pretrained(tmp_path / "adapter")
    with pytest.raises(Refused, match="merge it"):
        open_model(str(tmp_path / "adapter"), kind="reward", trainable=True)


def test_a_base_that_is_gone_or_changed_is_one_line(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    run = run_folder(tmp_path / "run", base, "sft", "lora", lora(open_model(str(base)).model))
    config = json.loads((base / "config.json").read_text("utf-8"))
    (base / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}), "utf-8")
    with pytest.raises(Refused, match="trained on another base"):
        open_model(str(run))
    shutil.rmtree(base)
    with pytest.raises(NotThere, match="the base of"):
        open_model(str(run))


def test_a_base_beside_the_run_is_found_after_both_have_moved(tiny: Path, tmp_path: Path) -> None:
    place = tmp_path / "here"
    shutil.copytree(tiny, place / "tiny")
    with write_folder(place / "run", "sft run", {}) as folder:
        lora(open_model(str(place / "tiny")).model).save_pretrained(folder.path / "model")
        config = folder.path / "model" / "adapter_config.json"
        named = json.loads(config.read_text("utf-8")) | {"base_model_name_or_path": "../../tiny"}
        config.write_text(json.dumps(named), "utf-8")
    place.rename(tmp_path / "there")
    assert find_model(str(tmp_path / "there" / "run")).base == str(tmp_path / "there" / "tiny")


def test_a_fingerprint_changes_with_a_weight_and_not_with_the_place(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "copy")
    assert fingerprint(str(tmp_path / "copy")) == fingerprint(str(tiny))
    made = lora(open_model(str(tmp_path / "copy")).model)
    made.save_pretrained(tmp_path / "one")
    before = fingerprint(str(tmp_path / "one"))
    made.peft_config["default"].base_model_name_or_path = str(tiny)
    made.save_pretrained(tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("other words", "utf-8")
    assert fingerprint(str(tmp_path / "two")) == before
    (tmp_path / "copy" / "chat_template.jinja").write_text("{{ 1 }}", "utf-8")
    assert fingerprint(str(tmp_path / "one")) != before


def test_a_folder_that_is_no_model_is_one_line(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotThere, match="has no configuration"):
        find_model(str(tmp_path / "empty"))
    with pytest.raises(NotThere, match="is not there"):
        open_model(str(tmp_path / "nowhere"))
    shutil.copytree(tiny, tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer_config.json").unlink()
    with pytest.raises(NotThere, match="no tokenizer"):
        open_model(str(tmp_path / "bare"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "adapter_config.json").write_text("{", "utf-8")
    with pytest.raises(BadInput, match="cannot be read"):
        find_model(str(tmp_path / "broken"))
