"""Losses give TRL's own numbers where people are certain, and the stated mixture where they are not."""

import math
import warnings
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import lacking
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput
from train import losses

try:
    import torch
except ImportError:
    lacking("no torch for the tests of training: pip install 'concord-preferences[train]'", module=True)


@pytest.fixture(scope="module")
def trl() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl import DPOTrainer, RewardTrainer

        return SimpleNamespace(dpo=DPOTrainer, reward=RewardTrainer)


class Plain:
    """An accelerator of one process."""

    device = "cpu"

    def gather(self, x: Any) -> Any:
        return x

    gather_for_metrics = gather


def batch(n: int = 6, length: int = 9, prompt: int = 3) -> dict[str, Any]:
    """Pairs with answers of different lengths, and log-probabilities drawn once."""
    draw = torch.Generator().manual_seed(5)
    logps = -3 * torch.rand((2 * n, length - 1), generator=draw)
    mask = torch.zeros((2 * n, length), dtype=torch.long)
    for i in range(2 * n):
        mask[i, prompt : prompt + 1 + i % (length - prompt)] = 1
    ref = -10 * torch.rand((2, n), generator=draw)
    return {"logps": logps * mask[:, 1:], "mask": mask, "ref": ref}


def trl_dpo(trl: Any, made: dict[str, Any], loss: str, beta: float, smoothing: float) -> float:
    """The number that TRL's own trainer computes for these log-probabilities."""
    logps, mask, ref = made["logps"], made["mask"], made["ref"]
    told = SimpleNamespace(
        log_probs=logps,
        entropy=torch.zeros_like(logps),
        mean_logits=torch.zeros_like(logps),
        is_top1=torch.zeros_like(logps, dtype=torch.bool),
    )
    trainer = SimpleNamespace(
        accelerator=Plain(),
        model=SimpleNamespace(training=True),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[loss],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=smoothing,
        use_weighting=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.ones_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": ref[0],
        "ref_rejected_logps": ref[1],
    }
    found = trl.dpo._compute_loss(trainer, lambda **_: told, inputs, False)
    return float(found)


def ratios(made: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = made["logps"].sum(1).chunk(2)
    lengths = tuple(made["mask"].sum(1).chunk(2))
    return {"chosen": chosen - made["ref"][0], "rejected": rejected - made["ref"][1], "lengths": lengths}


@pytest.mark.parametrize(("loss", "smoothing"), [("sigmoid", 0.0), ("robust", 0.2), ("ipo", 0.0), ("hinge", 0.0)])
def test_certain_pairs_give_the_number_of_trl(trl: Any, loss: str, smoothing: float) -> None:
    made = batch()
    ones = torch.ones(6)
    for beta in (0.05, 0.5):
        own = losses.dpo(**ratios(made), loss=loss, beta=beta, label_smoothing=smoothing, p=ones)
        known = trl_dpo(trl, made, loss, beta, smoothing)
        assert float(losses.weighted_mean(own, ones)) == pytest.approx(known, rel=3e-7)


def test_cdpo_is_a_soft_label_that_all_pairs_share_which_trl_passes_over(trl: Any) -> None:
    made = ratios(batch())
    smooth = losses.dpo(**made, loss="cdpo", label_smoothing=0.2)
    soft = losses.dpo(**made, loss="sigmoid", p=torch.full((6,), 0.8))
    assert torch.allclose(smooth, soft, rtol=1e-6)
    assert trl_dpo(trl, batch(), "sigmoid", 0.1, 0.2) == trl_dpo(trl, batch(), "sigmoid", 0.1, 0.0)


def test_an_uncertain_pair_pulls_to_the_log_odds_of_its_probability() -> None:
    # d/dδ [p·(−log σ(βδ)) + (1−p)·(−log σ(−βδ))] = 0 at βδ = log(p / (1−p)): with β = 0.1, p = 0.75, δ = 10·log 3.
    delta = torch.tensor([10 * math.log(3)], requires_grad=True)
    losses.dpo(delta, torch.zeros(1), p=torch.tensor([0.75])).sum().backward()
    assert delta.grad is not None
    assert float(delta.grad) == pytest.approx(0, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.sampled_from(losses.DPO_LOSSES), st.floats(-5, 5))
def test_turning_a_pair_round_with_its_probability_changes_nothing(p: float, loss: str, delta: float) -> None:
    a, b = torch.tensor([delta], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    more = {
        "loss": loss,
        "label_smoothing": 0.1 if loss in ("cdpo", "robust") else 0.0,
        "lengths": (a * 0 + 3, a * 0 + 3),
    }
    one = losses.dpo(a, b, p=torch.tensor([p], dtype=torch.float64), **more)
    two = losses.dpo(b, a, p=torch.tensor([1 - p], dtype=torch.float64), **more)
    assert float(one) == pytest.approx(float(two), rel=1e-9, abs=1e-12)


def test_a_weight_counts_like_copies_of_the_pair() -> None:
    each = torch.tensor([0.3, 0.9, 2.0])
    weighted = losses.weighted_mean(each, torch.tensor([1.0, 3.0, 0.0]))
    assert float(weighted) == pytest.approx((0.3 + 3 * 0.9) / 4)
    assert float(losses.weighted_mean(each, torch.zeros(3))) == 0.0


def test_the_reward_loss_is_that_of_trl_with_margin_and_centring(trl: Any) -> None:
    scores = torch.tensor([1.5, -0.2, 0.7, 0.1, 0.4, 2.0])
    margin = torch.tensor([0.1, 0.5, 0.0])
    for more in ({}, {"margin": margin}):
        trainer = SimpleNamespace(
            accelerator=Plain(),
            model=SimpleNamespace(training=True),
            args=SimpleNamespace(center_rewards_coefficient=0.01),
            _metrics=defaultdict(lambda: defaultdict(list)),
            _total_train_tokens=0,
            _tp_size=1,
        )
        inputs = {"attention_mask": torch.ones(6, 4), **more}
        known = trl.reward.compute_loss(trainer, lambda **_: SimpleNamespace(logits=scores[:, None]), inputs)
        own = losses.reward(*scores.chunk(2), margin=more.get("margin"), centring=0.01, p=torch.ones(3))
        assert float(own.mean()) == pytest.approx(float(known), rel=3e-7)


def test_orpo_is_that_of_trl(trl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.orpo import ORPOTrainer
    chosen, rejected = torch.tensor([-0.1, -1.2, -3.0]), torch.tensor([-0.4, -0.9, -2.0])
    nll = torch.tensor([0.2, 1.0, 2.5])
    known = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=0.3, accelerator=Plain()), chosen, rejected)[0]
    own = losses.orpo(chosen, rejected, nll, beta=0.3)
    assert float(own.mean()) == pytest.approx(float(nll.mean() - known.mean()), rel=3e-7)
    swapped = losses.orpo(rejected, chosen, nll, beta=0.3)
    soft = losses.orpo(chosen, rejected, nll, beta=0.3, p=torch.full((3,), 0.7), nll_rejected=nll)
    assert torch.allclose(soft, 0.7 * own + 0.3 * swapped, rtol=1e-6)


def test_orpo_keeps_finite_gradients_for_an_answer_that_is_certain() -> None:
    chosen = torch.tensor([0.0, -1e-9], requires_grad=True)
    losses.orpo(chosen, torch.tensor([-1.0, -50.0]), torch.zeros(2)).sum().backward()
    assert chosen.grad is not None
    assert bool(torch.isfinite(chosen.grad).all())


def test_a_loss_that_would_ignore_what_it_is_told_says_so() -> None:
    one = torch.zeros(1)
    with pytest.raises(BadInput, match="label_smoothing does nothing in loss 'sigmoid'"):
        losses.dpo(one, one, label_smoothing=0.1)
    with pytest.raises(BadInput, match="did you mean 'hinge'"):
        losses.dpo(one, one, loss="hing")
    with pytest.raises(BadInput, match="needs the answers' lengths"):
        losses.dpo(one, one, loss="ipo")
