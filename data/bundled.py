"""Files that come along, by the name that the documentation gives them, wherever Concord is installed.

    bundled("data/sample/contract.yaml")

The working folder wins: a file of one's own under that name is the one that is read.
"""

from pathlib import Path

FOLDERS = ("data/sample", "train/configs", "datagen/prompts")
_ROOMS = Path(__file__).resolve().parents[1]


def bundled(named: str | Path) -> Path:
    """The path as named; where nothing lies there and it names a file of `FOLDERS`, that file.

    Meant as the `type` of a flag: it raises nothing, and who opens the path says what is missing.
    """
    path = Path(named)
    ours = _ROOMS / path
    known = any(path.is_relative_to(folder) for folder in FOLDERS) and ".." not in path.parts
    return ours if known and not path.exists() and ours.is_file() else path
