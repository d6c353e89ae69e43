"""Warnings while a model trains, in plain words, each told once: what the metrics show, since when, and what to do.

    told = []
    for row in rows_as_they_come:
        metrics.append(row)
        told += watch(metrics, [one.name for one in told], clip=settings.max_grad_norm)

Rows are those of audit/metrics.jsonl. Pure: no clock, no random numbers, no files. A trend is one only where it is
three standard errors away from none, since this is asked again at every step; few rows say nothing.

Sources: likelihood displacement, N. Razin et al., arXiv 2410.08847; rewards that follow length, P. Singhal et al.,
arXiv 2310.03716; distance from the reference as what over-optimisation costs, L. Gao et al., arXiv 2210.10760.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

Rows = Sequence[Mapping[str, Any]]

STRETCH = 300
"""Logged steps at a long run's beginning, and as many at its end, that are looked at: it is asked at every step."""
SURE = 3.0
"""Standard errors by which two stretches of a run must differ to be called different."""
AT_ONCE = 5
"""Logged steps in a row with every pair right, within the first AT_ONCE + 3, that are too good to be true."""
LENGTH = 0.5
"""Correlation of margin and length difference from which length explains a quarter of what is learnt."""
FAR = 50.0
"""Nats by which an answer's log-probability may leave the reference's, on average."""
STILL = 3
"""Logged steps in a row without any gradient."""
CLIPPED = 0.95
"""Share of the last 20 logged steps with a gradient over the limit."""


class Warned(NamedTuple):
    """A warning, in both languages."""

    step: int
    """At which it was seen."""
    name: str
    """One of NAMES; in a run each comes once."""
    en: str
    zh: str


class _Trend(NamedTuple):
    """A figure's mean over the first and the last third of what is looked at, and their difference's standard error."""

    first: float
    last: float
    error: float

    @property
    def falls(self) -> bool:
        return self.first - self.last > SURE * self.error


def watch(rows: Rows, told: Collection[str] = (), *, clip: float | None = None) -> list[Warned]:
    """The warnings that the metrics so far give and that were not told yet.

    Args:
        rows: in the order they were logged; keys that a task does not have are left out of them.
        told: names of warnings told before.
        clip: the gradient's greatest length (`max_grad_norm`), where there is one.
    """
    if not rows:
        return []
    train = [row for row in rows if row.get("split", "train") == "train"]
    if len(train) > 2 * STRETCH:
        train = train[:STRETCH] + train[-STRETCH:]
    step = int(rows[-1].get("step") or 0)
    found = []
    for name, look in _LOOKS.items():
        if name not in told and (words := look(rows, train, clip)) is not None:
            found.append(Warned(step, name, *words))
    return found


def _not_finite(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    for row in rows:
        loss = row.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            at = int(row.get("step") or 0)
            return (
                f"The loss is no number since step {at}: what is trained from here on is lost. Stop; lower "
                "learning_rate, or take dtype bfloat16 or float32 in place of float16.",
                f"自第 {at} 步起损失不是数字：此后的训练全部作废。请停止；降低 learning_rate，"
                "或把 dtype 从 float16 换成 bfloat16 或 float32。",
            )
    return None


def _zero_gradients(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    norms = _values(train, "grad_norm")[-STILL:]
    if len(norms) < STILL or any(norm > 1e-12 for norm in norms):
        return None
    return (
        f"No gradient for {STILL} logged steps: nothing is learnt. Look whether any weight is trainable, whether "
        "4-bit layers lost their gradients after an evaluation, and whether the loss is at its end (hinge).",
        f"已连续 {STILL} 次记录没有梯度：什么也没有学到。请检查是否有可训练的权重、4 位层是否在评估之后失去了梯度、"
        "损失是否已到底（hinge）。",
    )


def _displacement(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    if not _values(train, "chosen_logp"):
        return None
    # Rewards are log-probabilities with the reference's taken off: a batch of long answers does not look like a fall.
    key = "reward" if _values(train, "chosen_reward") else "logp"
    chosen, rejected = _trend(train, f"chosen_{key}"), _trend(train, f"rejected_{key}")
    if chosen is None or rejected is None or not (chosen.falls and rejected.falls):
        return None
    if chosen.first - chosen.last < 0.1 * (rejected.first - rejected.last):
        return None
    return (
        "The log-probabilities of chosen and rejected answers both fall: the margin grows while good answers become "
        "less likely too (likelihood displacement). Lower learning_rate or raise beta, leave out pairs whose answers "
        "are nearly the same, or train on the chosen answers (sft) first.",
        "选中与落选答案的对数概率都在下降：间隔变大，好答案却也变得更不可能（似然位移）。"
        "请降低 learning_rate 或提高 beta，去掉两个答案几乎相同的样本对，或先用选中的答案做 sft。",
    )


def _right_at_once(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    early = _values(train, "accuracy")[: AT_ONCE + 3]
    run = longest = 0
    for value in early:
        run = run + 1 if value >= 1 else 0
        longest = max(longest, run)
    if longest < AT_ONCE:
        return None
    return (
        "Every pair is right almost from the first step: the pairs are trivial, or something gives the answer away "
        "(length, a marker, a model's name, the held-out rows among the training rows). Run curate.audit on the "
        "export, and read some pairs.",
        "几乎从第一步起每一对都判断正确：样本对过于简单，或有什么泄露了答案（长度、标记、模型名、训练行里混入了留出行）。"
        "请对导出运行 curate.audit，并亲自读几对。",
    )


def _follows_length(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    last = _values(train, "length_correlation")[-10:]
    mean = math.fsum(last) / len(last) if len(last) == 10 else 0.0
    if abs(mean) < LENGTH:
        return None
    way, more = ("longer", "更长") if mean > 0 else ("shorter", "更短")
    return (
        f"Rewards follow length: the {way} answer wins (correlation {mean:.2f} over the last 10 logged steps). See in "
        "the export's report how often people preferred it; balance the pairs by length, or hold the "
        "length-controlled win rate against the plain one before release.",
        f"奖励在跟随长度：{more}的答案得分高（最近 10 次记录的相关系数为 {mean:.2f}）。"
        "请在导出报告中查看人们有多常偏好它；按长度平衡样本对，或在发布前比较长度受控的胜率与普通胜率。",
    )


def _runs_away(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    last = _values(train, "kl")[-3:]
    mean = math.fsum(last) / len(last) if len(last) == 3 else 0.0
    if abs(mean) < FAR:
        return None
    return (
        f"The model is far from its reference: {abs(mean):,.0f} nats an answer on average. What it has learnt before "
        "is being lost. Lower learning_rate, raise beta, or take an earlier checkpoint.",
        f"模型已远离参考模型：平均每个答案相差 {abs(mean):,.0f} 奈特，原有能力正在丢失。"
        "请降低 learning_rate、提高 beta，或取用更早的检查点。",
    )


def _not_falling(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    losses = _values(train, "loss")
    epoch = max(_values(train, "epoch"), default=0.0)
    trend = _trend(train, "loss") if len(losses) >= 30 and (epoch >= 0.5 or len(losses) >= 200) else None
    if trend is None or trend.first - trend.last > trend.error:
        return None
    return (
        f"The loss has not fallen beyond its noise (first third {trend.first:.3f}, last {trend.last:.3f}). "
        "Raise learning_rate, train longer or a larger adapter; where labels contradict each other there is nothing "
        "to learn (curate.agreement).",
        f"损失的下降没有超出波动（前三分之一 {trend.first:.3f}，后三分之一 {trend.last:.3f}）。"
        "请提高 learning_rate、延长训练或加大适配器；若标签互相矛盾，则无可学习（curate.agreement）。",
    )


def _overfits(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    looks = [
        (int(row.get("step") or 0), row["loss"])
        for row in rows
        if row.get("split") == "validation" and _finite(row.get("loss"))
    ]
    if len(looks) < 3:
        return None
    best = min(range(len(looks)), key=lambda i: looks[i][1])
    at, least = looks[best]
    if len(looks) - best < 3 or min(loss for _, loss in looks[best + 1 :][-2:]) <= least + 0.01 * abs(least):
        return None
    learnt = [row for row in rows if row.get("split", "train") == "train"]  # all of them: the best step lies anywhere
    after = [row["loss"] for row in learnt if _finite(row.get("loss")) and int(row.get("step") or 0) > at]
    before = [row["loss"] for row in learnt if _finite(row.get("loss")) and int(row.get("step") or 0) <= at]
    if not after or not before or _mean(after[-len(before) :]) >= _mean(before[-len(after) :]):
        return None
    return (
        f"The validation loss rises since step {at} (least {least:.3f}, now {looks[-1][1]:.3f}) while the training "
        f"loss falls: rows are being learnt by heart. Take the checkpoint of about step {at}; train for fewer epochs.",
        f"自第 {at} 步起验证损失上升（最低 {least:.3f}，现在 {looks[-1][1]:.3f}），而训练损失仍在下降：模型在死记硬背。"
        f"请取用第 {at} 步附近的检查点；减少训练轮数。",
    )


def _always_clipped(rows: Rows, train: Rows, clip: float | None) -> tuple[str, str] | None:
    norms = _values(train, "grad_norm")[-20:]
    if clip is None or len(norms) < 20 or sum(norm > clip for norm in norms) < CLIPPED * len(norms):
        return None
    return (
        f"Nearly every gradient is longer than max_grad_norm ({clip:g}; the middle one {sorted(norms)[10]:.3g}) and is "
        "shortened, so each step has the same length whatever the data say. Lower learning_rate, raise batch or "
        "accumulation, or raise max_grad_norm.",
        f"几乎每个梯度都超过 max_grad_norm（{clip:g}；中位数 {sorted(norms)[10]:.3g}）而被缩短，"
        "于是不论数据如何，每一步都一样长。请降低 learning_rate，增大 batch 或 accumulation，或提高 max_grad_norm。",
    )


_LOOKS: dict[str, Callable[[Rows, Rows, float | None], tuple[str, str] | None]] = {
    "loss_not_finite": _not_finite,
    "gradients_zero": _zero_gradients,
    "likelihood_displacement": _displacement,
    "accuracy_at_once": _right_at_once,
    "rewards_follow_length": _follows_length,
    "kl_running_away": _runs_away,
    "loss_not_falling": _not_falling,
    "overfitting": _overfits,
    "always_clipped": _always_clipped,
}
NAMES = tuple(_LOOKS)
"""Every warning there is."""


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _values(rows: Rows, key: str) -> list[float]:
    """A key's finite values, in order; a log from a file is no place to trust a type."""
    return [row[key] for row in rows if _finite(row.get(key))]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _trend(rows: Rows, key: str) -> _Trend | None:
    """The first third of a key's values against the last; None below 12, or where nothing varies at all."""
    values = _values(rows, key)
    third = len(values) // 3
    if third < 4:
        return None
    first, last = values[:third], values[-third:]
    a, b = _mean(first), _mean(last)
    spread = math.fsum((x - a) ** 2 for x in first) + math.fsum((x - b) ** 2 for x in last)
    return _Trend(a, b, math.sqrt(spread / (third * (third - 1))))
