"""What every command shares: its flags, its summary, its progress, and a room's list of commands.

    from data.command import add_json, add_store, finish, parser

    args = parser(__doc__, "python -m curate.export")
    add_store(args)

Nothing heavy is imported here, so that `--help` answers at once; rich comes only when a
terminal is there to draw on.
"""

import argparse
import ast
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, TextIO

from data.errors import BadInput, NotThere, exit_status, nearest, one_line

QUIET_S = 2.0  # seconds of work before a progress bar appears


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and a hint for a misspelt flag or word."""

    _given: Sequence[str] = ()

    def __init__(self, *args: Any, **more: Any) -> None:
        """As argparse does; a shortened flag is a misspelt one, in sub-commands too."""
        super().__init__(*args, **{"allow_abbrev": False, **more})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, keeping what was typed so that an error can speak of it."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """One line on stderr and status 2; a flag nobody knows is named before anything that misses."""
        stray = self._stray_flag()
        if stray:
            message = f"{stray} is no flag of {self.prog}" + (nearest(stray, self._flags()) or "; try --help")
        else:
            message = _plainer(message, self)
        print(f"error: {one_line(message)}", file=sys.stderr)
        raise SystemExit(2)

    def _flags(self) -> list[str]:
        """Every flag of this command, and of its sub-commands."""
        known: list[str] = []
        for action in self._actions:
            known += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for sub in action.choices.values():
                    known += sub._flags()
        return known

    def _stray_flag(self) -> str | None:
        known = set(self._flags())
        for word in self._given:
            if word == "--":
                return None
            flag = word.split("=", 1)[0]
            if flag.startswith("--") and flag not in known:
                return flag
        return None


def _plainer(message: str, parser: Parser) -> str:
    """argparse's message in our words, with a hint where a word is close to a known one."""
    for action in parser._actions:
        for word in parser._given:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            if action.choices and message.startswith(f"argument {name}: invalid choice: {word!r}"):
                known = [str(choice) for choice in action.choices]
                return f"{name}: '{word}' is none of {', '.join(known)}{nearest(word, known)}"
    needed = message.removeprefix("the following arguments are required: ")
    if needed != message:
        return f"needed: {needed}; try --help"
    stray = message.removeprefix("unrecognized arguments: ")
    if stray != message:
        return f"'{stray}' is one word too many for {parser.prog}; try --help"
    return message


def parser(doc: str | None, prog: str) -> Parser:
    """A parser whose help is the command's docstring.

    Args:
        doc: the module's __doc__.
        prog: what one types, such as "python -m curate.export".
    """
    made = Parser(
        prog=prog,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action=_Version, nargs=0, help="say which version of Concord this is, and end")
    return made


class _Version(argparse.Action):
    """Reads the version when it is asked for, and not before."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from data.version import version

        print(f"concord {version()}")
        parser.exit()


def add_workspace(to: argparse.ArgumentParser) -> None:
    """--workspace DIR, else CONCORD_WORKSPACE, else ./workspace; `args.workspace` is a Path."""
    if to.get_default("workspace") is None:
        to.add_argument(
            "--workspace",
            type=Path,
            metavar="DIR",
            default=Path(os.environ.get("CONCORD_WORKSPACE") or "workspace"),
            help="folder of the store and of what runs write (CONCORD_WORKSPACE; default: workspace)",
        )


def add_store(to: argparse.ArgumentParser) -> None:
    """--store URL (read it with `store_url`), and --workspace, on which its default depends."""
    add_workspace(to)
    to.add_argument(
        "--store",
        metavar="URL",
        help="sqlite:///path or postgresql://user@host/name (CONCORD_STORE; default: concord.db in the workspace)",
    )


def add_json(to: argparse.ArgumentParser) -> None:
    """--json: print the summary for programs."""
    to.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def share(flag: str, text: str, most: float = 1.0) -> float:
    """What was typed after a flag, as a share from 0 to `most`; BadInput, which names the flag, for anything else."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise BadInput(f"{flag} is '{text[:40]}'; it is a number from 0 to {most:g}, such as {most / 10:g}")
    return found


def store_url(args: argparse.Namespace) -> str:
    """The store a command was told to open: --store, else CONCORD_STORE, else SQLite in the workspace."""
    from data.store import default_url

    return args.store or default_url(args.workspace)


def finish(summary: Mapping[str, Any], as_json: bool = False) -> None:
    """Print what a run did on stdout: a line for each thing, or one JSON object.

    Args:
        summary: names (snake_case) to values; paths, numbers, text, lists and small mappings.
    """
    if as_json:
        print(json.dumps(dict(summary), ensure_ascii=False, default=str))
        return
    width = max((len(name) for name in summary), default=0)
    for name, value in summary.items():
        label = name.replace("_", " ").ljust(width)
        shown = _shown(value)
        if shown:
            _write_line(label, shown)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_shown(inner)} {str(name).replace('_', ' ')}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else one_line(str(value), 1000)


def _write_line(label: str, shown: str) -> None:
    if not sys.stdout.isatty():
        print(f"{label}  {shown}")
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(Text.assemble((label, "dim"), f"  {shown}"), soft_wrap=True)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Count work on a terminal; gives a function to call with how much more is done.

    A bar appears on stderr after two seconds, and never where stderr is no terminal.

        with progress("reading tasks", total=252) as step:
            for task in tasks:
                step(1)
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    bar = _Bar(what, total, sys.stderr)
    try:
        yield bar.step
    finally:
        bar.close()


class _Bar:
    """A rich progress bar that is not even imported before the work has taken two seconds."""

    def __init__(self, what: str, total: int | None, to: TextIO) -> None:
        self.what, self.total, self.to = what, total, to
        self.done, self.began = 0, time.monotonic()
        self.rich: Any = None
        self.row: Any = None

    def step(self, done: int) -> None:
        self.done += done
        if self.rich is None and time.monotonic() - self.began >= QUIET_S:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.rich = Progress(*columns, console=Console(file=self.to), transient=True)
            self.rich.start()
            self.row = self.rich.add_task(self.what, total=self.total)
        if self.rich is not None:
            self.rich.update(self.row, completed=self.done)

    def close(self) -> None:
        if self.rich is not None:
            self.rich.stop()


def list_commands(package: str) -> int:
    """Print a room's commands, a line each; what `python -m ROOM` does. Returns the exit status."""
    return exit_status(lambda: _front_door(package, sys.argv[1:]))


def _front_door(package: str, words: Sequence[str]) -> int:
    found = commands(package)
    if words and words[0] not in ("-h", "--help"):
        word = words[0]
        if word in found:
            raise NotThere(f"a command is a module: type python -m {package}.{word}")
        raise NotThere(f"'{word}' is no command of {package}{nearest(word, found) or f'; try python -m {package}'}")
    width = max((len(name) for name in found), default=0)
    for name, purpose in found.items():
        print(f"python -m {package}.{name.ljust(width)}  {purpose}")
    return 0


def commands(package: str) -> dict[str, str]:
    """A room's commands and what each is for, read from their source without importing them.

    A command is a module with an `if __name__ == "__main__":` at its end; its purpose is the
    first line of its docstring that is not the line one would type.
    """
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("[!_]*.py"))
    return {path.stem: told for path in files if (told := purpose(path)) is not None}


def purpose(path: Path) -> str | None:
    """What a command's file says it is for; None for a module that is no command."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body):
        return None
    lines = [line.strip() for line in (ast.get_docstring(tree) or "").splitlines()]
    return next((x for x in lines if x and not x.startswith("python -m")), "")
