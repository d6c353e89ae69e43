"""docs/benchmarks.md and docs/benchmarks.zh.md, from what lies in bench/results.

    python -m bench.told

One table a room: what, sizes, figure, what to reach, ratio to the peer in the same run, least, median and greatest of
what was repeated, form and date. Nothing is measured here; a measurement without a result is "not run".
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.listed import ENTRIES, Entry

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
ROOMS = ("annotate", "datagen", "curate", "train")
SIZES = (
    *("tasks", "people", "overlap", "operations", "kills", "clients", "rows", "votes", "comparisons", "rounds"),
    *("units", "coders", "requests", "concurrency", "judgments", "pairs", "sims", "simulations", "seeds", "choices"),
    *("built", "million", "claims_each", "slots", "servers", "every_s", "processes", "repeats", "changes"),
    *("memory_asked_mb", "allowed_per_second"),
)
"""What counts as a size where a result does not keep the values of its flags."""


class Words(NamedTuple):
    """The page's own words in one language; figures stand as the measurements print them."""

    path: str
    title: str
    lead: str
    rooms: dict[str, str]
    head: tuple[str, ...]
    forms: tuple[str, str]  # full, short
    reached: tuple[str, str]
    unknown: str
    not_run: str
    machines: str
    cores: str
    versions: str
    load: str
    seconds: str
    marks: tuple[str, str, str]  # between parts: comma, semicolon, colon


PEERS_ZH = {
    "the better rival": "两个对手中较好的",
    "TRL, prompts shared": "TRL（共享提示）",
    "aiohttp, 0 ms": "aiohttp，0 毫秒",
    "aiohttp, 200 ms": "aiohttp，200 毫秒",
    "default, 0 ms": "默认传输，0 毫秒",
    "default, 200 ms": "默认传输，200 毫秒",
    "import Gradio": "导入 Gradio",
    "majority": "多数票",
}
"""What a ratio is to, where it is no name."""
ENGLISH = Words(
    "docs/benchmarks.md",
    "Benchmarks",
    """Written by `python -m bench.told` from the files of `bench/results/`; `make bench` measures the short forms in
under 30 minutes and writes this page anew. Figures stand as the measurements print them. A ratio is to the peer in the
same run, above 1 where ours is the better one; a dash where there is no peer, or none was installed
(`python -m bench.peers all`). Least, median and greatest are of what one run repeated, in the unit of the key
(`_ms` milliseconds; a dash in a place that an older result does not keep). How each is measured:
[Measurements](../bench/README.md).
中文版：[benchmarks.zh.md](benchmarks.zh.md)""",
    {
        "annotate": "Asking people (`annotate/`)",
        "datagen": "Asking models (`datagen/`)",
        "curate": "Many records (`curate/`)",
        "train": "Weights (`train/`)",
    },
    ("what", "sizes", "figure", "reach", "ratio to the peer", "min / median / max", "form, date"),
    ("full", "short"),
    ("reached", "**not reached**"),
    "date not kept",
    "**not run**",
    "Machine",
    "cores",
    "Versions, as of",
    "load",
    "s",
    (", ", "; ", ": "),
)
CHINESE = Words(
    "docs/benchmarks.zh.md",
    "测量结果",
    """由 `python -m bench.told` 根据 `bench/results/` 中的文件写成；`make bench` 在 30 分钟内测量短形式并重写本页。
结果一栏是测量程序打印的原文。比值相对于同场运行的对手，大于 1 表示我们更好；没有对手或未安装对手
（`python -m bench.peers all`）时为短横。最小、中位、最大取自一次运行中的重复值，单位见键名（`_ms` 为毫秒；
较早的结果没有保留之处为短横）。如何测量：
[测量](../bench/README.md)。
English: [benchmarks.md](benchmarks.md)""",
    {
        "annotate": "问人（`annotate/`）",
        "datagen": "问模型（`datagen/`）",
        "curate": "大量记录（`curate/`）",
        "train": "权重（`train/`）",
    },
    ("测什么", "规模", "结果", "目标", "与对手之比", "最小 / 中位 / 最大", "形式、日期"),
    ("完整", "短"),
    ("达到", "**未达到**"),
    "未保留日期",
    "**未运行**",
    "机器",
    "核",
    "版本，记于",
    "负载",
    "秒",
    ("，", "；", "："),
)


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that lie in a folder, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def at(found: Any, path: str) -> Any:
    """What a path leads to, a list for a path with "*"; None where it leads nowhere."""
    first, _, rest = path.partition(".")
    if first == "*":
        return [at(one, rest) for one in found] if isinstance(found, list) else None
    inner = found.get(first) if isinstance(found, dict) else None
    return at(inner, rest) if rest else inner


def number(value: Any) -> str:
    """A number as the page shows it: three figures, thousands apart."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratios(entry: Entry, found: dict[str, Any], words: Words) -> str:
    """The entry's ratios that the result has."""
    told = []
    for peer, path in entry.ratios:
        above, _, below = path.partition(" / ")
        value, divisor = at(found, above), at(found, below) if below else 1
        if value is None or not divisor:
            continue
        values = value if isinstance(value, list) else [value / divisor]
        named = PEERS_ZH.get(peer, peer) if words is CHINESE else peer
        told.append(f"{named}: {', '.join(map(number, values))} ×")
    return "; ".join(told)


def times(entry: Entry, found: dict[str, Any]) -> str:
    """Least, median and greatest of what the result repeats."""
    told = []
    for path in entry.times:
        value = at(found, path)
        if isinstance(value, list) and value:
            ends: tuple[Any, ...] = (min(value), median(value), max(value))
        elif isinstance(value, dict):
            ends = (value.get("min"), value.get("median", value.get("p50")), value.get("max"))
        else:
            continue
        told.append(f"`{path}` {' / '.join(map(number, ends))}")
    return "; ".join(told)


def sizes(found: dict[str, Any]) -> str:
    """The values of the flags; of an older result, what it keeps under a size's name."""
    flags = found.get("run", {}).get("sizes")
    if flags is None:
        flags = {name: value for name, value in found.items() if name in SIZES and isinstance(value, int)}
    told = []
    for name, value in flags.items():
        if value is False or name in ("seed", "peers", "label_studio", "potato", "real", "keep"):
            continue
        many = value if isinstance(value, list) else [value]
        said = " ".join(number(one) if isinstance(one, (int, float)) else str(one) for one in many)
        told.append(name if value is True else f"{name} {said}")
    return ", ".join(told).replace("_", " ")


def cell(text: str) -> str:
    """A text inside a table: no bar, no line, no markup of its own."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or "–"


def row(entry: Entry, found: dict[str, Any] | None, form: str, words: Words, again: bool = False) -> str:
    """One line of a table; what is measured stands in the first of a measurement's lines alone."""
    what, reach = (entry.what_zh, entry.reach_zh) if words is CHINESE else (entry.what, entry.reach)
    start = f"| `{entry.name}` {'' if again else cell(what) + ' '}"
    if found is None:
        return f"{start}| – | {words.not_run} | {cell(reach)} | – | – | – |"
    comma, semicolon, _ = words.marks
    if found["ok"] is not None:
        reach += semicolon + words.reached[not found["ok"]]
    run = found.get("run", {})
    when = form + comma + run.get("date", words.unknown)
    if run:
        load = f"{words.load} {run['load']['start']}–{run['load']['end']}"
        when += f"{semicolon}{number(run['seconds'])} {words.seconds}{comma}{load}"
    middle = (sizes(found), found["figure"], reach, ratios(entry, found, words), times(entry, found), when)
    return f"{start}| {' | '.join(map(cell, middle))} |"


def rows(
    entry: Entry, full: dict[str, dict[str, Any]], short: dict[str, dict[str, Any]], words: Words
) -> Iterator[str]:
    """The lines of a measurement: full, short, or the one that says it was not run."""
    for results, form in ((full, words.forms[0]), (short, words.forms[1])):
        if entry.name in results:
            again = results is short and entry.name in full
            yield row(entry, results[entry.name], form, words, again)
    if entry.name not in full and entry.name not in short:
        yield row(entry, None, "", words)


def machine(found: dict[str, Any], words: Words) -> str:
    """The machine of a result in a line."""
    here = found["machine"]
    parts = (f"{here['cores']} {words.cores}", here["processor"], here["system"], f"Python {here['python']}")
    return words.marks[0].join(parts)


def page(words: Words, full: dict[str, dict[str, Any]], short: dict[str, dict[str, Any]]) -> str:
    """The whole page in one language."""
    every = [*full.values(), *short.values()]
    lines = [f"# {words.title}", "", words.lead, ""]
    comma, _, colon = words.marks
    lines += [f"- {words.machines}{colon}{one}" for one in dict.fromkeys(machine(found, words) for found in every)]
    runs = [one["run"] for one in every if "run" in one]
    if runs:
        last = max(runs, key=lambda run: str(run["date"]))
        versions = comma.join(f"{name} {one}" for name, one in last["versions"].items())
        lines.append(f"- {words.versions} {last['date']}{colon}{versions}")
    for room in ROOMS:
        lines += ["", f"## {words.rooms[room]}", "", f"| {' | '.join(words.head)} |", "|---" * len(words.head) + "|"]
        for entry in ENTRIES:
            if entry.room == room:
                lines += rows(entry, full, short, words)
    return "\n".join(lines) + "\n"


def pages(results: Path = RESULTS) -> dict[str, str]:
    """Both pages by their path in the repository."""
    full, short = kept(results), kept(results / "short")
    return {words.path: page(words, full, short) for words in (ENGLISH, CHINESE)}


def main() -> int:
    """Write both."""
    for path, text in pages().items():
        (ROOT / path).write_text(text, "utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
