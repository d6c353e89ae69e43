"""Values as people give them: a YAML file's, and KEY=VALUE on the command line over them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.errors import BadInput, NotThere, nearest, one_line


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; an empty mapping where it is empty.

    Raises:
        NotThere: no such file.
        BadInput: it is no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; the ones that come along lie in train/configs") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {one_line(str(error), 200)}") from None


def put(values: dict[str, Any], text: str, record: type[BaseModel]) -> Iterator[str]:
    """Put one KEY=VALUE among the values; tells what is wrong with it."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        yield f"--set '{one_line(text, 60)}' is no KEY=VALUE"
        return
    try:
        read = number(yaml.safe_load(value))
    except yaml.YAMLError:
        yield f"--set {key}: '{one_line(value, 60)}' cannot be read"
        return
    head, dot, rest = key.partition(".")
    if not dot:
        values[head] = read
        return
    inner = values.get(head)
    if head not in record.model_fields or not isinstance(inner, (dict, type(None))):
        yield f"--set {key}: '{head}' has no keys of its own{nearest(head, record.model_fields)}"
        return
    values[head] = {**(inner or {}), rest: read}


def number(value: Any) -> Any:
    """YAML 1.1 reads 1e-5 as text; nobody means that."""
    if isinstance(value, str):
        try:
            return float(value) if any(c.isdigit() for c in value) else value
        except ValueError:
            return value
    return value


def plain(fault: Any) -> str:
    """A fault that pydantic found, in our words."""
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "literal_error" and isinstance(fault["input"], str):
        known = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        given = one_line(fault["input"], 40)
        return f"{key}: '{given}' is none of {', '.join(known)}{nearest(given, known)}"
    return f"{key}: {one_line(repr(fault['input']), 40)}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
