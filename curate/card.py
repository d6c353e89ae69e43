"""The dataset card of an export: README.md, with the header that the Hub and `datasets` read.

The header states every column's type, because a column that is empty in one split and filled in
another is guessed to be of two types, and then `load_dataset` fails. Texts from the data (languages,
licences, reasons) are quoted; nothing in them can end the header or a table.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from data.errors import one_line
from data.parquet import Kind
from data.records import canonical

_SIZES = (("1K", 10**3), ("10K", 10**4), ("100K", 10**5), ("1M", 10**6), ("10M", 10**7), ("100M", 10**8))
_TAGS = {
    "trl": ("preference", "dpo", "trl"),
    "trl-unpaired": ("preference", "kto", "trl"),
    "sft": ("sft", "trl"),
    "hh-rlhf": ("preference", "rlhf"),
    "llama-factory": ("preference", "dpo", "llama-factory"),
    "parquet": ("preference", "dpo", "trl"),
}
_ROWS = {
    "trl": "a pair: `prompt`, `chosen` and `rejected` are message lists (TRL's preference format)",
    "trl-unpaired": "a response: `prompt` and `completion` are message lists, `label` says whether it won more"
    " of its comparisons than it lost (TRL's unpaired preference format)",
    "sft": "the best response of a task: `prompt` and `completion` are message lists (TRL's prompt-completion format)",
    "hh-rlhf": "a pair: `chosen` and `rejected` are whole transcripts with Human and Assistant turns",
    "llama-factory": "a pair in LLaMA-Factory's sharegpt layout; `dataset_info.json` names the files",
    "parquet": "a pair: `prompt`, `chosen` and `rejected` are message lists (TRL's preference format)",
}


class Told(NamedTuple):
    """What a card says of an export, counted while it was written."""

    name: str
    format: str
    splits: dict[str, int]
    """Rows of each split that has any."""
    columns: dict[str, Kind]
    sources: Mapping[str, int]
    """Rows by who stands behind them."""
    languages: Mapping[str, int]
    licences: Mapping[str, int]
    """Rows by licence; an empty text where none is stated."""
    left_out: Mapping[str, int]
    unused: Mapping[str, int]
    method: str


def card(told: Told) -> str:
    """The whole README.md."""
    return "\n".join(["---", *_header(told), "---", "", *_body(told)])


def _header(told: Told) -> list[str]:
    ending = "parquet" if told.format == "parquet" else "jsonl"
    lines = [f"pretty_name: {_quoted(told.name)}"]
    lines += _licence(told.licences)
    codes = sorted({code for language in told.languages if (code := _code(language))})
    lines += ["language:", *(f"- {_quoted(code)}" for code in codes)] if codes else []
    lines += ["size_categories:", f"- {_size(sum(told.splits.values()))}", "task_categories:", "- text-generation"]
    lines += ["tags:", *(f"- {tag}" for tag in _TAGS.get(told.format, _TAGS["trl"]))]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in told.splits:
        lines += [f"  - split: {split}", f"    path: data/{split}.{ending}"]
    return lines + features(told.columns)


def features(columns: Mapping[str, Kind]) -> list[str]:
    """The columns' types as YAML lines."""
    lines = ["dataset_info:", "  config_name: default", "  features:"]
    for name, kind in columns.items():
        lines.append(f"  - name: {name}")
        if isinstance(kind, str):
            lines.append(f"    dtype: {kind}")
        elif isinstance(kind[1], str):
            lines.append(f"    {kind[0]}: {kind[1]}")
        else:
            lines.append(f"    {kind[0]}:")
            for inner, dtype in kind[1]:
                lines += [f"    - name: {inner}", f"      dtype: {dtype}"]
    return lines


def _body(told: Told) -> list[str]:
    rows = _ROWS.get(told.format, _ROWS["trl"])
    lines = [f"# {_cell(told.name)}", "", f"Each row is {rows}.", ""]
    lines += _table("split", "rows", told.splits)
    lines += _table("judged by", "rows", told.sources)
    lines += _table("licence", "rows", {name or "not stated": n for name, n in told.licences.items()})
    lines += _table("language", "rows", {name or "not stated": n for name, n in told.languages.items()})
    if told.left_out:
        lines += ["Left out (`audit/left_out.jsonl` names each):", ""]
        lines += _table("reason", "times", told.left_out)
    if told.unused:
        lines += ["Judgments not counted (`audit/judgments_unused.jsonl`):", ""]
        lines += _table("reason", "judgments", told.unused)
    lines += ["How a probability was made:", "", f"    {one_line(told.method, 1000)}", ""]
    lines += ["`source` is who stands behind a row: `human`, `model`, `rule`, or `both` people and others.", ""]
    lines += ["Written by Concord. `manifest.json` has the hash of every file,"]
    return [*lines, "`audit/` what stands behind each row; `python -m curate.verify DIR` checks them all.", ""]


def _table(what: str, count: str, rows: Mapping[str, int]) -> list[str]:
    lines = [f"| {what} | {count} |", "|---|---|"]
    return [*lines, *(f"| {_cell(name)} | {n:,} |" for name, n in rows.items()), ""]


def _cell(text: str) -> str:
    """Text of the data's own, harmless in a table."""
    return re.sub(r"([\\|`*_<>\[\]#])", r"\\\1", one_line(text, 200))


def _quoted(text: str) -> str:
    """YAML's double-quoted spelling; JSON's is one."""
    return canonical(one_line(text, 200)).decode()


def _code(language: str) -> str:
    """The language's own code, without script and region; empty when it is none."""
    first = re.split(r"[-_]", language.strip().lower())[0]
    return first if re.fullmatch(r"[a-z]{2,3}", first) else ""


def _licence(licences: Mapping[str, int]) -> list[str]:
    """The Hub's words for licences: their identifiers in small letters; `unknown` where a row states none."""
    names = sorted({re.sub(r"[^a-z0-9.+-]+", "-", name.strip().lower()).strip("-") or "unknown" for name in licences})
    if len(names) == 1:
        return [f"license: {_quoted(names[0])}"]
    return ["license:", *(f"- {_quoted(name)}" for name in names)] if names else []


def _size(rows: int) -> str:
    low = ""
    for name, most in _SIZES:
        if rows < most:
            return f"{low}<n<{name}" if low else f"n<{name}"
        low = name
    return f"n>{low}"
