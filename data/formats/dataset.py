"""A dataset folder or a dataset of the Hub by name, as a stream of rows.

The rows are then recognised by their columns like those of any file. A dataset that needs the name of a
configuration takes it after a colon: owner/name:configuration. Nothing is downloaded whole and no code
of a dataset is run. A row without an id gets a key made of the dataset's name, the split and the row's
number, since a stream has no bytes to hash; a folder goes by its own name, wherever it lies.
"""

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import BadInput, NotThere
from data.formats.files import ENDINGS, Item, Source
from data.records import digest

NAME = "dataset"
LINE = "a dataset folder, or owner/name[:configuration] on the Hub; its rows may be in any of the layouts above"
HUB = re.compile(r"[\w-]+/[\w.-]+(:[\w.-]+)?")


def is_dataset(path: str) -> bool:
    """Whether this is a folder, or no file here but a name the Hub could have."""
    here = Path(path)
    if here.exists():
        return here.is_dir()
    return bool(HUB.fullmatch(path)) and not here.parent.exists() and here.suffix not in (*ENDINGS, ".gz")


def open_dataset(path: str, split: str) -> Source:
    """The rows of one split; NotThere when there is no such dataset, BadInput when it has no such split."""
    folder = Path(path).resolve() if Path(path).is_dir() else None
    name = folder.name if folder else path
    stream = _stream(path, folder, split)
    stamp = digest(["dataset", name, split])[:12]
    return Source(f"{name} ({split})", path, "row", True, partial(_items, stream, path), lambda: stamp)


def _stream(path: str, folder: Path | None, split: str) -> Any:
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are no news to the user,
    logging.getLogger("datasets").setLevel(logging.CRITICAL)  # and what it logs of a fault we say ourselves
    name, _, configuration = (path, "", "") if folder else path.partition(":")
    try:
        if folder and ((folder / "state.json").exists() or (folder / "dataset_dict.json").exists()):
            saved = datasets.load_from_disk(str(folder))
            return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(
            str(folder) if folder else name, configuration or None, split=split, streaming=True
        )
    except Exception as error:  # whatever this library raises becomes one line at its door
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, KeyError) or "Unknown split" in str(error) or "Bad split" in str(error):
            raise BadInput(f"{path} has no split '{split}' ({what}); name another with --split") from None
        if folder:
            raise BadInput(f"the folder {path} is no dataset: {what}") from None
        raise NotThere(
            f"{path} is no file or folder here, and the dataset of that name cannot be reached ({what}); "
            "check the name and the network, or give files"
        ) from None


def _items(stream: Any, path: str) -> Iterator[Item]:
    number = 0
    try:
        for value in stream:
            number += 1
            yield Item(number, value)
    except Exception as error:  # a file inside cannot be decoded: the library gives no row after it
        what = f"{type(error).__name__}: {error}"
        raise BadInput(f"{path}, after row {number}: the dataset cannot be read on ({what})") from None
