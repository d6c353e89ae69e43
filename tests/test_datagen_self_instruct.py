"""Self-Instruct: seeds, templates, what is read out of answers, each filter, the rounds, and the command."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import ROOT
from fake import fake_server
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, BudgetEnded, NotEnough, NotThere, Refused
from data.jsonl import read_records
from data.manifest import read_manifest, verify_folder
from data.records import Prompt, prompt_id
from datagen import self_instruct
from datagen.avoid import Avoid
from datagen.fake.completion import completion
from datagen.filters import ALWAYS, INSTANCE, INSTRUCTION, Candidate, Sieve, checks, choose
from datagen.grown import asked, name
from datagen.growth import Growth, Rules
from datagen.instances import Instance, check, parse, without_field_name
from datagen.instructions import parse_blocks, parse_list, tidy
from datagen.novelty_index import NoveltyIndex
from datagen.planned import plans
from datagen.request import Answer, Request
from datagen.rounds import draw, grow
from datagen.seeds import Seed, default_seeds, read_seeds
from datagen.steps import SAMPLING, Steps, read_class, sampling
from datagen.templates import find
from datagen.validate import check as validated

ALL = frozenset({**INSTRUCTION, **INSTANCE})
Row = dict[str, Any]


class Scripted:
    """A client without a network: answers as the fake server would, works in any order, may run out of budget."""

    def __init__(self, answer: Callable[[Request], str] | None = None, budget: int = 10**9, order: int = 0) -> None:
        self.answer, self.budget = answer, budget
        self.dice = random.Random(order)
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        if len(self.asked) >= self.budget:
            raise BudgetEnded("the cap is reached")
        self.asked.append(request)
        key = request.key("http://scripted/v1").hex()
        if self.answer is not None:
            return Answer(key, self.answer(request), "stop", request.model)
        body = {"model": request.model, "messages": request.messages, **request.params}
        return validated(request, key, orjson.dumps(completion(body, "scripted", 1)))

    async def each(self, items: Iterable[Any], work: Callable[[Any], Awaitable[Any]]) -> AsyncIterator[tuple[Any, Any]]:
        items = list(items)
        order = list(range(len(items)))
        self.dice.shuffle(order)
        done: dict[int, Any] = {}
        ended: BudgetEnded | None = None
        for i in order:
            try:
                done[i] = await work(items[i])
            except BudgetEnded as error:
                ended = error
        for i in sorted(done):
            yield items[i], done[i]
        if ended is not None:
            raise ended


def steps(language: str = "en", **changes: Any) -> Steps:
    return Steps("fake", language, sampling(changes.get("sampling", [])), changes.get("folder"))


def sieve(language: str = "en", on: frozenset[str] = ALL, avoid: Avoid | None = None, one_pass: bool = False) -> Sieve:
    return Sieve(language, on, NoveltyIndex(), avoid, one_pass)


def grown(
    client: Scripted,
    rules: Rules,
    language: str = "en",
    on: frozenset[str] = ALL,
    avoid: Avoid | None = None,
) -> Growth:
    seeds = read_seeds(default_seeds(language), language)
    growth = Growth(seeds.tasks, rules, sieve(language, on, avoid, rules.one_pass))
    asyncio.run(grow(client, steps(language), growth, name))  # type: ignore[arg-type]
    return growth


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def candidate(text: str, position: int = 0, cut_off: bool = False) -> Candidate:
    return Candidate(0, 0, position, text, (), "key", "fake", "hash", cut_off)


def seed(number: int, instruction: str = "") -> Seed:
    return Seed(f"s{number}", instruction or f"Seed instruction number {number}", (Instance("", "x"),), False)


# Seeds


@pytest.mark.parametrize("language", ["en", "zh"])
def test_our_seeds_are_sixty_or_more_of_many_kinds_a_quarter_of_them_classification(language: str) -> None:
    seeds = read_seeds(default_seeds(language), language)
    assert seeds.rejected == []
    assert len(seeds.tasks) >= 60
    assert 0.23 <= sum(s.is_classification for s in seeds.tasks) / len(seeds.tasks) <= 0.27
    assert 0.23 <= sum(not s.instances[0].input for s in seeds.tasks) / len(seeds.tasks) <= 0.28
    assert len({tag for s in seeds.tasks for tag in s.tags}) >= 30
    assert all(s.tags for s in seeds.tasks)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_our_seeds_pass_the_filters_that_they_set_the_example_for(language: str) -> None:
    index = NoveltyIndex()
    looks = checks(language)
    for one in read_seeds(default_seeds(language), language).tasks:
        assert [why for why, look in looks.items() if look(one.instruction)] in ([], ["punctuation"]), one.instruction
        assert index.nearest(one.instruction) is None, one.instruction
        index.add(one.id, one.instruction)
        kept, dropped = check(one.instances, False, ALL)
        assert (list(one.instances), []) == (kept, dropped), one.id
        assert one.is_classification or len({i.output for i in one.instances}) == len(one.instances)


def test_bad_seed_lines_are_rejected_with_their_reason_and_repeats_named(tmp_path: Path) -> None:
    good = [{"id": f"g{i}", "instruction": f"Do the thing {i}", "instances": [{"output": "x"}]} for i in range(8)]
    bad = [
        ("{", "not JSON"),
        (json.dumps({**good[0], "id": "g9"}), "the same instruction as line 1"),
        (json.dumps({**good[0], "instruction": "Another"}), "the same id as line 1"),
        (json.dumps({"instuction": "x", "instances": []}), "did you mean 'instruction'?"),
        (json.dumps({"id": "e", "instruction": " "}), "field instruction"),
        (json.dumps({"id": "f", "instruction": "F", "instances": []}), "field instances"),
        (json.dumps({"id": "h", "instruction": "H", "instances": [{"output": ""}]}), "field instances.0"),
        (json.dumps({**good[0], "id": "i", "instruction": "I", "is_classification": "no"}), "field is_classification"),
        (
            json.dumps({**good[0], "id": "j", "instruction": "J", "language": "zh"}),
            "it is 'zh', and this run is in 'en'",
        ),
        ("[]", "no JSON object"),
    ]
    path = tmp_path / "seeds.jsonl"
    path.write_text("\n".join([*map(json.dumps, good), *(line for line, _ in bad)]))
    seeds = read_seeds(path, "en")
    assert [s.id for s in seeds.tasks] == [f"g{i}" for i in range(8)]
    assert [row["line"] for row in seeds.rejected] == list(range(9, 19))
    for row, (_, reason) in zip(seeds.rejected, bad, strict=True):
        assert reason in row["detail"]


def test_fewer_than_eight_seeds_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"id": "a", "instruction": "A", "instances": [{"output": "x"}]}\n{}\n')
    with pytest.raises(BadInput, match=r"1 good seed tasks, and 8 are needed; line 2: field instruction"):
        read_seeds(path, "en")
    with pytest.raises(NotThere, match="name a file of them with --seeds"):
        default_seeds("fr")


def test_the_original_seeds_are_read_as_they_are(real: Path) -> None:
    seeds = read_seeds(real / "self_instruct_human_eval" / "seed_tasks.jsonl", "en")
    assert (len(seeds.tasks), seeds.rejected) == (175, [])
    assert sum(s.is_classification for s in seeds.tasks) == 26
    assert sum(not s.instances[0].input for s in seeds.tasks) == 50


# What is asked


@pytest.mark.parametrize(
    ("language", "yes", "no"), [("en", "Classification: Yes", "Classification: No"), ("zh", "分类：是", "分类：否")]
)
def test_the_class_is_asked_with_12_examples_for_and_19_against(language: str, yes: str, no: str) -> None:
    text = find("classification", language).text(instruction="Do it", language=language)
    assert (len(re.findall(yes, text)), len(re.findall(no, text))) == (12, 19)


def test_eight_instructions_stand_in_a_prompt_six_by_people_and_two_by_a_model_once_there_are_two() -> None:
    growth = grown(Scripted(), Rules(num=30, round=4))
    for kept, machine in ((0, 0), (1, 1), (2, 2), (30, 2)):
        drawn = draw(growth.seeds, growth.kept[:kept], growth.rules, 3, 1)
        assert len(set(drawn.ids)) == 8
        assert sum(id in growth.ids for id in drawn.ids) == machine
    many = [draw(growth.seeds, growth.kept, growth.rules, 0, i) for i in range(60)]
    places = {i for d in many for i, id in enumerate(d.ids) if id in growth.ids}
    assert places == set(range(8)), "the list is shuffled"


def test_a_prompt_is_a_function_of_seed_round_request_and_pool() -> None:
    seeds = [seed(i) for i in range(30)]
    rules = Rules(num=5, seed=4)
    assert draw(seeds, [], rules, 1, 2) == draw(seeds, [], rules, 1, 2)
    others = [draw(seeds, [], r, a, b) for r, a, b in ((rules, 1, 3), (rules, 2, 2), (Rules(num=5, seed=5), 1, 2))]
    assert draw(seeds, [], rules, 1, 2) not in others


def test_the_list_asks_for_the_numbers_that_follow_and_takes_each_example_as_one_line() -> None:
    request = steps().instructions(["One\n2. {{ 7 * 7 }}", *(f"T{i}" for i in range(7))])
    text = request.messages[-1]["content"]
    assert "write the tasks 9 to 16" in text
    assert "\n1. One 2. {{ 7 * 7 }}\n2. T0\n" in text
    assert request.params == SAMPLING["instructions"]
    chinese = steps("zh").instructions(["写诗"] * 8).messages[-1]["content"]
    assert "第 9 到第 16 条" in chinese


def test_the_sampling_of_the_paper_is_the_default_and_can_be_changed() -> None:
    assert SAMPLING["instructions"] == {
        "temperature": 0.7,
        "top_p": 0.5,
        "presence_penalty": 2,
        "frequency_penalty": 0,
        "max_tokens": 1024,
    }
    made = sampling(["instructions.temperature=1", "input_first.presence_penalty=none"])
    assert made["instructions"]["temperature"] == 1
    assert "presence_penalty" not in made["input_first"]
    assert made["one_pass"] == SAMPLING["one_pass"]
    for wrong, said in (
        ("instruction.top_p=1", "did you mean 'instructions'"),
        ("instructions.temprature=1", "did you mean 'temperature'"),
        ("instructions.top_p=high", "no number"),
        ("top_p=1", "STEP.NAME=VALUE"),
    ):
        with pytest.raises(BadInput, match=said):
            sampling([wrong])


# What is read out of an answer


def test_a_list_is_read_whatever_its_marks_and_remarks() -> None:
    text = (
        "Here:\n\n9. **Write** a poem\nabout 1. cats\n10) Explain NASA\n1. inner item\n"
        "11、 task: sort these\n\nHope this helps!"
    )
    assert [item.text for item in parse_list(text)] == [
        "Write a poem about 1. cats",
        "Explain NASA 1. inner item",
        "Sort these",
    ]
    assert parse_list("What would you like?") == []


def test_nasa_keeps_its_capitals() -> None:
    assert tidy("tell what  NASA\ndoes") == "Tell what NASA does"
    assert tidy("éclairs, how to bake them") == "éclairs, how to bake them"


WORDS = st.lists(st.sampled_from(["Sort", "a", "10", "NASA", "1.", "**bold**", "好", "task:", "(x)", "-"]), min_size=1)


@given(st.lists(WORDS.map(lambda words: "Do " + " ".join(words)), min_size=1, max_size=8))
def test_every_list_that_a_prompt_could_show_is_read_back(texts: list[str]) -> None:
    written = "\n".join(f"{i}. {text}" for i, text in enumerate(texts, 9))
    assert [item.text for item in parse_list(written)] == [tidy(text) for text in texts]


def test_one_pass_takes_only_blocks_with_their_three_fields_in_order() -> None:
    found, dropped = parse_blocks(
        "Here you go\n### Task 4\nInstruction: sort\nInput: none\nOutput: a\nb\n\n### Task 5\n"
        "Instruction: x\nOutput: y\n"
        "### 任务 6\n指令：写诗\n输入：无\n输出：好\n### Task 7\nstray\nInstruction: x\nInput: y\nOutput: z"
    )
    assert [(item.text, item.instance) for item in found] == [
        ("Sort", Instance("", "a\nb")),
        ("写诗", Instance("", "好")),
    ]
    assert [d.detail for d in dropped] == [
        "its fields are instruction, output",
        "its fields are text outside the fields, instruction, input, output",
    ]


def test_instances_are_read_in_both_orders_and_both_languages() -> None:
    first, _ = parse("Example 1\nInput: a\nb\nOutput: c\nd\nExample 2\nOutput: only", label_first=False)
    assert first == [Instance("a\nb", "c\nd"), Instance("", "only")]
    labelled, _ = parse("示例 1\n类别：好\n输入：很满意\n示例 2\n类别：坏\n不会再来", label_first=True)
    assert labelled == [Instance("很满意", "好"), Instance("不会再来", "坏")]
    bare, _ = parse("**Input:** none\n**Output:** x", label_first=False)
    assert bare == [Instance("", "x")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Example 1\nInput: a", "no field output"),
        ("Example 1\nInput: a\nOutput: b\nOutput: c", "field output twice"),
        ("Example 1\nOutput: b\nInput: a", "field output before input"),
        ("Example 1\nstray\nInput: a\nOutput: b", "text outside the fields"),
        ("I cannot say.", "no field output"),
    ],
)
def test_a_block_that_is_not_as_asked_is_refused_and_never_guessed(text: str, why: str) -> None:
    found, dropped = parse(text, label_first=False)
    assert found == []
    assert [(d.filter, d.detail) for d in dropped] == [("malformed_instance", why)]


def test_yes_and_no_are_read_and_all_else_is_unclear() -> None:
    assert [read_class(t) for t in ("Yes", "yes.", "**Yes**", "Classification: Yes", "是", "是的。")] == [True] * 6
    assert [read_class(t) for t in ("No", "no\n", '"No"', "否", "不是")] == [False] * 5
    assert [read_class(t) for t in ("", "Not sure", "It depends", "None", "Yesterday", "是否", "maybe yes")] == [
        None
    ] * 7


# The checks of instances


def test_each_fault_of_an_instance_has_its_name_and_can_be_let_pass() -> None:
    found = [
        Instance("a", "b"),
        Instance("a2", ""),
        Instance("same", "same"),
        Instance("c", "the answer is:"),
        Instance("输入：", "d"),
        Instance("a", "b"),
        *(Instance(f"i{n}", "x") for n in range(5)),
        Instance("cut", "of"),
    ]
    kept, dropped = check(found, True, ALL)
    assert kept == [found[0], *found[6:10]]
    expected = ["empty_output", "same_as_input", "ends_with_colon", "ends_with_colon", "repeated_instance"]
    assert [d.filter for d in dropped] == [*expected, "surplus_instance", "truncated_instance"]
    assert check(found, True, frozenset()) == (found, [])


def test_two_outputs_for_one_input_drop_all_instances_of_the_task() -> None:
    found = [Instance("q", "yes"), Instance("r", "no"), Instance("q", "no")]
    kept, dropped = check(found, False, ALL)
    assert (kept, [d.filter for d in dropped]) == ([], ["instance_conflict"] * 3)
    without_input = [Instance("", "one"), Instance("", "two")]
    assert check(without_input, False, ALL) == (without_input, [])


def test_a_single_field_name_is_taken_off_every_other_time() -> None:
    dice = random.Random(1)
    made = Counter(without_field_name("Sentence: it rains", dice) for _ in range(1000))
    assert set(made) == {"Sentence: it rains", "it rains"}
    assert 430 <= made["it rains"] <= 570  # 1000 throws of a fair coin: 500 ± 4.4 deviations of 15.8
    for text in ("Name: A\nAge: 3", "no name here", "Time 12:30"):
        assert {without_field_name(text, dice) for _ in range(20)} == {text}


# The filters


@pytest.mark.parametrize(
    ("language", "text", "filter"),
    [
        ("en", "Write a poem", "too_short"),
        ("en", "word " * 151, "too_long"),
        ("en", "Describe the Image in words", "blacklist"),
        ("en", "Tell me when to go to bed", "blacklist"),
        ("en", "Write a program that counts words", "program"),
        ("en", "- say what this means to you", "punctuation"),
        ("en", "Étude in words about the sea", "non_ascii"),
        ("en", "Please 向 一位 老人 介绍 这个 城市 的 历史", "language"),
        ("zh", "写一首诗", "too_short"),
        ("zh", "字" * 251, "too_long"),
        ("zh", "看图片写一段话", "blacklist"),
        ("zh", "请编写一个程序统计字数", "program"),
        ("zh", "、这句话是什么意思呢", "punctuation"),
        ("zh", "Describe the old town in two sentences", "language"),
        ("fr", "Опиши город двумя фразами", "language"),
    ],
)
def test_each_look_at_the_text_takes_out_what_it_is_for(language: str, text: str, filter: str) -> None:
    assert [name for name, look in checks(language).items() if look(text)] == [filter]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Explain what NASA does"),
        ("en", "word " * 150),
        ("en", "Profile the imaginary mapmaker Drawson"),
        ("zh", "他试图表达什么意思"),
        ("zh", "字" * 250),
        ("zh", "《西游记》里谁最有耐心"),
        ("zh", "解释 API 是什么意思"),
        ("fr", "Décris la vieille ville en deux phrases"),
        ("uk", "Опиши старе місто двома реченнями"),
    ],
)
def test_nothing_else_is_taken_out(language: str, text: str) -> None:
    assert [name for name, look in checks(language).items() if look(text)] == []


def test_one_pass_adds_the_words_that_alpaca_added() -> None:
    text = "Choose some music for the evening"
    assert checks("en")["blacklist"](text) is None
    assert checks("en", one_pass=True)["blacklist"](text) == "'music'"


def test_novelty_is_against_seeds_and_all_that_passed_and_names_the_neighbour() -> None:
    s = sieve()
    s.know("seed_1", "Write a letter to the mayor of the town")
    assert s.fault(candidate("Write a letter to the mayor of the city")) is not None  # 8 of 9 words: F1 = 16/18
    assert s.fault(candidate("Explain how bees find their way home", 1)) is None
    found = s.fault(candidate("Explain how bees find their way back", 2))
    assert found is not None
    assert found.filter == "not_novel"
    assert found.more["neighbour"]["id"] == "0.0.1"
    again = s.fault(candidate("explain how  bees find their way home!", 3))
    assert again is not None
    assert again.filter == "not_novel", "another mark is no repeat to the letter, and near all the same"
    twice = s.fault(candidate("EXPLAIN how bees find their way home", 4))
    assert twice is not None
    assert (twice.filter, twice.detail) == ("repeated", "the same as 0.0.1")


def test_what_an_evaluation_set_holds_is_named() -> None:
    avoid = Avoid()
    avoid.add("How many roads must a man walk down before you call him a man?", "bench.jsonl", 7)
    found = sieve(avoid=avoid).fault(candidate("Say how many roads must a man walk down before you know"))
    assert found is not None
    assert found.filter == "contaminated"
    assert found.more["match"]["file"] == "bench.jsonl"
    assert found.more["match"]["line"] == 7


def test_a_filter_that_is_off_lets_pass() -> None:
    for name_ in INSTRUCTION:
        assert name_ in choose(None, [])
        assert name_ not in choose(None, [name_])
    assert choose("too_short,not_novel", ["not_novel"]) == {"too_short"}
    assert sieve(on=ALL - {"too_short"}).fault(candidate("Write poems")) is None
    assert sieve().fault(candidate("Write poems")) is not None
    s = sieve(on=ALL - {"not_novel", "repeated"})
    assert [s.fault(candidate("Describe a long walk", i)) for i in range(2)] == [None, None]


def test_a_filter_nobody_has_is_said_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'too_short'"):
        choose(None, ["to_short"])
    with pytest.raises(BadInput, match="cannot be switched off"):
        choose(None, ["no_list"])


# The rounds


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_filter_fires_over_a_run_and_the_yield_falls(language: str) -> None:
    avoid = Avoid(n=3, least=2)  # runs as short as the made-up tasks share
    avoid.add({"en": "a study guide about", "zh": "读游客的留言判断它是安全"}[language], "eval.jsonl", 1)
    growth = grown(Scripted(), Rules(num=600, round=20, min_yield=0), language, avoid=avoid)
    fired = {row["filter"] for row in growth.rejected}
    one_pass_only, english_only = {"malformed_task"}, {"non_ascii"}
    expected = {*ALWAYS, *INSTRUCTION, *INSTANCE} - one_pass_only - (english_only if language == "zh" else set())
    assert expected - fired == set()
    yields = [row["yield"] for row in growth.rounds]
    assert (growth.stopped, len(growth.kept)) == ("enough", 600)
    assert sum(yields[:3]) > 1.5 * sum(yields[-4:-1])
    discards = sum(row["filter"] in ("no_list", "malformed_instance", "unclear_class") for row in growth.rejected)
    assert discards < 0.05 * sum(row["asked"] for row in growth.rounds)


def test_the_ledger_accounts_for_every_instruction_that_came() -> None:
    growth = grown(Scripted(), Rules(num=120, round=6))
    for row in growth.rounds:
        here = [r for r in growth.rejected if r["round"] == row["round"]]
        sifted = sum(r["stage"] == "instructions" and r["filter"] in INSTRUCTION for r in here)
        assert row["came"] == sifted + row["passed"]
        ended = {(r["request"], r["position"]) for r in here if r["filter"] in ("no_instance", "unclear_class")}
        assert row["passed"] == row["kept"] + len(ended) + row["not_needed"]
        told = {r["filter"]: r["removed"] for r in growth.ledger if r["round"] == row["round"]}
        assert {name_: n for name_, n in told.items() if n} == dict(Counter(r["filter"] for r in here))
        assert set(told) >= ALL
    assert sum(row["kept"] for row in growth.rounds) == 120
    assert all(len(row["examples"]) == min(3, row["removed"]) for row in growth.ledger)


def test_the_order_of_answers_changes_nothing() -> None:
    a, b = (grown(Scripted(order=order), Rules(num=60, round=5, seed=3)) for order in (1, 2))
    assert a.kept == b.kept
    assert (a.rejected, a.rounds, a.ledger) == (b.rejected, b.rounds, b.ledger)


def test_exactly_the_number_is_kept_and_no_more_instances_are_asked_for_than_needed() -> None:
    client = Scripted()
    growth = grown(client, Rules(num=10, round=20))
    assert (len(growth.kept), growth.stopped) == (10, "enough")
    worked = sum(r.stage == "classification" for r in client.asked)
    failed = sum(row["filter"] in ("no_instance", "unclear_class") for row in growth.rejected)
    assert worked == 10 + failed


def test_classification_is_asked_label_first_and_the_rest_input_first() -> None:
    growth = grown(Scripted(), Rules(num=60, round=10))
    assert {g.is_classification for g in growth.kept} == {True, False}
    for g in growth.kept:
        assert list(g.steps) == ["classification", "output_first" if g.is_classification else "input_first"]
        assert 1 <= len(g.instances) <= 5


def test_a_dry_spring_ends_the_run() -> None:
    growth = grown(
        Scripted(lambda r: "9. Always the very same task" if r.stage == "instructions" else "No"), Rules(50, round=4)
    )
    assert (growth.stopped, len(growth.rounds), growth.kept) == ("yield", 3, [])


def test_when_the_budget_ends_what_is_whole_is_kept_and_the_rest_is_named() -> None:
    for budget in (3, 12, 25, 60):
        client = Scripted(budget=budget)
        growth = grown(client, Rules(num=500, round=10))
        assert (growth.stopped, len(client.asked)) == ("budget", budget)
        last = len(growth.rounds) - 1
        unfinished = sum(r["filter"] == "unfinished" for r in growth.rejected)
        lost = {r["filter"] for r in growth.rejected if r["round"] == last and r["stage"] != "instructions"}
        assert lost <= {"unfinished", "unclear_class", *ALWAYS, *INSTANCE}
        ended = sum(r["filter"] in ("no_instance", "unclear_class") for r in growth.rejected if r["round"] == last)
        assert growth.rounds[last]["passed"] == growth.rounds[last]["kept"] + unfinished + ended
        assert len(growth.kept) == len(growth.ids)
    assert growth.kept


def test_a_rejected_answer_is_a_named_reject_and_never_a_task() -> None:
    growth = grown(Scripted(lambda _: ""), Rules(num=5, round=2))
    assert {row["filter"] for row in growth.rejected} == {"no_list"}
    refusing = Scripted()
    refusing.ask = lambda r: _faulty(r)  # type: ignore[method-assign]
    growth = grown(refusing, Rules(num=5, round=2))
    assert {(row["filter"], row["detail"]) for row in growth.rejected} == {("bad_answer", "refusal: I'd rather not")}
    assert growth.kept == []


async def _faulty(_: Request) -> Answer:
    return Answer("00", "No.", fault="refusal", detail="I'd rather not")


def test_one_pass_shows_three_seeds_and_never_what_a_model_wrote() -> None:
    client = Scripted()
    growth = grown(client, Rules(num=150, one_pass=True, round=10))
    seeds = {s.id for s in growth.seeds}
    assert {r.stage for r in client.asked} == {"one_pass"}
    assert all(len(g.candidate.parents) == 3 and seeds >= set(g.candidate.parents) for g in growth.kept)
    assert all(len(g.instances) == 1 for g in growth.kept)
    assert growth.rounds[0]["asked"] == 10 * 17  # the tasks 4 to 20
    assert {"malformed_task", "truncated", "blacklist", "not_novel"} <= {row["filter"] for row in growth.rejected}


def test_an_instance_longer_than_a_record_holds_is_a_reject() -> None:
    def answer(request: Request) -> str:
        if request.stage == "instructions":
            return "9. Describe the long way home in detail"
        return "No" if request.stage == "classification" else f"Input: none\nOutput: {'x' * 600_000}"

    growth = grown(Scripted(answer), Rules(num=1, round=1))
    assert growth.kept == []
    assert "longer than 500,000 characters" in {row["detail"] for row in growth.rejected}


def test_the_plan_counts_whole_rounds() -> None:
    seeds = read_seeds(default_seeds("en"), "en")
    growth = Growth(seeds.tasks, Rules(num=200), sieve())
    made = {plan.stage: plan for plan in plans(steps(), growth)}
    assert list(made) == ["instructions", "classification", "input_first", "output_first"]
    assert made["instructions"].requests == 80  # 200 / (8 · 0.4) = 62.5 requests, in rounds of 20
    assert made["instructions"].completion_tokens == 80 * 1024
    assert made["classification"].requests == 236  # 200 / 0.85 = 235.3
    assert made["input_first"].requests + made["output_first"].requests == 236


# The command


def command(out: Path, url: str, *more: str) -> int:
    words = ["--model", "fake", "--base-url", url, "--out", str(out), "--seed", "7", "--json", *more]
    return self_instruct.main(words)


def test_a_run_reaches_200_tasks_and_again_without_a_server_gives_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avoid = tmp_path / "eval.jsonl"
    avoid.write_text('{"prompt": "a question that nothing here will ever repeat"}\n')
    out = tmp_path / "g"
    flags = ["--num", "200", "--avoid", str(avoid), "--top-neighbours", "3", "--licence", "CC0-1.0"]
    with fake_server() as server:
        assert command(out, server.url, *flags) == 0
        url, requests = server.url, server.counts()["requests"]
    summary = json.loads(capsys.readouterr().out)
    assert (summary["kept"], summary["stopped"]) == (200, "enough")
    assert summary["requests_sent"] == requests
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}
    assert verify_folder(out) == []
    assert command(out, url, *flags) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["requests_sent"], again["digest"]) == (0, summary["digest"])
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.jsonl"))} == before
    _the_folder_is_whole(out)
    with pytest.raises(Refused, match="other settings"):
        command(out, url, "--num", "100")


def _the_folder_is_whole(out: Path) -> None:
    """Every line of data/ is a Prompt whose parents are known; the rows to train on and the audit fit to it."""
    assert [path.name for path in (out / "data").iterdir()] == ["prompts.jsonl"]
    prompts = list(read_records(out / "data" / "prompts.jsonl", Prompt))
    ids = {row["id"] for row in rows(out / "audit" / "seeds.jsonl")}
    assert len(prompts) == 200
    for p in prompts:
        assert p.id == prompt_id(p.messages)
        assert p.lineage is not None
        assert p.lineage.sampling is not None
        assert set(p.lineage.parents) <= ids
        assert (p.lineage.template, p.licence) == (find("instructions", "en").hash, "CC0-1.0")
        ids.add(p.id)  # a parent was kept before its children
    assert any(set(p.lineage.parents) & {q.id for q in prompts} for p in prompts if p.lineage)
    tasks = {row["id"]: row for row in rows(out / "audit" / "tasks.jsonl")}
    trained = rows(out / "sft" / "train.jsonl")
    assert Counter(row["prompt_id"] for row in trained) == {id: len(row["instances"]) for id, row in tasks.items()}
    for row in trained:
        assert row["prompt"] == [m.plain() for m in asked(row["instruction"], row["input"])]
        assert row["completion"] == [{"role": "assistant", "content": row["output"]}]
    assert all(len(row["neighbours"]) == 3 for row in tasks.values())
    near = [row for row in rows(out / "audit" / "rejected.jsonl") if row["filter"] == "not_novel"]
    assert near
    assert any(row["neighbour"]["id"] in ids for row in near)
    assert all(20 * n["lcs"] > 7 * (n["m"] + n["n"]) for n in (row["neighbour"] for row in near))


def test_load_dataset_gives_the_rows_to_train_on_and_the_prompts_by_name(tmp_path: Path) -> None:
    from datasets import load_dataset

    out = tmp_path / "g"
    with fake_server() as server:
        command(out, server.url, "--num", "12", "--round", "3")
    trained = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(trained) == ["train"]
    assert set(trained["train"].column_names) == {"instruction", "input", "output", "prompt", "completion", "prompt_id"}
    prompts = load_dataset(str(out), "prompts", cache_dir=str(tmp_path / "cache"))
    assert len(prompts["train"]) == 12


def test_the_original_seeds_run_as_they_are(real: Path, tmp_path: Path) -> None:
    with fake_server() as server:
        seeds = str(real / "self_instruct_human_eval" / "seed_tasks.jsonl")
        assert command(tmp_path / "g", server.url, "--seeds", seeds, "--num", "20", "--round", "4") == 0
    assert len(rows(tmp_path / "g" / "data" / "prompts.jsonl")) == 20


def test_a_cap_ends_the_run_and_is_never_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_server() as server:
        assert command(tmp_path / "g", server.url, "--num", "500", "--max-tokens-total", "60000") == 0
        counts = server.counts()
    summary = json.loads(capsys.readouterr().out)
    assert summary["stopped"] == "budget"
    assert summary["tokens"] == counts["prompt_tokens"] + counts["completion_tokens"] <= 60_000
    assert len(rows(tmp_path / "g" / "data" / "prompts.jsonl")) == summary["kept"] > 0


def test_a_run_that_keeps_nothing_ends_with_3_and_leaves_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_server() as server, pytest.raises(NotEnough, match=r"no task was kept \(stopped: yield\)"):
        command(tmp_path / "g", server.url, "--num", "5", "--round", "2", "--novelty-threshold", "0")
    assert json.loads(capsys.readouterr().out)["stopped"] == "yield"
    assert not (tmp_path / "g" / "data").exists()
    assert rows(tmp_path / "g" / "audit" / "rejected.jsonl")
    assert read_manifest(tmp_path / "g").what == "self_instruct"


def test_a_dry_run_asks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path / "g", "http://127.0.0.1:9/v1", "--num", "200", "--dry-run") == 0
    stages = {stage["stage"]: stage["requests"] for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert stages["instructions"] == 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--num", "0"], "--num is 0"),
        (["--round", "0"], "--round is 0"),
        (["--min-yield", "2"], "--min-yield is 2"),
        (["--top-neighbours", "-1"], "--top-neighbours is -1"),
        (["--novelty-threshold", "x"], "'x' is no number"),
        (["--no-filter", "blaklist"], "did you mean 'blacklist'"),
        (["--language", "fr"], "name a file of them with --seeds"),
        (["--avoid", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--seeds", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_a_user_can_mend_is_one_line(flags: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises((BadInput, NotThere), match=re.escape(said)):
        command(tmp_path / "g", "http://127.0.0.1:9/v1", *flags)


def test_a_template_of_ones_own_is_used_and_its_hash_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "datagen" / "prompts" / "instructions.jinja").read_text("utf-8")
    (folder / "instructions.jinja").write_text(text.replace("How the tasks should be", "My rules"))
    request = steps(folder=folder).instructions(["A"] * 8)
    assert "My rules" in request.messages[-1]["content"]
    assert steps(folder=folder).template("instructions").hash != steps().template("instructions").hash
