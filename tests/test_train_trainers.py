"""Trainers with weights and soft labels: TRL's own loss where there are none, and exact over accumulation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training import GOOD, answer, export, preference

from train import kto_trainer, reward_trainer, sft_trainer
from train.adapters import put_on
from train.exports import read_export
from train.loading import open_model
from train.losses import reward
from train.preparing import Asked, prepare
from train.rows import Row, Setup
from train.settings import read_settings

MODULES: dict[str, Any] = {"sft": sft_trainer, "reward": reward_trainer, "kto": kto_trainer}


def made(task: str, tiny: Path, tmp_path: Path, *given: str, rows: int = 8) -> Any:
    """A trainer on a few rows, with an adapter that is not at zero."""
    out = tmp_path / f"{task}-export"
    if not out.exists():
        export(out, task, rows, held_out=0)
    settings = read_settings(task, None, ["length=128", "batch=4", "lora.rank=2", "device=cpu", *given], str(tiny))
    ready = prepare(Asked(task, out, tmp_path, str(tiny)), settings)
    kind: Any = "reward" if task == "reward" else "causal"
    torch.manual_seed(1)
    model = put_on(open_model(str(tiny), kind=kind, trainable=True).model, settings, kind)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.05)
    arguments = {
        "output_dir": str(tmp_path / "out"),
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulation,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "max_steps": 1,
        "learning_rate": 1e-3,
    }
    setup = Setup(ready.settings, model, ready.tokenizer, ready.rows["train"], [], arguments, [])
    return MODULES[task].make_trainer(setup)


def loss_of(trainer: Any, batch: dict[str, Any]) -> float:
    return float(trainer.compute_loss(trainer.model, batch).detach())


def rows_of(trainer: Any, n: int) -> list[dict[str, Any]]:
    return [trainer.train_dataset[at] for at in range(n)]


def test_without_weights_the_reward_loss_is_trls(tiny: Path, tmp_path: Path) -> None:
    from trl import RewardTrainer

    trainer = made("reward", tiny, tmp_path, "centring=0.03")
    batch = trainer.data_collator(rows_of(trainer, 4))
    trainer.args.center_rewards_coefficient = 0.03
    theirs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    expected = RewardTrainer.compute_loss(trainer, trainer.model, dict(theirs))
    assert loss_of(trainer, batch) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_without_weights_the_loss_of_answers_is_trls(tiny: Path, tmp_path: Path) -> None:
    from trl import SFTTrainer

    trainer = made("sft", tiny, tmp_path)
    batch = trainer.data_collator(rows_of(trainer, 4))
    theirs = {key: batch[key] for key in ("input_ids", "attention_mask", "labels")}
    expected = SFTTrainer.compute_loss(trainer, trainer.model, dict(theirs))
    assert loss_of(trainer, batch) == pytest.approx(float(expected.detach()), abs=1e-6)


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_without_weights_the_kto_loss_is_trls(tiny: Path, tmp_path: Path, loss: str) -> None:
    from trl import KTOTrainer
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    trainer = made("kto", tiny, tmp_path, f"loss={loss}", "desirable=1.5", "beta=0.5")
    rows = read_export(tmp_path / "kto-export").answers["train"][:4]
    ready = prepare(
        Asked("kto", tmp_path / "kto-export", tmp_path, str(tiny)),
        read_settings("kto", None, ["length=128"], str(tiny)),
    )
    examples = []
    tokens = [row.tokens for row in ready.rows["train"][:4]]
    for at, row in enumerate(rows):
        other = tokens[at - 1].chosen
        examples.append(
            {
                "prompt_ids": tokens[at].prompt,
                "completion_ids": tokens[at].chosen,
                "KL_completion_ids": other,
                "label": row.label,
            }
        )
    theirs = DataCollatorForUnpairedPreference(trainer.processing_class.pad_token_id, max_length=128)(examples)
    expected = KTOTrainer.compute_loss(trainer, trainer.model, theirs)
    assert loss_of(trainer, trainer.data_collator(rows_of(trainer, 4))) == pytest.approx(
        float(expected.detach()), abs=1e-6
    )


def test_the_implicit_reward_of_an_answer_is_beta_times_what_it_gained_over_the_reference(
    tiny: Path, tmp_path: Path
) -> None:
    from train.likelihoods import likelihoods

    trainer = made("kto", tiny, tmp_path, "beta=0.5")
    ready = prepare(
        Asked("kto", tmp_path / "kto-export", tmp_path, str(tiny)),
        read_settings("kto", None, ["length=128"], str(tiny)),
    )
    rows = ready.rows["train"]
    answers = [(row.tokens.prompt, row.tokens.chosen) for row in rows]
    before = likelihoods(trainer.model, answers)
    assert [one[2] for one in kto_trainer.score_rows(trainer, rows)] == pytest.approx([0.0] * len(rows), abs=1e-5)
    with torch.no_grad():
        for name, p in trainer.model.named_parameters():
            if p.requires_grad and "lora_B" in name:
                p.mul_(-1)
    found = kto_trainer.score_rows(trainer, rows)
    now = likelihoods(trainer.model, answers)
    assert [one[2] for one in found] == pytest.approx(
        [0.5 * (a.total - b.total) for a, b in zip(now, before, strict=True)], abs=1e-4
    )
    assert max(abs(one[2]) for one in found) > 0.01
    assert [one[0] for one in found] == pytest.approx([-one.mean for one in now], abs=1e-5)


def test_certainty_weighs_in_the_reward_loss_as_the_formula_says(tiny: Path, tmp_path: Path) -> None:
    trainer = made("reward", tiny, tmp_path, "soft_labels=true", "weights=agreement", "centring=0.01")
    batch = trainer.data_collator(rows_of(trainer, 4))
    assert batch["p"].tolist() == pytest.approx([0.9, 0.6, 1.0, 0.9])
    assert batch["weight"].tolist() == [1.0, 3.0, 1.0, 3.0]
    with torch.no_grad():
        made_ = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        chosen, rejected = made_.logits.squeeze(-1).chunk(2)
        losses = reward(chosen, rejected, centring=0.01, p=batch["p"])
    expected = (batch["weight"] * losses).sum() / 8
    assert loss_of(trainer, batch) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_the_margin_is_the_lead_that_people_gave(tiny: Path, tmp_path: Path) -> None:
    trainer = made("reward", tiny, tmp_path, "margin=2")
    batch = trainer.data_collator(rows_of(trainer, 3))
    # 2 · (2p − 1) for p = 0.9, 0.6 and 1
    assert batch["margin"].tolist() == pytest.approx([1.6, 0.4, 2.0])
    assert batch["p"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("task", ["sft", "reward"])
def test_a_weighted_step_is_the_same_however_it_is_accumulated(task: str, tiny: Path, tmp_path: Path) -> None:
    gradients = []
    for given in (("batch=8",), ("batch=2", "accumulation=4")):
        trainer = made(task, tiny, tmp_path, "weights=agreement", *given)
        loader = [
            trainer.data_collator(rows_of(trainer, 8)[at : at + trainer.args.per_device_train_batch_size])
            for at in range(0, 8, trainer.args.per_device_train_batch_size)
        ]
        trainer.create_optimizer()
        trainer.current_gradient_accumulation_steps = len(loader)
        total = trainer._get_num_items_in_batch(loader, torch.device("cpu"))
        loss = sum(float(trainer.training_step(trainer.model, dict(batch), total)) for batch in loader)
        gradients.append((loss, [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]))
    (whole, one), (parts, other) = gradients
    assert whole == pytest.approx(parts, rel=1e-5)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)


def test_scores_do_not_hang_on_the_batch_a_row_is_in(tiny: Path, tmp_path: Path) -> None:
    trainer = made("reward", tiny, tmp_path)
    rows = [
        Row(one.id, one.tokens, 1.0, 1.0, None, one.source)
        for one in prepare(
            Asked("reward", tmp_path / "reward-export", tmp_path, str(tiny)),
            read_settings("reward", None, ["length=128"], str(tiny)),
        ).rows["train"]
    ]
    together = reward_trainer.score_rows(trainer, rows)
    alone = [reward_trainer.score_rows(trainer, [row])[0] for row in rows]
    for a, b in zip(together, alone, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_rows_of_the_tests_are_what_they_say() -> None:
    assert preference(1)["chosen"][0]["content"].startswith(GOOD[1])
    assert "label" not in answer(0)
