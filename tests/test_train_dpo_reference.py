"""The reference of DPO: the policy as it was before the first step, computed once, kept, and never mistaken."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking
from dpo_beside import Beside, model, rows, stir, trainer

from train.tokens import Tokens

try:
    import torch
except ImportError:
    lacking("no torch for the tests of training: pip install 'concord-preferences[train]'", module=True)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def at(tiny: Path, tmp_path: Path) -> Beside:
    return Beside(tiny, tmp_path / "runs" / ".one.checkpoints")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each computation of log-probabilities was given."""
    from train import dpo_scores

    seen: list[int] = []
    real = dpo_scores.pair_logps

    def counted(made: Any, pairs: Any, what: str) -> Any:
        seen.append(len(pairs))
        return real(made, pairs, what)

    monkeypatch.setattr(dpo_scores, "pair_logps", counted)
    return seen


def test_a_reference_is_computed_once_for_a_sweep_and_a_restart(at: Beside, tiny: Path, passes: list[int]) -> None:
    train = rows(6)
    first = trainer(at, model(tiny), train)
    assert passes == [6]
    for rank, settings in ((4, {}), (8, {"beta": 0.5, "learning_rate": 1e-3}), (2, {"loss": "ipo", "seed": 5})):
        again = trainer(at._replace(settings=settings), model(tiny, rank=rank), train)
        assert again.reference == first.reference
    assert passes == [6]
    (kept,) = (at.out.parents[1] / "cache" / "reference").iterdir()
    assert len(json.loads(kept.read_text())["logps"]) == 6


def test_a_wrong_reference_is_never_used(at: Beside, tiny: Path, passes: list[int]) -> None:
    train = rows(6)
    trainer(at, model(tiny), train)
    other = model(tiny)
    other.get_base_model().model.norm.weight.data[0] += 1e-3
    changed = [
        (model(tiny), [train[0]._replace(tokens=Tokens([9, 9], [8], [10], 0, "")), *train[1:]], {}),
        (other, train, {}),
        (model(tiny, stirred=True), train, {}),
        (model(tiny), train, {"prefix_sharing": False}),
        (model(tiny), train[::-1], {}),
    ]
    for made, some, settings in changed:
        before = len(passes)
        trainer(at._replace(settings=settings), made, some)
        assert passes[before:] == [6]


@pytest.mark.parametrize("harm", ["cut", "numbers", "rows", "empty"])
def test_a_damaged_reference_is_computed_again(at: Beside, tiny: Path, passes: list[int], harm: str) -> None:
    train = rows(4)
    first = trainer(at, model(tiny), train)
    (kept,) = (at.out.parents[1] / "cache" / "reference").iterdir()
    whole = kept.read_text()
    value = json.loads(whole)
    if harm == "numbers":
        value["logps"][1][0] -= 1
    if harm == "rows":
        value["logps"].pop()
    kept.write_text({"cut": whole[:-9], "empty": ""}.get(harm, json.dumps(value)))
    again = trainer(at, model(tiny), train)
    assert passes == [4, 4]
    assert again.reference == first.reference
    assert json.loads(kept.read_text()) == json.loads(whole)


def test_a_folder_that_cannot_be_written_costs_the_keeping_alone(tmp_path: Path) -> None:
    from train.reference import reference_table

    (tmp_path / "file").write_text("")
    pairs = [row.tokens for row in rows(2)]
    found = reference_table(pairs, lambda some: [(1.0, 2.0) for _ in some], about={}, folder=tmp_path / "file" / "x")
    assert found == [(1.0, 2.0), (1.0, 2.0)]


@pytest.mark.parametrize("kind", ["new adapter", "trained adapter", "full"])
def test_the_reference_is_the_policy_at_step_0(at: Beside, tiny: Path, kind: str) -> None:
    """Precomputed, at every step, and for rows that come after training: one number."""
    from train.dpo_trainer import score_rows

    train, later = rows(4), rows(3, seed=8)
    scores = []
    for precompute in (True, False):
        made = model(tiny, adapter=kind != "full", stirred=kind == "trained adapter")
        run = trainer(at._replace(settings={"precompute": precompute}), made, train)
        assert score_rows(run, later) == [(pytest.approx(0, abs=1e-4), pytest.approx(0, abs=1e-4))] * 3
        run.reference = dict(list(run.reference.items())[:4]) if precompute else {}
        run.train()
        assert "ref" not in getattr(run.model, "peft_config", {})
        scores.append((score_rows(run, train), score_rows(run, later), run.state.log_history[2]["loss"]))
    for a, b in zip(*(one[:2] for one in scores), strict=True):
        assert a == [(pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3)) for x, y in b]
        assert max(abs(x) for row in a for x in row) > 0.01
    assert scores[0][2] == pytest.approx(scores[1][2], abs=1e-5)


def test_four_bit_weights_keep_their_gradients_after_the_reference(at: Beside, tiny: Path) -> None:
    """bitsandbytes 0.50 loses them on some CPUs after a forward in evaluation mode."""
    import bitsandbytes

    made = trainer(at, model(tiny, four_bit=True), rows(4))
    assert any(isinstance(m, bitsandbytes.nn.Linear4bit) for m in made.model.modules())
    assert made.reference  # an evaluation-mode forward has been
    made.model.train()
    batch = made._prepare_inputs(made.data_collator([{"row": i} for i in range(4)]))
    made.compute_loss(made.model, batch).backward()
    slopes = {n: float(p.grad.abs().max()) for n, p in made.model.named_parameters() if "lora_B" in n}
    assert len(slopes) == 8
    assert all(slope > 0 for slope in slopes.values())
    # Against the same weights, never run in evaluation mode.
    unseen = trainer(at._replace(settings={"precompute": False}), model(tiny, four_bit=True), rows(4))
    assert not unseen.reference
    batch = unseen._prepare_inputs(unseen.data_collator([{"row": i} for i in range(4)]))
    batch["reference"] = torch.tensor([made.reference[key][side] for side in (0, 1) for key in made.reference])
    unseen.model.train()
    unseen.compute_loss(unseen.model, batch).backward()
    for name, p in unseen.model.named_parameters():
        if "lora_B" in name:
            assert float(p.grad.abs().max()) == pytest.approx(slopes[name], rel=1e-4)
    made.train()
    assert all(line["grad_norm"] > 1e-3 for line in made.state.log_history if "grad_norm" in line)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(at: Beside, tiny: Path, passes: list[int]) -> None:
    args = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    train = rows(8)
    whole = trainer(at._replace(arguments=args), model(tiny), train)
    whole.train()
    again = trainer(at._replace(arguments=args), model(tiny), train)
    again.train(resume_from_checkpoint=str(at.out / "checkpoint-2"))
    assert passes == [8]
    for name, p in whole.model.named_parameters():
        assert torch.equal(p, again.model.get_parameter(name)), name


def test_length_sorted_batches_hold_every_pair_once_the_longest_first() -> None:
    from train.reference import by_length

    pairs = [row.tokens for row in rows(11)]
    batches = by_length(pairs, 4)
    assert sorted(i for few in batches for i in few) == list(range(11))
    sizes = [sum(map(len, pairs[i][:3])) for few in batches for i in few]
    assert sizes == sorted(sizes, reverse=True)


def test_weights_are_hashed_by_every_byte(tiny: Path) -> None:
    from train.reference import weights_hash

    plain, adapted = model(tiny, adapter=False), model(tiny)
    assert weights_hash(adapted, without_adapter=True) == weights_hash(plain, without_adapter=False)
    assert weights_hash(adapted, without_adapter=False) != weights_hash(plain, without_adapter=False)
    before = weights_hash(adapted, without_adapter=False)
    stir(adapted, 1e-6)
    assert weights_hash(adapted, without_adapter=False) != before
    assert weights_hash(model(tiny, four_bit=True), without_adapter=True) != weights_hash(plain, without_adapter=False)
