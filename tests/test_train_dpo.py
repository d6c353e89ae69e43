"""DPO on rows of tokens: every row trained on, TRL's numbers where people are certain, prompts shared exactly."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import lacking
from dpo_beside import Beside, model, rows, stir, trainer, trl_trainer
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput
from train.settings import read_settings
from train.tokens import Tokens

try:
    import torch
except ImportError:
    lacking("no torch for the tests of training: pip install 'concord-preferences[train]'", module=True)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

LOSSES = {
    "sigmoid": 0.0,
    "robust": 0.1,
    "ipo": 0.0,
    "hinge": 0.0,
    "exo_pair": 0.01,
    "nca_pair": 0.0,
    "bco_pair": 0.0,
    "sppo_hard": 0.0,
    "aot": 0.1,
    "aot_unpaired": 0.0,
    "apo_zero": 0.0,
    "apo_down": 0.0,
    "discopop": 0.0,
    "sft": 0.0,
    "sigmoid_norm": 0.0,
}
"""Each with its label_smoothing."""


@pytest.fixture
def at(tiny: Path, tmp_path: Path) -> Beside:
    return Beside(tiny, tmp_path / "runs" / ".one.checkpoints")


def batch_of(made: Any, numbers: list[int]) -> Any:
    return made._prepare_inputs(made.data_collator([{"row": i} for i in numbers]))


def gradients(made: Any, batch: Any, total: Any = None) -> dict[str, Any]:
    made.model.zero_grad()
    made.compute_loss(made.model, batch, num_items_in_batch=total).backward()
    return {n.replace(".default", ""): p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def both(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our trainer and TRL's, with the same adapter, moved away from its reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        at = Beside(tiny, tmp_path_factory.mktemp("both"))
        train = rows(4)
        ours, trls = trainer(at, model(tiny), train), trl_trainer(at, model(tiny), train)
        stir(ours.model)
        for name, p in ours.model.named_parameters():
            if p.requires_grad:
                trls.model.get_parameter(name).data.copy_(p.data)
        batch = trls._prepare_inputs(trls.data_collator([trls.train_dataset[i] for i in range(4)]))
        return SimpleNamespace(ours=ours, trl=trls, batch=batch)


@pytest.mark.parametrize("loss", LOSSES)
def test_certain_labels_give_trls_own_loss(both: Any, loss: str) -> None:
    given = both.ours.given
    both.trl.loss_types, both.trl.label_smoothing = [loss], LOSSES[loss]
    change = {"loss": loss, "label_smoothing": LOSSES[loss]}
    both.ours.given = given._replace(settings=given.settings.model_copy(update=change))
    try:
        with torch.no_grad():
            ours = both.ours.compute_loss(both.ours.model, batch_of(both.ours, [0, 1, 2, 3])).item()
            theirs = both.trl.compute_loss(both.trl.model, both.batch).item()
    finally:
        both.ours.given = given
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    assert theirs != pytest.approx(0.6931472, abs=1e-4)  # the policy is away from its reference


def test_certain_labels_give_trls_own_gradients(both: Any) -> None:
    both.trl.loss_types, both.trl.label_smoothing = ["sigmoid"], 0.0
    ours = gradients(both.ours, batch_of(both.ours, [0, 1, 2, 3]))
    both.trl.model.zero_grad()
    both.trl.compute_loss(both.trl.model, both.batch).backward()
    theirs = {n.replace(".default", ""): p.grad for n, p in both.trl.model.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_a_whole_run_has_trls_losses_step_by_step(at: Beside, tiny: Path) -> None:
    train = rows(10, seed=2)
    runs = [trainer(at, model(tiny), train), trl_trainer(at, model(tiny), train)]
    lost = []
    for run in runs:
        run.train()
        lost.append([line["loss"] for line in run.state.log_history if "loss" in line])
    assert lost[0] == pytest.approx(lost[1], abs=1e-5)
    assert lost[0][0] == pytest.approx(0.6931472) != lost[0][2]


def test_every_row_is_trained_on_whole(at: Beside, tiny: Path) -> None:
    """TRL would drop the one whose prompt fills the length and cut another; what we are given is what is seen."""
    train = rows(7, seed=3)
    train[2] = train[2]._replace(tokens=Tokens([9] * 900, [10] * 100, [11] * 24, 0, ""))
    made = trainer(at._replace(arguments={"num_train_epochs": 1, "max_steps": -1}), model(tiny), train)
    seen: list[list[int]] = []
    collate = made.data_collator
    made.data_collator = lambda some: seen.append([one["row"] for one in some]) or collate(some)
    made.train()
    assert sorted(i for few in seen for i in few) == list(range(7))
    whole = sum(2 * len(r.tokens.prompt) + len(r.tokens.chosen) + len(r.tokens.rejected) for r in train)
    assert [line["tokens"] for line in made.state.log_history if "tokens" in line][-1] == whole


def test_shared_prompts_give_the_same_logps_and_gradients(at: Beside, tiny: Path) -> None:
    train = rows(5, seed=4)
    made = {}
    for shared in (True, False):
        made[shared] = trainer(at._replace(settings={"prefix_sharing": shared}), model(tiny), train)
        stir(made[shared].model)
        assert made[shared].shared is shared
    numbers = [0, 1, 2, 3, 4]
    assert batch_of(made[True], numbers)["input_ids"].shape[0] == 5
    assert batch_of(made[False], numbers)["input_ids"].shape[0] == 10
    from train.answer_head import answer_logps

    logps = {s: answer_logps(one.model, batch_of(one, numbers), shared=s) for s, one in made.items()}
    torch.testing.assert_close(logps[True], logps[False], rtol=1e-5, atol=1e-5)
    slopes = {s: gradients(one, batch_of(one, numbers)) for s, one in made.items()}
    assert max(float(g.abs().max()) for g in slopes[True].values()) > 1e-3
    for name, slope in slopes[True].items():
        torch.testing.assert_close(slope, slopes[False][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("blind", "said"), [(False, "one answer sees the other"), (True, "log-probabilities are off by")]
)
def test_attention_that_cannot_share_a_prompt_gets_two_sequences(
    at: Beside, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blind: bool, said: str
) -> None:
    """A plain causal mask, as attention that passes ours over; or none, where a restart of positions cuts the text."""
    from train import answer_head, answer_layout

    def other(segments: Any, *, shared: bool, additive: Any = None) -> Any:
        if not shared or blind:
            return None if shared else answer_layout.attention(segments, shared=False)
        n = segments.shape[1]
        return torch.ones(n, n).tril().bool()[None, None]

    monkeypatch.setattr(answer_head, "attention", other)
    made = trainer(at, model(tiny), rows(4))
    assert made.shared is False
    told = capsys.readouterr().err
    assert f"prompts are not shared here ({said}" in told
    assert "two sequences a pair" in told


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_layout_points_at_each_answers_tokens(p: int, c: int, r: int, shared: bool) -> None:
    from train.answer_layout import lay_out

    one = Tokens(list(range(10, 10 + p)), list(range(20, 20 + c)), list(range(30, 30 + r)), 0, "")
    other = Tokens([7, 8], [1], [2, 3], 0, "")
    batch = lay_out([one, other], 0, shared=shared)
    flat = batch["input_ids"].reshape(-1)
    places = batch["position_ids"].reshape(-1)
    for owner, wanted in ((0, one.chosen), (2, one.rejected), (1, other.chosen), (3, other.rejected)):
        mine = batch["owner"] == owner
        told = batch["targets"][mine].tolist()
        assert told == (wanted if owner in (1, 3) or p else wanted[1:])
        prompt = one.prompt if owner in (0, 2) else other.prompt
        before = [*prompt, *wanted][-len(told) - 1 : -1] if told else []
        assert flat[batch["take"][mine]].tolist() == before
        assert (
            places[batch["take"][mine]].tolist()
            == list(range(len(prompt) + len(wanted)))[-len(told) - 1 : -1][: len(told)]
        )


def test_soft_labels_and_weights_are_in_the_loss(at: Beside, tiny: Path) -> None:
    train = [row._replace(p=p, w=w) for row, p, w in zip(rows(3), (0.9, 0.5, 1.0), (2.0, 1.0, 0.0), strict=True)]
    made = trainer(at._replace(settings={"soft_labels": True}), model(tiny), train)
    stir(made.model)
    loss = made.compute_loss(made.model, batch_of(made, [0, 1, 2])).item()
    from train.dpo_trainer import score_rows

    gaps = [torch.tensor(c - r) for c, r in score_rows(made, train)]
    right, wrong = [-torch.nn.functional.logsigmoid(torch.stack(gaps) * sign) for sign in (1, -1)]
    p, w = torch.tensor([0.9, 0.5, 1.0]), torch.tensor([2.0, 1.0, 0.0])
    expected = (w * (p * right + (1 - p) * wrong)).sum() / 3
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_accumulated_passes_have_the_gradient_of_one_weighted_batch(at: Beside, tiny: Path) -> None:
    """Unequal weights and an uneven last pass: Σ w·l / Σ w over the step, not a mean of means."""
    train = [row._replace(w=w) for row, w in zip(rows(5), (0.2, 3.0, 1.0, 0.0, 2.0), strict=True)]
    made = trainer(at, model(tiny), train)
    stir(made.model)
    whole = gradients(made, batch_of(made, [0, 1, 2, 3, 4]))
    passes = [made.data_collator([{"row": i} for i in few]) for few in ([0, 1], [2, 3], [4])]
    total = made._get_num_items_in_batch(passes, made.args.device)
    assert total.item() == pytest.approx(6.2)
    parts = [gradients(made, made._prepare_inputs(one), total) for one in passes]
    for name, slope in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), slope, rtol=1e-4, atol=1e-6)


def test_a_run_with_accumulation_logs_what_one_batch_would(at: Beside, tiny: Path) -> None:
    train = [row._replace(w=1.0 + i) for i, row in enumerate(rows(8))]
    lost = []
    for batch, passes in ((8, 1), (2, 4)):
        args = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": passes, "max_steps": 2}
        made = trainer(at._replace(arguments=args), model(tiny), train)
        made.train()
        lost.append([line["loss"] for line in made.state.log_history if "loss" in line])
    assert lost[0] == pytest.approx(lost[1], rel=1e-4)


def test_measures_of_a_step_and_of_held_out_rows(at: Beside, tiny: Path) -> None:
    train, held = rows(4), rows(7, seed=9)
    args = {"max_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    made = trainer(at._replace(arguments=args), model(tiny), train, held)
    made.train()
    first = next(line for line in made.state.log_history if "loss" in line)
    names = {"accuracy", "margin", "chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp", "kl"}
    assert names | {"chosen_length", "rejected_length", "tokens", "grad_norm", "learning_rate"} <= first.keys()
    assert first["accuracy"] == 0.5
    assert first["kl"] == 0
    assert first["chosen_length"] == sum(len(row.tokens.chosen) for row in train) / 4
    looked = next(line for line in made.state.log_history if "eval_loss" in line)
    from train.dpo_trainer import score_rows

    scores = score_rows(made, held)
    right = [c > r for c, r in scores]
    assert looked["eval_accuracy"] == pytest.approx(sum(right) / 7)
    assert looked["eval_margin"] == pytest.approx(sum(c - r for c, r in scores) / 7, abs=1e-5)
    # Batches of 4 and 3: the mean over pairs, not over batches.
    lost = [-torch.nn.functional.logsigmoid(torch.tensor(c - r)).item() for c, r in scores]
    assert looked["eval_loss"] == pytest.approx(sum(lost) / 7, abs=1e-5)


def test_rewards_that_follow_length_show_in_the_correlation() -> None:
    from train.pair_metrics import sums_of, told

    lengths = torch.tensor([9.0, 5.0, 7.0, 3.0, 5.0, 4.0])
    ones, logps = torch.ones(3), torch.zeros(6)
    follows = told(sums_of(ones, ones, logps, logps, lengths, 0.3 * lengths, ones.sum()).tolist(), reference=True)
    against = told(sums_of(ones, ones, logps, logps, lengths, -lengths, ones.sum()).tolist(), reference=False)
    assert follows["length_correlation"] == pytest.approx(1)
    assert against["length_correlation"] == pytest.approx(-1)
    assert "kl" in follows
    assert "kl" not in against


def test_bad_rows_and_settings_are_refused_in_one_line(at: Beside, tiny: Path) -> None:
    with pytest.raises(BadInput, match="no row to train on"):
        trainer(at, None, [])
    empty = [rows(1)[0]._replace(id="x7", tokens=Tokens([1, 2], [], [3], 0, ""))]
    with pytest.raises(BadInput, match="row x7 has an answer without a token"):
        trainer(at, None, empty)
    for keys, said in {
        ("loss=aot", "soft_labels=true"): "soft_labels: loss aot mixes the pairs of a batch",
        ("loss=sft", "weights=agreement"): "weights: loss sft mixes the pairs of a batch",
        ("loss=exo_pair",): "exo_pair needs it above 0",
        ("loss=apo_zero", "label_smoothing=0.1"): "does nothing in loss apo_zero",
    }.items():
        with pytest.raises(BadInput, match=said):
            read_settings("dpo", None, keys, "some/model")
    assert read_settings("dpo", None, ("loss=nca_pair", "soft_labels=true"), "some/model").model == "some/model"


def test_lora_dropout_is_as_it_was_set_and_the_models_own_is_off(at: Beside, tiny: Path) -> None:
    made = model(tiny)
    for name, module in made.named_modules():
        if name.endswith("q_proj.lora_dropout"):
            module["default"] = torch.nn.Dropout(0.25)
    made.get_base_model().model.embed_dropout = torch.nn.Dropout(0.5)
    ready = trainer(at, made, rows(4))
    of = {n: m.p for n, m in ready.model.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {p for n, p in of.items() if "lora_dropout" in n} == {0.25}
    assert {p for n, p in of.items() if "lora_dropout" not in n} == {0.0}


def orpo_of_trl(made: Any, batch: list[Any], beta: float) -> float:
    """The number that TRL's experimental trainer has for the same tokens."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.orpo import ORPOTrainer
    columns: dict[str, Any] = {}
    for side in ("chosen", "rejected"):
        whole = [one.prompt + getattr(one, side) for one in batch]
        width = max(map(len, whole))
        fill = [width - len(ids) for ids in whole]
        ids = [ids + [0] * n for ids, n in zip(whole, fill, strict=True)]
        answers = zip(batch, whole, fill, strict=True)
        labels = [[-100] * len(one.prompt) + ids[len(one.prompt) :] + [-100] * n for one, ids, n in answers]
        seen = [[1] * len(ids) + [0] * n for ids, n in zip(whole, fill, strict=True)]
        columns |= {f"{side}_input_ids": ids, f"{side}_labels": labels, f"{side}_attention_mask": seen}
    plain = SimpleNamespace(device="cpu", gather_for_metrics=lambda x: x)
    fake = SimpleNamespace(
        beta=beta, accelerator=plain, is_encoder_decoder=False, padding_value=0, aux_loss_enabled=False
    )
    for name in ("concatenated_inputs", "get_batch_logps"):
        setattr(fake, name, getattr(ORPOTrainer, name))
    for name in ("concatenated_forward", "odds_ratio_loss"):
        setattr(fake, name, getattr(ORPOTrainer, name).__get__(fake))
    tensors = {name: torch.tensor(value) for name, value in columns.items()}
    loss, _ = ORPOTrainer.get_batch_loss_metrics(fake, made, tensors)
    return float(loss)


@pytest.mark.parametrize("shared", [True, False])
def test_orpo_gives_trls_loss_without_a_reference(at: Beside, tiny: Path, shared: bool) -> None:
    train = rows(4)
    made = trainer(at._replace(settings={"loss": "orpo", "beta": 0.2, "prefix_sharing": shared}), model(tiny), train)
    stir(made.model)
    assert not made.reference
    assert not (at.out.parents[1] / "cache").exists()
    with torch.no_grad():
        ours = made.compute_loss(made.model, batch_of(made, [0, 1, 2, 3])).item()
        theirs = orpo_of_trl(made.model, [row.tokens for row in train], 0.2)
    assert ours == pytest.approx(theirs, rel=1e-6)
    from train.dpo_trainer import score_rows

    chosen, rejected = score_rows(made, train)[0]
    assert chosen < 0
    assert rejected < 0
    made.train()
    line = next(line for line in made.state.log_history if "loss" in line)
    assert "kl" not in line
    assert line["grad_norm"] > 0
