"""Checks of what rows say: answers too alike, in another script or in the prompt; licences; what texts may not hold."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from curate import contamination, private
from curate.findings import Case, Found, Level, case, finding
from curate.material import Pair, Passage
from curate.scripts import script_languages
from data.text import excerpt

EvaluationIndex: TypeAlias = contamination.Index

_LOOK = 400  # characters from whose letters a script is told
_RESTRICTED = re.compile(
    r"(?i)\b(?:nc|nd|non-?commercial|no-?deriv\w*|proprietary|all rights reserved|research[- ]only)\b"
)
_PROMPT_HOLDS = 40  # characters from which an answer that stands in the prompt is a leak
_WARN_ONLY = {"licence_plate", "phone"}  # kinds that do not block: a number to call is as often a shop's as a person's


def identical(pairs: Sequence[Pair]) -> list[Found]:
    """Rows whose two answers are the same."""
    same = [
        case(p.id, "row", excerpt(p.chosen, 60) or "both are empty", p.where) for p in pairs if p.chosen == p.rejected
    ]
    if not same:
        return []
    says = f"{len(same):,} rows choose between equal texts"
    return [finding("identical_answers", "block", len(pairs), says, same)]


def near_identical(pairs: Sequence[Pair], near: float, threads: int = 1) -> list[Found]:
    """Rows whose two answers are nearly the same: at least `near` of their characters, in order."""
    import numpy as np
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cpdist

    chosen = np.fromiter((len(p.chosen) for p in pairs), np.int64, len(pairs))
    rejected = np.fromiter((len(p.rejected) for p in pairs), np.int64, len(pairs))
    both = chosen + rejected
    # What the lengths alone forbid is not compared; one character to spare for the rounding of `near`.
    could = np.flatnonzero(np.abs(chosen - rejected) <= (1 - near) * both + 1).tolist()
    some = [i for i in could if pairs[i].chosen != pairs[i].rejected]
    alike = cpdist(
        [pairs[i].chosen for i in some],
        [pairs[i].rejected for i in some],
        scorer=Indel.normalized_similarity,
        score_cutoff=near,
        dtype=np.float64,
        workers=threads,
    )
    close = [
        case(pairs[i].id, "row", f"{one:.3f} alike: {excerpt(pairs[i].chosen, 60)}", pairs[i].where)
        for i, one in zip(some, alike.tolist(), strict=True)
        if one >= near
    ]
    if not close:
        return []
    says = f"{len(close):,} rows choose between texts that are at least {near:g} alike"
    return [finding("near_identical_answers", "warn", len(pairs), says, close)]


def languages(pairs: Sequence[Pair]) -> list[Found]:
    """Rows in which chosen is in another script than the prompt while rejected is in the prompt's."""
    some = [p for p in pairs if not (p.prompt.isascii() and p.chosen.isascii() and p.rejected.isascii())]
    asked = script_languages([p.prompt[-_LOOK:] for p in some])
    chosen = script_languages([p.chosen[:_LOOK] for p in some])
    rejected = script_languages([p.rejected[:_LOOK] for p in some])
    cases, either = [], 0
    for p, wanted, good, bad in zip(some, asked, chosen, rejected, strict=True):
        if wanted is None or good is None or bad is None:
            continue
        either += good != wanted or bad != wanted
        if good != wanted and bad == wanted:
            cases.append(
                case(p.id, "row", f"prompt and rejected {wanted}, chosen {good}: {excerpt(p.chosen, 60)}", p.where)
            )
    if not cases:
        return []
    level: Level = "warn" if len(cases) > max(2, 0.01 * len(pairs)) else "info"
    says = f"{len(cases):,} rows choose the answer in another script than the prompt ({either:,} have one such answer)"
    return [finding("language_mismatch", level, len(pairs), says, cases)]


def in_prompt(pairs: Sequence[Pair]) -> list[Found]:
    """Prompts that hold the chosen answer and not the rejected one."""
    held = [
        case(p.id, "row", excerpt(p.chosen, 80), p.where)
        for p in pairs
        if _PROMPT_HOLDS <= len(p.chosen) <= len(p.prompt) and p.chosen in p.prompt and p.rejected not in p.prompt
    ]
    if not held:
        return []
    says = f"{len(held):,} prompts hold the chosen answer whole, and not the rejected one"
    return [finding("answer_in_prompt", "warn", len(pairs), says, held)]


def licences(pairs: Sequence[Pair]) -> list[Found]:
    """Rows without a licence, under more than one, or under one that restricts their use."""
    told = Counter(p.licence for p in pairs)
    named = {name: n for name, n in told.items() if name}
    unknown = [case(p.id, "row", "no licence", p.where) for p in pairs if not p.licence]
    out = []
    if unknown:
        # A set in which nothing says its licence is one question; one in which some rows do not is a gap.
        level: Level = "warn" if named else "info"
        out.append(finding("licence_unknown", level, len(pairs), f"{len(unknown):,} rows have no licence", unknown))
    if len(named) > 1:
        shown = ", ".join(f"{n:,} {excerpt(name, 40)}" for name, n in sorted(named.items()))
        out.append(finding("licence_mixed", "info", len(pairs), f"licences: {shown}", [], sum(named.values())))
    restricted = {name for name in named if _RESTRICTED.search(name)}
    bad = [case(p.id, "row", p.licence or "", p.where) for p in pairs if p.licence in restricted]
    if bad:
        says = f"{len(bad):,} rows are under a licence that forbids commercial use or changes"
        out.append(finding("licence_restricted", "warn", len(pairs), says, bad))
    return out


def private_data(passages: Sequence[Passage], threads: int = 1) -> list[Found]:
    """Private data in prompts, answers and texts: one finding for what blocks, one for what only warns."""
    found = private.scan([p.text for p in passages], threads=threads)
    out = []
    of_level: dict[Level, set[str]] = {"block": set(private.NAMES) - _WARN_ONLY, "warn": _WARN_ONLY}
    for level, kinds in of_level.items():
        own = [one for one in found if one.kind in kinds]
        cases = [
            case(
                passages[one.text].id,
                passages[one.text].kind,
                f"{private.masked(passages[one.text].text, one)} at {one.begin}",
                passages[one.text].where,
            )
            for one in own
        ]
        if cases:
            counts = Counter(one.kind for one in own)
            shown = ", ".join(f"{n:,} {kind}" for kind, n in sorted(counts.items()))
            says = f"{shown} in {len({one.text for one in own}):,} texts; --redact writes a copy without them"
            out.append(finding("private_data", level, len(passages), says, cases, **dict(sorted(counts.items()))))
    return out


def contaminated(passages: Sequence[Passage], index: EvaluationIndex, least: float) -> list[Found]:
    """Texts that share a run of tokens with an evaluation text: blocking where they hold much of it."""
    levels: dict[Level, list[Case]] = {"block": [], "warn": []}
    for match in contamination.scan([p.text for p in passages], index):
        passage, known = passages[match.text], index.texts[match.evaluation]
        begin, end = contamination.span(passage.text, match.begin, match.length)
        says = (
            f"{match.shared} of {match.of} tokens of {known.file} {known.id} ({known.field});"
            f" characters {begin} to {end}: {excerpt(passage.text[begin:end], 200)}"
        )
        level: Level = "block" if match.share >= least else "warn"
        levels[level].append(case(passage.id, passage.kind, says, passage.where, 400))
    out = []
    for level, cases in levels.items():
        if cases:
            part = f"at least {least:.0%}" if level == "block" else f"a part, below {least:.0%},"
            says = f"{len(cases):,} texts hold {part} of an evaluation text"
            out.append(finding("contamination", level, len(passages), says, cases, n=index.n))
    return out
