"""Forms of one model beside each other: how fast each answers, how large it is, what it costs in accuracy.

    python -m bench.infer --run workspace/runs/dpo-sky       (or: make infer-benchmark RUN=workspace/runs/dpo-sky)
    python -m bench.infer --model workspace/tiny             (an adapter at random on it; without --model a tiny model)

Adapter on its base, merged in float32 and bfloat16, LLM.int8, NF4. Each in the same process one after another, the
same prompts, greedy: tokens a second reading a prompt (prefill) and writing an answer (decode) in batches, the time of
one prompt alone (median, p95), bytes on disk and in memory, perplexity of held-out text, top-1 agreement and KL
divergence against the adapter. Where a form is slower than the merged float32 one, it is said why.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench.figures import folder, parsed, report, spread

WHY = {
    "adapter": "two more small products in every layer with an adapter",
    "merged_bfloat16": "a CPU without AMX turns bfloat16 into float32 and back in every product",
    "int8": "activations are quantised anew in every product, and outliers are computed apart; on a CPU there is no "
    "fused kernel for it",
    "nf4": "every weight is dequantised anew in each pass; it saves memory, and time only where memory is the bound "
    "(a GPU, one prompt at a time)",
}


def main() -> int:
    """Make the forms, measure each, keep all figures."""
    args = _arguments()
    from train.devices import find_device

    device = find_device(args.device)
    _threads(args.threads)
    with folder() as made:
        run = args.run or str(_adapter(args.model or _tiny(made), made / "runs" / "random"))
        found = {}
        for name, place in _forms(run, made, args, device):
            found[name] = _measure(name, place, run, args, device)
            print(f"  {name}: {found[name]}", flush=True)
    return _report(found, args, device)


def _arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", help="a run's folder, or an adapter's")
    p.add_argument(
        "--model", help="without --run: a model to put an adapter at random on (default: a tiny one is made)"
    )
    p.add_argument("--data", type=Path, help="an export for the held-out text (default: the run's, or bundled texts)")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--threads", type=int, default=1, help="of torch on the CPU (1)")
    p.add_argument("--prompt", type=int, default=128, help="tokens of each prompt (128)")
    p.add_argument("--tokens", type=int, default=64, help="tokens of each answer (64)")
    p.add_argument("--batch", type=int, default=8, help="prompts at once, for tokens a second (8)")
    p.add_argument("--rounds", type=int, default=5, help="times each is measured; the median counts (5)")
    p.add_argument("--singles", type=int, default=20, help="prompts answered alone, for latency (20)")
    p.add_argument("--texts", type=int, default=40, help="held-out texts (40)")
    return parsed(p)


def _threads(n: int) -> None:
    import torch

    torch.set_num_threads(n)


def _tiny(made: Path) -> str:
    from train.tiny_run import make_tiny

    make_tiny(made / "tiny", steps=60, must_win=False)
    return str(made / "tiny")


def _adapter(model: str, out: Path) -> Path:
    """An adapter on every linear layer but the head, weights at random: what it costs does not hang on what it says."""
    import torch
    from peft import LoraConfig, get_peft_model

    from train.loading import open_model

    torch.manual_seed(0)
    loaded = open_model(model)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(loaded.model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.01)
    adapted.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)
    return out


def _forms(run: str, made: Path, args: argparse.Namespace, device: str) -> Any:
    """Each form's name and folder, made by train.merge's own functions."""
    from train.merge_run import Plan, merge_and_write

    compute = "bfloat16" if device == "cuda" else "float32"
    yield "adapter", Path(run)
    forms = {
        "merged_float32": (16, "float32"),
        "merged_bfloat16": (16, "bfloat16"),
        "int8": (8, compute),
        "nf4": (4, compute),
    }
    for name, (bits, dtype) in forms.items():
        plan = Plan(run, bits, dtype, None, args.data, (), args.texts, 1024, 4, device)
        merge_and_write(plan, made / name)
        yield name, made / name


def _measure(name: str, place: Path, run: str, args: argparse.Namespace, device: str) -> dict[str, Any]:
    """All figures of one form."""
    import gc

    from train.answering import Sampling, answer_tokens
    from train.held_texts import held_texts
    from train.likeness import likeness
    from train.loading import open_model, put
    from train.merging import load_form

    gc.collect()
    reference = open_model(run)
    tokenizer = reference.tokenizer
    model = put(reference.model if name == "adapter" else load_form(place, "causal"), device)
    words = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    prompts = [[words[(7 * row + 13 * at) % len(words)] for at in range(args.prompt)] for row in range(args.singles)]

    def answer(some: list[list[int]], tokens: int) -> tuple[float, int]:
        """Seconds, and tokens made."""
        begun = time.perf_counter()
        made = list(
            answer_tokens(
                model, tokenizer, some, [0] * len(some), sampling=Sampling(max_tokens=tokens), batch=len(some), seed=0
            )
        )
        return time.perf_counter() - begun, sum(one.tokens for group in made for one in group.values())

    unending = _without_end(model, tokenizer)
    some = (prompts * args.batch)[: args.batch]
    answer(some, 2)
    firsts = [answer(some, 1)[0] for _ in range(args.rounds)]
    wholes = [answer(some, args.tokens) for _ in range(args.rounds)]
    alone = spread([answer([one], args.tokens)[0] for one in prompts])
    unending.remove()
    first = statistics.median(firsts)
    decode = statistics.median(seconds for seconds, _ in wholes) - first
    data = held_texts(tokenizer, data=args.data, prompts=(), run=Path(run), most=args.texts, length=1024)
    like = likeness(put(reference.model, device), model, data.rows)
    return {
        "prefill_tokens_a_second": round(args.batch * args.prompt / first),
        "decode_tokens_a_second": round((wholes[0][1] - args.batch) / max(decode, 1e-9)),
        "one_prompt_ms": {"min": alone["min"], "median": alone["p50"], "p95": alone["p95"], "max": alone["max"]},
        "disk_bytes": _disk(place, reference.base if name == "adapter" else None),
        "memory_bytes": sum(t.numel() * t.element_size() for t in _tensors(model)),
        "perplexity": round(2.718281828459045 ** (like.loss or 0.0), 4),
        "agreement": round(like.agreement, 6),
        "kl": float(f"{like.difference:.3g}"),
        "kl_greatest": float(f"{like.greatest:.3g}"),
        "texts": f"{data.source}, {like.n} tokens",
    }


def _without_end(model: Any, tokenizer: Any) -> Any:
    """Every answer as long as the next: the tokens that end one are never the likeliest."""
    from train.answering import stop_tokens

    stops = stop_tokens(model, tokenizer)

    def hook(_module: Any, _given: Any, out: Any) -> Any:
        out[..., stops] = -1e9
        return out

    return model.get_output_embeddings().register_forward_hook(hook)


def _tensors(model: Any) -> Any:
    """Every weight and buffer, and of a 4-bit layer what its blocks are scaled by."""
    yield from model.parameters()
    yield from model.buffers()
    for weight in model.parameters():
        state = getattr(weight, "quant_state", None)
        if state is not None:
            yield state.absmax
            if state.nested:
                yield state.state2.absmax


def _disk(place: Path, base: str | None) -> int:
    folders = [place / "model" if (place / "model").is_dir() else place, *([Path(base)] if base else [])]
    return sum(file.stat().st_size for one in folders for file in one.glob("*.safetensors"))


def _report(found: dict[str, Any], args: argparse.Namespace, device: str) -> int:
    whole = found["merged_float32"]
    key = "decode_tokens_a_second"
    slower = {name: WHY[name] for name in WHY if found[name][key] < 0.95 * whole[key] and device == "cpu"}
    figure = "; ".join(
        f"{name} {one[key]:,} tokens/s, {one['one_prompt_ms']['median']} ms, {one['memory_bytes'] / 1e6:.1f} MB, "
        f"perplexity {one['perplexity']}, agreement {one['agreement']:.2%}"
        for name, one in found.items()
    )
    details = {
        "device": device,
        "threads": args.threads,
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "model": Path(args.run or args.model or "tiny").name + ("" if args.run else ", an adapter at random"),
        "sizes": f"prompts of {args.prompt} tokens, answers of {args.tokens}, batches of {args.batch}, "
        f"median of {args.rounds}; {args.singles} prompts alone",
        "forms": found,
        "slower_than_merged_float32_on_this_cpu": slower or "none",
        "gpu": "measured" if device == "cuda" else "not run",
    }
    return report("infer", figure, "merged in float32, in the same run", details)


if __name__ == "__main__":
    raise SystemExit(main())
