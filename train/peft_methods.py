"""Other methods of PEFT by configuration: their keys checked against the library that is installed."""

from collections.abc import Iterator, Mapping
from typing import Any

from data.errors import nearest, one_line
from train.finding import quiet

_OURS = ("task_type", "base_model_name_or_path", "inference_mode")
_NOT_HERE = {
    "ADALORA": "moves its ranks by calls that no trainer here makes",
    "ADAPTION_PROMPT": "keeps its own attention, which gives no log-probabilities here",
    "MULTITASK_PROMPT_TUNING": "wants a task's number in each row, which an export does not have",
    "POLY": "wants a task's number in each row, which an export does not have",
    "XLORA": "mixes adapters that must be there already",
}
"""Methods that cannot be trained on preferences, and why."""


def peft_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the key `peft`, by the installed PEFT's own configuration; no weight is loaded."""
    quiet()
    import dataclasses

    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = str(given.get("peft_type") or "")
    if name.upper() not in kinds:
        told = (
            f"'{one_line(name, 40)}' is none of {', '.join(sorted(kinds))}" if name else "needed, such as IA3 or LOHA"
        )
        yield f"peft.peft_type: {told}{nearest(name.upper(), kinds)}"
        return
    if name.upper() in _NOT_HERE:
        yield f"peft.peft_type: {name.upper()} {_NOT_HERE[name.upper()]}; take lora, or another of PEFT's"
        return
    known = {field.name for field in dataclasses.fields(kinds[name.upper()])} - {*_OURS, "peft_type"}
    unknown = [key for key in given if key != "peft_type" and key not in known]
    for key in unknown:
        yield f"'peft.{one_line(str(key), 60)}' is no key of {name.upper()}{nearest(str(key), known)}"
    if not unknown:
        try:
            peft_config(given, "CAUSAL_LM")
        except (TypeError, ValueError, KeyError, ImportError) as error:
            yield f"peft: {one_line(str(error), 200)}"


def peft_config(given: Mapping[str, Any], task_type: str) -> Any:
    """PEFT's configuration from `peft_type` and its own keys; task_type is PEFT's name of what the model does."""
    from peft.mapping import get_peft_config

    return get_peft_config({**given, "peft_type": str(given["peft_type"]).upper(), "task_type": task_type})
