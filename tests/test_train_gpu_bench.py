"""bench.gpu_train without a GPU: it says so, and its every line runs at a toy size on the CPU."""

import pytest
from conftest import lacking

try:
    import torch
except ImportError:
    lacking("no torch for the tests of training: pip install 'concord-preferences[train]'", module=True)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def test_without_a_gpu_it_says_not_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bench import gpu_train

    monkeypatch.setattr(gpu_train, "device", lambda: None)
    monkeypatch.setattr("sys.argv", ["gpu_train"])
    assert gpu_train.main() == 2
    assert "not run: there is no CUDA GPU" in capsys.readouterr().out


def test_weights_at_random_are_four_bit_and_counted() -> None:
    import bitsandbytes

    from bench.gpu_weights import SHAPES, make, parameters

    made = make("toy", "cpu", "float32")
    layers = [m for m in made.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 7 * SHAPES["toy"]["num_hidden_layers"]
    assert not any(p.is_meta for p in made.parameters())
    logits = made(input_ids=torch.tensor([[3, 4, 5]])).logits
    assert torch.isfinite(logits).all()
    assert logits.std() > 0
    counted = sum(m.in_features * m.out_features for m in [*layers, made.lm_head])
    assert parameters("toy") == counted
    assert 7.4e9 < parameters("8B") < 7.6e9


def test_dpo_at_a_toy_size_has_the_losses_of_plain_trl() -> None:
    from bench.gpu_train import cell, table

    cells = [cell("toy", "dpo", kind, 32, 4, True) for kind in ("trl", "ours")]
    assert cells[0]["losses"][0] == cells[1]["losses"][0] == pytest.approx(0.6931472)
    assert len(cells[1]["losses"]) == 4
    (line,) = table(cells, 100.0)
    assert line["times_trl"] > 0
    assert {"peak_gb", "trl_peak_gb", "utilisation"} <= line.keys()
    assert min(one["tflops"] for one in cells) > 0
