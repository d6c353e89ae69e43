"""Candidate responses: prompts out of files, who answers what, what is too alike, samples, tasks of the answers."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from fake import FakeServer, fake_server
from hypothesis import given
from hypothesis import strategies as st
from serving import load

from data.errors import BadInput, NotThere, exit_status
from data.formats.rows import Reject
from data.manifest import read_manifest, verify_folder
from data.records import Message, Prompt, Task, broken_id
from datagen import drawing, stratify
from datagen.candidates import Setting, assign, likened, limit, settings, shuffled, too_alike, words
from datagen.chat import said, spoken, turns
from datagen.drawing import Draw, Rules
from datagen.prompt_files import Asked, read_asked, read_prompts
from datagen.request import Answer, Request
from datagen.respond import main
from datagen.respond_folder import Setup, Tally, plans, task_of

TENTHS = Fraction(9, 10)
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def prompt(text: str = "What is it?", **rest: Any) -> Prompt:
    return Prompt.make([Message(role="user", content=text)], **rest)


# --- prompts out of files


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "Name a tree."}, "Name a tree."),
        ({"prompt": [{"role": "user", "content": "Name a tree."}]}, "Name a tree."),
        ({"instruction": "Sort these.", "input": "b a", "output": "a b"}, "Sort these.\n\nb a"),
        ({"instruction": "说出一种树。", "input": ""}, "说出一种树。"),
        ({"text": "Name a tree."}, "Name a tree."),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Name a tree."}]}]}, "Name a tree."),
        ({"turns": ["Name a tree.", "Another."]}, "Name a tree."),
        ({"id": "a1", "messages": [{"role": "user", "content": "Name a tree."}]}, "Name a tree."),
        (prompt("Name a tree.").plain(), "Name a tree."),
        ({"prompt": prompt("Name a tree.").plain(), "responses": []}, "Name a tree."),
    ],
)
def test_a_prompt_is_read_from_every_layout(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    (one,) = read_prompts([lines(tmp_path / "p.jsonl", row)])
    assert [m.content for m in one.messages] == [text]
    assert one.id == Prompt.make(one.messages).id


def test_text_files_hold_a_prompt_a_line_and_tables_a_prompt_a_row(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\ufeffName a tree.\n\n  说出一种树。 \r\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text('instruction,input,tag\nSort these.,b a,\n"Say hi.",,short\n')
    held = list(read_prompts([tmp_path / "p.txt", tmp_path / "p.csv"]))
    assert [p.messages[0].content for p in held] == ["Name a tree.", "说出一种树。", "Sort these.\n\nb a", "Say hi."]
    assert [p.tags for p in held] == [[], [], [], ["short"]]
    assert [p.source for p in held] == ["p.txt", "p.txt", "p.csv", "p.csv"]


def test_what_stands_beside_a_prompt_is_kept(tmp_path: Path) -> None:
    row = {"id": 7, "prompt": "q", "category": "maths", "license": "CC0", "source": "book", "tools": TOOLS}
    (one,) = read_prompts([lines(tmp_path / "p.jsonl", row)], language="en")
    assert (one.tags, one.licence, one.source, one.language, one.tools) == (["maths"], "CC0", "book", "en", TOOLS)
    assert one.lineage is not None
    assert one.lineage.parents == ["7"]
    record = prompt("q", language="zh", tags=["a"], source="s")
    assert list(read_prompts([lines(tmp_path / "r.jsonl", record.plain())], language="en")) == [record]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"promt": "q"}, "has none of prompt, instruction, turns, messages, text ('promt'; did you mean 'prompt'?)"),
        ("q", "the row is text; an object"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": 3}, "prompt is a number"),
        ({"prompt": {"a": 1}}, "prompt is an object, and no Prompt record"),
        ({"turns": ["a", " "]}, "turn 2 is empty"),
        ({"turns": "a"}, "turns is text; a list"),
        ({"prompt": "q", "tags": 3}, "tags is a number"),
        ({"prompt": "q", "tools": "t"}, "tools is text"),
        ({"prompt": "x" * 1_000_001}, "1,000,001 characters"),
        ({"messages": [{"role": "usr", "content": "q"}]}, "role 'usr' is none of"),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, "nothing is asked"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part of type 'image_url'"),
        ({**prompt("q").plain(), "id": "0" * 32}, "does not hash to its id"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason_and_the_others_are_read(tmp_path: Path, row: Any, reason: str) -> None:
    rejected: list[Reject] = []
    file = lines(tmp_path / "p.jsonl", {"prompt": "good"}, row, {"prompt": "better"})
    held = list(read_prompts([file], rejected=rejected.append))
    assert [p.messages[0].content for p in held] == ["good", "better"]
    (reject,) = rejected
    assert reject.where == "p.jsonl, line 2"
    assert reason in reject.reason
    assert "\n" not in reject.reason


def test_a_file_without_a_prompt_says_why_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no prompt in .*p\.jsonl; p\.jsonl, line 1: prompt is empty"):
        list(read_prompts([lines(tmp_path / "p.jsonl", {"prompt": ""})]))
    with pytest.raises(NotThere):
        list(read_prompts([tmp_path / "none.txt"]))


def test_a_prompt_that_comes_again_is_rejected_once_follow_ups_that_are_not_asked_are_left_out(tmp_path: Path) -> None:
    file = lines(tmp_path / "p.jsonl", {"turns": ["q", "a"]}, {"turns": ["q", "b"]}, {"prompt": "q"})
    rejected: list[Reject] = []
    assert [one.followups for one in read_asked([file], turns=2)] == [("a",), ("b",), ()]
    assert len(list(read_prompts([file], rejected=rejected.append))) == 1
    assert [r.reason for r in rejected] == ["the same prompt as p.jsonl, line 1"] * 2


def test_mt_bench_is_read_with_its_second_turns(real: Path) -> None:
    held = list(read_asked([real / "mt_bench" / "question.jsonl"]))
    assert len(held) == 80
    assert all(len(one.followups) == 1 for one in held)
    assert Counter(one.prompt.tags[0] for one in held)["coding"] == 10


# --- chat messages


def test_tools_answers_are_put_in_the_order_of_the_calls_and_get_their_ids_back() -> None:
    calls = [CALL, {**CALL, "id": "c2"}]
    chat = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "assistant", "content": "Sun.", "reasoning_content": "hm"},
    ]
    ours = [Message.model_validate(turn) for turn in turns(chat, "messages")]
    assert [m.role for m in ours] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [m.content for m in ours[3:5]] == ["sun", "rain"]
    back = spoken(ours)
    assert [(m["tool_call_id"], m["content"]) for m in back[3:5]] == [("c1", "sun"), ("c2", "rain")]
    assert back[2]["tool_calls"] == calls
    assert turns(back, "messages") == [m.plain() for m in ours]


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([{"role": "tool", "content": "x"}], "nothing before it called one"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}], "names no function"),
        (
            [{"role": "assistant", "tool_calls": [CALL]}, {"role": "user", "content": "x"}],
            "calls 1 tool(s) and 0 answer(s) follow",
        ),
        (
            [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "zz", "content": "x"}],
            "call 'zz', which is not one of its calls",
        ),
        ([{"role": "user", "content": None}], "content is missing"),
        ([], "an empty list"),
        ("hello", "a list of messages is needed"),
    ],
)
def test_messages_that_no_server_would_take_are_refused(chat: Any, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        turns(chat, "messages")
    assert reason in str(caught.value)


# --- who answers what


@hypothesis.settings(deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(2, 9), st.integers(1, 40), st.integers(0, 5)
)
def test_every_setting_is_used_equally_give_or_take_one(
    models: int, heats: int, systems: int, n: int, prompts: int, seed: int
) -> None:
    ways = settings(
        [f"m{i}" for i in range(models)],
        [i / 2 for i in range(heats)],
        [(f"s{i}", "x" * (i + 1)) for i in range(systems)],
    )
    made = assign((f"p{i}" for i in range(prompts)), ways, n, seed)
    used = Counter(way for drawn in made.values() for way in drawn)
    counts = [used[way] for way in ways]
    assert sum(counts) == n * prompts
    assert max(counts) - min(counts) <= 1
    for drawn in made.values():  # within a prompt a setting comes again only when all have come
        own = Counter(drawn)
        assert max(own.values()) - min(own[way] for way in ways) <= 1


@hypothesis.settings(deadline=None)
@given(st.permutations([f"p{i}" for i in range(12)]), st.integers(0, 3))
def test_the_order_of_the_prompts_changes_nothing(order: list[str], seed: int) -> None:
    ways = settings(["a", "b", "c"], [0.5, 1.0])
    assert assign(order, ways, 4, seed) == assign(sorted(order), ways, 4, seed)


def test_a_prompt_gets_different_models_where_there_are_enough() -> None:
    ways = settings(["a", "b", "c"], [0.3, 0.7, 1.0])
    made = assign((f"p{i}" for i in range(90)), ways, 2, 0)
    assert all(len({way.model for way in drawn}) == 2 for drawn in made.values())
    pairs = Counter(tuple(sorted(way.model for way in drawn)) for drawn in made.values())
    assert set(pairs) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert assign(["p1"], ways, 2, 0) != assign(["p1"], ways, 2, 1)


def test_no_model_has_a_fixed_place() -> None:
    first = Counter(shuffled(["a", "b"], 0, f"p{i}")[0] for i in range(400))
    assert 150 < first["a"] < 250  # 400 fair coins: 5 standard deviations


# --- what is too alike


def lcs(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


WORDS = st.lists(st.sampled_from(["a", "b", "c", "好", "-"]), min_size=1, max_size=12).map(" ".join)


@hypothesis.settings(deadline=None)
@given(WORDS, WORDS, st.sampled_from(["0", "0.5", "0.7", "0.9", "1"]))
def test_likeness_is_decided_as_the_integers_say(one: str, other: str, most: str) -> None:
    a, b = words(one), words(other)
    f1 = Fraction(2 * lcs(a, b), len(a) + len(b))
    assert too_alike(one, other, limit(most)) is (a == b or f1 > Fraction(most))
    assert too_alike(one, other, limit(most)) is too_alike(other, one, limit(most))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Paris.", "  PARIS! ", True),
        ("The answer is -3", "The answer is 3", False),
        ("return a + b", "return a - b", False),
        ("答案是三。", "答案是三", True),
        ("", " ", True),
        ("👍", "🎉", False),
        ("Yes", "No", False),
    ],
)
def test_what_counts_as_the_same_answer(one: str, other: str, alike: bool) -> None:
    assert too_alike(one, other, TENTHS) is alike
    assert (likened(other, ["something else", one], TENTHS) == 1) is alike


@pytest.mark.parametrize("text", ["1.5", "-0.1", "much", "1/0"])
def test_a_limit_outside_zero_to_one_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--max-similarity"):
        limit(text)


def test_two_tool_calls_with_other_ids_say_the_same() -> None:
    one = Message(role="assistant", content="", tool_calls=[CALL])
    other = Message(role="assistant", content="", tool_calls=[{**CALL, "id": "zz"}])
    assert said([one]) == said([other])
    assert "weather" in said([one])


# --- samples


@hypothesis.settings(deadline=None)
@given(st.dictionaries(st.tuples(st.text("ab", max_size=3)), st.integers(1, 50), min_size=1), st.integers(1, 300))
def test_places_add_up_and_no_stratum_gets_more_than_it_has(sizes: dict[tuple[str], int], n: int) -> None:
    places = stratify.allocate(sizes, n)
    total = sum(sizes.values())
    assert sum(places.values()) == min(n, total)
    assert all(0 <= places[s] <= sizes[s] for s in sizes)
    if n >= len(sizes):
        assert min(places.values()) >= 1


def test_places_go_by_largest_remainder() -> None:
    # 10 of 100: quotas 4.7, 1.6, 1.58, 1.2, 0.92; floors 4, 1, 1, 1, 0; the three left over go to .92, .7, .6.
    sizes = {("a",): 470, ("b",): 160, ("c",): 158, ("d",): 120, ("e",): 92}
    assert stratify.allocate(sizes, 10) == {("a",): 5, ("b",): 2, ("c",): 1, ("d",): 1, ("e",): 1}
    # A stratum of one among a thousand would get nothing; it gets one from the one with most to spare.
    assert stratify.allocate({("big",): 990, ("mid",): 9, ("one",): 1}, 10) == {("big",): 8, ("mid",): 1, ("one",): 1}
    with pytest.raises(ValueError, match="at least 1"):
        stratify.allocate({("a",): 3}, 0)


def test_a_sample_is_the_same_in_whatever_order_the_prompts_stand() -> None:
    held = [prompt(f"q{i}", tags=[["code"], ["maths"], []][i % 3], language=["en", "zh"][i % 2]) for i in range(60)]
    by = stratify.fields("tag, language")
    picked, shares = stratify.pick(held, 12, by, seed=3)
    turned, again = stratify.pick(held[::-1], 12, by, seed=3)
    assert {held[i].id for i in picked} == {held[::-1][i].id for i in turned}
    assert shares == again
    assert picked == sorted(picked)
    assert [share.picked for share in shares] == [2] * 6
    assert shares[0].stratum == {"tag": "", "language": "en"}
    assert picked != stratify.pick(held, 12, by, seed=4)[0]


def test_strata_are_told_by_what_a_prompt_says_or_its_script() -> None:
    one = prompt("请解释" * 100, tags=["b", "a"], licence="CC0")
    assert stratify.stratum(one, stratify.FIELDS) == ("a+b", "zh", "", "CC0", "medium", "1")
    assert stratify.stratum(prompt("hi", language="de-AT"), ("language",)) == ("de",)
    with pytest.raises(BadInput, match="did you mean 'language'"):
        stratify.fields("tag,langage")


# --- drawing, against a model that follows a script


def scripted(say: Callable[[Request], str | Answer], asked: list[Request] | None = None) -> drawing.Ask:
    async def ask(request: Request) -> Answer:
        if asked is not None:
            asked.append(request)
        said = say(request)
        key = request.key("http://x").hex()
        return Answer(key, said, "stop", request.model, 1, 5) if isinstance(said, str) else said._replace(key=key)

    return ask


def drawn(
    say: Callable[[Request], str | Answer], ways: list[Setting], one: Asked | None = None, **rules: Any
) -> list[Draw]:
    return asyncio.run(drawing.draw(scripted(say), one or Asked(prompt()), ways, Rules(**rules)))


def setup(ways: list[Setting], n: int = 2, least: int = 2, **rules: Any) -> Setup:
    return Setup(ways, Rules(**rules), n, least, "ab" if n == 2 else "ranking", "p", 3)


A, B = Setting("a", 0.7), Setting("b", 0.7)


def test_near_identical_answers_are_drawn_again_with_a_new_sample() -> None:
    made = drawn(lambda r: "same" if r.sample == 0 else f"other {r.model}", [A, B, A])
    assert [(d.setting.model, d.sample, d.outcome, d.again) for d in made] == [
        ("a", 0, "kept", False),
        ("b", 0, "near_identical", False),
        ("b", 1, "kept", True),
        ("a", 1, "kept", False),
    ]
    assert made[1].like == 0


def test_redraws_end_at_their_limit_and_never_begin_at_temperature_0() -> None:
    same = drawn(lambda r: "same", [A, B], redraws=2)
    assert [d.outcome for d in same] == ["kept", *["near_identical"] * 3]
    cold = drawn(lambda r: "same", [Setting("a", 0.0), Setting("b", 0.0)])
    assert [d.outcome for d in cold] == ["kept", "near_identical"]


def test_an_answer_with_a_fault_is_drawn_again_and_keeps_its_name() -> None:
    made = drawn(
        lambda r: Answer("", fault="empty") if (r.model, r.sample) == ("a", 0) else r.model + str(r.sample), [A, B]
    )
    assert [(d.outcome, d.again) for d in made] == [("empty", False), ("kept", True), ("kept", False)]


@pytest.mark.parametrize("answer", [Answer("", "x" * 1_000_001), Answer("", "", tool_calls=["weather"])])  # type: ignore[list-item]
def test_what_cannot_be_a_message_is_a_fault(answer: Answer) -> None:
    made = drawn(lambda r: answer if r.model == "a" else "fine", [A, B], redraws=0)
    assert [d.outcome for d in made] == ["not_a_message", "kept"]
    assert made[0].answer.detail
    tally = Tally()
    tally.add(made, None)
    assert tally.summary(1)["model_a"]["not_a_message"] == 1


def test_a_refusal_is_an_answer_and_is_tagged() -> None:
    made = drawn(lambda r: "I'm sorry, but I can't help with that." if r.model == "a" else "Sure.", [A, B])
    assert [d.refusal for d in made] == [True, False]
    task, _ = task_of(Asked(prompt()), made, setup([A, B]))
    assert task is not None
    assert {r.model: (r.lineage.sampling or {}).get("refusal") for r in task.responses if r.lineage} == {
        "a": True,
        "b": None,
    }


def test_requests_say_all_that_shapes_an_answer() -> None:
    asked: list[Request] = []
    system = Setting("a", 0.3, "Be brief.", "brief.txt")
    one = Asked(prompt("Weather?", tools=TOOLS))
    ask = scripted(lambda r: r.model + str(r.params["seed"]), asked)
    asyncio.run(drawing.draw(ask, one, [system, B], Rules(params=(("max_tokens", 9),), seed=4)))
    assert asked[0].messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    assert asked[0].params.keys() == {"max_tokens", "temperature", "seed"}
    assert asked[0].tools == TOOLS
    assert "refusal" in asked[0].accept
    assert asked[1].messages == [{"role": "user", "content": "Weather?"}]
    own = Asked(Prompt.make([Message(role="system", content="Rhyme."), Message(role="user", content="q")]))
    assert drawing.opening(own, system)[0].content == "Be brief.\n\nRhyme."


def test_without_a_server_seed_none_is_sent() -> None:
    asked: list[Request] = []
    ask = scripted(lambda r: r.model, asked)
    asyncio.run(drawing.draw(ask, Asked(prompt()), [Setting("a")], Rules(server_seed=False)))
    assert dict(asked[0].params) == {}


def test_answers_of_one_turn_stand_before_the_next_is_asked() -> None:
    asked: list[Request] = []
    one = Asked(prompt("First?"), ("Second?",))
    made = asyncio.run(drawing.draw(scripted(lambda r: f"{r.model}{len(r.messages)}", asked), one, [A, B], Rules()))
    assert [[m.content for m in d.messages] for d in made] == [["a1", "Second?", "a3"], ["b1", "Second?", "b3"]]
    second = next(r for r in asked if r.model == "b" and len(r.messages) == 3)
    assert [m["content"] for m in second.messages] == ["First?", "b1", "Second?"]
    task, _ = task_of(one, made, setup([A, B]))
    assert task is not None
    assert [m.content for m in task.prompt.messages] == ["First?"]
    assert all(
        len(r.messages) == 3 and r.lineage and len((r.lineage.sampling or {})["requests"]) == 2 for r in task.responses
    )


def test_follow_ups_make_no_two_dialogues_alike() -> None:
    long = " ".join(f"word{i}" for i in range(200))
    made = drawn(lambda r: {"a": "yes", "b": "no"}[r.model], [A, B], Asked(prompt(), (long,)))
    assert [d.outcome for d in made] == ["kept", "kept"]


def test_a_tool_call_is_kept_and_ends_a_dialogue_of_several_turns() -> None:
    def call(r: Request) -> Answer:
        return Answer("", "", "tool_calls", r.model, tool_calls=[CALL]) if r.model == "a" else Answer("", "It is dry.")

    made = drawn(call, [A, B])
    assert [d.outcome for d in made] == ["kept", "kept"]
    assert made[0].messages[0].tool_calls == [CALL]
    several = drawn(call, [A], Asked(prompt(), ("And now?",)), redraws=0)
    assert [d.outcome for d in several] == ["called_tool"]


def test_a_failing_ask_comes_out_after_the_others_have_ended() -> None:
    ended: list[str] = []

    async def ask(request: Request) -> Answer:
        if request.model == "a":
            raise BadInput("no such model")
        await asyncio.sleep(0)
        ended.append(request.model)
        return Answer("", "fine")

    with pytest.raises(BadInput, match="no such model"):
        asyncio.run(drawing.draw(ask, Asked(prompt()), [A, B], Rules()))
    assert ended == ["b"]


def test_the_order_in_which_answers_come_changes_nothing() -> None:
    def say(r: Request) -> str:
        return ["one answer", "another thing", "one answer"][(ord(r.model) + r.sample) % 3]

    async def late(request: Request) -> Answer:
        for _ in range(5 if request.model == "a" else 1):
            await asyncio.sleep(0)
        return Answer(request.key("http://x").hex(), say(request), "stop", request.model, 1, 5)

    ways = [A, B, Setting("c", 0.7)]
    late_ones = asyncio.run(drawing.draw(late, Asked(prompt()), ways, Rules()))
    assert late_ones == drawn(say, ways)


# --- tasks


def test_a_task_is_whole_and_its_ids_fit() -> None:
    ways = [A, B, Setting("c", 0.7, "Be brief.", "brief.txt")]
    task, _ = task_of(Asked(prompt(language="zh")), drawn(lambda r: r.model, ways), setup(ways, 3))
    assert task is not None
    assert broken_id(task) is None
    assert (task.kind, task.overlap, task.language) == ("ranking", 3, "zh")
    assert Task.model_validate_json(task.line()) == task
    brief = next(r for r in task.responses if r.model == "c")
    assert (brief.sampling or {})["system"] == "brief.txt"
    assert brief.lineage is not None
    assert brief.lineage.template
    assert brief.lineage.parents == [task.prompt.id]


def test_a_prompt_with_too_few_different_answers_is_rejected_by_the_stated_rule() -> None:
    ways = [A, B, Setting("c", 0.7)]
    two = drawn(lambda r: "same" if r.model != "c" else "other", ways, redraws=0)
    task, _ = task_of(Asked(prompt()), two, setup(ways, 3, least=2))
    assert task is not None
    assert len(task.responses) == 2
    none, reason = task_of(Asked(prompt()), two, setup(ways, 3, least=3))
    assert none is None
    assert reason == "2 different answers, 3 are needed (1 near_identical)"


def test_models_are_summed_up() -> None:
    tally = Tally()
    refuse = "I'm sorry, but I can't help with that."
    made = drawn(lambda r: Answer("", fault="empty") if r.model == "b" else refuse, [A, B], redraws=1)
    tally.add(made, None)
    summary = tally.summary(prompts=5)
    assert summary["model_a"] == {"answers": 1, "refusals": 1, "redraws": 0, "median_characters": len(refuse)}
    assert summary["model_b"] == {"answers": 0, "refusals": 0, "redraws": 1, "median_characters": 0, "empty": 2}
    assert (summary["prompts_rejected"], summary["prompts_unfinished"], summary["tasks"]) == (1, 4, 0)


def test_a_plan_counts_every_turn_of_every_candidate() -> None:
    asked = [Asked(prompt("a" * 40), ("b" * 40,)), Asked(prompt("c" * 40))]
    made = plans(asked, setup([A, B], params=(("max_tokens", 100),)))
    assert sum(p.requests for p in made) == 6
    assert sum(p.completion_tokens for p in made) == 600
    # A message is 4 + 40/4 = 14 tokens; a second turn brings the first, its answer (100) and itself: 128.
    assert sum(p.prompt_tokens for p in made) == 4 * 14 + 2 * 128
    assert {p.model for p in made} == {"a", "b"}


def test_settings_are_every_combination_once() -> None:
    ways = settings(["a", "b", "a"], [0.5], [("s", "text"), ("s", "text")])
    assert ways == [Setting("a", 0.5, "text", "s"), Setting("b", 0.5, "text", "s")]
    assert [w.named() for w in ways] == ["a at 0.5 with s", "b at 0.5 with s"]
    assert len(settings(["a", "b"], [0, 1])) == 4


# --- the command, against the fake server


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    """The command's exit status, and what it said on stdout and stderr."""
    try:
        status = exit_status(lambda: main([str(word) for word in words]))
    except SystemExit as ended:  # argparse says no by itself
        status = int(str(ended.code))
    said_there = capsys.readouterr()
    return status, said_there.out, said_there.err


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


QUESTIONS = ["Name {} trees that grow by a river.", "用一句话解释第 {} 条规则。"]


def questions(path: Path, n: int) -> Path:
    return lines(path, *({"prompt": QUESTIONS[i % 2].format(i), "tags": [f"t{i % 3}"]} for i in range(n)))


def test_a_run_makes_tasks_that_load_and_a_second_one_asks_nothing(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lines(tmp_path / "p.jsonl", {"promt": "?"}, *({"prompt": QUESTIONS[i % 2].format(i)} for i in range(20)))
    out = tmp_path / "out"
    words = ["--prompts", file, "--model", "a", "--model", "b", "--temperature", "0.2", "--temperature", "1"]
    words += ["--base-url", server.url, "--out", out, "--overlap", "2", "--json"]
    server.reset()
    status, said_there, err = run(capsys, *words)
    assert (status, err) == (0, "")
    summary = json.loads(said_there)
    assert (summary["prompts"], summary["lines_rejected"], summary["prompts_unfinished"]) == (20, 1, 0)
    assert summary["tasks"] + summary["prompts_rejected"] == 20
    assert summary["tasks"] >= 18
    tasks = [Task.model_validate(row) for row in rows(out / "data/tasks.jsonl")]
    draws = rows(out / "audit/responses.jsonl")
    kept = [row["response"] for row in draws if row["outcome"] == "kept"]
    assert {r.id for task in tasks for r in task.responses} <= set(kept)
    assert len(draws) - 80 == sum(summary[f"model_{m}"]["redraws"] for m in "ab") > 0
    outcomes = Counter(row["outcome"] for row in draws)
    assert outcomes["near_identical"] > 0
    rejected = rows(out / "audit/rejected.jsonl")
    assert Counter(row["stage"] for row in rejected)["respond"] == len(draws) - len(kept)
    assert all(row["reason"] and "prompt" in row for row in rejected if row["stage"] == "respond")
    first = Counter(task.responses[0].model for task in tasks)
    assert min(first.values()) >= 3

    assert load(f"sqlite:///{tmp_path}/s.db", out / "data/tasks.jsonl", "p").tasks == len(tasks)
    sent, digest = server.counts()["requests"], read_manifest(out).digest
    assert verify_folder(out) == []
    status, _, _ = run(capsys, *words, "--force")
    assert (status, server.counts()["requests"], read_manifest(out).digest) == (0, sent, digest)


def test_the_second_turns_of_mt_bench_are_asked(
    server: FakeServer, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--prompts", real / "mt_bench" / "question.jsonl", "--turns", 2, "--n", 2, "--model", "a", "--model", "b"]
    words += ["--sample", 16, "--stratify", "tag", "--base-url", server.url, "--out", tmp_path / "out"]
    assert run(capsys, *words)[0] == 0
    strata = json.loads((tmp_path / "out/audit/strata.json").read_text("utf-8"))
    assert [(s["in_file"], s["picked"]) for s in strata] == [(10, 2)] * 8
    tasks = [Task.model_validate(row) for row in rows(tmp_path / "out/data/tasks.jsonl")]
    assert tasks
    for task in tasks:
        assert task.kind == "ab"
        assert {r.model for r in task.responses} == {"a", "b"}
        assert all([m.role for m in r.messages] == ["assistant", "user", "assistant"] for r in task.responses)


def test_tool_calls_come_through(server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = lines(tmp_path / "p.jsonl", *({"prompt": f"Is it dry in town {i}?", "tools": TOOLS} for i in range(8)))
    words = ["--prompts", file, "--model", "a", "--n", 3, "--base-url", server.url, "--out", tmp_path / "out"]
    assert run(capsys, *words)[0] == 0
    tasks = [Task.model_validate(row) for row in rows(tmp_path / "out/data/tasks.jsonl")]
    calls = [m.tool_calls for task in tasks for r in task.responses for m in r.messages if m.tool_calls]
    assert calls
    assert all(call["function"]["name"] == "weather" for made in calls for call in made)
    assert all(task.prompt.tools == TOOLS for task in tasks)


def test_answers_cut_off_are_kept_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = questions(tmp_path / "p.jsonl", 4)
    with fake_server("--fault", "length=1") as cutting:
        words = ["--prompts", file, "--model", "a", "--n", 2, "--base-url", cutting.url, "--redraws", 0, "--json"]
        status, said_there, err = run(capsys, *words, "--out", tmp_path / "none")
        assert (status, err.count("\n")) == (3, 1)
        assert "no prompt got 2 different answers" in err
        assert json.loads(said_there)["model_a"]["truncated"] == 8
        assert {row["reason"] for row in rows(tmp_path / "none/audit/rejected.jsonl") if row["stage"] == "respond"} == {
            "truncated"
        }
        status, said_there, _ = run(capsys, *words, "--out", tmp_path / "some", "--keep-truncated")
        assert status == 0
        assert json.loads(said_there)["model_a"]["cut_off"] > 0
    tasks = [Task.model_validate(row) for row in rows(tmp_path / "some/data/tasks.jsonl")]
    assert {r.finish_reason for task in tasks for r in task.responses} == {"length"}


def test_the_cap_holds_and_what_is_whole_is_written(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = questions(tmp_path / "p.jsonl", 40)
    words = ["--prompts", file, "--model", "a", "--n", 2, "--max-tokens", 200, "--max-tokens-total", 5000]
    words += ["--concurrency", 4, "--base-url", server.url, "--json"]
    server.reset()
    status, said_there, _ = run(capsys, *words, "--out", tmp_path / "out")
    summary = json.loads(said_there)
    assert status == 0
    assert summary["stopped"]
    assert 0 < summary["tasks"] <= 40 - summary["prompts_unfinished"] < 40
    assert len(rows(tmp_path / "out/data/tasks.jsonl")) == summary["tasks"]
    assert 0 < summary["tokens"] <= 5000
    status, _, err = run(
        capsys, *words[:-3], "--base-url", server.url, "--max-tokens-total", 50, "--out", tmp_path / "o2"
    )
    assert (status, err.count("\n")) == (2, 1)
    assert not (tmp_path / "o2").exists()


def test_a_dry_run_asks_nothing_and_writes_nothing(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reset()
    words = ["--prompts", questions(tmp_path / "p.jsonl", 5), "--model", "a", "--base-url", server.url]
    status, said_there, _ = run(capsys, *words, "--dry-run", "--json", "--out", tmp_path / "out")
    assert status == 0
    assert json.loads(said_there)["stages"][0]["requests"] == 20
    assert server.counts()["requests"] == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--n", "1"], "--n is 1; it goes from 2 to 9"),
        (["--n", "3", "--least", "4"], "--least is 4; it goes from 2 to 3"),
        (["--temperature", "3"], "--temperature goes from 0 to 2"),
        (["--kind", "ab"], "--kind ab takes 2 responses, and --n is 4"),
        (["--max-similarity", "2"], "--max-similarity is 2; it goes from 0 to 1"),
        (["--stratify", "tug", "--sample", "2"], "--stratify 'tug' is none of tag, language, source"),
        (["--stratify", "tag"], "--stratify needs --sample N"),
        (["--sample", "0"], "--sample is 0"),
        (["--system", "{here}/none.txt"], "none.txt is not there"),
        (["--system", "{here}/empty.txt"], "empty.txt is empty"),
        (["--modle", "a"], "did you mean '--model'?"),
        (["--prompts", "{here}/empty.txt"], "there is no prompt in"),
        (["--prompts", "{here}/p.doc"], "files ending in '.doc' are not read"),
        (["--base-url", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    for name in ("empty.txt", "p.doc"):
        (tmp_path / name).write_text("")
    given_words = ["--prompts", questions(tmp_path / "p.jsonl", 2), "--model", "a", "--out", tmp_path / "out"]
    status, out, err = run(capsys, *given_words, *(word.format(here=tmp_path) for word in words))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert reason in err
