"""Run and evaluation folders as the trainers and train.evaluate leave them, with cases drawn at will."""

from pathlib import Path
from typing import Any

import numpy as np

from data.folder import write_folder
from data.manifest import read_manifest

Case = dict[str, Any]


def make_run(workspace: Path, name: str, seed: int = 0, *, replace: bool = False) -> Path:
    """A run's folder; another seed gives another digest."""
    out = workspace / "runs" / name
    with write_folder(out, "dpo run", {"task": "dpo", "seed": seed}, replace=replace) as folder:
        folder.write_text("model/adapter_config.json", "{}\n")
        folder.write("data/held_out.jsonl", [{"id": "row", "chosen": seed, "rejected": 0}])
    return out


def make_evaluation(workspace: Path, name: str, of: Path, cases: list[Case], **config: Any) -> Path:
    """An evaluation of a run as it is now."""
    out = workspace / "evaluations" / name
    settings = {
        "run": {"digest": read_manifest(of).digest, "fingerprint": "f" * 64},
        "seeds": [0],
        "template": "t" * 64,
        **config,
    }
    with write_folder(out, "evaluation", settings) as folder:
        folder.write("data/cases.jsonl", cases)
    return out


def drawn(
    measure: str, families: int, rate: float, *, of: int = 1, against: float | None = None, seed: int = 0
) -> list[Case]:
    """Cases of yes and no, `of` in each family, with exactly this rate; every second family is Chinese.

    Args:
        against: the reference's rate, on the same cases.
    """
    rng = np.random.default_rng(seed)
    many = families * of
    values = rng.permutation(np.arange(many) < round(rate * many)).astype(float)
    others = None if against is None else rng.permutation(np.arange(many) < round(against * many)).astype(float)
    return [
        {
            "measure": measure,
            "id": f"{measure}-{seed}-{i}",
            "cluster": f"family-{seed}-{i // of}",
            "value": float(values[i]),
            "against": None if others is None else float(others[i]),
            "tags": {"language": "zh" if (i // of) % 2 else "en"},
        }
        for i in range(many)
    ]


def contract_of(path: Path, *clauses: dict[str, Any]) -> Path:
    """A contract file; JSON is YAML."""
    import json

    path.write_text(json.dumps(list(clauses), ensure_ascii=False), encoding="utf-8")
    return path


CHANCE = {"clause": "better than chance", "measure": "accuracy", "threshold": 0.5, "direction": "at_least"}
