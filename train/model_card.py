"""A run's model card: README.md with the header that the Hugging Face Hub reads, and what a user must know.

What is not known is not claimed: where the base's licence is not known, or the data's differ from it, the header's is
`other` and the text lists what there is. A folder's path is never told, its name alone.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.report import number, percent
from data.text import base_language, excerpt
from train.held_out import Kind, Share, by_slice, reliability, told_by
from train.run_story import BETTER, RunStory, base_name

_NONE = "none stated"
_TRAINED = {
    "sft": "imitates answers that people held best (supervised fine-tuning)",
    "reward": "scores an answer to a prompt: the greater, the likelier people are to prefer it",
    "dpo": "was moved towards answers that people preferred (direct preference optimisation)",
    "orpo": "was moved towards answers that people preferred (odds-ratio preference optimisation)",
    "kto": "was moved towards answers that people held good and away from those they held bad (KTO)",
}
_TRAINED_ZH = {
    "sft": "模仿人们认为最好的答案（监督微调）",
    "reward": "为答案打分：分数越高，人们越可能偏好它",
    "dpo": "向人们偏好的答案靠近（直接偏好优化）",
    "orpo": "向人们偏好的答案靠近（优势比偏好优化）",
    "kto": "向人们判为好的答案靠近、远离判为坏的答案（KTO）",
}


def model_card(story: RunStory) -> str:
    """README.md of a run."""
    return "".join(f"{line}\n" for line in (*_header(story), "", *_body(story)))


def licence_of(base: str) -> str | None:
    """The licence in a base model's own card (README.md of its folder); None where no card names one."""
    import yaml

    try:
        text = (Path(base) / "README.md").read_text(encoding="utf-8")[:20_000]
        head = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError):
        return None
    found = head.get("license") if isinstance(head, dict) else None
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,40}", found) else None


def _header(story: RunStory) -> list[str]:
    import yaml

    licence = _licence(story)
    head: dict[str, Any] = {
        "base_model": _plain(base_name(story.base)),
        "base_model_relation": "finetune" if story.method == "full" else "adapter",
        "library_name": "transformers" if story.method == "full" else "peft",
        "pipeline_tag": "text-classification" if story.task == "reward" else "text-generation",
        "license": licence,
    }
    if licence == "other":
        head["license_name"] = "base-model-and-data"
    head["datasets"] = [_plain(story.export)]
    if languages := sorted({code for name in story.languages if (code := _language(name))}):
        head["language"] = languages
    head["tags"] = [
        "concord",
        story.task,
        *([_plain(story.method)] if story.method != "full" else []),
        "human-feedback",
    ]
    if results := _index(story):
        head["model-index"] = results
    text = yaml.safe_dump(head, allow_unicode=True, sort_keys=False, default_flow_style=False, width=1000)
    return ["---", *text.splitlines(), "---"]


def _licence(story: RunStory) -> str:
    """The licence that base and data share; `other` where they do not, or one of them is not known."""
    named = {name.strip().lower() for name in story.licences}
    base = (story.base_licence or "").strip().lower()
    return base if base and named == {base} and re.fullmatch(r"[a-z0-9._-]{1,40}", base) else "other"


def _language(name: str) -> str | None:
    code = base_language(name)
    return code if code and re.fullmatch(r"[a-z]{2,3}", code) else None


def _index(story: RunStory) -> list[dict[str, Any]]:
    """The Hub's `model-index`: held-out figures by split."""
    kind = "text-classification" if story.task == "reward" else "text-generation"
    kinds = {"name": "Preference" if story.task in BETTER else "Language modelling", "type": kind}
    results = [
        {
            "task": dict(kinds),
            "dataset": {"name": _plain(story.export), "type": _plain(story.export), "split": one.name},
            "metrics": [_metric(told_by(story.held_out, story.task).kind, one)],
        }
        for one in _shares(story)
    ]
    return [{"name": _plain(story.name), "results": results}] if results else []


_METRICS: dict[Kind, str] = {
    "accuracy": "held-out accuracy",
    "auc": "held-out AUC of implicit rewards, good against bad answers",
    "loss": "held-out loss per token (nats)",
}
_WHAT: dict[Kind, str] = {
    "accuracy": "Accuracy (people's side taken)",
    "auc": "AUC (implicit reward of good above bad answers)",
    "loss": "Loss per token (nats)",
}


def _metric(kind: Kind, one: Share) -> dict[str, Any]:
    name = "roc_auc" if kind == "auc" else kind
    return {"type": name, "value": round(one.value, 4), "name": _METRICS[kind]}


def _shares(story: RunStory) -> list[Share]:
    """Accuracy (or the area, or the loss) on each held-out split, test first."""
    told = told_by(story.held_out, story.task)
    splits = [(split, [row for row in told.rows if row.get("split") == split]) for split in ("test", "validation")]
    return [made for split, there in splits if (made := told.of(there, split))]


def _body(story: RunStory) -> Iterator[str]:
    base = _md(base_name(story.base))
    adapter = "" if story.method == "full" else f" ({_md(story.method)} adapter)"
    yield f"# {_md(story.name)}"
    yield ""
    yield (
        f"A model{adapter} from {base} that {_TRAINED.get(story.task, 'was trained')}. Made by Concord from the export "
        f"{_md(story.export)}; `report.html` shows how it went."
    )
    yield ""
    yield f"本模型{adapter.strip() and '（适配器）'}以 {base} 为起点，{_TRAINED_ZH.get(story.task, '经过训练')}。"
    yield f"数据为导出 {_md(story.export)}；训练过程见 `report.html`（中英双语）。"
    yield from _use(story)
    yield from _evaluation(story)
    yield from _data(story)
    yield from _limits(story)
    yield from _proof(story)


def _use(story: RunStory) -> Iterator[str]:
    yield from ("", "## Intended use", "")
    if story.task == "reward":
        yield (
            "Ranking or filtering answers to prompts like those it was trained on: best of n, filtering training data, "
            "monitoring. Its scores compare answers to the same prompt; across prompts they mean little. Not a judge "
            "of truth, and not for decisions about people."
        )
    else:
        yield (
            "Answering prompts like those it was trained on, in the languages listed below. Before it ships it should "
            "pass the gate against the model it replaces (`python -m train.gate`); this card does not say that it did."
        )
    yield from ("", *_loading(story))


def _loading(story: RunStory) -> list[str]:
    kind = "AutoModelForSequenceClassification" if story.task == "reward" else "AutoModelForCausalLM"
    auto = f"AutoPeftModel{kind.removeprefix('AutoModel')}" if story.method != "full" else kind
    module = "peft" if story.method != "full" else "transformers"
    more = ", num_labels=1" if story.task == "reward" else ""
    names = "AutoTokenizer" if module == "peft" else f"{kind}, AutoTokenizer"
    lines = [f"from {module} import {auto}"] if module == "peft" else []
    return [
        "```python",
        *lines,
        f"from transformers import {names}",
        "",
        f'model = {auto}.from_pretrained("model"{more})',
        'tokenizer = AutoTokenizer.from_pretrained("model")  # with the chat template it was trained with',
        "```",
    ]


def _evaluation(story: RunStory) -> Iterator[str]:
    yield from ("", "## Evaluation", "")
    shares = _shares(story)
    if not shares:
        yield "The export has no held-out rows, so nothing is known of how good it is."
        return
    told = told_by(story.held_out, story.task)
    spell = percent if told.kind == "accuracy" else number
    yield "On rows whose prompt families were not trained on. Intervals (95 %) take whole families as what varies."
    yield from ("", f"| rows | {_WHAT[told.kind]} | interval | n | prompt families |", "|---|---:|---:|---:|---:|")
    first = shares[0].name
    spoken = [row for row in told.rows if row.get("split") == first]
    for one in (*shares, *by_slice(spoken, told.of, 8)):
        ends = "–" if one.low is None or one.high is None else f"{spell(one.low)} – {spell(one.high)}"
        yield f"| {_md(one.name)} | {spell(one.value)} | {ends} | {one.n:,} | {one.clusters:,} |"
    if told.kind == "accuracy" and (held := reliability(spoken)):
        yield ""
        yield f"Calibration on {first}: mean error {number(held.error)}, Brier score {number(held.brier)}."
    if story.warnings:
        yield from ("", "Warnings while it trained:", "")
        for warned in story.warnings:
            yield f"- step {int(warned.get('step') or 0):,}: {_md(str(warned.get('en') or ''), 600)}"


def _data(story: RunStory) -> Iterator[str]:
    yield from ("", "## Data and licences", "")
    splits = ", ".join(f"{n:,} {_md(split)}" for split, n in story.rows.items())
    yield f"Rows: {splits or 'not counted'}."
    looked, kept = story.looked.get("rows"), story.looked.get("kept")
    if looked and kept is not None:
        yield f"Of {looked:,} rows, {looked - kept:,} were cut or dropped (`audit/preflight.jsonl`)."
    for title, counts in (("Judged by", story.sources), ("Languages", story.languages)):
        if counts:
            yield f"{title}: {_counts(counts)}."
    yield from ("", "| of | licence | rows |", "|---|---|---:|")
    yield f"| base model | {_md(story.base_licence or _NONE)} | |"
    for name, n in story.licences.items():
        yield f"| data | {_md(name)} | {n:,} |"
    if _licence(story) == "other":
        yield ""
        yield "No one licence covers base and data: whoever passes this model on must satisfy each of them."


def _limits(story: RunStory) -> Iterator[str]:
    yield from ("", "## Limits", "")
    yield "- It learnt the preferences of the people (or models) who judged this export, their errors included."
    yield "- Nothing here measures safety, truthfulness, or languages and topics the data do not have."
    if len(story.languages) == 1:
        yield f"- All rows are in one language ({_md(next(iter(story.languages)))})."
    if story.method != "full":
        yield "- It is an adapter: it answers as measured only on the very base it was trained on (fingerprint below)."
    if _NONE in story.licences:
        yield f"- {story.licences[_NONE]:,} rows name no licence."
    split = _shares(story)
    if split and split[0].low is None:
        yield f"- Held-out rows come from {split[0].clusters:,} prompt families only: too few for an interval."


def _proof(story: RunStory) -> Iterator[str]:
    yield from ("", "## Hashes", "", "| of | sha256 or version |", "|---|---|")
    for name, value in {**story.digests, **story.versions}.items():
        yield f"| {_md(name)} | `{_code(value)}` |"
    yield from ("", "To run it again:", "", "```", excerpt(_bare_command(story), 4_000).replace("`", "'"), "```")
    yield from ("", "`manifest.json` has the hash of every file; `audit/worst.jsonl` what it did worst on.")


def _bare_command(story: RunStory) -> str:
    """The command with folders named without the way to them."""
    try:
        typed = shlex.split(story.command)
    except ValueError:  # a quote that is never closed
        return story.command.replace(story.base, base_name(story.base)) if story.base else story.command
    return " ".join(shlex.quote(base_name(one) if one.startswith(("/", "~")) else one) for one in typed)


def _counts(counts: Mapping[str, int]) -> str:
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{_md(name or 'not stated')} {n:,}" for name, n in order[:20])


def _plain(text: str) -> str:
    """A name for the header: one line, nothing unseen."""
    return excerpt(text, 96) or "unnamed"


def _md(text: str, limit: int = 96) -> str:
    """A piece of data inside Markdown: one line, and none of its signs means anything."""
    return (
        re.sub(r"([\\`*_{}\[\]<>#|~&!@]|:(?=//))", r"\\\1", excerpt(text, limit))
        .replace("\\<", "&lt;")
        .replace("\\&", "&amp;")
    )


def _code(text: str) -> str:
    """A piece of data inside a code span or block, in a table too."""
    return excerpt(text, 300).replace("`", "'").replace("|", "\\|")
