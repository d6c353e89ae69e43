"""The bundled samples: tasks with every kind of content, guidelines, and a judged project with its truth."""

import math
import random
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput
from data.jsonl import read_lines
from data.records import Criterion, Judgment, Message, Prompt, Response, Task, broken_id
from data.sample import simulate as sim

SAMPLE = Path(sim.__file__).parent
JUDGED = SAMPLE / "judged"

Line = dict[str, Any]


def lines(path: Path) -> list[Line]:
    """Every line of a file in the short task layout; none may be unreadable."""
    found = list(read_lines(path))
    assert [line.problem for line in found if line.problem] == []
    return [line.value for line in found]


def as_task(line: Line) -> Task:
    """A line as a task, the way README says: its id and `<id>#<n>` are the import keys."""
    asked = line["prompt"]
    messages = [Message(role="user", content=asked)] if isinstance(asked, str) else [Message(**m) for m in asked]
    prompt = Prompt.make(messages, language=line["language"], tags=line["tags"], licence="CC0-1.0")
    responses = [
        Response.make(
            prompt.id,
            [Message(role="assistant", content=r["text"])],
            model=r["model"],
            import_key=f"{line['id']}#{n}",
        )
        for n, r in enumerate(line["responses"], 1)
    ]
    criteria = [Criterion.model_validate(c) for c in line.get("criteria", [])]
    return Task.make(
        "sample",
        line["kind"],
        prompt,
        responses,
        criteria=criteria,
        language=line["language"],
        import_key=line["id"],
    )


def as_judgment(task: Task, said: Line) -> Judgment:
    """One element of `judgments` as a record of that task."""
    ids = [r.id for r in task.responses]
    ranking = said.get("ranking")
    return Judgment.make(
        task_id=task.id,
        annotator=said["annotator"],
        shown=[ids[n - 1] for n in said["shown"]],
        ranking=ranking and [[ids[n - 1] for n in tier] for tier in ranking],
        purpose="import",
        token=f"{task.import_key}#{said['annotator']}",
        **{k: said.get(k) for k in ("choice", "strength", "active_seconds", "submitted_at")},
    )


@pytest.fixture(scope="module")
def tasks() -> list[Line]:
    return lines(SAMPLE / "tasks.jsonl")


@pytest.fixture(scope="module")
def judged() -> list[Line]:
    return lines(JUDGED / "tasks.jsonl")


@pytest.fixture(scope="module")
def truth() -> Line:
    known: Line = orjson.loads((JUDGED / "truth.json").read_bytes())
    return known


def answers(tasks: list[Line], kind: str = "ranking") -> list[str]:
    return [r["text"] for t in tasks if t["kind"] == kind for r in t["responses"]]


# --- tasks to try the page with


def test_there_are_enough_tasks_of_each_kind_and_half_are_chinese(tasks: list[Line]) -> None:
    kinds = Counter(t["kind"] for t in tasks)
    assert kinds["ranking"] >= 24
    assert kinds["ab"] >= 8
    assert kinds["rating"] >= 6
    assert {len(t["responses"]) for t in tasks if t["kind"] == "ranking"} == {4}
    chinese = sum(t["language"] == "zh" for t in tasks)
    assert 0.4 <= chinese / len(tasks) <= 0.6
    assert {t["language"] for t in tasks} == {"en", "zh"}


def test_every_task_is_a_valid_record_with_its_own_id(tasks: list[Line]) -> None:
    made = [as_task(t) for t in tasks]
    assert [broken_id(t) for t in made if broken_id(t)] == []
    assert len({t.id for t in made}) == len({t["id"] for t in tasks}) == len(tasks)


def test_a_task_in_chinese_asks_in_chinese(tasks: list[Line]) -> None:
    for t in tasks:
        asked = t["prompt"] if isinstance(t["prompt"], str) else t["prompt"][-1]["content"]
        assert bool(re.search(r"[\u4e00-\u9fff]", asked)) == (t["language"] == "zh"), t["id"]


def test_rankings_show_code_in_two_languages(tasks: list[Line]) -> None:
    fences = {name for text in answers(tasks) for name in re.findall(r"^```(\w+)$", text, re.M)}
    assert {"python", "javascript"} <= fences
    assert all(text.count("```") % 2 == 0 for text in answers(tasks))


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a Markdown table", r"^\|(-{3,}\|)+$"),
        ("inline LaTeX", r"\\\(.+?\\\)"),
        ("display LaTeX", r"\$\$[^$]+\$\$"),
        ("Arabic", r"[\u0600-\u06ff]{4}"),
        ("Hebrew", r"[\u0590-\u05ff]{3}"),
        ("a link", r"\[[^\]]+\]\(https://[^)]+\)"),
        ("a bare address", r"(?<!\()https://\S+"),
        ("a list three deep", r"^- .+\n  - .+\n(?:  - .+\n)*    - "),
        ("an answer with nothing in it", r"\A\Z"),
        ("a poem of four lines of five characters", r"\A(?:[\u4e00-\u9fff]{5}[\uff0c\u3002]\n?){4}"),
        ("a quotation", r"^> "),
    ],
)
def test_rankings_show(tasks: list[Line], what: str, pattern: str) -> None:
    assert any(re.search(pattern, text, re.M if "^" in pattern else 0) for text in answers(tasks)), what


def test_a_ranking_has_a_very_long_answer_of_real_prose(tasks: list[Line]) -> None:
    longest = max(answers(tasks), key=len)
    sentences = re.findall(r"[A-Z][^.?!]+[.?!]", longest)
    assert len(longest) > 6000
    assert len(set(sentences)) == len(sentences) > 40


def test_a_ranking_continues_a_dialogue(tasks: list[Line]) -> None:
    dialogues = [t["prompt"] for t in tasks if t["kind"] == "ranking" and not isinstance(t["prompt"], str)]
    assert len(dialogues) >= 2
    assert all([m["role"] for m in d] == ["user", "assistant", "user"] for d in dialogues)


def test_two_answers_to_one_prompt_are_equal_and_still_two_records(tasks: list[Line]) -> None:
    same = [t for t in tasks if len({r["text"] for r in t["responses"]}) < len(t["responses"])]
    assert [t["kind"] for t in same] == ["ranking"]
    assert len({r.id for r in as_task(same[0]).responses}) == 4


def test_the_subjects_asked_for_are_there(tasks: list[Line]) -> None:
    tags = Counter(tag for t in tasks if t["kind"] == "ranking" for tag in t["tags"])
    assert {"code", "table", "maths", "poem", "advice", "summary", "translation", "safety"} <= set(tags)


def test_rating_criteria_say_low_middle_and_high_in_both_languages(tasks: list[Line]) -> None:
    criteria = [Criterion.model_validate(c) for t in tasks for c in t.get("criteria", [])]
    assert {c.key for c in criteria} == {"helpful", "honest", "harmless", "clear"}
    for c in criteria:
        assert {str(c.low), str((c.low + c.high) // 2), str(c.high)} <= set(c.anchors)
        assert all(set(words) == {"en", "zh"} and all(words.values()) for words in (c.name, c.description))
        assert all(set(words) == {"en", "zh"} and all(words.values()) for words in c.anchors.values())


def test_no_model_always_stands_in_the_same_place(tasks: list[Line]) -> None:
    places = defaultdict(set)
    for t in tasks:
        for n, r in enumerate(t["responses"]):
            places[r["model"]].add(n)
    assert set(places) == {"sample-a", "sample-b", "sample-c", "sample-d"}
    assert all(seen == {0, 1, 2, 3} for seen in places.values())


def test_the_guidelines_say_the_same_things_in_both_languages() -> None:
    def shape(language: str) -> list[str]:
        text = (SAMPLE / f"guidelines.{language}.md").read_text("utf-8")
        return re.findall(r"^(#+|-) ", text, re.M)

    assert shape("en") == shape("zh")
    assert shape("en").count("##") >= 4
    assert shape("en").count("-") == 5  # one for each flag


# --- the judged project


def test_the_committed_judged_project_is_what_the_simulator_writes(tmp_path: Path) -> None:
    assert sim.run(["--out", str(tmp_path), "--seed", "7", "--tasks", "600"]) == 0
    for name in ("tasks.jsonl", "truth.json"):
        assert (tmp_path / name).read_bytes() == (JUDGED / name).read_bytes(), name
    assert sum(f.stat().st_size for f in JUDGED.iterdir()) < 1_500_000


def test_another_seed_gives_another_project() -> None:
    assert sim.simulate(7, 40) == sim.simulate(7, 40)
    assert sim.simulate(7, 40) != sim.simulate(8, 40)


def test_every_judged_task_and_judgment_is_a_valid_record(judged: list[Line]) -> None:
    kinds = Counter(t["kind"] for t in judged)
    assert kinds["ab"] >= 380
    assert kinds["ranking"] >= 180
    ids = set()
    for line in judged:
        task = as_task(line)
        said = [as_judgment(task, j) for j in line["judgments"]]
        assert len({j.annotator for j in said}) == 3
        assert all(j.tiers() for j in said)
        assert all(sorted(j.shown) == sorted(r.id for r in task.responses) for j in said)
        ids |= {j.id for j in said}
    assert len(ids) == 3 * len(judged)


def test_work_is_shared_evenly_and_one_person_judges_one_task_at_a_time(judged: list[Line]) -> None:
    times = defaultdict(list)
    for line in judged:
        for j in line["judgments"]:
            times[j["annotator"]].append((j["submitted_at"], j["active_seconds"]))
    assert {len(t) for t in times.values()} == {150}
    for seen in times.values():
        assert [at for at, _ in seen] == sorted({at for at, _ in seen})
        assert all(seconds > 0 for _, seconds in seen)


def test_about_three_in_a_hundred_ask_an_earlier_task_again_of_other_people(judged: list[Line], truth: Line) -> None:
    by_id = {line["id"]: line for line in judged}
    assert 0.02 <= len(truth["repeats"]) / len(judged) <= 0.04
    for again, first in truth["repeats"].items():
        assert again > first
        assert by_id[again]["prompt"] == by_id[first]["prompt"]
        assert by_id[again]["responses"] == by_id[first]["responses"]
        people = [{j["annotator"] for j in by_id[name]["judgments"]} for name in (again, first)]
        assert not people[0] & people[1]
    others = [line["prompt"] for line in judged if line["id"] not in truth["repeats"]]
    assert len(set(others)) == len(others)


def test_the_answers_of_a_judged_task_can_be_told_apart(judged: list[Line]) -> None:
    for line in judged:
        texts = [r["text"] for r in line["responses"]]
        assert len(set(texts)) == len(texts), line["id"]


def rao_kupper(d: float, tie_zone: float) -> tuple[float, float]:
    """Chances that the first is put before the second, and the second before the first, at log-odds d."""
    return 1 / (1 + math.exp(tie_zone - d)), 1 / (1 + math.exp(tie_zone + d))


@pytest.mark.parametrize("gap", [0, 400, 1000, 2500])
def test_two_answers_are_judged_as_rao_and_kupper_say(gap: int) -> None:
    rng = random.Random(gap)
    person = sim.Person("x", 800, "", first_shown=300)
    task = sim.Made({"kind": "ab", "responses": [{"text": ""}] * 2}, [gap, 0], [0, 0])
    n = 6000
    seen: Counter[str] = Counter()
    expected = {"first": 0.0, "second": 0.0}
    for _ in range(n):
        said = sim.judge(rng, person, task, reversed_now=False)
        left = said["shown"][0]
        chosen = said["choice"] if said["choice"] == "tie" else left if said["choice"] == "A" else 3 - left
        seen[str(chosen)] += 1
        d = person.sensitivity / 1000 * gap / 1000 + (0.3 if left == 1 else -0.3)
        first, second = rao_kupper(d, sim.TIE_ZONE / 1000)
        expected["first"] += first
        expected["second"] += second
    for name, key in (("first", "1"), ("second", "2")):
        p = expected[name] / n
        # the worths are whole thousandths, so a chance may be off by about 0.001 beside chance itself
        assert abs(seen[key] / n - p) < 4 * math.sqrt(p * (1 - p) / n) + 0.001


def test_skill_is_the_chance_at_a_gap_of_one_unit() -> None:
    for person in sim.PEOPLE:
        assert 1 / (1 + math.exp(-person.sensitivity / 1000)) == pytest.approx(person.skill / 1000, abs=5e-4)


def test_the_noise_is_gumbel() -> None:
    rng = random.Random(1)
    draws = [sim.gumbel(rng) / 1000 for _ in range(20_000)]
    mean = sum(draws) / len(draws)
    variance = sum((x - mean) ** 2 for x in draws) / len(draws)
    assert mean == pytest.approx(0.5772, abs=4 * 1.2825 / math.sqrt(20_000))  # Euler's constant
    assert variance == pytest.approx(math.pi**2 / 6, abs=0.12)  # 4 standard errors: the kurtosis is 5.4


@given(st.lists(st.integers(-5000, 5000), min_size=2, max_size=9))
def test_tiers_place_everybody_once_best_first_and_tie_only_neighbours_in_the_zone(z: list[int]) -> None:
    order = sim.tiers(z)
    assert sorted(n for tier in order for n in tier) == list(range(1, len(z) + 1))
    for above, below in pairwise(order):
        assert min(z[n - 1] for n in above) - max(z[n - 1] for n in below) > sim.TIE_ZONE
    for tier in order:
        worths = sorted(z[n - 1] for n in tier)
        assert all(b - a <= sim.TIE_ZONE for a, b in pairwise(worths))


def votes(judged: list[Line]) -> dict[str, list[tuple[str, list[int], int | None]]]:
    """Per person, in their own order: task id, shown, and the position chosen (None: a tie); A/B only."""
    out: dict[str, list[tuple[str, list[int], int | None]]] = defaultdict(list)
    for line in judged:
        for j in line["judgments"]:
            if "choice" in j:
                chosen = {"A": j["shown"][0], "B": j["shown"][1], "tie": None}[j["choice"]]
                out[j["annotator"]].append((line["id"], j["shown"], chosen))
    return out


def reversed_tasks(judged: list[Line], truth: Line, person: str) -> set[str]:
    """Tasks that this person answered the wrong way round."""
    start = truth["people"][person]["reverses_from"]
    mine = [line["id"] for line in judged if any(j["annotator"] == person for j in line["judgments"])]
    return set(mine[start - 1 :]) if start else set()


def log_odds(truth: Line, person: str, task: str, shown: list[int], i: int, backwards: set[str]) -> float:
    """For this person, of the answer at position i (from 0) over the other; by truth.json alone."""
    known = truth["people"][person]
    worth, padding = (truth["responses"][task][k] for k in ("utility", "padding"))
    slope = -known["sensitivity"] if task in backwards else known["sensitivity"]
    d: float = slope * (worth[i] - worth[1 - i]) + known["padding"] * (padding[i] - padding[1 - i])
    habit: float = known["first_shown"]
    return d + habit if shown[0] == i + 1 else d - habit


def test_each_persons_agreement_with_the_truth_is_what_their_parameters_say(judged: list[Line], truth: Line) -> None:
    for person, given_votes in votes(judged).items():
        backwards = reversed_tasks(judged, truth, person)
        right, mean, variance = 0, 0.0, 0.0
        for task, shown, chosen in given_votes:
            worth = truth["responses"][task]["utility"]
            better = 0 if worth[0] > worth[1] else 1
            d = log_odds(truth, person, task, shown, better, backwards)
            p, _ = rao_kupper(d, truth["settings"]["tie_zone"])
            right += chosen == better + 1
            mean += p
            variance += p * (1 - p)
        assert abs(right - mean) < 3 * math.sqrt(variance), person  # Poisson-binomial, 3 standard deviations


def share(hits: int, n: int) -> float:
    """Standard deviations from one half that `hits` of `n` lie away."""
    return (hits - n / 2) / math.sqrt(n / 4)


def test_only_the_person_who_leans_to_the_first_shown_picks_it_too_often(judged: list[Line]) -> None:
    leaning = {}
    for person, given_votes in votes(judged).items():
        decided = [(shown, chosen) for _, shown, chosen in given_votes if chosen]
        leaning[person] = share(sum(chosen == shown[0] for shown, chosen in decided), len(decided))
    assert leaning.pop("sim-10") > 5
    assert max(map(abs, leaning.values())) < 3


def test_only_the_person_who_prefers_length_picks_the_padded_answer_too_often(judged: list[Line], truth: Line) -> None:
    """Too often: more than their skill and the worth of the answers, without that habit, would make them."""
    nobody_pads = {**truth, "people": {p: {**k, "padding": 0} for p, k in truth["people"].items()}}
    leaning = {}
    for person, given_votes in votes(judged).items():
        backwards = reversed_tasks(judged, truth, person)
        hits, mean, variance = 0, 0.0, 0.0
        for task, shown, chosen in given_votes:
            padding = truth["responses"][task]["padding"]
            if chosen and padding[0] != padding[1]:
                longer = 0 if padding[0] > padding[1] else 1
                d = log_odds(nobody_pads, person, task, shown, longer, backwards)
                one, other = rao_kupper(d, truth["settings"]["tie_zone"])
                p = one / (one + other)  # given that it is no tie
                hits += chosen == longer + 1
                mean += p
                variance += p * (1 - p)
        leaning[person] = (hits - mean) / math.sqrt(variance)
    assert leaning.pop("sim-11") > 4
    assert max(map(abs, leaning.values())) < 3


def test_the_person_who_turns_round_agrees_first_and_disagrees_afterwards(judged: list[Line], truth: Line) -> None:
    backwards = reversed_tasks(judged, truth, "sim-12")
    agreed: dict[bool, list[bool]] = {True: [], False: []}
    for task, _, chosen in votes(judged)["sim-12"]:
        worth = truth["responses"][task]["utility"]
        if chosen:
            agreed[task in backwards].append(worth[chosen - 1] == max(worth))
    assert sum(agreed[False]) / len(agreed[False]) > 0.75
    assert sum(agreed[True]) / len(agreed[True]) < 0.25


def test_rankings_by_sound_people_put_the_models_in_their_true_order(judged: list[Line], truth: Line) -> None:
    beaten: dict[str, list[float]] = defaultdict(list)
    for line in judged:
        for j in line["judgments"]:
            if "ranking" in j and truth["people"][j["annotator"]]["note"] in ("careful", "sound"):
                below = 4
                for tier in j["ranking"]:
                    below -= len(tier)
                    for n in tier:
                        beaten[line["responses"][n - 1]["model"]].append(below + (len(tier) - 1) / 2)
    found = sorted(beaten, key=lambda m: -sum(beaten[m]) / len(beaten[m]))
    assert found == sorted(truth["models"], key=lambda m: -truth["models"][m])


def test_a_better_answer_says_more_that_is_right(judged: list[Line], truth: Line) -> None:
    """Text and worth belong together: a full answer to a sum has the result, a wrong one has not."""
    for line in judged:
        if line["tags"][0] != "maths":
            continue
        rate, whole = map(int, re.findall(r"(\d+)% × (\d+)", line["prompt"])[0])
        for r, worth in zip(line["responses"], truth["responses"][line["id"]]["utility"], strict=True):
            has_it = bool(re.search(rf"(?<!\d){whole * rate // 100}(?!\d)", r["text"]))
            assert has_it == (worth >= truth["settings"]["grade_starts"][1]), (line["id"], r["text"])


@pytest.mark.parametrize("wrong", [["--tasks", "0"], ["--overlap", "13"], ["--overlap", "0"], ["--rankings", "0"]])
def test_a_size_out_of_range_is_refused_with_its_range(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(BadInput, match="from 1 to 12"):
        sim.run(["--out", str(tmp_path / "out"), *wrong])
    assert not (tmp_path / "out").exists()


def test_the_summary_for_programs_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.run(["--out", str(tmp_path), "--tasks", "12", "--overlap", "2", "--json"]) == 0
    said = orjson.loads(capsys.readouterr().out)
    assert said == {"out": str(tmp_path), "tasks": 12, "judgments": 24, "people": 12}
    assert len(lines(tmp_path / "tasks.jsonl")) == 12
