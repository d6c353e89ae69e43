"""The small model: same bytes for the same seed, loads as any model does, in real 4-bit weights too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import lacking
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import CheckFailed, exit_status
from data.manifest import read_manifest, verify_folder
from train import tiny as command
from train.loading import load_causal, load_tokenizer
from train.sample_text import documents
from train.trigram import Trigram, held_out_loss

try:
    import torch
except ImportError:
    lacking("no torch for the tests of training: pip install 'concord-preferences[train]'", module=True)


def make(out: Path, seed: int) -> None:
    from train.tiny_model import Shape
    from train.tiny_run import make_tiny

    shape = Shape(words=320, width=64, layers=1, heads=2, inner=64, check_every=1000)
    make_tiny(out, seed=seed, steps=2, shape=shape, must_win=False)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        make(tmp_path / name, 0)
        assert verify_folder(tmp_path / name) == []
    one, two = (read_manifest(tmp_path / name) for name in "ab")
    assert one.digest == two.digest
    assert [f.path for f in one.files if f.path.endswith(".safetensors")] == ["model.safetensors"]


def test_another_seed_gives_other_weights(tiny: Path) -> None:
    from train.tiny_model import Shape, make_model

    shape = Shape(width=64, layers=1, heads=2, inner=64)
    first, second = (make_model(load_tokenizer(str(tiny)), shape, seed).lm_head.weight for seed in (0, 1))
    assert not torch.equal(first, second)


def test_the_folder_has_losses_beside_the_trigram_model_s_and_a_card(tiny: Path) -> None:
    card = (tiny / "README.md").read_text("utf-8")
    assert "Witten-Bell" in card
    assert "CC0" in card
    looks = [json.loads(line) for line in (tiny / "audit/losses.jsonl").read_text("utf-8").splitlines()]
    assert [look["step"] for look in looks] == list(range(1, 11))
    assert looks[-1]["held_out"] < np.log(512) < looks[0]["train"] + 0.5


def test_a_model_that_is_not_below_the_trigram_model_is_not_written(tmp_path: Path) -> None:
    out = tmp_path / "m"
    with pytest.raises(CheckFailed, match="more --steps"):
        command.main(["--out", str(out), "--steps", "1"])
    assert not out.exists()


def test_a_wrong_flag_is_one_line_with_status_2(tmp_path: Path, capsys: Any) -> None:
    assert exit_status(lambda: command.main(["--out", str(tmp_path / "m"), "--threads", "0"])) == 2
    assert capsys.readouterr().err == "error: --threads: 0 is below 1\n"


def test_held_out_prompts_are_on_one_side_only() -> None:
    made = documents()
    sides: dict[str, set[bool]] = {}
    for document in made:
        sides.setdefault(document.messages[0]["content"], set()).add(document.held_out)
    assert all(len(side) == 1 for side in sides.values())
    assert 0.05 < sum(d.held_out for d in made) / len(made) < 0.15


def test_the_template_marks_what_the_assistant_says(tiny: Path) -> None:
    tokenizer = load_tokenizer(str(tiny))
    talk = [{"role": r, "content": c} for r, c in (("user", "a b"), ("assistant", "c d"), ("user", "e"))]
    made = tokenizer.apply_chat_template(talk, return_assistant_tokens_mask=True, return_dict=True)
    marked = [t for t, m in zip(made["input_ids"], made["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked) == "c d<|end|>"
    asked = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert asked == "<|begin|><|user|>a b<|end|><|assistant|>c d<|end|><|user|>e<|end|><|assistant|>"


def test_any_text_comes_back_from_its_tokens(tiny: Path) -> None:
    tokenizer = load_tokenizer(str(tiny))
    for text in ("hello  world\n", "你好，世界", "🙂\t\u200b", " a"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_loads_in_real_4_bits_and_keeps_gradients_after_an_evaluation(tiny: Path) -> None:
    try:
        from bitsandbytes.nn import Linear4bit
    except ImportError:
        lacking("no bitsandbytes for the test of 4-bit weights: pip install 'concord-preferences[train]'")

    whole, four = load_causal(str(tiny)), load_causal(str(tiny), four_bit=True)
    layers = [layer for layer in four.modules() if isinstance(layer, Linear4bit)]
    assert len(layers) == 2 * 7
    assert {layer.weight.dtype for layer in layers} == {torch.uint8}
    assert all(layer.weight.quant_state.nested for layer in layers)
    ids = torch.arange(3, 40)[None]
    embeddings = four.get_input_embeddings()(ids).detach().requires_grad_()

    def gradient() -> Any:
        four.train()
        (found,) = torch.autograd.grad(four(inputs_embeds=embeddings).logits.logsumexp(-1).sum(), embeddings)
        return found

    before = gradient()
    four.eval()
    with torch.no_grad():
        near = four(input_ids=ids).logits
        assert float((near - whole(input_ids=ids).logits).abs().max()) < 1.0
    assert torch.equal(gradient(), before)


def test_the_trigram_model_is_a_probability_and_the_worked_example() -> None:
    model = Trigram([[0, 1, 2], [0, 1, 1]], 4)
    # Unigram: counts 2, 3, 1 of 6, three kinds: P(2) = (1 + 3/4) / 9 = 7/36.
    # After 1: 2 and 1 once each, two kinds: P(2 | 1) = (1 + 2 · 7/36) / 4 = 25/72.
    # After 0 1: the same counts: P(2 | 0 1) = (1 + 2 · 25/72) / 4 = 61/144.
    assert model.probability(2, ()) == pytest.approx(7 / 36)
    assert model.probability(2, (1,)) == pytest.approx(25 / 72)
    assert model.probability(2, (0, 1)) == pytest.approx(61 / 144)
    for before in ((), (1,), (0, 1), (3, 3)):
        assert sum(model.probability(w, before) for w in range(4)) == pytest.approx(1)
    assert held_out_loss([[0, 1, 2], [0, 1, 1]], [[0, 1, 2]], 4) == pytest.approx(
        -(np.log(model.probability(1, (0,))) + np.log(61 / 144)) / 2
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=5), st.integers(0, 5))
def test_a_trigram_model_gives_every_word_a_share(texts: list[list[int]], word: int) -> None:
    model = Trigram(texts, 6)
    for before in ((), (word,), (word, 0)):
        shares = [model.probability(w, before) for w in range(6)]
        assert min(shares) > 0
        assert sum(shares) == pytest.approx(1)
