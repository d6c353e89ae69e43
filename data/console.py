"""The one program that installing Concord puts on the PATH: `concord ROOM COMMAND ...`.

    concord annotate serve --port 7860

The same as `python -m annotate.serve --port 7860`, but for the working folder: Python looks for modules there
first when it is started with -m, so a `data.py` or `train.py` of one's own would be taken for a room.
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from data.command import commands, list_commands, purpose
from data.errors import NotThere, exit_status, nearest
from data.version import version

ROOMS = {
    "annotate": "asks a person",
    "datagen": "asks a model",
    "curate": "computes over many records",
    "train": "touches weights",
}


def main() -> int:
    """Run the command that was typed; the exit status is its own."""
    return exit_status(lambda: run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run `ROOM COMMAND ...`, or list what there is.

    Raises:
        NotThere: no such room, or no such command in it.
    """
    room, command = (*words[:2], "", "")[:2]
    if room == "--version":
        print(f"concord {version()}")
        return 0
    if room in ("", "-h", "--help"):
        print("concord ROOM COMMAND ...   runs python -m ROOM.COMMAND ...; concord ROOM lists its commands")
        for name, trade in ROOMS.items():
            print(f"  {name:10}{trade}")
        print("concord --version          says which version this is")
        return 0
    if room not in ROOMS:
        raise NotThere(f"'{room}' is no room of Concord{nearest(room, ROOMS) or '; try concord --help'}")
    if command in ("", "-h", "--help"):
        sys.argv = [room]
        return list_commands(room)
    name = command.replace("-", "_")
    spec = find_spec(f"{room}.{name}") if name.isidentifier() else None
    if spec is None or spec.origin is None or name.startswith("_") or purpose(Path(spec.origin)) is None:
        hint = nearest(name, commands(room)) or f"; try concord {room}"
        raise NotThere(f"'{command}' is no command of {room}{hint}")
    sys.argv = [f"{room}.{name}", *words[2:]]
    runpy.run_module(f"{room}.{name}", run_name="__main__", alter_sys=True)
    return 0
