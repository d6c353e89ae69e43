"""Preference pairs: known answers with their arithmetic, and what holds for any judgments."""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.pairs import Rules, Stored, make_rules, pairs_of, split_of, usable
from curate.rows import row_of
from data.errors import BadInput
from data.records import Criterion, Judgment, Message, PreferencePair, Prompt, Response, Task, pair_id

PROMPT = Prompt.make([Message(role="user", content="Why is the sky blue?")], language="en", tags=["physics"])


def task(n: int = 3, kind: str = "ranking", texts: list[str] | None = None) -> Task:
    texts = texts or [f"answer {i}" for i in range(n)]
    made = [
        Response.make(PROMPT.id, [Message(role="assistant", content=text)], sample_index=i)
        for i, text in enumerate(texts)
    ]
    criteria = [Criterion(key="helpful", name={"en": "Helpful"})] if kind == "rating" else []
    return Task.make("p", kind, PROMPT, made, criteria=criteria)  # type: ignore[arg-type]


def ids(of: Task) -> list[str]:
    return [r.id for r in of.responses]


def judge(of: Task, who: str, order: str | None = None, **fields: Any) -> Judgment:
    """A judgment; `order` such as "a>b=c" ranks the task's responses, a being the first."""
    known = ids(of)
    if order is not None:
        fields["ranking"] = [[known["abcdefghi".index(x)] for x in tier.split("=")] for tier in order.split(">")]
    return Judgment.make(task_id=of.id, annotator=who, **{"shown": known, "token": who, **fields})


def by_letters(of: Task, pairs: list[PreferencePair]) -> dict[str, PreferencePair]:
    letter = dict(zip(ids(of), "abcdefghi", strict=False))
    return {f"{letter[p.chosen_id]}>{letter[p.rejected_id]}": p for p in pairs}


def reasons(left_out: Any) -> Counter[str]:
    return Counter(gap.reason for gap in left_out)


def test_three_votes_to_none_is_not_certainty() -> None:
    t = task(2, "ab")
    (pair,), left_out = pairs_of(t, [judge(t, who, choice="A") for who in "xyz"], Rules())
    assert pair.probability == 0.875  # (3 + 0.5) / (3 + 2 × 0.5)
    assert (pair.agreement, pair.weight, pair.votes) == (
        1.0,
        3.0,
        {"chosen": 3.0, "rejected": 0.0, "tie": 0.0},
    )
    assert (pair.chosen_id, pair.rejected_id) == tuple(ids(t))
    assert not left_out


def test_a_tie_is_half_a_vote_for_each() -> None:
    t = task(2, "ab")
    judgments = [judge(t, "x", choice="A"), judge(t, "y", choice="tie"), judge(t, "z", choice="A")]
    (pair,), _ = pairs_of(t, judgments, Rules())
    assert pair.probability == 0.75  # (2 + 1/2 + 0.5) / (3 + 1)
    assert pair.agreement == 2.5 / 3  # (2 + 1/2) / 3
    assert pair.votes == {"chosen": 2.0, "rejected": 0.0, "tie": 1.0}


def test_the_side_is_named_by_the_order_in_which_it_was_shown() -> None:
    t = task(2, "ab")
    first, second = ids(t)
    (pair,), _ = pairs_of(t, [judge(t, "x", choice="A", shown=[second, first])], Rules())
    assert pair.chosen_id == second
    assert pair.probability == 0.75  # (1 + 0.5) / (1 + 1)


def test_a_ranking_is_one_judgment_shared_among_its_pairs() -> None:
    t = task(4)
    pairs, _ = pairs_of(t, [judge(t, "x", "a>b>c>d")], Rules())
    assert {p.weight for p in pairs} == {1 / 6}  # 4 × 3 / 2 pairs
    assert set(by_letters(t, pairs)) == {"a>b", "a>c", "a>d", "b>c", "b>d", "c>d"}


def test_scores_are_shares_of_comparisons_won() -> None:
    t = task(3)
    pairs, _ = pairs_of(t, [judge(t, "x", "a>b>c"), judge(t, "y", "a>c>b")], Rules())
    pair = by_letters(t, pairs)["a>b"]
    assert pair.score_chosen == 0.9  # a won 4 of 4: (4 + 0.5) / (4 + 1)
    assert pair.score_rejected == 0.3  # b won 1 of 4: (1 + 0.5) / (4 + 1)


def test_an_unplaced_response_says_nothing() -> None:
    t = task(3)
    pairs, left_out = pairs_of(t, [judge(t, "x", "a>b")], Rules())
    assert set(by_letters(t, pairs)) == {"a>b"}
    assert pairs[0].weight == 1.0
    assert reasons(left_out) == {"nobody compared them": 2}


def test_neighbours_by_score_and_the_two_ends() -> None:
    t = task(4)
    judgments = [judge(t, "x", "a>b>c=d"), judge(t, "y", "a>b>c=d")]
    pairs, left_out = pairs_of(t, judgments, Rules(pairs="adjacent"))
    assert set(by_letters(t, pairs)) == {"a>b", "b>c", "b>d"}
    assert reasons(left_out) == {"tie": 1}  # c and d share a tier
    assert {p.weight for p in pairs} == {0.5}  # two judgments, each over 4 neighbours
    ends, left_out = pairs_of(t, judgments, Rules(pairs="best-worst"))
    assert set(by_letters(t, ends)) == {"a>c", "a>d"}
    assert not left_out
    both, _ = pairs_of(task(2, "ab"), [judge(task(2, "ab"), "x", choice="B")], Rules(pairs="best-worst"))
    assert len(both) == 1


def test_best_and_worst_use_every_vote_and_not_only_the_ends_of_each_ranking() -> None:
    t = task(3)
    judgments = [*(judge(t, who, "a>b>c") for who in "xyz"), judge(t, "v", "b>c>a")]
    (pair,), left_out = pairs_of(t, judgments, Rules(pairs="best-worst"))
    # of 8 comparisons each: a won 6, b won 3 + 2, c won 1; the last ranking has neither end as a and c
    assert (pair.chosen_id, pair.rejected_id) == (ids(t)[0], ids(t)[2])
    assert pair.probability == 0.7  # (3 + 0.5) / (4 + 1)
    assert pair.weight == 4.0
    assert not left_out


def test_a_soft_label_counts_as_so_much_of_a_vote() -> None:
    t = task(2, "ab")
    soft = [
        judge(t, "m1", probability=0.7, annotator_kind="model"),
        judge(t, "m2", probability=0.9, annotator_kind="model"),
    ]
    (pair,), _ = pairs_of(t, soft, Rules(sources=("model",)))
    assert pair.probability == 0.7  # (0.7 + 0.9 + 0.5) / (2 + 1), exact in tenths
    assert pair.votes == {"chosen": 1.6, "rejected": 0.4, "tie": 0.0}
    assert pair.source == "model"
    even = [judge(t, "m1", probability=0.7), judge(t, "m2", probability=0.3)]
    assert pairs_of(t, even, Rules()) == ([], [(t.id, ids(t), "tie")])


def test_a_lead_too_small_for_a_double_is_a_tie() -> None:
    t = task(2, "ab")
    lead = [judge(t, "x", choice="A"), judge(t, "m", probability=2e-133)]
    assert reasons(pairs_of(t, lead, Rules())[1]) == {"tie": 1}  # (1 + 2e-133 + 0.5) / 3 is ½ to a double


def test_ratings_imply_a_pair_only_through_a_criterion_and_a_margin() -> None:
    t = task(3, "rating")
    a, b, c = ids(t)
    rated = [judge(t, "x", ratings={a: {"helpful": 5}, b: {"helpful": 4}, c: {"helpful": 2}})]
    assert pairs_of(t, rated, Rules()) == (
        [],
        [(t.id, [a, b, c], "ratings only; --criterion names one to compare by")],
    )
    pairs, _ = pairs_of(t, rated, Rules(criterion="helpful"))
    assert set(by_letters(t, pairs)) == {"a>b", "a>c", "b>c"}
    pairs, left_out = pairs_of(t, rated, Rules(criterion="helpful", margin=2))
    assert set(by_letters(t, pairs)) == {"a>c", "b>c"}
    assert reasons(left_out) == {"tie": 1}  # 5 and 4 are nearer than 2 points
    assert "ratings of helpful by 2 or more" in pairs[0].method
    assert pairs_of(t, rated, Rules(criterion="honest"))[1][0].reason == "no two responses were rated on honest"


def test_what_gives_no_pair_is_left_out_with_its_reason() -> None:
    t = task(2, "ab")
    bad = [judge(t, who, verdict="all_bad") for who in "xyz"]
    good = judge(t, "v", choice="A")
    assert reasons(pairs_of(t, [], Rules())[1]) == {"no judgments": 1}
    assert reasons(pairs_of(t, [bad[0], bad[1], good], Rules())[1]) == {"all bad, says the majority": 1}
    pairs, _ = pairs_of(t, [bad[0], good], Rules())  # one of two is no majority
    assert pairs[0].judgment_ids == [good.id]
    assert reasons(pairs_of(t, [judge(t, "x", choice="A"), judge(t, "y", choice="B")], Rules())[1]) == {"tie": 1}
    assert reasons(pairs_of(t, [judge(t, "x", critiques={ids(t)[0]: "hm"})], Rules())[1]) == {
        "no two responses were compared": 1
    }
    twins = task(texts=["same", "same", "other"])
    pairs, left_out = pairs_of(twins, [judge(twins, "x", "a>b>c")], Rules())
    assert set(by_letters(twins, pairs)) == {"a>c", "b>c"}
    assert reasons(left_out) == {"identical texts": 1}


def test_what_does_not_count_is_named_with_its_reason() -> None:
    t = task(2, "ab")
    first = judge(t, "x", choice="A")
    revised = judge(t, "x", choice="B", supersedes=first.id, token="x2")
    late = judge(t, "y", choice="A", supersedes=revised.id, token="late")
    stored = [
        Stored("counted", first),
        Stored("counted", revised),
        Stored("surplus", late),
        Stored("returned", judge(t, "z", verdict="cannot_judge")),
        Stored("counted", judge(t, "q", choice="A", purpose="qualification")),
        Stored("counted", judge(t, "m", choice="A", annotator_kind="model")),
        Stored("counted", judge(t, "i", choice="A", purpose="import")),
    ]
    kept, unused = usable(stored, Rules())
    assert {j.annotator: j.choice for j in kept} == {"x": "B", "i": "A"}
    assert sorted(one.reason for one in unused) == [
        "by a model",
        "cannot judge",
        "purpose qualification",
        "superseded by the same annotator",
        "surplus: submitted when the task had all its judgments",
    ]
    assert {j.annotator for j in usable(stored, make_rules(sources=["human", "model"]))[0]} == {"x", "i", "m"}


def test_withdrawing_an_answer_to_cannot_judge_takes_the_answer_back() -> None:
    t = task(2, "ab")
    first = judge(t, "x", choice="A")
    taken_back = judge(t, "x", verdict="cannot_judge", supersedes=first.id, token="x2")
    assert usable([Stored("counted", first), Stored("returned", taken_back)], Rules())[0] == []


@pytest.mark.parametrize(
    ("kinds", "source"),
    [
        (["person"], "human"),
        (["model"], "model"),
        (["rule"], "rule"),
        (["person", "model"], "both"),
        (["person", "rule"], "both"),
        (["model", "rule"], "model"),
    ],
)
def test_people_models_and_rules_are_told_apart(kinds: list[str], source: str) -> None:
    t = task(2, "ab")
    judgments = [judge(t, kind, choice="A", annotator_kind=kind) for kind in kinds]
    (pair,), _ = pairs_of(t, judgments, make_rules(sources=["human", "model", "rule"]))
    assert pair.source == source


def test_a_row_says_where_it_came_from() -> None:
    t = task(2, "ab")
    judgments = [judge(t, who, choice="A", guideline_version=v) for who, v in (("x", "g2"), ("y", "g1"), ("z", None))]
    (pair,), _ = pairs_of(t, judgments, Rules())
    assert pair.judgment_ids == sorted(j.id for j in judgments)
    assert pair.guideline_versions == ["g1", "g2"]
    assert (pair.language, pair.tags, pair.cluster, pair.task_id) == ("en", ["physics"], PROMPT.id, t.id)
    assert pair.method == "p=(wins+ties/2+a)/(n+2a), a=0.5; pairs=all; sources=human"
    assert pair.id == pair_id(t.id, pair.chosen_id, pair.rejected_id, pair.method)
    assert b'"licence":null' in row_of(pair)
    assert b'"chosen":[{"content":"answer 0","role":"assistant"}]' in row_of(pair)


def test_a_judgment_of_other_responses_changes_nothing() -> None:
    t = task(2, "ab")
    stranger = Judgment.make(task_id=t.id, annotator="x", shown=["u", "v"], choice="A")
    three = judge(task(3), "y", choice="A")
    assert reasons(pairs_of(t, [stranger, three], Rules())[1]) == {"no two responses were compared": 1}


# What holds for any judgments


@st.composite
def judged_tasks(draw: st.DrawFn) -> tuple[Task, list[Judgment]]:
    t = task(draw(st.integers(2, 5)))
    known = ids(t)
    judgments = []
    for who in range(draw(st.integers(1, 6))):
        shown = draw(st.permutations(known))
        placed = shown[: draw(st.integers(2, len(shown)))]
        cuts = [draw(st.booleans()) for _ in placed[1:]]
        tiers = [[placed[0]]]
        for cut, r in zip(cuts, placed[1:], strict=True):
            if cut:
                tiers.append([r])
            else:
                tiers[-1].append(r)
        fields: dict[str, Any] = {"ranking": tiers}
        if len(known) == 2 and draw(st.booleans()):
            fields = {"probability": draw(st.floats(0, 1))}
        if draw(st.integers(0, 9)) == 0:
            fields = {"verdict": "all_bad"}
        judgments.append(judge(t, f"w{who}", shown=shown, **fields))
    return t, judgments


ANY_RULES = st.builds(
    Rules, pairs=st.sampled_from(["all", "adjacent", "best-worst"]), prior=st.sampled_from(["0", "0.5", "2"])
)


@settings(deadline=None)
@given(judged_tasks(), ANY_RULES, st.randoms(use_true_random=False))
def test_the_order_of_the_judgments_changes_no_byte(judged: Any, rules: Rules, random: Any) -> None:
    t, judgments = judged
    pairs, left_out = pairs_of(t, judgments, rules)
    random.shuffle(judgments)
    again, left_again = pairs_of(t, judgments, rules)
    assert [row_of(p) for p in pairs] == [row_of(p) for p in again]
    assert left_out == left_again


@settings(deadline=None)
@given(judged_tasks(), st.sampled_from(["0", "0.5", "2"]))
def test_every_two_responses_are_a_pair_or_left_out(judged: Any, prior: str) -> None:
    t, judgments = judged
    pairs, left_out = pairs_of(t, judgments, Rules(prior=prior))
    told = [frozenset((p.chosen_id, p.rejected_id)) for p in pairs]
    told += [frozenset(two) for gap in left_out for two in combinations(gap.response_ids, 2)]
    assert Counter(told) == Counter(frozenset(two) for two in combinations(ids(t), 2))


@settings(deadline=None)
@given(judged_tasks(), ANY_RULES)
def test_a_pair_agrees_with_its_votes_and_no_judgment_weighs_more_than_one(judged: Any, rules: Rules) -> None:
    t, judgments = judged
    pairs, _ = pairs_of(t, judgments, rules)
    assert sum(p.weight for p in pairs) <= len(judgments) + 1e-9
    for p in pairs:
        n = len(p.judgment_ids)
        assert 0.5 < p.probability <= 1
        assert p.agreement is not None
        assert 0.5 <= p.agreement <= 1
        assert sum(p.votes.values()) == pytest.approx(n)
        wins, a = p.votes["chosen"] + p.votes["tie"] / 2, float(Fraction(rules.prior))
        assert p.probability == pytest.approx((wins + a) / (n + 2 * a))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 4), st.data(), st.sampled_from(["all", "adjacent", "best-worst"]))
def test_weights_of_full_rankings_without_ties_sum_to_the_judgments(n: int, m: int, data: Any, mode: Any) -> None:
    t = task(n)
    judgments = [judge(t, f"w{i}", ranking=[[r] for r in data.draw(st.permutations(ids(t)))]) for i in range(m)]
    pairs, left_out = pairs_of(t, judgments, Rules(pairs=mode))
    asked = len(pairs) + len(left_out)  # each judgment compared every pair that was asked for
    assert sum(p.weight for p in pairs) == pytest.approx(m * len(pairs) / asked)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 5))
def test_swapping_the_sides_of_every_vote_swaps_the_pair(wins: int, losses: int, ties: int) -> None:
    t = task(2, "ab")
    votes = ["A"] * wins + ["B"] * losses + ["tie"] * ties
    other = {"A": "B", "B": "A", "tie": "tie"}
    there, _ = pairs_of(t, [judge(t, f"w{i}", choice=v) for i, v in enumerate(votes)], Rules())
    back, _ = pairs_of(t, [judge(t, f"w{i}", choice=other[v]) for i, v in enumerate(votes)], Rules())
    assert bool(there) == bool(back) == (wins != losses)
    for p, q in zip(there, back, strict=True):
        assert (p.chosen_id, p.rejected_id) == (q.rejected_id, q.chosen_id)
        assert (p.probability, p.votes, p.weight) == (q.probability, q.votes, q.weight)


# Splits and rules


def test_splits_keep_to_their_shares_and_move_only_with_the_seed() -> None:
    names = [f"prompt {n}" for n in range(20_000)]
    count = Counter(split_of(name, 0, (90, 5, 5)) for name in names)
    # 5% of 20,000 is 1,000; five standard deviations, √(20,000 × 0.05 × 0.95), are 154
    assert abs(count["validation"] - 1000) < 154
    assert abs(count["test"] - 1000) < 154
    assert all(split_of(name, 0, (1, 0, 0)) == "train" for name in names[:100])
    assert [split_of(n, 0, (2, 1, 1)) for n in names[:99]] == [split_of(n, 0, (50, 25, 25)) for n in names[:99]]
    assert [split_of(n, 0, (2, 1, 1)) for n in names[:99]] != [split_of(n, 1, (2, 1, 1)) for n in names[:99]]


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"prior": "-1"}, "--prior"),
        ({"prior": "1e999999999"}, "--prior"),
        ({"prior": "nan"}, "--prior"),
        ({"sources": ["humans"]}, "did you mean 'human'"),
        ({"sources": []}, "--sources"),
        ({"margin": 0}, "--margin"),
        ({"seed": 2**70}, "--seed"),
        ({"splits": [1, 2]}, "--splits"),
        ({"splits": [0, 0, 0]}, "--splits"),
        ({"splits": [-1, 1, 1]}, "--splits"),
        ({"pairs": "some"}, "pairs"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_rules_out_of_range_are_refused_by_name(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make_rules(**given_)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(".5", "0.5"), ("0.50", "0.5"), ("1", "1"), ("10", "10"), ("0.00", "0"), ("0.000001", "0.000001")],
)
def test_one_prior_has_one_spelling_and_reads_back(typed: str, kept: str) -> None:
    assert make_rules(prior=typed).prior == kept
    assert make_rules(**make_rules(prior=typed).model_dump(mode="json")) == make_rules(prior=typed)
