"""Answers in batches are the answers alone; what train.generate writes goes back to people and into training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput
from train.answering import Sampling, _Draws, _take, answer_prompts, answer_tokens, render
from train.loading import open_model


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
