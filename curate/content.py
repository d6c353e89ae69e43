"""Checks of what rows say: answers too alike, labels given away, repeats, licences, private data, evaluation texts."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from curate import contamination, private
from curate.findings import Case, Found, Level, case, finding
from curate.groups import near_across
from curate.material import Pair, Passage
from curate.words import batches, hashed_words, word_keys
from data.stats import wilson
from data.text import excerpt, script_language

EvaluationIndex: TypeAlias = contamination.Index

_TELLING = 50_000
_LOOK = 400  # characters from whose letters a script is told
_WORDS = r"chosen|rejected|preferred|dispreferred|winner|loser|better|worse|选中|拒绝|更好|更差|优选"
_MARK = re.compile(
    rf"(?i)[\[<(【{{]\s*(?:{_WORDS})(?:[ _](?:answer|response|回答))?\s*[\]>)】}}]"
    rf"|\A\s*(?:chosen|rejected|preferred|better|worse)[ _](?:answer|response)\s*[:：]"
)
_RESTRICTED = re.compile(
    r"(?i)\b(?:nc|nd|non-?commercial|no-?deriv\w*|proprietary|all rights reserved|research[- ]only)\b"
)
_PROMPT_HOLDS = 40  # characters from which an answer that stands in the prompt is a leak
_WARN_ONLY = {"licence_plate"}  # kinds of private data that do not block


def answers(pairs: Sequence[Pair], near: float) -> list[Found]:
    """Rows whose two answers are the same, or nearly."""
    from rapidfuzz.distance import Indel

    same: list[Case] = []
    close: list[Case] = []
    for p in pairs:
        if p.chosen == p.rejected:
            same.append(case(p.id, "row", excerpt(p.chosen, 60) or "both are empty", p.where))
            continue
        alike = Indel.normalized_similarity(p.chosen, p.rejected, score_cutoff=near)
        if alike >= near:
            close.append(case(p.id, "row", f"{alike:.3f} alike: {excerpt(p.chosen, 60)}", p.where))
    out = []
    if same:
        out.append(
            finding("identical_answers", "block", len(pairs), f"{len(same):,} rows choose between equal texts", same)
        )
    if close:
        says = f"{len(close):,} rows choose between texts that are at least {near:g} alike"
        out.append(finding("near_identical_answers", "warn", len(pairs), says, close))
    return out


def languages(pairs: Sequence[Pair]) -> list[Found]:
    """Rows in which chosen is in another script than the prompt while rejected is in the prompt's."""
    cases, either = [], 0
    for p in pairs:
        if p.prompt.isascii() and p.chosen.isascii() and p.rejected.isascii():
            continue
        asked, good, bad = (script_language(t[:_LOOK]) for t in (p.prompt[-_LOOK:], p.chosen, p.rejected))
        if asked is None or good is None or bad is None:
            continue
        either += good != asked or bad != asked
        if good != asked and bad == asked:
            cases.append(
                case(p.id, "row", f"prompt and rejected {asked}, chosen {good}: {excerpt(p.chosen, 60)}", p.where)
            )
    if not cases:
        return []
    level: Level = "warn" if len(cases) > max(2, 0.01 * len(pairs)) else "info"
    says = f"{len(cases):,} rows choose the answer in another script than the prompt ({either:,} have one such answer)"
    return [finding("language_mismatch", level, len(pairs), says, cases)]


def leaks(pairs: Sequence[Pair], marks: float) -> list[Found]:
    """Words that say which answer is chosen, marks that stand on one side only, answers that stand in the prompt."""
    said = [
        case(p.id, "row", f"{field} has '{excerpt(match[0].strip(), 40)}'", p.where)
        for p in pairs
        for field, text in (("chosen", p.chosen), ("rejected", p.rejected))
        if (match := _mark(text))
    ]
    out = []
    if said:
        level: Level = "block" if len(said) >= max(2, 0.01 * len(pairs)) else "warn"
        says = f"{len(said):,} answers hold a word of the labels, such as [chosen]"
        out.append(finding("label_leak", level, len(pairs), says, said))
    out += _one_sided(pairs, marks)
    held = [
        case(p.id, "row", excerpt(p.chosen, 80), p.where)
        for p in pairs
        if len(p.chosen) >= _PROMPT_HOLDS and p.chosen in p.prompt and p.rejected not in p.prompt
    ]
    if held:
        says = f"{len(held):,} prompts hold the chosen answer whole, and not the rejected one"
        out.append(finding("answer_in_prompt", "warn", len(pairs), says, held))
    return out


def _mark(text: str) -> "re.Match[str] | None":
    """A word of the labels in brackets, or before a colon at the beginning; most texts have neither."""
    if any(bracket in text for bracket in "[<(【{") and any(word in text.lower() for word in _WORDS.split("|")):
        return _MARK.search(text)
    return _MARK.search(text[:60])


def _one_sided(pairs: Sequence[Pair], marks: float) -> list[Found]:
    """Beginnings and ends of one to three words that nearly always stand on the same side.

    Of a large set the first 50,000 rows tell, by id.
    """
    pairs = pairs[:_TELLING]
    sides: dict[tuple[str, int, int], list[int]] = {}
    chosen, rejected = _ends([p.chosen for p in pairs]), _ends([p.rejected for p in pairs])
    for good, bad in zip(chosen, rejected, strict=True):
        for mark in good - bad:
            sides.setdefault(mark, [0, 0])[0] += 1
        for mark in bad - good:
            sides.setdefault(mark, [0, 0])[1] += 1
    found = []
    for mark, (good_n, bad_n) in sides.items():
        met = good_n + bad_n
        if met < max(10, 0.05 * len(pairs)):
            continue
        # Many marks are looked at: the interval is that of one in 10,000.
        if wilson(max(good_n, bad_n), met, 0.9999).low >= marks:
            found.append((-met, mark, good_n > bad_n))
    if not found:
        return []
    missed, mark, good_side = min(found)
    side, texts = ("chosen", chosen) if good_side else ("rejected", rejected)
    other = rejected if good_side else chosen
    rows = [i for i in range(len(pairs)) if mark in texts[i] and mark not in other[i]]
    cases = []
    for i in rows:
        text = pairs[i].chosen if good_side else pairs[i].rejected
        shown = excerpt(text, 60) if mark[0] == "begins" else excerpt(text[-60:], 60)
        cases.append(case(pairs[i].id, "row", f"{side} {mark[0]}: {shown}", pairs[i].where))
    level: Level = "block" if len(cases) >= 0.3 * len(pairs) else "warn"
    says = f"{len(cases):,} of {-missed:,} rows in which one answer {mark[0]} so have it on the {side} side"
    return [finding("one_sided_mark", level, len(pairs), says, cases, marks=len(found))]


def _ends(texts: Sequence[str]) -> list[set[tuple[str, int, int]]]:
    """Of each text its first and its last one and three words, as hashes."""
    out: list[set[tuple[str, int, int]]] = []
    for part in batches(texts):
        words = hashed_words(texts[part])
        begin = 0
        for end in words.ends.tolist():
            own: set[tuple[str, int, int]] = set()
            if end > begin:
                first, last = words.hashes[begin : begin + 3].tolist(), words.hashes[max(begin, end - 3) : end].tolist()
                own = {("begins", 1, first[0]), ("ends", 1, last[-1])}
                own |= {("begins", 3, hash(tuple(first))), ("ends", 3, hash(tuple(last)))}
            out.append(own)
            begin = end
    return out


def repeats(pairs: Sequence[Pair]) -> list[Found]:
    """Rows twice, rows with chosen and rejected swapped, and prompts in two splits; prompts go by their words."""
    asked = {p.prompt_id: p.prompt for p in pairs}
    keys = dict(zip(asked, word_keys(list(asked.values())), strict=True))
    prompts = [keys[p.prompt_id] for p in pairs]
    first: dict[tuple[bytes, str, str], int] = {}
    twice: list[Case] = []
    against: list[Case] = []
    for i, p in enumerate(pairs):
        key, swapped = (prompts[i], p.chosen, p.rejected), (prompts[i], p.rejected, p.chosen)
        if key in first:
            twice.append(case(p.id, "row", f"the same as {pairs[first[key]].id}", p.where))
        first.setdefault(key, i)
        if swapped in first and p.chosen != p.rejected:
            says = f"the other way round than {pairs[first[swapped]].id}: {excerpt(p.prompt, 60)}"
            against.append(case(p.id, "row", says, p.where))
    out = []
    if twice:
        out.append(finding("duplicate_rows", "warn", len(pairs), f"{len(twice):,} rows stand there twice", twice))
    if against:
        says = f"{len(against):,} rows contradict another: the same two answers, chosen the other way round"
        out.append(finding("contradiction", "warn", len(pairs), says, against))
    return out + _split_leaks(pairs, prompts)


def _split_leaks(pairs: Sequence[Pair], prompts: Sequence[bytes]) -> list[Found]:
    """Rows for validation or test whose prompt another split has too, word for word or nearly."""
    first: dict[tuple[bytes, str], int] = {}
    for i, (key, p) in enumerate(zip(prompts, pairs, strict=True)):
        if p.split:
            first.setdefault((key, p.split), i)
    names = sorted({split for _, split in first}, key=lambda name: (name != "train", name))
    if len(names) < 2:
        return []
    places = sorted(first.values())
    sides = [names.index(pairs[i].split or "") for i in places]
    alike: dict[tuple[bytes, str], tuple[float, int]] = {}
    for similarity, a, b in near_across([pairs[i].prompt for i in places], sides):
        row, other = places[b], places[a]  # a lies in the split named before
        place = (prompts[row], pairs[row].split or "")
        alike[place] = max(alike.get(place, (0.0, 0)), (similarity, -other))
    cases = []
    for key, p in zip(prompts, pairs, strict=True):
        if p.split and (key, p.split) in alike:
            similarity, other = alike[key, p.split]
            near = pairs[-other]
            cases.append(
                case(
                    p.id,
                    "row",
                    f"{p.split}; its prompt is {similarity:.3f} like that of {near.id} ({near.split})",
                    p.where,
                )
            )
    if not cases:
        return []
    says = f"{len(cases):,} rows have a prompt that another split has too, or one at least 0.8 like it"
    return [finding("split_leak", "block", len(pairs), says, cases)]


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
    bad = [case(p.id, "row", p.licence or "", p.where) for p in pairs if p.licence and _RESTRICTED.search(p.licence)]
    if bad:
        says = f"{len(bad):,} rows are under a licence that forbids commercial use or changes"
        out.append(finding("licence_restricted", "warn", len(pairs), says, bad))
    return out


def private_data(passages: Sequence[Passage]) -> list[Found]:
    """Private data in prompts, answers and texts: one finding for what blocks, one for what only warns."""
    found = private.scan([p.text for p in passages])
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
