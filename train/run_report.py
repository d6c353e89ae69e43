"""What a training run leaves for people: report.html and the model card (README.md).

    from train.run_report import write_pages

    write_pages(folder, story)      # folder: data.folder.Folder, before it is sealed; story: train.run_story.RunStory

The page is complete in itself, in English and Chinese, for screen, dark screen, phone and paper (data/report.py).
Everything in it that is data is escaped, and cut where it is long.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from shlex import quote
from typing import Any

from markupsafe import Markup

from data.folder import Folder
from data.report import (
    NOT_STATED,
    Words,
    breakdown,
    code,
    contents,
    data,
    grid,
    keys,
    note,
    number,
    page,
    paragraph,
    percent,
    say,
    section,
    table,
)
from train import run_words as words
from train.model_card import model_card
from train.run_figures import COSTS, GIB, charts, ends, points
from train.run_results import held_figure, results
from train.run_samples import typed, worst_parts
from train.run_story import RunStory, base_name, place_of

SHOWN_LOST = 12


def write_pages(folder: Folder, story: RunStory) -> None:
    """Write report.html and README.md into a run's folder, before it is sealed."""
    folder.write_text(
        "report.html", run_page(story, {name for name, _ in words.FILES_LISTED if (folder.path / name).exists()})
    )
    folder.write_text("README.md", model_card(story))


def run_page(story: RunStory, files: Set[str] = frozenset()) -> str:
    """The page's text.

    Args:
        files: names of FILES_LISTED that are there, to be linked to; those that are not are named alone.
    """
    parts: list[tuple[str, Words, list[Markup]]] = [
        ("warnings", words.WARNINGS, _warnings(story)),
        ("results", words.RESULTS, results(story)),
        ("curves", words.CURVES, _curves(story)),
        ("worst", words.WORST, worst_parts(story)),
        ("preflight", words.PREFLIGHT, _lost(story)),
        ("cost", words.COST, _cost(story)),
        ("data", words.DATA, _data(story)),
        ("again", words.REPEAT, _again(story)),
        ("files", words.FILES, _files(story, files)),
    ]
    there = [(key, title, body) for key, title, body in parts if any(body)]
    lead = _lead(story) + contents((key, title) for key, title, _ in there)
    body = [section(key, title, *made) for key, title, made in there]
    return page(words.TITLE, body, lead=lead, what=f"Concord · {story.task}", name=story.name)


def _lead(story: RunStory) -> Markup:
    task = words.TASK.get(story.task)
    steps = max((int(row.get("step") or 0) for row in story.metrics), default=0)
    said = paragraph(
        words.LEAD,
        task=say(task) if task else data(story.task),
        base=code(base_name(story.base)),
        export=code(story.export),
        rows=story.rows.get("train", 0),
        steps=steps,
        method=code(story.method),
    )
    if story.resumed:
        said += paragraph(words.RESUMED, "soft", n=story.resumed)
    return said + keys(_figures(story, steps))


def _figures(story: RunStory, steps: int) -> Iterator[tuple[Words, Any, Markup | None]]:
    yield held_figure(story)
    losses = points(story.metrics, "loss", "train")
    if losses:
        first, last = ends(losses)
        yield words.LAST_LOSS, number(last), say(words.FIRST_WAS, first=number(first))
    per_step = say(words.PER_STEP, s=number(story.seconds / steps, 2)) if steps else None
    yield words.DURATION, duration(story.seconds), per_step
    memory = points(story.metrics, "memory_bytes", "train")
    if memory:
        most = max(y for _, y in memory)
        yield (
            words.MOST_MEMORY,
            f"{most:.1f} GiB" if most >= 1 else f"{most * 1024:.0f} MiB",
            say(words.ON, device=story.device),
        )
    if story.trainable:
        whole = say(words.OF_ALL, share=percent(story.trainable / story.parameters), all=shortly(story.parameters))
        yield words.PARAMETERS, shortly(story.trainable), whole if story.parameters else None
    if story.looked.get("rows"):
        yield words.LOST, int(lost_count(story)), say(words.OF_LOOKED, n=story.looked["rows"])


def _warnings(story: RunStory) -> list[Markup]:
    if not story.warnings:
        return [note("good", paragraph(words.NO_WARNING))]
    return [
        note(
            "block" if one.get("name") == "loss_not_finite" else "warn",
            Markup("<p><b>{}</b> · {}</p>").format(
                say(words.NAMES[one["name"]]) if one.get("name") in words.NAMES else data(one.get("name")),
                say(words.AT_STEP, n=int(one.get("step") or 0)),
            ),
            # Ours, but from a file by now; braces in it are no places to fill.
            Markup('<p><span lang="en">{}</span><span lang="zh">{}</span></p>').format(
                data(one.get("en") or "", 600), data(one.get("zh") or "", 600)
            ),
        )
        for one in story.warnings
    ]


def _curves(story: RunStory) -> list[Markup]:
    drawn = charts(story.metrics)
    return [paragraph(words.CURVES_ABOUT, "soft"), grid(*drawn)] if drawn else []


def lost_count(story: RunStory) -> int:
    """Rows that training did not see whole."""
    looked = story.looked
    if not looked.get("rows"):
        return len(story.lost)
    return int(looked["rows"]) - int(looked.get("kept", looked["rows"]))


def _lost(story: RunStory) -> list[Markup]:
    total, lost = int(story.looked.get("rows") or 0), lost_count(story)
    if not total:
        return []
    if not lost:
        return [note("good", paragraph(words.NOTHING_LOST, n=total))]
    counts = {say(words.FATES[fate]): int(story.looked.get(fate.replace(" ", "_")) or 0) for fate in words.FATES}
    rows = [
        [
            data(one.get("id")),
            data(one.get("split")),
            say(words.FATES[one["fate"]]) if one.get("fate") in words.FATES else data(one.get("fate")),
            data(one.get("why"), 160),
            f"{one.get('prompt_tokens', 0):,} / {one.get('chosen_tokens', 0):,} / {one.get('rejected_tokens', 0):,}",
        ]
        for one in story.lost[:SHOWN_LOST]
    ]
    columns = [words.ROW, words.SPLIT_COLUMN, words.FATE, words.WHY, words.TOKENS]
    more = max(0, lost - len(rows))
    return [
        note("warn", paragraph(words.SOME_LOST, lost=lost, n=total, share=percent(lost / total))),
        breakdown(words.FATE, words.ROWS, {name: n for name, n in counts.items() if n}),
        table(columns, rows, more=more, where="audit/preflight.jsonl"),
    ]


def _cost(story: RunStory) -> list[Markup]:
    return [grid(*charts(story.metrics, COSTS)), _estimate(story.estimate)]


def _estimate(rows: Sequence[Mapping[str, Any]]) -> Markup:
    lines = []
    for row in rows:
        for unit, spell in (("bytes", _size), ("seconds", duration)):
            said, used = row.get(f"predicted_{unit}"), row.get(f"used_{unit}")
            if said is None and used is None:
                continue
            off = f"{said / used - 1:+.1%}".replace("-", "−") if said is not None and used else None
            name = row.get("part")
            part = say(words.PARTS[name]) if name in words.PARTS else data(name)
            lines.append([part, *(None if x is None else spell(x) for x in (said, used)), off])
    if not lines:
        return Markup()
    columns = [words.PART, words.BEFORE, words.USED, words.OFF]
    return table(columns, lines, title=words.PREDICTED) + paragraph(words.ESTIMATE_ABOUT, "soft")


def _data(story: RunStory) -> list[Markup]:
    parts = [
        breakdown(words.SPLITS, words.ROWS, _worded(story.rows, words.SPLIT)),
        breakdown(words.LICENCE, words.ROWS, _worded(story.licences, {"none stated": NOT_STATED})),
        breakdown(words.SOURCE, words.ROWS, _worded(story.sources, words.JUDGES)),
        breakdown(words.LANGUAGE, words.ROWS, story.languages),
    ]
    return [grid(*parts)] if any(parts) else []


def _worded(counts: Mapping[str, int], known: Mapping[str, Words]) -> dict[Any, int]:
    return {say(known[name]) if name in known else name: n for name, n in counts.items()}


def _again(story: RunStory) -> list[Markup]:
    flat = sorted(_flat(story.config))
    settings = table([words.SETTING, words.VALUE], [[code(key), data(value)] for key, value in flat])
    return [
        typed(story.command),
        paragraph(words.REPEAT_ABOUT, "soft"),
        paragraph(words.NEXT),
        *(typed(line) for line in next_steps(story)),
        Markup("<details><summary>{}</summary>{}</details>").format(say(words.SETTINGS), settings)
        if flat
        else Markup(),
    ]


def next_steps(story: RunStory) -> list[str]:
    """Lines to type after a run: measure it against what it began from, then let the gate decide."""
    run = quote(place_of(story))
    return [
        f"python -m train.evaluate {run} --against {quote(story.base)}",
        f"python -m train.gate {run} --contract CONTRACT",
    ]


def _flat(config: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _files(story: RunStory, files: Set[str]) -> list[Markup]:
    listed = [
        [
            Markup('<a href="{0}">{0}</a>').format(name)
            if name in {*files, "README.md", "manifest.json"}
            else code(name),
            say(about),
        ]
        for name, about in words.FILES_LISTED
    ]
    hashes = [[data(name), code(value)] for name, value in {**story.digests, **story.versions}.items()]
    return [
        table([words.FILE, words.HOLDS], listed),
        table([words.WHAT, words.VALUE], hashes, title=words.HASHES),
    ]


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def shortly(n: int) -> str:
    """A count of parameters: 8.03 B, 41.9 M, 1,024."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**4, "K")):
        if n >= size:
            return f"{n / (1000 if letter == 'K' else size):.3g} {letter}"
    return f"{n:,}"


def _size(count: float) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"
