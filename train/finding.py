"""Where a model's name leads, and what the model is as one hash; no weight is loaded, and nothing heavy imported.

A name is a base model's folder, an adapter's, a run's, or OWNER/NAME on the Hub.
"""

import hashlib
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data.errors import BadInput, NotThere, Refused, one_line
from data.manifest import MANIFEST, Manifest, read_manifest
from data.records import digest

TOKENIZER = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
ADAPTER = "adapter_config.json"
SHARDS = "model.safetensors.index.json"
Kind = Literal["causal", "reward"]
"""A model that answers, or one that scores."""


def quiet() -> None:
    """Before the libraries are imported: no telemetry, no progress bars, no tokenizer threads."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # kernels that a CPU has no use for
    # What the libraries tell each other of their next versions is nothing to people.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|accelerate)\b")
    # Of learnt prompts: places are counted from the first token as it is, and TRL's copy of them is taken away.
    warnings.filterwarnings("ignore", message="Position ids are not supported for parameter efficient tuning")
    warnings.filterwarnings("ignore", message="Adapter name 'ref' should not be contained")


def check_folder(model: str, file: str, lacking: str) -> None:
    """Refuse a name that is no folder and no name on the Hub, and a folder without this file.

    Raises:
        NotThere: in one line.
    """
    path = Path(model)
    if path.is_dir() and not (path / file).is_file():
        raise NotThere(f"{model} has {lacking} ({file} is missing); name a folder that save_pretrained wrote")
    if not path.exists() and (path.is_absolute() or model.startswith(".") or model.count("/") != 1):
        raise NotThere(f"{model} is not there; name a model's folder, or OWNER/NAME on the Hub")


def check_tokenizer(found: "Found", name: str) -> None:
    """Refuse a folder without tokenizer or chat template by its files alone, before any library is imported.

    Raises:
        NotThere, BadInput: in one line.
    """
    own = found.adapter if found.adapter and (found.adapter / TOKENIZER).is_file() else Path(found.base)
    check_folder(str(own), TOKENIZER, "no tokenizer")
    if not own.is_dir() or any((own / file).exists() for file in TEMPLATES):
        return
    if not _object(own / TOKENIZER).get("chat_template"):
        raise BadInput(no_template(name))


def check_weights(found: "Found") -> None:
    """Refuse a folder without a model's configuration, or whose weights are missing or cut off, by headers and sizes.

    Raises:
        NotThere, BadInput: in one line.
    """
    for place in (found.adapter, Path(found.base)):
        if place is None or not place.is_dir():  # a name on the Hub
            continue
        files = sorted(path for path in place.iterdir() if path.suffix in (".safetensors", ".bin"))
        if not files:
            raise NotThere(f"{place} has no weights (no .safetensors or .bin in it); copy or download it again")
        for path in files:
            if path.suffix == ".safetensors" and not _whole(path):
                raise BadInput(f"{path} is cut off or no safetensors file; copy or download it again")
        if place == found.adapter:
            continue
        if not _object(place / "config.json").get("model_type"):
            raise BadInput(f"{place / 'config.json'} names no model_type; take the folder as it was saved")
        if not (place / SHARDS).is_file():
            continue
        named = _object(place / SHARDS).get("weight_map")
        shards = set(map(str, named.values())) if isinstance(named, dict) else set()
        if gone := sorted(name for name in shards if not (place / name).is_file()):
            raise NotThere(f"{place} lacks {one_line(gone[0], 80)}, which {SHARDS} names; copy or download it again")


def _whole(path: Path) -> bool:
    """Whether a safetensors file has all the bytes that its header speaks of."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = int.from_bytes(file.read(8), "little")
            if not 0 < head <= size - 8:
                return False
            tensors = json.loads(file.read(head))
        end = max((one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, AttributeError, KeyError, IndexError, TypeError):
        return False
    return bool(size == 8 + head + end)


def _object(path: Path) -> dict[str, Any]:
    """A model's own JSON file.

    Raises:
        BadInput: it cannot be read, or holds no object.
    """
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        read = None
    if not isinstance(read, dict):
        raise BadInput(f"{path} cannot be read as JSON; take the folder as it was saved")
    return read


def no_template(name: str) -> str:
    """What is said of a model without a chat template."""
    return f"{name} has no chat template; take an instruct model, or put chat_template.jinja into its folder"


def unreadable(model: str, error: Exception) -> Exception:
    """A library's complaint about a model as one line."""
    text = one_line(str(error), 200).rstrip(".")
    if Path(model).exists():
        return BadInput(f"{model} cannot be read as a model: {text}; take the folder as it was saved")
    return NotThere(f"{model} is no folder, and the Hub did not give it: {text}")


class Found(NamedTuple):
    """Where a name leads: a base alone, or a base and an adapter on it."""

    folder: Path | None
    """The folder with weights and tokenizer; None for a name on the Hub."""
    base: str
    """A folder or a name on the Hub; of a full model, its own folder."""
    adapter: Path | None
    manifest: Manifest | None
    """Of the run, where the name is one's."""

    @property
    def four_bit(self) -> bool:
        """Whether the run was trained on a base in 4 bits."""
        settings = self.manifest.config.get("settings") if self.manifest else None
        return isinstance(settings, dict) and settings.get("method") == "qlora"


def find_model(name: str) -> Found:
    """Follow a name to its folder and its base, reading no weight.

    Args:
        name: a model's folder, an adapter's, a run's (its model/ is taken), or OWNER/NAME on the Hub.

    Raises:
        NotThere: no such folder, no configuration in it, or the adapter's base is gone.
        BadInput: the adapter's configuration cannot be read.
    """
    path = Path(name)
    if not path.is_dir():
        check_folder(name, "config.json", "no configuration")
        return Found(None, name, None, None)
    run = _run_of(path)
    folder = path / "model" if run and (path / "model").is_dir() else path
    if (folder / ADAPTER).is_file():
        return Found(folder, _base_of(folder, run), folder, run)
    check_folder(str(folder), "config.json", "no configuration")
    return Found(folder, str(folder), None, run)


def _run_of(path: Path) -> Manifest | None:
    """The manifest of the run that a folder is, or is the model/ of."""
    for place in (path, path.parent) if path.resolve().name == "model" else (path,):
        if (place / MANIFEST).is_file():
            manifest = read_manifest(place)
            if manifest.what.endswith(" run"):
                return manifest
    return None


def _base_of(folder: Path, run: Manifest | None) -> str:
    """The base of an adapter: as its configuration names it, from its own folder, or as the run was given it."""
    try:
        named = json.loads((folder / ADAPTER).read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        raise BadInput(f"{folder / ADAPTER} cannot be read; take the adapter's folder as it was saved") from None
    tried = [str(one) for one in (named, run.inputs.get("base") if run else None) if one]
    for one in tried:
        for place in (folder.resolve() / one, Path(one)):
            if (place / "config.json").is_file():
                return str(place.resolve())
    for one in tried:
        if not Path(one).is_absolute() and not one.startswith(".") and one.count("/") == 1:
            return one
    names = one_line(" or ".join(tried), 200) or "nothing"
    raise NotThere(f"the base of {folder} is gone: it names {names}; put it there again, or merge from a copy")


def check_base(found: Found, name: str) -> None:
    """Refuse an adapter whose base is not the one it was trained on.

    Raises:
        Refused: the base's weights, configuration or tokenizer have changed since the run.
    """
    was = found.manifest.config.get("base") if found.manifest and found.adapter else None
    if isinstance(was, str) and not was.startswith("hub:") and Path(found.base).is_dir():
        now = fingerprint(found.base)
        if now != was:
            raise Refused(
                f"{name} was trained on another base than lies at {found.base} now "
                f"({was[:12]}, not {now[:12]}); put the former one there again"
            )


def fingerprint(name: str) -> str:
    """What a model is, as one hash: weights, configuration, tokenizer and template, of adapter and base.

    Returns:
        sha256 in hex for a folder; `hub:OWNER/NAME@COMMIT` for a name on the Hub. Where an adapter's base lies is
        no part of it; what the base is, is.
    """
    found = find_model(name)
    if found.folder is None:
        return f"hub:{name}@{_commit(name)}"
    parts = [[path.name, _hash(path)] for path in sorted(found.folder.iterdir()) if _counts(path)]
    if found.adapter:
        parts.append(["base", fingerprint(found.base)])
    return digest(parts)


def _counts(path: Path) -> bool:
    name = path.name
    if name.endswith((".safetensors", ".bin", ".model", ".jinja", ".pt")):
        return path.is_file()
    known = ("config.json", "generation_config.json", "vocab.json", "merges.txt", "added_tokens.json", ADAPTER)
    return path.is_file() and (
        name in known or name.startswith("tokenizer") or name.endswith(("tokens_map.json", ".safetensors.index.json"))
    )


def _hash(path: Path) -> str:
    if path.name == ADAPTER:
        kept = json.loads(path.read_text("utf-8"))
        kept.pop("base_model_name_or_path", None)
        return digest(kept)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _commit(name: str) -> str:
    """The commit that the Hub's name stands for here."""
    quiet()
    from transformers import AutoConfig

    try:
        commit = getattr(AutoConfig.from_pretrained(name), "_commit_hash", None)
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(name, error) from None
    return str(commit or "unknown")


def kind_of(found: Found) -> Kind:
    """Whether a model answers or scores, by its files; a name on the Hub is held to answer.

    Raises:
        BadInput: its configuration cannot be read.
    """
    if found.folder is None:
        return "causal"
    read = _object(found.folder / (ADAPTER if found.adapter else "config.json"))
    heads = [str(one) for one in read.get("architectures") or ()]
    scores = read.get("task_type") == "SEQ_CLS" or any(one.endswith("ForSequenceClassification") for one in heads)
    return "reward" if scores else "causal"
