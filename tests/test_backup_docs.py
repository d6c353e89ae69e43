"""docs/annotating.md on backups: its command lines run as they stand, and it names every flag there is."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from made import add, load, rows

from annotate.projects import all_projects
from data import backup_series
from data.store import open_store

DOCS = {"docs/annotating.md": "## Backups\n", "docs/annotating.zh.md": "## 备份\n"}
PLACED = "postgresql://user@host/name"


def part(name: str) -> str:
    """What a page says of backups."""
    return (ROOT / name).read_text("utf-8").partition(DOCS[name])[2].partition("\n## ")[0]


def blocks(name: str, language: str) -> list[list[str]]:
    """The words of each line in its blocks, without remarks."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", part(name), re.M | re.S)
    return [shlex.split(line, comments=True) for line in "".join(found).splitlines()]


def run(words: list[str], place: Path) -> None:
    """A line as one types it in a folder, the rooms being installed."""
    assert words[:2] == ["python", "-m"]
    ended = subprocess.run(
        [sys.executable, *words[1:]], cwd=place, env=_environment(place), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), (words, ended.stderr)


def _environment(place: Path) -> dict[str, str]:
    import os

    kept = {key: value for key, value in os.environ.items() if not key.startswith("CONCORD_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def test_both_languages_give_the_same_lines() -> None:
    one, other = DOCS
    for language in ("bash", "text"):
        assert blocks(one, language) == blocks(other, language) != []
    assert part(one).count("\n- ") == part(other).count("\n- ")


@pytest.mark.parametrize("name", DOCS)
def test_every_flag_is_named_and_no_other(name: str) -> None:
    shown = ""
    for command in ("backup", "restore"):
        argv = [sys.executable, "-m", f"annotate.{command}", "--help"]
        shown += subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown)) - {"--help", "--version", "--workspace"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", part(name))) == known


def test_the_lines_run_one_after_another_and_the_one_for_cron_too(tmp_path: Path, fresh_pg: str) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/workspace/concord.db")
    load(opened, rows(2))
    add(opened, "Ana")
    opened.close()
    for words in blocks("docs/annotating.md", "bash"):
        run([fresh_pg if word == PLACED else word for word in words], tmp_path)
    (cron,) = blocks("docs/annotating.md", "text")
    begins = cron.index(".venv/bin/python")
    assert cron[:begins] == ["0", "3", "*", "*", "*", "cd", "/srv/concord", "&&"]
    words = cron[begins + 1 : cron.index(">>")]
    run(["python", *[word.replace("/srv", str(tmp_path)) for word in words]], tmp_path)
    assert len(backup_series.backups(tmp_path / "backups")) == 1
    assert len(backup_series.backups(tmp_path / "workspace/backups")) == 1
    for url in (f"sqlite:///{tmp_path}/restored/concord.db", fresh_pg):
        back = open_store(url, create=False)
        with back.read() as tx:
            assert [project.tasks for project in all_projects(tx)] == [2]
        back.close()
