"""Which version of Concord this is; pyproject.toml is the one place that says it."""

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

NAME = "concord-preferences"
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def version(pyproject: Path = PYPROJECT) -> str:
    """The version of the code that runs, such as "0.2.0".

    A checkout is asked before what is installed: an editable install keeps the number of the day it was made.

    Args:
        pyproject: the file beside the rooms, where there is one.

    Returns:
        "unknown" where there is neither a checkout of ours nor an installed distribution.
    """
    try:
        project = tomllib.loads(pyproject.read_text("utf-8")).get("project", {})
    except (OSError, ValueError):
        project = {}
    if isinstance(project, dict) and project.get("name") == NAME:
        return str(project.get("version"))
    try:
        return installed_version(NAME)
    except PackageNotFoundError:
        return "unknown"
