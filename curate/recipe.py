"""What an export is asked for: every stage's settings in one flat YAML file, each key a flag's name.

    sources: [human, model]
    aggregate: dawid-skene
    dedup: row
    evaluation: [benchmarks/questions.jsonl]
    drop: [private_data]

Flags given beside the file win over it. Every problem of a file is told at once. What decides the rows is
curate/rules.py's `Rules`; what is only looked at, and may refuse the export, is `Checks`.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field

from curate.rules import Rules, make_rules
from data.errors import BadInput, NotThere, nearest
from data.records import Record

Format = Literal["trl", "trl-unpaired", "sft", "hh-rlhf", "llama-factory", "parquet"]
_DECIMALS = ("prior", "smoothing", "min_probability", "min_agreement", "dedup_threshold", "group_threshold")


class Checks(Record):
    """What an export looks at before it lets rows go."""

    audit: bool = True
    """Whether the audit runs; without it nothing is found, and nothing refused."""
    allow: tuple[str, ...] = ()
    """Findings of level block that shall not stop the export."""
    limits: dict[str, float] = Field(default_factory=dict)
    """From where on a finding warns (curate/auditing.py, Limits)."""
    evaluation: tuple[str, ...] = ()
    """Files whose texts must not be among the rows."""
    agreement: float = 0.8
    """Alpha that annotators should reach."""
    require_agreement: bool = False
    """Whether the export is refused unless the lower bound of alpha reaches it."""


class Recipe(NamedTuple):
    """All that an export is asked for."""

    project: str | None
    format: Format
    rules: Rules
    checks: Checks


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings of a YAML file.

    Raises:
        NotThere, BadInput: no such file, no YAML, or keys nobody knows (all of them named).
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds no settings; write one a line, such as 'aggregate: dawid-skene'")
    known = [*Rules.model_fields, *Checks.model_fields, "project", "format"]
    if strange := [str(key) for key in found if key not in known]:
        told = "; ".join(f"'{key}' is no setting{nearest(key.replace('-', '_'), known)}" for key in strange)
        raise BadInput(f"{path}: {told}")
    if isinstance(found.get("weights"), dict):
        found["weights"] = {str(k): _decimal(v) for k, v in found["weights"].items()}
    return {k: _decimal(v) if k in _DECIMALS else v for k, v in found.items() if v is not None}


def _decimal(value: Any) -> Any:
    """A YAML number as the decimal it was written as."""
    return (
        format(Decimal(repr(value)), "f") if isinstance(value, int | float) and not isinstance(value, bool) else value
    )


def make_recipe(*given: Mapping[str, Any]) -> Recipe:
    """A recipe from settings by name; a later mapping wins over a former.

    Raises:
        BadInput: a value out of range, or a name that nobody knows.
    """
    from data.jsonl import explain

    merged: dict[str, Any] = {}
    for one in given:
        merged |= {name: value for name, value in one.items() if value is not None}
    format = merged.get("format", "trl")
    if format not in get_args(Format):
        raise BadInput(
            f"--format: '{format}' is none of {', '.join(get_args(Format))}{nearest(str(format), get_args(Format))}"
        )
    rules = make_rules(**{name: merged[name] for name in Rules.model_fields if name in merged})
    try:
        checks = Checks.model_validate({name: merged[name] for name in Checks.model_fields if name in merged})
    except ValueError as error:
        raise BadInput(f"the export's checks: {explain(error)}") from None
    _check_names("--drop", rules.drop)
    _check_names("--allow", checks.allow)
    if rules.drop and not checks.audit:
        raise BadInput("--drop leaves out rows that the audit names; leave --no-audit out")
    if not -1 <= checks.agreement <= 1:
        raise BadInput(f"--agreement: {checks.agreement} is not within -1 to 1")
    project = merged.get("project")
    return Recipe(None if project is None else str(project), format, rules, checks)


def _check_names(flag: str, names: Iterable[str]) -> None:
    from curate.findings import NAMES

    for name in names:
        if name not in NAMES:
            hint = nearest(name, NAMES) or f"; there are {', '.join(NAMES)}"
            raise BadInput(f"{flag}: '{name}' is no finding{hint}")
