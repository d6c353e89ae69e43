"""What every command shares: one-line errors, summaries for people and programs, a room's front door."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data import command
from data.command import add_json, add_store, add_workspace, commands, finish, parser, progress, share, store_url
from data.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]


def a_parser() -> command.Parser:
    p = parser("Does a thing.\n\n    python -m room.thing FILE\n", "python -m room.thing")
    p.add_argument("file")
    p.add_argument("--kind", choices=("ranking", "ab"))
    add_store(p)
    add_json(p)
    return p


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["f", "--kidn", "ab"], "--kidn is no flag of python -m room.thing; did you mean '--kind'?"),
        (["--kidn=ab"], "--kidn is no flag of python -m room.thing; did you mean '--kind'?"),
        (["f", "--zzzzzz"], "--zzzzzz is no flag of python -m room.thing; try --help"),
        (["f", "--kind", "rankin"], "--kind: 'rankin' is none of ranking, ab; did you mean 'ranking'?"),
        ([], "needed: file; try --help"),
        (["f", "g"], "'g' is one word too many for python -m room.thing; try --help"),
        (["f", "--kin", "ab"], "--kin is no flag of python -m room.thing; did you mean '--kind'?"),
    ],
)
def test_a_wrong_flag_or_word_is_one_line_and_status_2(typed: list[str], says: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        a_parser().parse_args(typed)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {says}\n"


def test_a_flag_of_a_sub_command_is_known(capsys: Any) -> None:
    p = parser("x", "python -m room.people")
    sub = p.add_subparsers(dest="action", required=True)
    sub.add_parser("add").add_argument("--role")
    assert p.parse_args(["add", "--role", "admin"]).role == "admin"
    for typed, says in (
        (["add", "--rol", "admin"], "--rol is no flag of python -m room.people; did you mean '--role'?"),
        (["ad"], "'ad' is none of add; did you mean 'add'?"),
    ):
        with pytest.raises(SystemExit):
            p.parse_args(typed)
        assert says in capsys.readouterr().err


def test_words_after_two_dashes_are_no_flags() -> None:
    assert a_parser().parse_args(["--", "--kidn"]).file == "--kidn"


def test_help_is_the_docstring(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        a_parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert "    python -m room.thing FILE" in capsys.readouterr().out


def test_flag_goes_before_environment_and_environment_before_the_workspace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONCORD_STORE", "sqlite:///from/env.db")
    assert store_url(a_parser().parse_args(["f", "--store", "sqlite:///typed.db"])) == "sqlite:///typed.db"
    assert store_url(a_parser().parse_args(["f"])) == "sqlite:///from/env.db"
    monkeypatch.delenv("CONCORD_STORE")
    monkeypatch.setenv("CONCORD_WORKSPACE", "/w")
    assert store_url(a_parser().parse_args(["f"])) == "sqlite:////w/concord.db"
    assert store_url(a_parser().parse_args(["f", "--workspace", "v"])) == "sqlite:///v/concord.db"
    monkeypatch.delenv("CONCORD_WORKSPACE")
    assert store_url(a_parser().parse_args(["f"])) == "sqlite:///workspace/concord.db"


def test_the_workspace_can_be_asked_for_twice() -> None:
    p = a_parser()
    add_workspace(p)
    assert p.parse_args(["f", "--workspace", "w"]).workspace == Path("w")


@pytest.mark.parametrize("typed", ["", "some", "nan", "-0.1", "1.01", "inf", "1,0"])
def test_a_share_that_is_none_is_named_with_its_flag(typed: str) -> None:
    with pytest.raises(BadInput, match=r"^--part is '.*'; it is a number from 0 to 1, such as 0\.1$"):
        share("--part", typed)
    assert [share("--part", one) for one in ("0", "0.25", "1")] == [0, 0.25, 1]
    with pytest.raises(BadInput, match=r"from 0 to 0\.05"):
        share("--alpha", "0.06", most=0.05)


def test_a_summary_is_a_line_each_or_one_object(capsys: Any) -> None:
    summary = {
        "pairs": 12345,
        "left_out": {"tie": 2, "no judgments": 1},
        "none": {},
        "path": Path("a/b"),
        "ok": True,
    }
    finish(summary)
    assert capsys.readouterr().out.splitlines() == [
        "pairs     12,345",
        "left out  2 tie, 1 no judgments",
        "path      a/b",
        "ok        yes",
    ]
    finish(summary, True)
    assert json.loads(capsys.readouterr().out) == {**summary, "path": "a/b"}


def test_hostile_text_in_a_summary_stays_on_its_line(capsys: Any) -> None:
    finish({"name": "a\n\x1b[31mred\r"})
    assert capsys.readouterr().out == "name  a [31mred\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_silent_where_nobody_looks_and_when_the_work_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr("sys.stderr", stream)
        with progress("reading", total=2) as step:
            step(1)
            step(1)
        assert stream.getvalue() == ""


def test_progress_shows_a_bar_on_a_terminal_once_the_work_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(command, "QUIET_S", 0.0)
    with progress("reading", total=2) as step:
        step(1)
    assert "reading" in terminal.getvalue()


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "aroom").mkdir()
    main = '\n\nif __name__ == "__main__":\n    raise SystemExit(0)\n'
    files = {
        "__init__.py": "",
        "__main__.py": "from data.command import list_commands\n\nraise SystemExit(list_commands('aroom'))\n",
        "load.py": f'"""python -m aroom.load FILE\n\nReads a file.\n"""\nimport nothing_of_that_name{main}',
        "status.py": f'"""Tells how things stand.\n\n    python -m aroom.status\n"""{main}',
        "inside.py": '"""No command."""\n',
    }
    for name, source in files.items():
        (tmp_path / "aroom" / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_room_lists_its_commands_without_importing_them(room: Path) -> None:
    assert commands("aroom") == {"load": "Reads a file.", "status": "Tells how things stand."}


@pytest.mark.parametrize(
    ("word", "status", "says"),
    [
        ([], 0, "python -m aroom.load    Reads a file.\npython -m aroom.status  Tells how things stand.\n"),
        (
            ["--help"],
            0,
            "python -m aroom.load    Reads a file.\npython -m aroom.status  Tells how things stand.\n",
        ),
        (["load"], 2, "error: a command is a module: type python -m aroom.load\n"),
        (["statsu"], 2, "error: 'statsu' is no command of aroom; did you mean 'status'?\n"),
    ],
)
def test_the_front_door_answers_in_lines(room: Path, word: list[str], status: int, says: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "aroom", *word],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{room}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout + run.stderr) == (status, says)


@pytest.mark.parametrize("name", ["curate.export", "curate.verify"])
def test_help_imports_nothing_heavy(name: str) -> None:
    heavy = ("sqlalchemy", "pydantic", "duckdb", "datasets", "pandas", "numpy", "gradio", "torch", "rich")
    code = (
        f"import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{name}', run_name='__main__')\n"
        f"except SystemExit as end: assert end.code == 0\n"
        f"sys.stderr.write(' '.join(m for m in {heavy} if m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("name", ["annotate.status", "curate.export", "datagen.judge", "train.tiny"])
def test_a_python_without_our_packages_is_told_to_activate_in_one_line(name: str) -> None:
    """What one meets who forgot to activate .venv and typed python3: no traceback, and what to type."""
    run = subprocess.run([sys.executable, "-S", "-m", name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode
    (line,) = run.stderr.splitlines()
    assert "`source .venv/bin/activate`" in line
    assert "`make demo`" in line
