"""Criteria of rating tasks, from a file or the bundled ones."""

from pathlib import Path

from data.errors import BadInput, NotThere
from data.jsonl import explain
from data.records import Criterion

BUNDLED = Path(__file__).parent / "sample" / "criteria.yaml"


def read_criteria(path: Path | None = None) -> tuple[Criterion, ...]:
    """The criteria a YAML or JSON file lists; without a file, the bundled ones.

    Raises:
        NotThere: there is no such file.
        BadInput: it cannot be read, or one of its criteria is none.
    """
    import yaml

    path = path or BUNDLED
    try:
        listed = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(listed, list) or not listed:
        raise BadInput(f"{path} holds no list of criteria; each has a key, a name by language, and anchors")
    criteria = []
    for number, entry in enumerate(listed, 1):
        try:
            criteria.append(Criterion.model_validate(entry))
        except ValueError as error:
            raise BadInput(f"{path}, criterion {number}: {explain(error)}") from None
    return tuple(criteria)
