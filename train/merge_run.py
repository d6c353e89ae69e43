"""What train.merge does: merge each way, measure each form against the unmerged adapter, keep the better one."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.command import progress
from data.errors import Refused
from data.folder import Folder, write_folder
from data.manifest import MANIFEST
from data.records import digest
from train.finding import Found, Kind, check_weights, find_model, fingerprint, kind_of
from train.held_texts import Texts, held_texts
from train.likeness import Likeness, likeness, score_likeness
from train.loading import load_tokenizer, open_model, put
from train.merging import Onto, load_form, merge, write_form
from train.same_tokenizer import copy_tokenizer
from train.tokens import template_hash

WELL = 0.995  # share of tokens on which a merged model should agree with its adapter


class Plan(NamedTuple):
    """What is to be merged, into which form, and over what it is measured."""

    run: str
    bits: int
    dtype: str
    """Of the merged weights, or of what is not quantised."""
    onto: Onto | None
    """None measures every way there is and keeps the better one."""
    data: Path | None
    prompts: Sequence[Path]
    texts: int
    length: int
    batch: int
    device: str = "cpu"


def ways(found: Found, onto: Onto | None, name: str) -> list[Onto]:
    """Which ways of merging there are: two for an adapter that was trained on 4-bit weights, else one.

    Raises:
        Refused: 4-bit weights are asked for, and the adapter was not trained on any.
    """
    if onto == "4bit" and not (found.four_bit and found.adapter):
        raise Refused(f"{name} was not trained on a 4-bit base (method qlora), so there is none to merge onto")
    if onto:
        return [onto]
    return ["4bit", "16bit"] if found.four_bit and found.adapter else ["16bit"]


def merge_and_write(plan: Plan, out: Path, *, replace: bool = False) -> dict[str, Any]:
    """Merge, measure, and write the folder; returns the summary.

    The folder is a model's own, so that from_pretrained and vLLM read it as it is; audit/likeness.jsonl has every
    figure.
    """
    found = find_model(plan.run)
    check_weights(found)
    kind = kind_of(found)
    tried = ways(found, plan.onto, plan.run)
    own = found.adapter and (found.adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(found.adapter) if own else found.base)
    run = Path(plan.run) if (Path(plan.run) / MANIFEST).is_file() else None
    texts = held_texts(tokenizer, data=plan.data, prompts=plan.prompts, run=run, most=plan.texts, length=plan.length)
    config = {
        "model": fingerprint(plan.run),
        "base": fingerprint(found.base) if found.adapter else None,
        "bits": plan.bits,
        "dtype": plan.dtype,
        "onto": plan.onto or "the better one",
        "template": template_hash(tokenizer),
        "texts": digest([list(row) for row in texts.rows]),
    }
    work = out.absolute().with_name(f".{out.absolute().name}.merging")
    with write_folder(out, "merged model", config, replace=replace) as folder:
        shutil.rmtree(work, ignore_errors=True)
        try:
            forms = _forms(plan, found, kind, tried, texts, work)
            best = min(tried, key=lambda way: (forms[way].difference, tried.index(way)))
            for path in sorted((work / best).iterdir()):
                path.rename(folder.path / path.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        mark = copy_tokenizer(found, tokenizer, folder.path)
        folder.config |= {"onto": best, "tokenizer": mark}
        folder.inputs.update({"run": Path(plan.run).resolve().name, "base": Path(found.base).name})
        size = sum(path.stat().st_size for path in folder.path.iterdir() if path.suffix == ".safetensors")
        _write_story(folder, plan, found, forms, best, texts)
    return {
        "kind": kind,
        "bits": plan.bits,
        "dtype": plan.dtype,
        **{f"onto_{way}": _in_words(one) for way, one in forms.items()},
        "kept": best,
        "texts": f"{len(texts.rows)} of {texts.source}" + (f", {texts.cut} cut" if texts.cut else ""),
        "weights_bytes": size,
        "tokenizer": f"the same ({mark[:12]})",
        "verdict": _verdict(forms[best], plan.bits, _source(found)),
        "wrote": str(out),
    }


def _forms(
    plan: Plan, found: Found, kind: Kind, tried: Sequence[Onto], texts: Texts, work: Path
) -> dict[Onto, Likeness]:
    """Write each way's form below `work`, read it back, and compare it with the unmerged adapter."""
    compute = _trained_in(found, plan.device)
    compare: Callable[..., Likeness] = score_likeness if kind == "reward" else likeness
    forms: dict[Onto, Likeness] = {}
    with progress("comparing", total=len(texts.rows) * len(tried)) as step:
        for way in tried:
            _write_way(plan, found, kind, way, compute, work)
        loaded = open_model(plan.run, kind=kind, dtype=compute, device=plan.device)
        for way in tried:
            form = put(load_form(work / way, kind), plan.device)
            form.config.get_text_config().pad_token_id = loaded.tokenizer.pad_token_id
            forms[way] = compare(loaded.model, form, texts.rows, batch=plan.batch, tell=step)
            del form
    return forms


def _write_way(plan: Plan, found: Found, kind: Kind, way: Onto, compute: str, work: Path) -> None:
    """One merged model in its form, in work/WAY."""
    import torch

    merged = merge(found, kind, way, compute)
    if plan.bits == 16:
        merged.to(getattr(torch, plan.dtype)).save_pretrained(work / way)
        return
    whole = work / f"{way}-whole"
    merged.save_pretrained(whole)
    del merged
    write_form(whole, kind, plan.bits, plan.dtype, work / way)
    shutil.rmtree(whole)


def _trained_in(found: Found, device: str) -> str:
    """The dtype of the run's sums; float16 cannot be computed on a CPU, and float32 holds all of it."""
    settings = found.manifest.config.get("settings") if found.manifest else None
    dtype = str(settings.get("dtype") or "float32") if isinstance(settings, dict) else "float32"
    return "float32" if dtype == "float16" and device == "cpu" else dtype


def _in_words(one: Likeness) -> str:
    if one.measure == "scores":
        return (
            f"the same order in {one.agreement:.2%} of pairs; scores differ by {one.difference:.3g} on average, "
            f"{one.greatest:.3g} at most; {one.n} dialogues"
        )
    return (
        f"the same top token at {one.agreement:.2%} of {one.n} tokens; KL {one.difference:.3g} nats a token on "
        f"average, {one.greatest:.3g} at most; logits differ by {one.logits:.3g} at most"
    )


def _source(found: Found) -> str:
    """What the new form is compared with."""
    return "adapter" if found.adapter else "model"


def _verdict(one: Likeness, bits: int, source: str) -> str:
    if one.agreement >= WELL:
        return f"as the {source}, at {one.agreement:.2%}"
    less = "; --bits 16 costs less" if bits < 16 else ""
    return (
        f"it differs from the {source} at {1 - one.agreement:.2%}, more than {1 - WELL:.1%}: "
        f"evaluate it anew (train.evaluate) before it ships{less}"
    )


def _write_story(
    folder: Folder, plan: Plan, found: Found, forms: dict[Onto, Likeness], best: Onto, texts: Texts
) -> None:
    """README.md and every figure."""
    name = Path(plan.run).resolve().name
    bits = f"in {plan.bits} bits ({plan.dtype} where nothing is quantised)"
    folder.write("audit/likeness.jsonl", ({"onto": way, **one.rounded()} for way, one in forms.items()))
    lines = [
        f"# {'Merged' if found.adapter else 'Quantised' if plan.bits < 16 else 'Converted'} model",
        "",
        f"Adapter and base of `{name}` as one model, {bits}, merged onto the base's "
        f"{'4-bit' if best == '4bit' else 'own'} weights."
        if found.adapter
        else f"`{name}` {bits}.",
        "Licence, data and limits are those of the base and of the run's own model card.",
        "",
        f"Against the {'unmerged adapter' if found.adapter else 'model as it was'}, over {len(texts.rows)} texts "
        f"({texts.source}):",
        "",
        *(f"- onto {way}: {_in_words(one)}{' (kept)' if way == best else ''}" for way, one in forms.items()),
        "",
        "`manifest.json` has the hash of every file. Read it with `from_pretrained`; the tokenizer and its chat",
        "template are the run's own, byte for byte.",
        "",
    ]
    folder.write_text("README.md", "\n".join(lines))
