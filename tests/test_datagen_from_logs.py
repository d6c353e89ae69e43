"""Logs to prompts and tasks: which layouts are read, what follows from thumbs, ratings, retries and edits."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import load

from data.errors import exit_status
from data.formats.rows import Reject
from data.manifest import read_manifest
from data.records import Judgment, Message, Prompt, Task, broken_id, judgment_id
from data.store import open_store
from datagen.from_logs import main
from datagen.implicit import Dialogue, Judged, anonymous, dialogues, has_email, judged
from datagen.logs import Exchange, Opinion, Reading, read_logs

PLAIN = Reading()
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
    {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [user(question), assistant(answer)], **more}


def proxied(messages: list[Any], message: dict[str, Any], **more: Any) -> dict[str, Any]:
    request = {"model": "m", "messages": messages}
    return {
        "request": request,
        "response": {"model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}]},
        **more,
    }


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def exchanges(tmp_path: Path, *rows: Any, how: Reading = PLAIN) -> tuple[list[Exchange], list[str]]:
    rejected: list[Reject] = []
    found = list(read_logs([lines(tmp_path / "log.jsonl", *rows)], how, rejected.append))
    return found, [f"{r.number}: {r.reason}" for r in rejected]


def found(tmp_path: Path, *rows: Any, how: Reading = PLAIN) -> list[Dialogue]:
    read, rejected = exchanges(tmp_path, *rows, how=how)
    assert rejected == []
    return dialogues(read)


def verdicts(dialogue: Dialogue) -> list[tuple[str, str, str]]:
    return [(e.kind, e.better.text, e.worse.text) for e in dialogue.evidence]


def chosen(one: Judged) -> list[str]:
    """The text that each judgment of a task chose."""
    text = {r.id: r.text for r in one.task.responses}
    return [text[j.shown["AB".index(j.choice or "")]] for j in one.judgments]


# --- reading


def test_a_message_list_is_a_prompt_and_its_answer(tmp_path: Path) -> None:
    row = {
        "id": 9,
        "messages": [
            {"role": "system", "content": "Be brief."},
            user("hi"),
            assistant("Hello."),
            user("bye"),
            assistant("Bye."),
        ],
    }
    (one,), _ = exchanges(tmp_path, row)
    assert [m.content for m in one.prompt.messages] == ["Be brief.", "hi", "Hello.", "bye"]
    assert ([m.content for m in one.answer], one.key) == (["Bye."], "9")
    every, _ = exchanges(tmp_path, row, how=Reading(every=True))
    assert [(len(e.prompt.messages), e.answer[0].content, e.key) for e in every] == [
        (2, "Hello.", "9@3"),
        (4, "Bye.", "9"),
    ]


def test_a_bare_list_and_a_proxys_pair_are_read_too(tmp_path: Path) -> None:
    bare, pair = [user("hi"), assistant("Hello.")], proxied([user("hi")], assistant("Hi!"), user_id=4, created_at=0)
    (one, other), _ = exchanges(tmp_path, bare, pair)
    assert one.prompt == other.prompt
    assert (other.model, other.finish, other.user, other.at) == ("m-1", "stop", "4", "1970-01-01T00:00:00+00:00")


def test_an_agents_calls_and_their_results_belong_to_its_answer(tmp_path: Path) -> None:
    row = {
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "messages": [
            user("Rome and Oslo?"),
            {"role": "assistant", "content": None, "tool_calls": CALLS},
            {"role": "tool", "tool_call_id": "c2", "content": "rain"},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            assistant("Sun and rain."),
        ],
    }
    (one,), _ = exchanges(tmp_path, row)
    assert one.prompt.tools == row["tools"]
    assert [(m.role, m.content) for m in one.answer] == [
        ("assistant", ""),
        ("tool", "sun"),
        ("tool", "rain"),
        ("assistant", "Sun and rain."),
    ]
    assert one.answer[0].tool_calls == CALLS


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"mesages": []}, "neither messages nor request and response are there ('mesages'; did you mean 'messages'?)"),
        ({"messages": []}, "messages is an empty list"),
        ({"messages": [user("x")]}, "ends with no answer: the last message is by the user"),
        ({"messages": [assistant("x")]}, "no message by a user"),
        (
            {
                "messages": [
                    {"role": "system", "content": "a"},
                    {"role": "system", "content": "b"},
                    user("x"),
                    assistant("y"),
                ]
            },
            "two system messages",
        ),
        ("text", "the row is text"),
        (chat("q", "a", thumbs="uup"), "thumbs 'uup' is neither up nor down"),
        (chat("q", "a", thumbs=0), "thumbs is 0; 1 is up and -1 is down"),
        (chat("q", "a", rating=1), "nothing tells the scale"),
        (chat("q", "a", feedback={"stars": 1}), "feedback is an object without"),
        (chat("q", "a", edited=3), "edited is a number, not text"),
        (chat("q", "a", retries="b"), "retries is text"),
        (chat("q", "a", user={"name": "x"}), "user is an object"),
        (chat("q", "a", created_at=1e30), "created_at is"),
        (
            proxied([user("q")], assistant("a")) | {"response": {"error": {"message": "overloaded"}}},
            "the response is an error",
        ),
        ({"request": {"messages": [user("q")]}, "response": {"choices": []}}, "response.choices is empty: no answer"),
        (
            {"request": {"messages": [user("q")]}, "response": {"choices": [{"delta": {"content": "a"}}]}},
            "a chunk of a streamed answer",
        ),
        (
            {"request": {"messages": [user("q")]}, "response": {"choices": [{"message": assistant(t)} for t in "ab"]}},
            "2 choices in one response",
        ),
        ({"request": "q", "response": "a"}, "request and response must both be objects"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path, row: Any, reason: str) -> None:
    read, rejected = exchanges(tmp_path, chat("good", "yes"), row, chat("better", "yes"))
    assert [e.prompt.messages[0].content for e in read] == ["good", "better"]
    (line,) = rejected
    assert line.startswith("2: ")
    assert reason in line
    assert "\n" not in line


def test_a_row_that_comes_again_counts_once(tmp_path: Path) -> None:
    read, rejected = exchanges(tmp_path, chat("q", "a", thumbs="up"), chat("q", "a", thumbs="up"))
    assert (len(read), rejected) == (1, ["2: the same row as log.jsonl, line 1"])


@pytest.mark.parametrize(
    ("field", "value", "opinion"),
    [
        ("thumbs", "up", Opinion("thumbs", 1)),
        ("thumbs", -1, Opinion("thumbs", -1)),
        ("feedback", "👎", Opinion("thumbs", -1)),
        ("feedback", {"rating": "Good", "comment": "x"}, Opinion("thumbs", 1)),
        ("feedback", False, Opinion("thumbs", -1)),
        ("rating", "thumbs_down", Opinion("thumbs", -1)),
        ("rating", 1, Opinion("rating", 1)),
        ("feedback", {"rating": 5}, Opinion("rating", 5)),
        ("feedback", "", None),
    ],
)
def test_feedback_in_its_many_spellings(tmp_path: Path, field: str, value: Any, opinion: Opinion | None) -> None:
    (one,), _ = exchanges(tmp_path, chat("q", "a", **{field: value}), how=Reading(scale=(1, 5)))
    assert one.opinion == opinion


def test_a_rating_outside_its_scale_is_rejected(tmp_path: Path) -> None:
    assert exchanges(tmp_path, chat("q", "a", rating=6), how=Reading((1, 5)))[1] == [
        "1: rating is 6, outside the scale 1 to 5"
    ]


def test_feedback_inside_a_dialogue_is_about_the_answer_it_stands_at(tmp_path: Path) -> None:
    row = {"messages": [user("a"), assistant("b", thumbs="down", edited="B!"), user("c"), assistant("d")]}
    (first, last), _ = exchanges(tmp_path, row)
    assert (first.answer[0].content, first.opinion, first.edited) == ("b", Opinion("thumbs", -1), "B!")
    assert (last.answer[0].content, last.opinion) == ("d", None)


# --- what follows


def test_thumbs_up_and_down_on_two_answers_make_a_task_with_a_choice(tmp_path: Path) -> None:
    (one,) = found(tmp_path, chat("q", "good", thumbs="up", user="u"), chat("q", "bad", thumbs="down", user="u"))
    assert verdicts(one) == [("thumbs", "good", "bad")]
    (made,) = judged([one], "p")
    assert chosen(made) == ["good"]
    assert (made.task.kind, made.judgments[0].strength) == ("ab", None)


def test_strangers_thumbs_are_set_one_against_one(tmp_path: Path) -> None:
    rows = [chat("q", f"good {i}", thumbs="up", user=f"u{i}") for i in range(30)]
    rows += [chat("q", f"bad {i}", thumbs="down", user=f"v{i}") for i in range(20)]
    (one,) = found(tmp_path, *rows)
    assert verdicts(one) == [("thumbs", f"good {i}", f"bad {i}") for i in range(20)]
    assert [told.response.text for told in one.unpaired] == [f"good {i}" for i in range(20, 30)]


def test_an_answer_liked_as_often_as_disliked_is_neither(tmp_path: Path) -> None:
    said = [("a", "up", "u1"), ("a", "down", "u2"), ("b", "down", "u3")]
    (one,) = found(tmp_path, *(chat("q", text, thumbs=t, user=u) for text, t, u in said))
    assert verdicts(one) == []
    assert len(one.unpaired) == 3


def test_the_last_thumb_of_a_user_on_an_answer_counts(tmp_path: Path) -> None:
    said = [("a", "up"), ("b", "down"), ("a", "down"), ("b", "up")]
    (one,) = found(tmp_path, *(chat("q", text, thumbs=t, user="u", id=i) for i, (text, t) in enumerate(said)))
    assert verdicts(one) == [("thumbs", "b", "a")]


def test_ratings_compare_one_users_answers_alone(tmp_path: Path) -> None:
    scale = Reading(scale=(1, 5))
    same = [chat("q", text, rating=n, user="u") for text, n in (("three", 3), ("five", 5), ("also 3", 3))]
    (one,) = found(tmp_path, *same, how=scale)
    assert sorted(verdicts(one)) == [
        ("rating", "five", "also 3"),
        ("rating", "five", "three"),
        ("retry", "also 3", "three"),
    ]
    (two,) = found(tmp_path, chat("q", "a", rating=1, user="u"), chat("q", "b", rating=5, user="v"), how=scale)
    assert verdicts(two) == []


def test_a_retry_prefers_the_last_answer_weakly(tmp_path: Path) -> None:
    (one,) = found(tmp_path, *(chat("q", text, conversation_id="k") for text in ("first", "second", "third")))
    assert verdicts(one) == [("retry", "third", "first"), ("retry", "third", "second")]
    made = judged([one], "p")
    assert [chosen(m) for m in made] == [["third"], ["third"]]
    assert {j.strength for m in made for j in m.judgments} == {1}


def test_retries_within_a_row_need_no_user(tmp_path: Path) -> None:
    (one,) = found(tmp_path, chat("q", "third", retries=["first", "second"]))
    assert verdicts(one) == [("retry", "third", "first"), ("retry", "third", "second")]


def test_two_strangers_who_ask_the_same_do_not_retry(tmp_path: Path) -> None:
    assert verdicts(found(tmp_path, chat("q", "a", user="u"), chat("q", "b", user="v"))[0]) == []
    assert verdicts(found(tmp_path, chat("q", "a"), chat("q", "b"))[0]) == []
    longer = [user("q"), assistant("a"), user("more")]  # nobody else's dialogue went just so
    again = found(tmp_path, *({"messages": [*longer, assistant(text)]} for text in ("x", "y")))
    assert verdicts(again[0]) == [("retry", "y", "x")]


def test_a_retry_says_nothing_where_a_thumb_spoke(tmp_path: Path) -> None:
    (one,) = found(tmp_path, chat("q", "a", user="u", thumbs="up"), chat("q", "b", user="u", thumbs="down"))
    assert verdicts(one) == [("thumbs", "a", "b")]
    (two,) = found(tmp_path, chat("q", "a", user="u"), chat("q", "b", user="u", thumbs="down"))
    assert verdicts(two) == []


def test_the_same_answer_again_is_no_retry(tmp_path: Path) -> None:
    assert verdicts(found(tmp_path, chat("q", "Yes.", user="u"), chat("q", "yes. ", user="u"))[0]) == []


def test_an_agents_steps_logged_one_by_one_are_no_retries(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": CALLS[:1]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "sun"}
    rows = [
        proxied([user("q")], call, user="u"),
        proxied([user("q"), call, result], assistant("Sunny."), user="u"),
        proxied([user("q")], assistant("I do not know."), user="u"),
    ]
    (one,) = found(tmp_path, *rows)
    assert verdicts(one) == [("retry", "I do not know.", "Sunny.")]


def test_an_edit_is_better_than_the_answer_and_its_author_is_known(tmp_path: Path) -> None:
    row = {
        "messages": [
            user("q"),
            {"role": "assistant", "content": "", "tool_calls": CALLS[:1]},
            {"role": "tool", "content": "sun"},
            assistant("Sun"),
        ],
        "edited": "It is sunny.",
        "user": "u",
    }
    (one,) = found(tmp_path, row, chat("z", "same", edited="same"))[:1]
    assert verdicts(one) == [("edit", "It is sunny.", "Sun")]
    edited = one.evidence[0].better
    assert [m.role for m in edited.messages] == ["assistant", "tool", "assistant"]
    assert edited.lineage is not None
    assert (edited.lineage.author, edited.lineage.parents) == ("u", [one.evidence[0].worse.id])


def test_an_edit_that_changes_nothing_says_nothing(tmp_path: Path) -> None:
    assert verdicts(found(tmp_path, chat("q", "same", edited="same"))[0]) == []


def test_judgments_are_a_rules_unless_people_are_asked_for(tmp_path: Path) -> None:
    (one,) = found(tmp_path, chat("q", "a", user="u"), chat("q", "b", user="u"))
    (rule,), (person,) = judged([one], "p"), judged([one], "p", people=True)
    assert (rule.judgments[0].annotator, rule.judgments[0].annotator_kind) == ("rule:implicit-retry", "rule")
    assert (person.judgments[0].annotator, person.judgments[0].annotator_kind) == ("u", "person")
    assert {made.judgments[0].comment for made in (rule, person)} == {"implicit: retry"}
    assert {made.judgments[0].purpose for made in (rule, person)} == {"import"}
    (nobody,) = judged(found(tmp_path, chat("q", "b", retries=["a"])), "p", people=True)
    assert nobody.judgments[0].annotator_kind == "rule"


TEXTS = st.sampled_from(["a", "b", "c"])
ROWS = st.lists(
    st.builds(
        lambda q, a, t, u, e: Exchange(
            Prompt.make([Message(role="user", content=q)]),
            (Message(role="assistant", content=a),),
            "log",
            f"{q}{a}{t}{u}{e}",
            Opinion("thumbs", t) if t else None,
            e,
            user=u,
        ),
        TEXTS,
        TEXTS,
        st.sampled_from([0, 1, -1]),
        st.sampled_from([None, "u", "v"]),
        st.sampled_from([None, "a", "z"]),
    ),
    max_size=12,
)


@hypothesis.settings(deadline=None, max_examples=60)
@given(ROWS, st.booleans())
def test_whatever_a_log_holds_its_tasks_are_whole(rows: list[Exchange], people: bool) -> None:
    made = judged(dialogues(rows), "p", people)
    assert len({one.task.id for one in made}) == len(made)
    for one in made:
        assert broken_id(one.task) is None
        assert one.task.responses[0].text != one.task.responses[1].text
        assert one.judgments
        for j in one.judgments:
            assert (j.id, j.task_id) == (judgment_id(j), one.task.id)
            assert j.shown == [r.id for r in one.task.responses]
        persons = [j.annotator for j in one.judgments if j.annotator_kind == "person"]
        assert len(set(persons)) == len(persons) <= one.task.overlap
    assert judged(dialogues(rows), "p", people) == made


# --- privacy


def test_users_become_hashes_that_differ_by_salt() -> None:
    one = Exchange(
        Prompt.make([Message(role="user", content="q")]),
        (Message(role="assistant", content="a"),),
        "",
        "k",
        user="ann",
        talk="t",
    )
    hidden = anonymous(one, b"salt")
    assert hidden == anonymous(one, b"salt")
    assert hidden.user not in (None, "ann", anonymous(one, b"other").user)
    assert hidden.talk not in (None, "t", hidden.user)


@pytest.mark.parametrize(
    ("text", "there"), [("write to ann.b+c@mail.example.org", True), ("a@b", False), ("x @y.z", False)]
)
def test_what_looks_like_an_address_is_seen(text: str, there: bool) -> None:
    assert has_email([Message(role="user", content=text)]) is there


# --- the command


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    """The command's exit status, and what it said on stdout and stderr."""
    try:
        status = exit_status(lambda: main([str(word) for word in words]))
    except SystemExit as ended:  # argparse says no by itself
        status = int(str(ended.code))
    said = capsys.readouterr()
    return status, said.out, said.err


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return lines(
        tmp_path / "log.jsonl",
        chat("q", "first", user="ann@mail.example.org"),
        chat("q", "second", user="ann@mail.example.org"),
        chat("写信给 bob@mail.example.org", "好的", thumbs="up", id="x"),
        {"messages": [user("x")], "user": "ann@mail.example.org"},
    )


def test_the_command_writes_prompts_tasks_and_what_was_left(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    summary = json.loads(run(capsys, log, "--out", out, "--json")[1])
    assert {k: summary[k] for k in ("prompts", "answers", "tasks", "judgments", "unpaired", "rejected")} == {
        "prompts": 2,
        "answers": 3,
        "tasks": 1,
        "judgments": {"retry": 1},
        "unpaired": 1,
        "rejected": 1,
    }
    assert summary["private_data"].startswith("1 dialogues hold what looks like an e-mail address")
    prompts = [Prompt.model_validate(row) for row in rows(out / "data/prompts.jsonl")]
    assert [p.messages[0].content for p in prompts] == ["q", "写信给 bob@mail.example.org"]
    (line,) = rows(out / "tasks/tasks.jsonl")
    judgments = [Judgment.model_validate(j) for j in line.pop("judgments")]
    assert [j.task_id for j in judgments] == [Task.model_validate(line).id]
    assert rows(out / "data/unpaired.jsonl")[0]["response"]["messages"][0]["content"] == "好的"
    assert rows(out / "audit/rejected.jsonl")[0]["where"] == "log.jsonl, line 4"
    again = tmp_path / "again"
    assert run(capsys, log, "--out", again)[0] == 0
    assert read_manifest(again).digest == read_manifest(out).digest


def test_anonymised_output_names_no_user(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, log, "--out", tmp_path / "out", "--anonymise", "--as-people")
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "out").rglob("*.jsonl"))
    assert "ann@" not in written
    (line,) = rows(tmp_path / "out/tasks/tasks.jsonl")
    assert Judgment.model_validate(line["judgments"][0]).annotator_kind == "person"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["none.jsonl"], "none.jsonl is not there"),
        (["{log}", "--scale", "5,1"], "--scale '5,1' is not two rising numbers"),
        (
            ["{log}", "--evry-turn"],
            "--evry-turn is no flag of python -m datagen.from_logs; did you mean '--every-turn'?",
        ),
        (["{bad}"], "no answer can be read from"),
        (["{log}", "--out", "{full}"], "was not written by Concord"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("x")
    places = {"log": log, "bad": lines(tmp_path / "bad.jsonl", {"a": 1}), "full": tmp_path / "full"}
    status, out, err = run(capsys, *(word.format(**places) for word in words))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert reason in err


def test_a_project_takes_the_tasks_and_only_asked_for_people_fill_slots(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, flags in (("rules", []), ("people", ["--as-people"])):
        url, out = f"sqlite:///{tmp_path}/{place}.db", tmp_path / place
        assert run(capsys, log, "--out", out, *flags)[0] == 0
        tally = load(url, out / "tasks/tasks.jsonl", "p")
        assert (tally.tasks, tally.judgments, tally.rejected, tally.surplus) == (1, 1, 0, 0)
        with open_store(url).read() as tx:
            (row,) = tx.all("SELECT open, done FROM tasks")
        assert (row.open, row.done) == ((1, 0) if place == "rules" else (0, 1))
