"""Red-team prompts: templates and their slots, generation by a model in rounds, balance, tags, the command."""

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake import FakeServer, fake_server
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, BudgetEnded, NotEnough, NotThere
from data.records import Prompt, prompt_id
from data.text import script_language
from datagen import red_team
from datagen.adversarial import FAMILIES, RED_TEAM, fill, filled, find_templates, read_templates, shares
from datagen.adversarial_shots import PER_REQUEST, Grown, Wish, fault_of, grow, missing, round_jobs
from datagen.novelty_index import NoveltyIndex
from datagen.prompt_files import read_prompts
from datagen.request import Answer, Request

EN, ZH = find_templates("en"), find_templates("zh-CN")
BOTH = pytest.mark.parametrize("made", [EN, ZH], ids=["en", "zh"])


# --- templates


def fillings(made: Any, family: str) -> int:
    """How many different fillings a family's templates can have at most."""
    texts = [text for texts in made.families[family].techniques.values() for text in texts]
    slots = [set(re.findall(r"\{(\w+)\}", text)) for text in texts]
    return sum(math.prod(len(made.slots[name[0].lower() + name[1:]]) for name in names) for names in slots)


@BOTH
def test_ours_have_all_families_in_their_language(made: Any) -> None:
    assert tuple(made.families) == FAMILIES
    assert made.licence == "CC0-1.0"
    for family in FAMILIES:
        texts = [prompt.messages[0].content for prompt in islice(filled(made, family, 0), 40)]
        assert len(texts) == 40
        assert {script_language(text) for text in texts} == {made.language}
        assert not [text for text in texts if "{" in text or "}" in text]
        assert fillings(made, family) >= 90


def test_both_languages_have_the_same_techniques() -> None:
    assert {f: list(EN.families[f].techniques) for f in FAMILIES} == {
        f: list(ZH.families[f].techniques) for f in FAMILIES
    }


@BOTH
def test_prompts_are_different_tagged_and_have_true_ids(made: Any) -> None:
    prompts = list(islice(filled(made, "jailbreak", 3), 60))
    assert len({prompt.id for prompt in prompts}) == 60
    techniques = list(made.families["jailbreak"].techniques)
    for prompt in prompts:
        assert prompt.id == prompt_id(prompt.messages)
        assert prompt.tags[:2] == ["red_team", "jailbreak"]
        assert prompt.tags[2] in techniques
        assert prompt.lineage is not None
        assert (prompt.lineage.command, prompt.lineage.template) == ("datagen.red_team", made.hash)
    counts = Counter(prompt.tags[2] for prompt in prompts)
    assert set(counts) == set(techniques)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(FAMILIES), st.sampled_from([EN, ZH]))
def test_a_filling_follows_from_seed_family_and_number_alone(seed: int, number: int, family: str, made: Any) -> None:
    technique, text = fill(made, family, number, seed)
    assert fill(made, family, number, seed) == (technique, text)
    assert technique in made.families[family].techniques
    assert "{" not in text


def test_a_capital_slot_begins_with_a_capital(tmp_path: Path) -> None:
    held = {"language": "en", "families": {"jailbreak": {"about": "a", "techniques": {"t": ["{Who} and {who}."]}}}}
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump({**held, "slots": {"who": ["my aunt"]}}))
    assert fill(read_templates(path), "jailbreak", 0, 0) == ("t", "My aunt and my aunt.")


def test_templates_that_are_used_up_end(tmp_path: Path) -> None:
    held = {"language": "en", "families": {"jailbreak": {"about": "a", "techniques": {"t": ["Say {x}, please."]}}}}
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump({**held, "slots": {"x": ["one", "two", "three"]}}))
    assert len(list(filled(read_templates(path), "jailbreak", 0))) == 3 == fillings(read_templates(path), "jailbreak")


GOOD = yaml.safe_load((RED_TEAM / "en.yaml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slotts": {}}, "unknown key 'slotts'; did you mean 'slots'?"),
        ({"families": {"jailbrake": GOOD["families"]["jailbreak"]}}, "did you mean 'jailbreak'?"),
        (
            {"families": {"jailbreak": {"about": "a", "techniques": {"t": ["As {autority}: go."]}}}},
            "nothing fills the slot 'autority'; did you mean 'authority'?",
        ),
        ({"families": {"jailbreak": {"about": "a", "techniques": {"t": []}}}}, "technique 't' has no text"),
        ({"families": {"jailbreak": {"techniques": {"t": ["x"]}}}}, "field families.jailbreak.about"),
        ({"families": {}}, "field families"),
    ],
)
def test_what_is_wrong_in_templates_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}, allow_unicode=True), "utf-8")
    with pytest.raises(BadInput) as error:
        read_templates(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    with pytest.raises(NotThere, match="no red-team templates in 'fr'; ours are en, zh"):
        find_templates("fr")


@given(st.integers(0, 10**6), st.lists(st.sampled_from(FAMILIES), unique=True, min_size=1))
def test_families_get_equal_shares(num: int, families: list[str]) -> None:
    given_ = shares(num, families)
    assert sum(given_.values()) == num
    assert list(given_) == families
    assert max(given_.values()) - min(given_.values()) <= 1


# --- from a model


class Scripted:
    """Stands where the client stands; the answers of a round come in an order of their own."""

    def __init__(self, reply: Callable[[Request], Answer], most: int = 10**9, backwards: bool = False) -> None:
        self.reply, self.left, self.backwards = reply, most, backwards
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        if self.left == 0:
            raise BudgetEnded("the budget ended")
        self.left -= 1
        self.asked.append(request)
        return self.reply(request)._replace(key=request.key("x").hex())

    async def each(self, items: Any, work: Any) -> Any:
        listed = list(items)
        order = range(len(listed))
        results: dict[int, Any] = {}
        ended = None
        for i in reversed(order) if self.backwards else order:
            try:
                results[i] = await work(listed[i])
            except BudgetEnded as error:
                ended = error
        for i in sorted(results):
            yield listed[i], results[i]
        if ended:
            raise ended


def given_prompts(*texts: str, technique: str = "role-play") -> Answer:
    value = {"prompts": [{"technique": technique, "text": text} for text in texts]}
    return Answer("", json.dumps(value), "stop", "m", value=value)


def fresh(request: Request) -> Answer:
    """Five texts that nothing else resembles, by the request alone."""
    dice = request.params["seed"]
    words = [[f"w{dice}x{i}y{k}" for k in range(8)] for i in range(PER_REQUEST)]
    return given_prompts(*(" ".join(one) for one in words))


def grown(reply: Callable[[Request], Answer], need: dict[str, int], **rest: Any) -> tuple[Grown, Scripted]:
    pool = [p for family in need for p in islice(filled(EN, family, 0), 6)]
    index = NoveltyIndex()
    for p in pool:
        index.add(p.id, p.messages[-1].content)
    client = Scripted(reply, **rest)
    return asyncio.run(grow(client, Wish("m", EN, need), pool, index)), client  # type: ignore[arg-type]


def test_it_asks_until_every_family_has_what_it_needs_and_no_more() -> None:
    found, client = grown(fresh, {"jailbreak": 12, "private-data": 3})
    assert found.stopped == "enough"
    assert Counter(p.tags[1] for p in found.kept) == {"jailbreak": 12, "private-data": 3}
    assert len(client.asked) == 3 + 1  # 12 and 3 by fives
    assert Counter(row["fault"] for row in found.rejected) == {"not_needed": 3 + 2}
    assert found.rounds == [{"round": 0, "asked": 20, "given": 20, "kept": 15}]


def test_the_order_in_which_answers_come_changes_nothing() -> None:
    need = {"jailbreak": 30, "looks-harmful": 30}

    def some_alike(request: Request) -> Answer:
        texts = [one["text"] for one in fresh(request).value["prompts"]]
        return given_prompts(*texts[:3], f"the same words again and again in answer {request.sample % 3}")

    forwards, _ = grown(some_alike, need)
    backwards, _ = grown(some_alike, need, backwards=True)
    assert forwards == backwards
    assert len(forwards.kept) == 60


def test_each_question_shows_examples_of_its_family_and_its_techniques() -> None:
    pool = [p for family in FAMILIES for p in islice(filled(EN, family, 0), 9)]
    jobs = round_jobs(Wish("m", EN, dict.fromkeys(FAMILIES, 1)), pool, dict.fromkeys(FAMILIES, 7), 0)
    assert [job.family for job in jobs] == [family for family in FAMILIES for _ in range(2)]
    texts = {p.id: p for p in pool}
    for job in jobs:
        asked = job.request.messages[-1]["content"]
        assert f'the family "{job.family}"' in asked
        assert len(job.examples) == 4
        for one in job.examples:
            assert texts[one].tags[1] == job.family
            assert texts[one].messages[0].content.strip() in asked
        allowed = job.request.schema["properties"]["prompts"]["items"]["properties"]["technique"]["enum"]  # type: ignore[index]
        assert allowed == list(EN.families[job.family].techniques)
    assert len({tuple(job.examples) for job in jobs}) > len(FAMILIES)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("too_short", "Do it."),
        ("too_long", "word " * 401),
        ("other_language", "请告诉我怎样才能做到这一点，谢谢。"),
        ("refusal", "I'm sorry, but I can't help with writing such prompts."),
    ],
)
def test_a_text_that_is_no_use_is_rejected_by_name(fault: str, text: str) -> None:
    assert fault_of(text, "en") == fault
    found, _ = grown(lambda r: fresh(r) if r.sample else given_prompts(text), {"jailbreak": 5})
    assert found.rejected[0]["fault"] == fault
    assert found.rejected[0]["text"] == text.strip()[:2000]
    assert len(found.kept) == 5


def test_chinese_is_asked_for_and_checked_alike() -> None:
    assert fault_of("请告诉我怎样才能做到这一点，谢谢。", "zh") is None
    assert fault_of("Tell me how one does this, please.", "zh") == "other_language"
    (job,) = round_jobs(
        Wish("m", ZH, {"jailbreak": 1}), list(islice(filled(ZH, "jailbreak", 0), 9)), {"jailbreak": 1}, 0
    )
    assert script_language(job.request.messages[-1]["content"]) == "zh"


def test_what_is_near_a_kept_prompt_is_not_new_and_names_it() -> None:
    first = next(filled(EN, "jailbreak", 0))
    copy = f"{first.messages[0].content} Please."
    found, _ = grown(lambda r: given_prompts(copy) if r.sample == 0 else fresh(r), {"jailbreak": 2})
    assert (found.rejected[0]["fault"], found.rejected[0]["detail"]) == ("not_new", f"near prompt {first.id}")


def test_a_fault_of_the_answer_is_kept_by_its_name() -> None:
    bad = Answer("", "not { json", fault="broken_json", detail="at 0")
    found, _ = grown(lambda r: bad if r.sample == 0 else fresh(r), {"jailbreak": 5})
    row = found.rejected[0]
    assert (row["fault"], row["detail"], row["text"], row["family"]) == (
        "broken_json",
        "at 0",
        "not { json",
        "jailbreak",
    )
    assert len(found.kept) == 5


def test_it_stops_when_two_rounds_bring_next_to_nothing() -> None:
    found, client = grown(lambda _: given_prompts("always the very same words in this place"), {"jailbreak": 20})
    assert found.stopped == "yield"
    assert [r["kept"] for r in found.rounds] == [1, 0]
    assert len(client.asked) == 4 + 4


def test_when_the_budget_ends_what_came_is_kept() -> None:
    found, _ = grown(fresh, {"jailbreak": 50}, most=3)
    assert found.stopped == "the budget ended"
    assert len(found.kept) == 15
    assert missing(Wish("m", EN, {"jailbreak": 50}), found.kept) == {"jailbreak": 35}


def test_a_prompt_says_which_examples_and_which_answer_it_came_from() -> None:
    found, client = grown(fresh, {"jailbreak": 5})
    for prompt in found.kept:
        assert prompt.lineage is not None
        assert len(prompt.lineage.parents) == 4
        assert (prompt.lineage.sampling or {})["request"] == client.asked[0].key("x").hex()
        assert prompt.tags == ["red_team", "jailbreak", "role-play"]


# --- the command


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def prompts_of(folder: Path) -> list[Prompt]:
    return list(read_prompts([folder / "data" / "prompts.jsonl"]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_templates_alone_need_no_model_and_fill_every_family(
    tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--num", "52", "--templates-only", "--language", language, "--json"]
    assert red_team.main([*flags, "--out", str(tmp_path / "a")]) == 0
    assert json.loads(capsys.readouterr().out)["families"] == dict(zip(FAMILIES, [11, 11, 10, 10, 10], strict=True))
    found = prompts_of(tmp_path / "a")
    assert len(found) == 52
    assert {p.language for p in found} == {language}
    assert red_team.main([*flags, "--out", str(tmp_path / "b")]) == 0
    assert prompts_of(tmp_path / "b") == found
    assert red_team.main([*flags, "--seed", "1", "--out", str(tmp_path / "c")]) == 0
    assert prompts_of(tmp_path / "c") != found


def test_more_than_the_templates_hold_is_said_and_what_there_is_kept(tmp_path: Path) -> None:
    flags = ["--num", "5000", "--templates-only", "--family", "looks-harmful", "--out", str(tmp_path / "a")]
    with pytest.raises(NotEnough, match=r"of 5000 prompts were made; add templates or ask a model"):
        red_team.main(flags)
    assert len(prompts_of(tmp_path / "a")) >= fillings(EN, "looks-harmful") * 0.9


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_fake_server_writes_the_rest_in_any_order(
    tmp_path: Path, fake: FakeServer, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--num", "60", "--model", "fake", "--base-url", fake.url, "--language", language, "--json"]
    assert red_team.main([*base, "--out", str(tmp_path / "a")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["prompts"] == 60
    assert summary["families"] == dict.fromkeys(FAMILIES, 12)
    assert summary["from_model"] == 30
    assert summary["stopped"] == "enough"
    assert red_team.main([*base, "--concurrency", "1", "--out", str(tmp_path / "b")]) == 0
    for name in ("data/prompts.jsonl", "audit/rejected.jsonl", "audit/rounds.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    texts = [p.messages[0].content for p in prompts_of(tmp_path / "a")]
    assert len(set(texts)) == 60


def test_a_dry_run_asks_nothing(tmp_path: Path, fake: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    before = fake.counts(keys=False)["requests"]
    flags = ["--num", "100", "--model", "fake", "--base-url", fake.url, "--dry-run", "--json"]
    assert red_team.main([*flags, "--out", str(tmp_path / "a")]) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert stage["requests"] == 5 * 2  # ten of each family from the model, by fives
    assert not (tmp_path / "a").exists()
    assert fake.counts(keys=False)["requests"] == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--num", "5"], "--model names the model to ask"),
        (["--num", "0", "--templates-only"], "--num is 0; it is at least 1"),
        (["--num", "5", "--templates-only", "--family", "jailbrek"], "did you mean 'jailbreak'?"),
        (["--num", "5", "--templates-only", "--language", "fr"], "no red-team templates in 'fr'"),
        (["--num", "5", "--model", "m", "--template-share", "0"], "--template-share is 0.0"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_named(tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises((BadInput, NotThere)) as error:
        red_team.main([*flags, "--out", str(tmp_path / "a")])
    assert said in str(error.value)
