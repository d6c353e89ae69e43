"""The parts of an export's report that show its rows: what they are, and how sure they are."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from curate import report_story as words
from curate.report_words import reasons
from curate.row_figures import PARTS, Counts, binned, lengths, total
from data.plots import histogram
from data.report import Axes, Words, breakdown, code, figure, grid, number, paragraph, percent, say, table


def row_parts(counts: Counts | None, months: Mapping[str, int]) -> list[Markup]:
    """Who judged the rows, in which languages, under which licences; judgments by month."""
    if not counts or not total(counts):
        return []
    single = set(counts.guidelines) <= {""}
    return [
        paragraph(words.SOURCE, "soft"),
        grid(
            breakdown(words.JUDGED_BY, words.ROWS_KEY, reasons(counts.sources)),
            breakdown(words.LANGUAGE, words.ROWS_KEY, counts.languages),
            breakdown(words.LICENCE, words.ROWS_KEY, counts.licences),
            Markup() if single else breakdown(words.GUIDELINE, words.ROWS_KEY, counts.guidelines, of=total(counts)),
            breakdown(words.MONTH, words.JUDGMENTS_ALL, months),
        ),
    ]


def certainty_parts(counts: Counts | None, method: str) -> list[Markup]:
    """Histograms of probability, weight, margin, votes, rows of a prompt, and lengths.

    Args:
        method: how a probability was made; may be empty.
    """
    if not counts or not total(counts):
        return []
    charts = [_probability(counts)]
    for key, values, title, x, about in (
        ("weight", counts.weight, words.WEIGHT, words.WEIGHT_X, words.WEIGHT_SAYS),
        ("margin", counts.margin, words.MARGIN, words.MARGIN_X, words.MARGIN_SAYS),
        ("votes", counts.votes, words.VOTES, words.VOTES_X, words.VOTES_SAYS),
        ("prompts", _per_prompt(counts), words.PER_PROMPT, words.PER_PROMPT_X, words.PER_PROMPT_SAYS),
    ):
        charts.append(_spread(key, values, title, Axes(x, _counted(key)), about))
    charts.append(_lengths(counts))
    formula = paragraph(words.METHOD, "soft", method=code(method)) if method else Markup()
    return [paragraph(words.PROBABILITY_SAYS, "soft"), formula, grid(*charts)]


def _counted(key: str) -> Words:
    return words.PROMPTS if key == "prompts" else words.ROWS_KEY


def _per_prompt(counts: Counts) -> dict[float, int]:
    found: dict[float, int] = {}
    for n in counts.prompts.values():
        found[n] = found.get(n, 0) + 1
    return found


def _probability(counts: Counts) -> Markup:
    known = sum(counts.probability)
    if not known:
        return Markup()
    first = min(PARTS // 2, next(i for i, n in enumerate(counts.probability) if n))
    bins = counts.probability[first:]
    edges = [i / PARTS for i in range(first, PARTS + 1)]
    sure = sum(counts.probability[int(0.8 * PARTS) :])
    told = say(words.PROBABILITY_TOLD, share=percent(sure / known))
    behind = _behind(edges, {"": bins}, [words.PROBABILITY_X, words.ROWS_KEY], 3)
    axes = Axes(words.PROBABILITY_X, words.ROWS_KEY)
    return figure("probability", words.PROBABILITY, histogram(edges, {"rows": bins}), axes, told, behind=behind)


def _spread(key: str, values: Mapping[float, int], title: Words, axes: Axes, about: Words) -> Markup:
    if not values:
        return Markup()
    low, high, n = min(values), max(values), sum(values.values())
    if low == high:
        told = say(words.ALL_ONE, value=f"{low:g}")
        return Markup('<figure><h3>{}</h3><span class="soft">{} {}</span></figure>').format(
            say(title), told, say(about)
        )
    edges, bins = binned(values)
    middle = _middle(values, n)
    told = say(words.SPREAD, low=f"{low:g}", middle=f"{middle:g}", high=f"{high:g}") + Markup(" ") + say(about)
    behind = _behind(edges, {"": bins}, [axes.x or title, axes.y or title], 2)
    return figure(key, title, histogram(edges, {"rows": bins}), axes, told, behind=behind)


def _middle(values: Mapping[float, int], n: int) -> float:
    seen = 0
    for value in sorted(values):
        seen += values[value]
        if 2 * seen >= n:
            return value
    raise AssertionError("no values")


def _lengths(counts: Counts) -> Markup:
    edges, chosen, rejected = lengths(counts)
    if not edges:
        return Markup()
    series = {name: bins for name, bins in (("chosen", chosen), ("rejected", rejected)) if sum(bins)}
    columns = [words.CHARACTERS, *(words.SIDES[name] for name in series)]
    legend = [(("one", "two")[i], words.SIDES[name]) for i, name in enumerate(series)] if len(series) > 1 else []
    middles = [_middle({edges[i]: n for i, n in enumerate(bins) if n}, sum(bins)) for bins in series.values()]
    told = say(words.LENGTHS_TOLD[len(series) - 1], **{"abc"[i]: f"{m:,.0f}" for i, m in enumerate(middles)})
    drawn = histogram(edges, series, log=True)
    axes = Axes(words.CHARACTERS, words.ROWS_KEY)
    return figure("lengths", words.LENGTHS, drawn, axes, told, legend=legend, behind=_behind(edges, series, columns, 0))


def _behind(
    edges: Sequence[float], series: Mapping[str, Sequence[int]], columns: Sequence[Words], digits: int
) -> Markup:
    rows = [
        [f"{number(edges[i], digits)} – {number(edges[i + 1], digits)}", *(bins[i] for bins in series.values())]
        for i in range(len(edges) - 1)
        if any(bins[i] for bins in series.values())
    ]
    return table(columns, rows[:60])
