"""The tour's report: what it shows, what was recovered beside the truth, every stage, one pair's way."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data import plots
from data.report import (
    Axes,
    Words,
    between,
    code,
    command,
    data,
    figure,
    grid,
    keys,
    level_mark,
    number,
    page,
    paragraph,
    percent,
    say,
    section,
    table,
)
from tour.chain import Followed
from tour.pair_way import way
from tour.proof import Claim, Near, Seed
from tour.stages import Stage
from tour.words import CLAIMS, COUNTED, OUTCOMES, SPELT, STAGES, SUMMED

SHOWN = Words("shown", "已证明")
COMMA = Words(", ", "，")
SHARES = {"preferences", "reward"}
"""Claims whose figures are shares."""


def report(
    followed: Sequence[Followed],
    seeds: Sequence[Seed],
    shown: Sequence[Claim],
    seconds: float,
    before: Mapping[str, str],
    other: Sequence[str],
) -> str:
    """The page.

    Args:
        before: the digests of the tour before, by seed and stage; empty where there was none.
        other: those of them that are not the same now.
    """
    first = followed[0]
    top = first.desk.place.parent
    return page(
        Words("The tour", "全程演示"),
        [
            section("claims", Words("What it shows", "它证明了什么"), _claims(shown)),
            section("truth", Words("Beside the truth", "与真值对照"), _beside(seeds)),
            section("stages", Words("Stage by stage", "逐步来看"), _stages(first, top)),
            section("pair", Words("One pair, from its seed to the adapter", "一个偏好对：从种子到适配器"), way(first)),
            section("seeds", Words("Every seed", "各个种子"), _seeds(followed, seeds, top)),
            section("next", Words("Look around", "四处看看"), _next(first)),
        ],
        lead=_lead(followed, shown, seconds, before, other),
        what="Concord · tour",
    )


def _lead(
    followed: Sequence[Followed],
    shown: Sequence[Claim],
    seconds: float,
    before: Mapping[str, str],
    other: Sequence[str],
) -> Markup:
    stages = sum(len(one.desk.stages) for one in followed)
    held = sum(claim.held for claim in shown)
    same = Words("–", "–") if not before else Words("yes", "是") if not other else Words("{n} differ", "{n} 个不同")
    told = paragraph(
        Words(
            "From seed tasks to an adapter that a gate decided on, through every room's own commands and the labelling "
            "page's own routes. The models that answer and the people are made up, so that what the chain recovers can "
            "be held beside the truth. The people's skill is known.",
            "从种子任务到经门禁判定的适配器，全程使用各房间自己的命令与标注页面自己的接口。作答的模型与标注者是模拟的，"
            "因此链条恢复出的结果可以与真值对照。标注者的能力是已知的。",
        )
    )
    if len(followed) > 1:
        bad = Words("{n} seeds; the last seed's people hardly look.", "共 {n} 个种子；最后一个种子的标注者敷衍了事。")
        told += paragraph(bad, n=len(followed))
    return told + keys(
        [
            (SHOWN, f"{held} / {len(shown)}", None),
            (Words("stages", "步骤"), stages, None),
            (Words("minutes", "分钟"), f"{seconds / 60:.1f}", None),
            (Words("same digests as before", "摘要值与上次相同"), say(same, n=len(other)), None),
        ]
    )


def _claims(shown: Sequence[Claim]) -> Markup:
    rows = []
    for claim in shown:
        title, told = CLAIMS[claim.key]
        mark = level_mark("good", SHOWN) if claim.held else level_mark("block", Words("not shown", "未证明"))
        rows.append([mark, say(title), say(told, **_spelt(claim))])
    return table([Words("", ""), Words("claim", "论断"), Words("seen", "所见")], rows)


def _spelt(claim: Claim) -> dict[str, Any]:
    spell = percent if claim.key in SHARES else number
    made: dict[str, Any] = {}
    for name, value in claim.figures.items():
        if isinstance(value, list):
            made[name] = say(COMMA).join(say(OUTCOMES[one]) for one in value if one) or "–"
        else:
            made[name] = spell(value) if isinstance(value, float) else value
    return made


def _beside(seeds: Sequence[Seed]) -> Markup:
    first = seeds[0].annotators
    of_people = figure(
        "reliability",
        Words("Reliability, estimate minus truth, first seed", "可靠程度：估计减真值（第一个种子）"),
        plots.spans([_error(one) for one in first], rule=0.0),
        Axes(Words("probability of naming the better answer", "选出更好回答的概率"), None),
        say(Words("Each annotator's error with its 95 % interval.", "每位标注者的误差及其 95% 区间。")),
        behind=_near_table(first),
    )
    alphas = [seed.alpha._replace(name=f"seed {seed.seed}") for seed in seeds]
    of_alpha = figure(
        "alpha",
        Words("Alpha, estimate minus truth", "alpha：估计减真值"),
        plots.spans([_error(one) for one in alphas], rule=0.0),
        Axes(Words("Krippendorff's alpha", "Krippendorff α"), None),
        say(Words("What the people's skills imply, against what was measured.", "由能力推得的值与测得的值。")),
        behind=_near_table(alphas),
    )
    columns = (
        *(Words("seed", "种子"), Words("chosen is truly the worse", "chosen 其实更差"), Words("foretold", "预言")),
        *(Words("reward model right", "奖励模型判对"), Words("of", "共"), Words("gate", "门禁")),
    )
    rows = [
        [
            seed.seed,
            f"{percent(seed.preferences.rate)} ({between(seed.preferences.low, seed.preferences.high, percent)})",
            percent(seed.foretold),
            f"{percent(seed.reward.rate)} ({between(seed.reward.low, seed.reward.high, percent)})",
            int(seed.reward.n),
            say(OUTCOMES[seed.gate]) if seed.gate else "–",
        ]
        for seed in seeds
    ]
    return grid(of_people, of_alpha) + table(columns, rows)


def _error(one: Near) -> plots.Span:
    low, high = (end - one.truth if math.isfinite(end) else None for end in (one.low, one.high))
    return plots.Span(one.name, one.value - one.truth, low, high, 0 if one.holds else 1)


def _near_table(near: Sequence[Near]) -> Markup:
    columns = (Words("", ""), Words("truth", "真值"), Words("estimate", "估计"), Words("95 % interval", "95% 区间"))
    return table(columns, [[one.name, one.truth, one.value, between(one.low, one.high)] for one in near])


def _stages(first: Followed, top: Path) -> Markup:
    columns = (
        *(Words("stage", "步骤"), Words("command", "命令"), Words("seen", "所见")),
        *(Words("seconds", "秒"), Words("folder", "文件夹")),
    )
    rows = [
        [say(STAGES[stage.key]), _line(stage), _seen(stage), f"{stage.seconds:.1f}", link(stage.folder, top)]
        for stage in first.desk.stages
    ]
    slow = sorted(first.desk.stages, key=lambda stage: -stage.seconds)[:10]
    drawn = figure(
        "seconds",
        Words("Where the time went", "时间花在哪里"),
        plots.bars({stage.key: round(stage.seconds, 1) for stage in slow}),
        Axes(Words("seconds", "秒"), None),
        say(Words("The ten longest stages of the first seed.", "第一个种子最长的十步。")),
    )
    return drawn + table(columns, rows)


def _line(stage: Stage) -> Markup:
    return code(stage.line.removeprefix("python -m ").split(" ")[0]) if stage.line else Markup("–")


def _seen(stage: Stage) -> Markup:
    """The counts of a stage's summary that say most."""
    told = []
    for name, words in COUNTED.items():
        value = stage.summary.get(name)
        if name in SUMMED and isinstance(value, Mapping):
            value = sum(value.values())
        if name == "decision" and value in OUTCOMES:
            told.append(say(OUTCOMES[value]))
        elif (isinstance(value, int | float) and value) or (isinstance(value, str) and name in SPELT):
            told.append(say(words, n=value))
    return say(COMMA).join(told[:4]) or Markup("–")


def link(folder: Path | None, top: Path) -> Markup:
    """A link to a folder's report where it has one, else to the folder, from the tour's page."""
    if folder is None or not folder.exists():
        return Markup("–")
    page_there = folder / "report.html"
    to = os.path.relpath(page_there if page_there.is_file() else folder, top)
    return Markup('<a href="{}">{}</a>').format(to, data(os.path.relpath(folder, top)))


def _seeds(followed: Sequence[Followed], seeds: Sequence[Seed], top: Path) -> Markup:
    columns = (
        *(Words("seed", "种子"), Words("people", "标注者"), Words("stages", "步骤"), Words("seconds", "秒")),
        *(Words("export", "导出"), Words("reward model", "奖励模型")),
    )
    rows = []
    for one, seed in zip(followed, seeds, strict=True):
        crew = Words("who hardly look", "敷衍的") if seed.bad else Words("of known skill", "能力已知的")
        seconds = sum(stage.seconds for stage in one.desk.stages)
        place = one.desk.place
        folders = (place / "exports" / "answers", place / "runs" / "reward")
        rows.append([seed.seed, say(crew), len(one.desk.stages), round(seconds), *(link(to, top) for to in folders)])
    return table(columns, rows)


def _next(first: Followed) -> Markup:
    place = first.desk.place
    return paragraph(
        Words(
            "The first seed's store, with its people, its projects and the model's new answers:",
            "第一个种子的存储，里面有标注者、项目，以及模型的新回答：",
        )
    ) + Markup("").join(
        command(line)
        for line in (
            f"python -m annotate.status --store {first.desk.store}",
            f"python -m annotate.people relink Lead --store {first.desk.store}",
            f"python -m annotate.serve --store {first.desk.store}",
            f"python -m curate.trace ID --store {first.desk.store} --workspace {place}",
        )
    )
