"""Texts to hold two forms of a model beside each other: of an export, of prompts, or the bundled ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import NotThere
from train.exports import Answer, Pair, read_export
from train.likeness import HeldOut
from train.prompt_rows import read_prompts
from train.tokens import tokenise


class Texts(NamedTuple):
    """What is compared, and where it is from."""

    rows: list[HeldOut]
    source: str
    cut: int
    """How many were cut to the length."""


def held_texts(
    tokenizer: Any, *, data: Path | None, prompts: Sequence[Path], run: Path | None, most: int, length: int
) -> Texts:
    """At most so many texts: of `data`, else of the prompts, else of the run's own export, else bundled ones.

    Args:
        data: an export's folder; validation and test are taken, and train where there is neither.
        prompts: files of prompts; the tokens of the prompts themselves are compared.
        run: the run's folder; its export is looked for in the workspace where the run lies.
        length: most tokens of a text; the rest is cut off.

    Raises:
        NotThere, Refused, BadInput: as read_export and read_prompts do, and where no text has two tokens.
    """
    own = _export_of(run) if run and not data and not prompts else None
    folder = data or own
    if folder:
        rows, source = _of_export(tokenizer, folder, most), f"held-out rows of {folder.name}"
    elif prompts:
        rows, source = _of_prompts(tokenizer, prompts, most), ", ".join(path.name for path in prompts)
    else:
        rows, source = _bundled(tokenizer, most), "the bundled texts"
    able = [row._replace(ids=row.ids[:length]) for row in rows if row.start < min(len(row.ids), length)]
    if not able:
        raise NotThere(f"{source}: no text in which a token could be predicted; name others with --data or --prompts")
    return Texts(able, source, sum(len(row.ids) > length for row in rows))


def _export_of(run: Path) -> Path | None:
    """The export that a run was trained on, where it lies in the run's own workspace and is as it was."""
    from data.errors import ConcordError
    from data.manifest import read_manifest

    try:
        manifest = read_manifest(run)
        name = manifest.inputs.get("export")
        folder = run.resolve().parent.parent / "exports" / Path(str(name)).name
        same = name and read_manifest(folder).digest == manifest.config.get("export")
    except ConcordError:
        return None
    return folder if same else None


def _of_export(tokenizer: Any, folder: Path, most: int) -> list[HeldOut]:
    export = read_export(folder)
    groups: dict[str, Sequence[Pair | Answer]] = {**export.pairs, **export.answers}
    held = [row for split in ("validation", "test") for row in groups.get(split, [])]
    chosen = (held or list(groups["train"]))[:most]
    rows = []
    for number, made in enumerate(tokenise(chosen, tokenizer)):
        for answer in (made.chosen, made.rejected):
            if answer and not made.fault:
                pair = number if made.rejected else -1
                rows.append(HeldOut([*made.prompt, *answer], max(1, len(made.prompt)), pair))
    return rows


def _of_prompts(tokenizer: Any, paths: Sequence[Path], most: int) -> list[HeldOut]:
    from train.answering import render

    asked, _ = read_prompts(paths, "all")
    some = asked[:most]
    messages = [[m.plain() for m in one.prompt.messages] for one in some]
    found = render(tokenizer, messages, [one.prompt.tools for one in some])
    return [HeldOut(ids, 1) for ids in found if not isinstance(ids, str)]


def _bundled(tokenizer: Any, most: int) -> list[HeldOut]:
    from train.sample_text import documents

    texts = [one.messages for one in documents() if one.held_out and one.messages[-1]["role"] == "assistant"][:most]
    rows = [Answer(str(n), m[:-1], m[-1:], None, None, 1.0, "test", "", {}) for n, m in enumerate(texts)]
    return [
        HeldOut([*made.prompt, *made.chosen], max(1, len(made.prompt)))
        for made in tokenise(rows, tokenizer)
        if not made.fault
    ]
