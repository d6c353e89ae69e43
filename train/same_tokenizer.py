"""A tokenizer copied byte for byte beside a model, and the proof that it still is the same."""

import json
import shutil
from pathlib import Path
from typing import Any

from data.errors import CheckFailed
from data.records import digest
from train.finding import Found
from train.tokens import template_hash

_NAMES = ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja")


def tokenizer_hash(tokenizer: Any) -> str:
    """sha256 over all that decides which tokens a dialogue becomes: words, rules, special tokens, template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {}
    for state in ("padding", "truncation"):  # of the last call, and no part of which tokens a text becomes
        rules.pop(state, None)
    words = sorted(tokenizer.get_vocab().items())
    special = [[key, str(value)] for key, value in sorted(tokenizer.special_tokens_map.items())]
    return digest([words, json.dumps(rules, sort_keys=True), special, template_hash(tokenizer)])


def copy_tokenizer(found: Found, tokenizer: Any, to: Path) -> str:
    """Copy the files of a model's tokenizer and template, read them back, and compare.

    Args:
        tokenizer: as `train.loading.load_tokenizer` gives it; written by itself where its files are on the Hub.

    Returns:
        The hash that both have.

    Raises:
        CheckFailed: the copy makes other tokens.
    """
    from train.loading import load_tokenizer

    own = found.adapter is not None and (found.adapter / "tokenizer_config.json").is_file()
    source = found.adapter if own and found.adapter else Path(found.base)
    to.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.is_file() and (path.name in _NAMES or path.name.startswith("tokenizer") or path.suffix == ".model"):
                shutil.copyfile(path, to / path.name)
        if (source / "additional_chat_templates").is_dir():
            shutil.copytree(source / "additional_chat_templates", to / "additional_chat_templates")
    else:
        tokenizer.save_pretrained(to)
    was, now = tokenizer_hash(tokenizer), tokenizer_hash(load_tokenizer(str(to)))
    if was != now:
        raise CheckFailed(f"the tokenizer in {to} is not the one of {source}; nothing was kept")
    return now
