"""Every format of an export: read back by its reader, proved by verify, and what it has no place for is named."""

import json
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_export import export, lines, load, load_dataset, ranked, rows
from test_verify import check, edit, seal_anew

from curate.card import Told, card
from curate.layouts import FORMATS, dataset_info
from curate.layouts import rows as rows_in
from curate.pairs import pairs_of
from curate.quota import allowed
from curate.rules import make_rules
from data.formats import read
from data.formats.rows import Row, Vote
from data.manifest import read_manifest
from data.records import Judgment, PreferencePair, Prompt, Response, Task
from data.records import Message as M

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
CALL = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
PLAIN = [ranked(n, ["abc", "acb", "abc"][: 1 + n % 3]) for n in range(12)]
WITH_TOOLS = ranked(
    90,
    ["abc"],
    messages=[
        M(role="system", content="be brief"),
        M(role="user", content="1 + 1?"),
        M(role="assistant", content="", tool_calls=CALL),
        M(role="tool", content="2", name="add"),
    ],
    prompt={"tools": TOOLS, "language": "zh-CN", "licence": "CC-BY-4.0"},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('formats')}/s.db"
    load(url, [*PLAIN, WITH_TOOLS])
    return url


@pytest.fixture(scope="module")
def folders(store: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same project in every format."""
    base = tmp_path_factory.mktemp("out")
    for name in FORMATS:
        assert export(store, base / name, "--format", name, "--splits", "2,1,1") == 0
    return {name: base / name for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_verifies_alone_and_against_its_store(
    folders: dict[str, Path], store: str, name: str, capsys: Any
) -> None:
    assert check(folders[name]) == 0
    assert check(folders[name], "--store", store, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["format"] == name
    assert told["rows"] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_store_gives_the_same_digest_in_every_format(
    folders: dict[str, Path], store: str, name: str, tmp_path: Path
) -> None:
    export(store, tmp_path / "again", "--format", name, "--splits", "2,1,1")
    assert read_manifest(tmp_path / "again").digest == read_manifest(folders[name]).digest


def test_formats_do_not_share_a_digest(folders: dict[str, Path]) -> None:
    assert len({read_manifest(folder).digest for folder in folders.values()}) == len(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_load_dataset_reads_every_format_with_every_column(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    data = load_dataset(folders[name], tmp_path / "cache")
    assert set(data) == {"train", "validation", "test"}
    for split in data:
        assert data[split].features == data["train"].features
    if name != "parquet":
        found = [row for split in data for row in data[split].to_list()]
        told = [row for split in data for row in lines(folders[name], f"data/{split}.jsonl")]
        assert [bare(row) for row in found] == [bare(row) for row in told]


def bare(value: Any) -> Any:
    """Without fields that are None, and numbers to nine digits: `datasets` keeps ten beside JSON columns."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [bare(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def test_parquet_holds_what_trl_holds(folders: dict[str, Path], tmp_path: Path) -> None:
    data = load_dataset(folders["parquet"], tmp_path / "cache")
    for split in data:
        told = lines(folders["trl"], f"data/{split}.jsonl")
        found = data[split].to_list()
        for row in found:
            for column in ("prompt", "chosen", "rejected"):
                row[column] = [{k: v for k, v in m.items() if v is not None} for m in row[column]]
        assert found == told


def template() -> Any:
    """A tokenizer whose chat template shows roles, tool calls and the tools that were offered."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        from conftest import lacking

        lacking(f"no TRL for its own format check ({error}): pip install 'trl>=1.16' 'transformers>=5'")
    bare = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
    tokenizer.chat_template = (
        "{% if tools %}[{{ tools[0]['function']['name'] }}]{% endif %}"
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
        "{% if m['tool_calls'] %}{{ m['tool_calls'][0]['function']['arguments']['a'] }}{% endif %}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    return tokenizer


PROMPT_WITH_TOOLS = "[add]<system>be brief</s><user>1 + 1?</s><assistant>1</s><tool>2</s><assistant>"


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("trl", {"prompt", "chosen", "rejected"}),
        ("parquet", {"prompt", "chosen", "rejected"}),
        ("trl-unpaired", {"prompt", "completion", "label"}),
        ("sft", {"prompt", "completion"}),
    ],
)
def test_trl_s_own_functions_take_its_formats_tools_included(
    folders: dict[str, Path], name: str, columns: set[str], tmp_path: Path
) -> None:
    tokenizer = template()
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    data = load_dataset(folders[name], tmp_path / "cache")
    seen = 0
    for row in (row for split in data for row in data[split]):
        given = {k: row[k] for k in columns}
        assert is_conversational(given)
        tools = json.loads(row["tools"]) if isinstance(row["tools"], str) else row["tools"]
        flat = maybe_apply_chat_template(given, tokenizer, tools=tools)
        assert flat.keys() == columns
        assert all(isinstance(flat[k], str) for k in columns - {"label"})
        if tools:
            assert flat["prompt"] == PROMPT_WITH_TOOLS
            seen += 1
    assert seen == {"trl": 3, "parquet": 3, "trl-unpaired": 2, "sft": 1}[name]


def test_an_unpaired_row_says_whether_its_response_won_more_than_it_lost(folders: dict[str, Path]) -> None:
    # abc: a won 2 of 2, b 1 of 2, c 0 of 2; with the prior ½ each way b has exactly ½: no label
    (one,) = {r["task_id"] for r in rows(folders["trl-unpaired"]) if r["tools"]}
    own = [r for r in rows(folders["trl-unpaired"]) if r["task_id"] == one]
    assert sorted((r["completion"][0]["content"][-1], r["label"], r["score"]) for r in own) == [
        ("0", True, (2 + 0.5) / 3),
        ("2", False, 0.5 / 3),
    ]
    assert all(r["source"] == "human" and len(r["judgment_ids"]) == 1 for r in own)
    pairs = [r for r in rows(folders["trl"]) if r["task_id"] == one]
    assert [r["weight"] for r in own] == [pytest.approx(2 / 3 / 2)] * 2  # two pairs of ⅓ each, shared by their sides
    assert sum(p["weight"] for p in pairs) == pytest.approx(1)


def test_an_sft_row_is_the_best_response_of_its_task(folders: dict[str, Path]) -> None:
    found = rows(folders["sft"])
    assert len(found) == len({r["task_id"] for r in found}) == 13
    assert {r["completion"][0]["content"][-1] for r in found} == {"0"}  # a is first in every ranking
    assert all("label" not in r for r in found)


def test_hh_transcripts_are_read_back_by_their_reader(folders: dict[str, Path]) -> None:
    found = rows(folders["hh-rlhf"])
    pairs = {r["id"]: r for r in rows(folders["trl"])}
    back = {}
    for path in sorted(folders["hh-rlhf"].glob("data/*.jsonl")):
        reading = read([str(path)])
        assert reading.format == "hh"
        for made in reading.rows:
            assert isinstance(made, Row)
            back[made.key] = made
    assert back.keys() == {row["id"] for row in found}
    for row in found:
        made, pair = back[row["id"]], pairs[row["id"]]
        assert [m.plain() for m in made.prompt.messages] == pair["prompt"]
        assert {r.text for r in made.responses} == {pair[side][0]["content"] for side in ("chosen", "rejected")}
        assert row["chosen"].endswith("Assistant: " + pair["chosen"][0]["content"])
    assert {r["reason"] for r in lines(folders["hh-rlhf"], "audit/left_out.jsonl")} >= {
        "hh-rlhf has no place for tools"
    }


def converted(example: dict[str, Any], entry: dict[str, Any]) -> tuple[list[Any], list[Any], str, str] | None:
    """What LLaMA-Factory's converter of sharegpt pairs makes of a row; None where it would skip it.

    Odd turns are human or observation, even ones gpt or function_call, and there is an odd number.
    """
    names = entry["columns"]
    turns = [(t["from"], t["value"]) for t in example[names["messages"]]]
    allowed_tags = (("human", "observation"), ("gpt", "function_call"))
    if len(turns) % 2 == 0 or any(tag not in allowed_tags[n % 2] for n, (tag, _) in enumerate(turns)):
        return None
    answers = [(example[names[side]]["from"], example[names[side]]["value"]) for side in ("chosen", "rejected")]
    if any(tag not in allowed_tags[1] for tag, _ in answers):
        return None
    return turns, answers, example[names["system"]], example[names["tools"]]


def test_llama_factory_s_converter_skips_no_row(folders: dict[str, Path]) -> None:
    folder = folders["llama-factory"]
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info == dataset_info(["train", "validation", "test"])
    pairs = {r["id"]: r for r in rows(folders["trl"])}
    seen = 0
    for entry in info.values():
        assert entry["formatting"] == "sharegpt"
        assert entry["ranking"] is True
        for row in lines(folder, entry["file_name"]):
            turns, answers, system, tools = converted(row, entry) or pytest.fail(f"{row['id']} would be skipped")
            pair = pairs[row["id"]]
            assert answers == [("gpt", pair[side][0]["content"]) for side in ("chosen", "rejected")]
            if pair["tools"]:
                seen += 1
                assert system == "be brief"
                assert json.loads(tools) == [TOOLS[0]["function"]]
                assert turns[0] == ("human", "1 + 1?")
                assert turns[1][0] == "function_call"
                assert json.loads(turns[1][1]) == [{"name": "add", "arguments": {"a": 1}}]
                assert turns[2] == ("observation", "2")
            else:
                assert (system, tools) == ("", "")
    assert seen == 3
    assert len(pairs) == len(rows(folder))


def one_pair(messages: list[M], answers: tuple[list[M], list[M]], tools: Any = None) -> PreferencePair:
    prompt = Prompt.make(messages, tools=tools)
    made = [Response.make(prompt.id, answer, sample_index=n) for n, answer in enumerate(answers)]
    task = Task.make("p", "ab", prompt, made)
    vote = Judgment.make(task_id=task.id, annotator="x", shown=[r.id for r in made], choice="A")
    (pair,), _ = pairs_of(task, [vote], make_rules())
    return pair


U, A = M(role="user", content="u"), M(role="assistant", content="a")
B = M(role="assistant", content="b")


@pytest.mark.parametrize(
    ("format", "messages", "answers", "why"),
    [
        ("hh-rlhf", [M(role="system", content="s"), U], ([A], [B]), "a system message"),
        ("hh-rlhf", [U, U], ([A], [B]), "turns that do not alternate"),
        ("hh-rlhf", [U], ([A, U, A], [B]), "an answer of several messages"),
        ("hh-rlhf", [M(role="user", content="x\n\nHuman: y")], ([A], [B]), "a text that looks like a turn"),
        ("hh-rlhf", [M(role="user", content="x", name="Eve")], ([A], [B]), "a speaker's name"),
        ("llama-factory", [U, U], ([A], [B]), "turns that do not alternate"),
        ("llama-factory", [U, A, M(role="system", content="s")], ([A], [B]), "a system message between turns"),
        ("llama-factory", [U], ([A, U, A], [B]), "an answer of several messages"),
        (
            "llama-factory",
            [U, M(role="assistant", content="see", tool_calls=CALL), M(role="tool", content="2")],
            ([A], [B]),
            "text beside a tool call",
        ),
        (
            "llama-factory",
            [U, M(role="assistant", content="", tool_calls=[{"type": "other"}]), M(role="tool", content="2")],
            ([A], [B]),
            "a tool call that is no function's",
        ),
    ],
)
def test_what_a_format_has_no_place_for_is_said(
    format: str, messages: list[M], answers: tuple[list[M], list[M]], why: str
) -> None:
    from curate.layouts import plain_pair, unfit

    pair = plain_pair(one_pair(messages, answers))
    assert unfit(format, pair) == f"{format} has no place for {why}"
    assert unfit("trl", pair) == ""


def test_a_changed_value_in_parquet_is_named(folders: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = Path(shutil.copytree(folders["parquet"], tmp_path / "out"))
    path = out / "data/train.parquet"
    table = pq.read_table(path)
    column = table.column("probability").to_pylist()
    place = table.schema.get_field_index("probability")
    pq.write_table(table.set_column(place, "probability", pa.array([0.9, *column[1:]], pa.float64())), path)
    assert check(out) == 1
    assert "data/train.parquet: changed since it was written" in capsys.readouterr().out
    seal_anew(out)
    assert check(out) == 1
    assert "data/train.parquet, row 1" in (told := capsys.readouterr().out)
    assert "is not what its judgments say (probability)" in told
    path.write_bytes(b"PAR1 no more")
    seal_anew(out)
    assert check(out) == 2
    assert "cannot be read as Parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("trl-unpaired", "label", None),
        ("sft", "completion", []),
        ("hh-rlhf", "chosen", "x"),
        ("llama-factory", "tools", "x"),
    ],
)
def test_hashes_made_anew_do_not_hide_a_change_in_any_format(
    folders: dict[str, Path], tmp_path: Path, capsys: Any, name: str, column: str, value: Any
) -> None:
    out = Path(shutil.copytree(folders[name], tmp_path / "out"))
    edit(out / "data/train.jsonl", lambda found: [{**found[0], column: value}, *found[1:]])
    seal_anew(out)
    assert check(out) == 1
    assert f"is not what its judgments say ({column})" in capsys.readouterr().out


def test_an_export_from_before_there_were_formats_still_verifies(folders: dict[str, Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(folders["trl"], tmp_path / "out"))
    for path in out.glob("data/*.jsonl"):
        edit(path, lambda found: [{k: v for k, v in row.items() if k != "tools"} for row in found])
    config = read_manifest(out).config
    then = ("pairs", "prior", "sources", "criterion", "margin", "seed", "splits")
    seal_anew(out, config={"project": "sky", "rules": {k: config["rules"][k] for k in then}})
    assert check(out) == 0
    for path in out.glob("data/*.jsonl"):
        for line in path.read_bytes().splitlines():
            assert PreferencePair.model_validate_json(line).tools is None


# Weights, minima, quotas


def judged(orders: dict[str, list[str]], **rules: Any) -> dict[tuple[int, int], PreferencePair]:
    """The pairs of one task of three responses, judged by kinds of annotators, by the places of their responses."""
    made = ranked(0, [])
    task = Task.make("p", "ranking", made.prompt, made.responses)
    ids = [r.id for r in task.responses]
    judgments = [
        Judgment.make(
            task_id=task.id,
            annotator=f"{kind} {n}",
            annotator_kind=kind,
            shown=ids,
            ranking=[[ids["abc".index(x)]] for x in order],
        )
        for kind, given in orders.items()
        for n, order in enumerate(given)
    ]
    pairs, gaps = pairs_of(task, judgments, make_rules(sources=["human", "model"], **rules))
    assert len(pairs) + len(gaps) == 3
    return {(ids.index(p.chosen_id), ids.index(p.rejected_id)): p for p in pairs}


def test_a_model_s_judgment_counts_as_much_as_it_is_told_to() -> None:
    # a before b: one person for, two models against at 0.3 each: p = (1 + ½) / (1.6 + 1)
    found = judged({"person": ["ab"], "model": ["ba", "ba"]}, weights={"model": "0.3"})
    (pair,) = found.values()
    assert (0, 1) in found
    assert pair.probability == float(Fraction(3, 2) / Fraction(13, 5))
    assert pair.votes == {"chosen": 1.0, "rejected": 0.6, "tie": 0.0}
    assert pair.agreement == float(1 / Fraction(8, 5))
    assert pair.weight == 1.6
    assert pair.source == "both"
    assert "weights=model:0.3" in pair.method


def test_without_weights_two_models_outvote_a_person() -> None:
    assert set(judged({"person": ["ab"], "model": ["ba", "ba"]})) == {(1, 0)}


def test_a_weight_of_one_is_no_weight() -> None:
    assert make_rules(sources=["human", "model"], weights={"model": "1.00"}) == make_rules(sources=["human", "model"])


def test_what_is_weaker_than_asked_for_is_left_out_with_its_reason(tmp_path: Path, capsys: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(0, ["abc", "abc", "bac"])])
    # a against b 2:1, so p = 2.5/4, agreement ⅔; the others 3:0, p = 3.5/4
    for flags, kept, reason in (
        (["--min-votes", "4"], 0, "fewer than 4 votes"),
        (["--min-probability", "0.7"], 2, "probability below 0.7"),
        (["--min-probability", "0.625"], 3, ""),
        (["--min-agreement", ".67"], 2, "agreement below 0.67"),
        (["--min-agreement", "1"], 2, "agreement below 1"),
    ):
        out = tmp_path / f"out{flags[0]}{flags[1]}"
        assert export(url, out, *flags) == (0 if kept else 3)
        if kept:
            assert len(rows(out)) == kept
            assert {g["reason"] for g in lines(out, "audit/left_out.jsonl")} == ({reason} if reason else set())
            assert check(out, "--store", url) == 0
        else:
            assert f"3 {reason}" in capsys.readouterr().err


def test_a_quota_draws_pairs_of_a_prompt_by_turns_and_verifies(tmp_path: Path, capsys: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    same = [M(role="user", content="the same question")]
    twins = [ranked(n, ["abc"], messages=same) for n in range(2)]  # two rankings of one prompt: six pairs
    load(url, [*twins, *(ranked(n, ["abc"]) for n in range(2, 6))])
    out = tmp_path / "out"
    assert export(url, out, "--per-prompt", "2") == 0
    found = rows(out)
    assert set(Counter(r["prompt_id"] for r in found).values()) == {2}
    shared = Counter(r["task_id"] for r in found if r["prompt"][0]["content"] == "the same question")
    assert sorted(shared.values()) == [1, 1]  # each ranking gave one before any gave two
    gaps = [g for g in lines(out, "audit/left_out.jsonl") if g["reason"] == "beyond the 2 pairs of its prompt"]
    assert len(gaps) == 6 * 3 - len(found)
    assert check(out, "--store", url) == 0
    export(url, tmp_path / "other", "--per-prompt", "2", "--seed", "1")
    assert {r["id"] for r in rows(tmp_path / "other")} != {r["id"] for r in found}
    # a row in the place of another that the draw did not take
    everything = tmp_path / "all"
    export(url, everything)
    extra = next(r for r in rows(everything) if r["id"] not in {one["id"] for one in found})
    path = out / f"data/{extra['split']}.jsonl"
    edit(path, lambda now: sorted([*now, extra], key=lambda r: (r["task_id"], r["id"])))
    seal_anew(out)
    capsys.readouterr()
    assert check(out) == 1
    assert f"row {extra['id']} follows from no judgment" in capsys.readouterr().out


def test_a_quota_does_not_depend_on_the_order_of_the_tasks() -> None:
    made = []
    for row in [ranked(n, ["abc"], messages=[M(role="user", content="q")]) for n in range(30)]:
        task = Task.make("p", "ranking", row.prompt, row.responses, import_key=row.key)
        ids = [r.id for r in task.responses]
        vote = Judgment.make(task_id=task.id, annotator="x", shown=ids, ranking=[[r] for r in ids])
        made.append([(p.id, p.cluster) for p in pairs_of(task, [vote], make_rules())[0]])
    once = allowed(made, 5, 0)
    assert len(once) == 5
    assert allowed(made[::-1], 5, 0) == once
    assert allowed(made, 5, 1) != once


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--weights", "model"], "is no list such as"),
        (["--weights", "modle=1"], "did you mean 'model'?"),
        (["--weights", "model=0.5"], "model is not among --sources human"),
        (["--weights", "human=0"], "is no weight above 0"),
        (["--min-votes", "0"], "--min-votes: 0 is below 1"),
        (["--min-probability", "0.4"], "--min-probability: '0.4' is not within 0.5 to 1"),
        (["--min-agreement", "nan"], "--min-agreement: 'nan' is not within 0 to 1"),
        (["--per-prompt", "-1"], "--per-prompt: -1 is below 0"),
    ],
)
def test_rules_out_of_range_are_one_line(tmp_path: Path, capsys: Any, flags: list[str], says: str) -> None:
    assert export(f"sqlite:///{tmp_path}/s.db", tmp_path / "out", *flags) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


# The dataset card


def header(folder: Path) -> dict[str, Any]:
    _, head, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def test_the_card_states_licence_language_size_and_columns(folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        head = header(folder)
        if name != "hh-rlhf":  # there the row with a licence and a language has no place
            assert head["license"] == ["cc-by-4.0", "unknown"]
            assert head["language"] == ["zh"]
        assert head["size_categories"] == ["n<1K"]
        assert head["task_categories"] == ["text-generation"]
        ending = "parquet" if name == "parquet" else "jsonl"
        assert head["configs"][0]["data_files"][0] == {"split": "train", "path": f"data/train.{ending}"}
        told = {feature["name"] for feature in head["dataset_info"]["features"]}
        if name != "parquet":
            assert told == rows(folder)[0].keys()
            assert f"| human | {len(rows(folder))} |" in (folder / "README.md").read_text("utf-8")


def test_hostile_words_cannot_break_the_card() -> None:
    bad = 'x"\n---\nconfigs: [] | <script>'
    told = Told(bad, "trl", {"train": 1}, {"id": "string"}, {"human": 1}, {bad: 1}, {bad: 1}, {bad: 2}, {bad: 1}, "m")
    text = card(told)
    _, head, body = text.split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["configs"][0]["config_name"] == "default"
    assert "\n---\n" not in body
    assert "<script>" not in body


@pytest.mark.parametrize(
    ("n", "says"), [(999, "n<1K"), (1000, "1K<n<10K"), (3 * 10**5, "100K<n<1M"), (10**9, "n>100M")]
)
def test_the_card_s_size_is_the_hub_s_word(n: int, says: str) -> None:
    told = Told("p", "trl", {"train": n}, {"id": "string"}, {}, {}, {}, {}, {}, "m")
    assert f"- {says}\n" in card(told)


def test_rows_of_no_pair_are_none() -> None:
    assert all(rows_in(name, []) == [] for name in FORMATS)


def test_people_and_models_are_told_apart_in_every_format(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    made = [ranked(n, ["abc"]) for n in range(3)]
    ids = [r.id for r in made[1].responses]
    by_model = Vote("judge-7b", "model", "m", ids, ranking=[[r] for r in ids], model="judge-7b")
    other = [r.id for r in made[2].responses]
    alone = Vote("judge-7b", "model", "m2", other, ranking=[[r] for r in other], model="judge-7b")
    load(url, [made[0], made[1]._replace(votes=[*made[1].votes, by_model]), made[2]._replace(votes=[alone])])
    for name in FORMATS:
        out = tmp_path / name
        assert export(url, out, "--format", name, "--sources", "human,model") == 0
        if name != "parquet":
            assert {r["source"] for r in rows(out)} == {"human", "both", "model"}
        for source in ("human", "both", "model"):
            assert f"| {source} |" in (out / "README.md").read_text("utf-8")
