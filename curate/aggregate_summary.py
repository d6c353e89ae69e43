"""What is said of an aggregation: its summary, and the report one reads first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curate.aggregate_rows import leaning, least_reliable, order_told
from curate.skill import Verdicts
from curate.standings import Standings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.report_pages import Outcome
    from data.folder import Folder


def outcome(
    name: str, summary: dict[str, Any], counted: Sequence[str], probability: "NDArray[np.float64]"
) -> "Outcome":
    """What the report says, out of the summary and the probability of what was chosen."""
    import numpy as np

    from curate.report_pages import BINS, Outcome

    places = np.minimum(BINS - 1, (probability * BINS).astype(np.int64))
    return Outcome(
        name,
        {key: summary[key] for key in counted if summary.get(key)},
        summary["method"],
        summary["iterations"],
        summary["converged"],
        summary["not_the_majority"],
        summary["even_majorities"],
        np.bincount(places, minlength=BINS).tolist(),
    )


def finish(
    folder: "Folder",
    name: str,
    summary: dict[str, Any],
    found: Verdicts,
    people: list[dict[str, Any]],
    standings: Standings,
    method: str,
) -> dict[str, Any]:
    """Write the report; returns the summary with what all ways of comparing share."""
    import numpy as np

    from curate.report_pages import aggregate_page

    split = int(((found.majority > 0.5) != (found.model > 0.5))[found.majority != 0.5].sum())
    undecided = int((found.majority == 0.5).sum())
    summary |= {
        "method": method,
        "iterations": found.found.iterations,
        "converged": found.found.converged,
        "even_majorities": undecided,
        "not_the_majority": split,
        "least_reliable": least_reliable(people),
        "leans_to_one_side": leaning(people),
        "first_shown": order_told(standings),
        "warnings": standings.warnings,
    }
    p = found.majority if method == "majority" else found.model
    counted = ("comparisons", "tasks", "judgments", "items", "pairs", "annotators", "rejected")
    told = outcome(name, summary, counted, np.maximum(p, 1 - p))
    noted = [*standings.warnings, *([summary["first_shown"]] if summary["first_shown"] else [])]
    folder.write_text("report.html", aggregate_page(told._replace(warnings=noted), people, standings.rows))
    return summary
