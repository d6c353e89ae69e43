"""A run and its evaluation, only where every byte is as it was written and the one is of the other."""

from pathlib import Path
from typing import NamedTuple

from data.errors import BadInput, CheckFailed, ConcordError, NotThere
from data.manifest import Manifest, read_manifest, verify_folder


class Verified(NamedTuple):
    """A folder that is as it was written."""

    folder: Path
    manifest: Manifest


def verified_run(run: Path) -> Verified:
    """A run's folder, verified; a link is followed.

    Raises:
        NotThere: no folder, or no manifest in it.
        BadInput: it is no run.
        CheckFailed: it is not as it was written.
    """
    found = _verified(run.resolve() if run.is_symlink() else run, "a run")
    if not found.manifest.what.endswith(" run"):
        raise BadInput(
            f"{run} holds '{found.manifest.what}', no run; name a folder that train.sft, reward, dpo or kto wrote"
        )
    return found


def verified_evaluation(evaluation: Path | None, run: Verified, workspace: Path) -> Verified:
    """The evaluation that was named, or the newest of this very run, verified.

    Raises:
        NotThere: there is none of this run.
        BadInput: it is no evaluation, or one of another run.
        CheckFailed: it is not as it was written.
    """
    found = _verified(evaluation or _newest(run, workspace), "an evaluation")
    manifest = found.manifest
    if manifest.what != "evaluation":
        raise BadInput(
            f"{found.folder} holds '{manifest.what}', no evaluation; name a folder that train.evaluate wrote"
        )
    if _of(manifest) != run.manifest.digest:
        raise BadInput(
            f"{found.folder} is the evaluation of another run than {run.folder} as it is now;"
            f" type python -m train.evaluate {run.folder}"
        )
    return found


def _verified(folder: Path, kind: str) -> Verified:
    manifest = read_manifest(folder)
    faults = verify_folder(folder)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CheckFailed(f"{folder} is not {kind} as it was written: {faults[0]}{more}; make it again")
    return Verified(folder, manifest)


def _of(evaluation: Manifest) -> str | None:
    """The digest of the run that an evaluation is of; None where it is of a model that no run made."""
    run = evaluation.config.get("run")
    digest = run.get("digest") if isinstance(run, dict) else run
    return digest if isinstance(digest, str) else None


def _newest(run: Verified, workspace: Path) -> Path:
    """The newest evaluation of a run, by the time its manifest tells."""
    place = workspace / "evaluations"
    found: list[tuple[str, str]] = []
    for folder in place.iterdir() if place.is_dir() else []:
        if folder.name.startswith(".") or not (folder / "manifest.json").is_file():
            continue
        try:
            manifest = read_manifest(folder)
        except ConcordError:
            continue
        if manifest.what == "evaluation" and _of(manifest) == run.manifest.digest:
            found.append((str(manifest.run.get("time", "")), folder.name))
    if not found:
        raise NotThere(
            f"no evaluation of {run.folder} is in {place}; type python -m train.evaluate {run.folder}, or name one"
            " by --evaluation"
        )
    return place / max(found)[1]
