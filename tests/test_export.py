"""An export: whole, repeatable, read by `datasets` and TRL, and refused in one line where it cannot be."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annotate.accounts import add_person
from annotate.answers import submit
from annotate.assign import claim
from annotate.intake import Wishes, load_rows
from curate.export import main
from curate.pairs import split_of
from data.errors import exit_status
from data.formats.rows import Row, Vote
from data.manifest import read_manifest, verify_folder
from data.records import Message as M
from data.records import PreferencePair, Prompt, Response
from data.store import Store, open_store

TEXT = ["plain", "two\nlines", 'with "quotes"', "汉字", "<b>tags</b>", "مرحبا", ""]


def row(n: int, votes: list[Vote] | None = None, **given: Any) -> Row:
    """A task of three responses; the votes are of people unless they say otherwise."""
    messages = given.pop("messages", [M(role="user", content=f"question {n}: {TEXT[n % len(TEXT)]}")])
    prompt = Prompt.make(messages, **given.pop("prompt", {}))
    responses = given.pop("responses", None) or [
        Response.make(prompt.id, [M(role="assistant", content=f"{TEXT[(n + i) % len(TEXT)]}{i}")]) for i in range(3)
    ]
    return Row(n, f"made, row {n}", f"key {n}", prompt, responses, votes=votes or [], **given)


def ranked(n: int, orders: list[str], **given: Any) -> Row:
    """A task judged by as many people as there are orders, such as "abc" or "bca"."""
    made = row(n, **given)
    ids = [r.id for r in made.responses]
    votes = [
        Vote(f"judge {i}", "person", f"{n}/{i}", ids, ranking=[[ids["abc".index(x)]] for x in order])
        for i, order in enumerate(orders)
    ]
    return made._replace(votes=votes)


def load(url: str, rows: list[Row], project: str = "sky") -> None:
    store = open_store(url)
    refused: list[Any] = []
    load_rows(store, project, rows, Wishes(kind="ranking"), rejected=refused.append)
    store.close()
    assert not refused


def export(url: str, out: Path, *more: str, project: str = "sky") -> int:
    return exit_status(lambda: main(["--project", project, "--out", str(out), "--store", url, *more]))


def lines(out: Path, name: str) -> list[dict[str, Any]]:
    path = out / name
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def rows(out: Path) -> list[dict[str, Any]]:
    return [r for split in ("train", "validation", "test") for r in lines(out, f"data/{split}.jsonl")]


MANY = [ranked(n, ["abc", "acb"][: n % 3]) for n in range(40)]  # none, one or two judgments each


def test_every_pair_is_a_row_and_every_gap_is_named(store_url: str, tmp_path: Path, capsys: Any) -> None:
    load(store_url, MANY)
    out = tmp_path / "out"
    assert export(store_url, out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = rows(out)
    # of 40 tasks 14 have no judgment (0, 3, … 39); 13 have one ranking: 3 pairs each;
    # 13 have abc and acb: b and c tie, 2 pairs each
    assert told["pairs"] == len(found) == 13 * 3 + 13 * 2
    assert told["left_out"] == {"no judgments": 14, "tie": 13}
    assert Counter(gap["reason"] for gap in lines(out, "audit/left_out.jsonl")) == told["left_out"]
    assert told["judgments"] == len(lines(out, "audit/judgments.jsonl")) == 13 + 26
    assert len(lines(out, "audit/tasks.jsonl")) == 26
    assert {split: told.get(split, 0) for split in ("train", "validation", "test")} == {
        split: len(lines(out, f"data/{split}.jsonl")) for split in ("train", "validation", "test")
    }
    assert verify_folder(out) == []
    assert read_manifest(out).digest == told["digest"]


def test_each_row_is_a_record_with_every_column_in_a_stable_order(store_url: str, tmp_path: Path) -> None:
    load(store_url, MANY)
    export(store_url, tmp_path / "out")
    for name in ("train", "validation", "test"):
        found = lines(tmp_path / "out", f"data/{name}.jsonl")
        order = [(r["task_id"], r["id"]) for r in found]
        assert order == sorted(order)
        for r in found:
            pair = PreferencePair.model_validate(r)
            assert r.keys() == PreferencePair.model_fields.keys()
            assert pair.split == name
            assert all(m.keys() == {"role", "content"} for m in r["prompt"] + r["chosen"] + r["rejected"])


def test_all_rows_of_a_prompt_are_in_one_split(store_url: str, tmp_path: Path) -> None:
    load(store_url, MANY)
    export(store_url, tmp_path / "out", "--splits", "1,1,1")
    where: dict[str, set[str]] = {}
    for r in rows(tmp_path / "out"):
        where.setdefault(r["prompt_id"], set()).add(r["split"])
    assert {len(splits) for splits in where.values()} == {1}
    assert {s for splits in where.values() for s in splits} == {"train", "validation", "test"}


def test_the_same_store_gives_the_same_bytes_and_digest(store_url: str, tmp_path: Path) -> None:
    load(store_url, MANY)
    one, two, three = (tmp_path / name / "out" for name in "abc")
    for place in (one, two):
        place.parent.mkdir()
        assert export(store_url, place, "--seed", "3") == 0
    # The first export is an event of the ledger itself, so what names its head differs.
    heads = [json.loads((place / "audit/ledger_head.json").read_text("utf-8")) for place in (one, two)]
    pages = [(place / "report.html").read_text("utf-8") for place in (one, two)]
    told = [f"{head['seq']} · <code>{head['hash']}" for head in heads]
    assert pages[0].replace(told[0], "") == pages[1].replace(told[1], "")
    for path in one.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "ledger_head.json", "rows.sha256", "report.html"):
            assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    assert read_manifest(one).digest == read_manifest(two).digest
    three.parent.mkdir()
    export(store_url, three, "--seed", "4")
    assert read_manifest(three).digest != read_manifest(one).digest


def test_sqlite_and_postgresql_give_the_same_rows(fresh_pg: str, tmp_path: Path) -> None:
    # Imported people get random ids, so judgments differ; what they say, and the order, does not.
    urls = {"sqlite": f"sqlite:///{tmp_path}/s.db", "postgresql": fresh_pg}
    for name, url in urls.items():
        load(url, MANY)
        export(url, tmp_path / name)
    drop = {"judgment_ids"}
    one, two = ([{k: v for k, v in r.items() if k not in drop} for r in rows(tmp_path / name)] for name in urls)
    assert one == two


def test_the_ledger_keeps_the_digest_of_each_export(store_url: str, tmp_path: Path) -> None:
    load(store_url, MANY)
    export(store_url, tmp_path / "out")
    store = open_store(store_url)
    with store.read() as tx:
        event = tx.one("SELECT detail, seq FROM ledger ORDER BY seq DESC LIMIT 1")
    store.close()
    assert event is not None
    head = json.loads((tmp_path / "out" / "audit" / "ledger_head.json").read_bytes())
    assert json.loads(event.detail)["digest"] == read_manifest(tmp_path / "out").digest
    assert head["seq"] == event.seq - 1  # the head before the export's own event
    assert read_manifest(tmp_path / "out").inputs["ledger"] == head


def answer(store: Store, person: str, project: int, pick: list[int], token: str | None = None) -> str:
    """Claim the next task (or hold this token) and rank its responses by their place on the page."""
    with store.write() as tx:
        if token is None:
            lease = claim(tx, project, person)
            assert lease is not None
            token = lease.token
        shown = json.loads(tx.value("SELECT shown FROM leases WHERE token = :token", token=token))
        submit(tx, person, token, {"verdict": "answered", "ranking": [[shown[i]] for i in pick]})
    return token


def test_people_s_own_answers_are_exported_as_they_gave_them(store_url: str, tmp_path: Path) -> None:
    load(store_url, [row(0)])
    store = open_store(store_url)
    with store.write() as tx:
        person = add_person(tx, "Ada", ["sky"], "annotator", ["en"])
        person = tx.value("SELECT id FROM people WHERE name = 'Ada'")
        project = tx.value("SELECT id FROM projects")
    token = answer(store, person, project, [2, 0, 1])
    with store.read() as tx:
        shown = json.loads(tx.value("SELECT shown FROM leases WHERE token = :token", token=token))
    store.close()
    assert export(store_url, tmp_path / "out") == 0
    beats = {(r["chosen_id"], r["rejected_id"]) for r in rows(tmp_path / "out")}
    a, b, c = shown
    assert beats == {(c, a), (c, b), (a, b)}
    (judgment,) = lines(tmp_path / "out", "audit/judgments.jsonl")
    assert judgment["shown"] == shown
    assert "Ada" not in (tmp_path / "out" / "audit" / "judgments.jsonl").read_text()


def test_models_and_rules_count_only_when_asked_for(store_url: str, tmp_path: Path, capsys: Any) -> None:
    made = ranked(0, ["abc"])
    ids = [r.id for r in made.responses]
    by_model = Vote("judge-7b", "model", "0/m", ids, ranking=[[ids[2]], [ids[1]], [ids[0]]], model="judge-7b")
    load(store_url, [made._replace(votes=[*made.votes, by_model])])
    export(store_url, tmp_path / "people")
    assert {r["source"] for r in rows(tmp_path / "people")} == {"human"}
    assert [u["reason"] for u in lines(tmp_path / "people", "audit/judgments_unused.jsonl")] == ["by a model"]
    export(store_url, tmp_path / "models", "--sources", "model")
    assert {r["source"] for r in rows(tmp_path / "models")} == {"model"}
    capsys.readouterr()
    assert export(store_url, tmp_path / "both", "--sources", "human,model") == 3  # one for, one against: ties
    told = capsys.readouterr().err
    assert told.startswith("error: 'sky' gives no pair yet (3 tie); nothing was written; where people stand even, ")


def load_dataset(folder: Path, cache: Path) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


def test_load_dataset_gives_the_splits_and_nothing_else(tmp_path: Path) -> None:
    """Also where a column is empty in one split and filled in another."""
    url = f"sqlite:///{tmp_path}/s.db"
    tagged = {"prompt": {"tags": ["t"], "licence": "CC0-1.0", "language": "en"}}
    made = [ranked(n, ["abc"]) for n in range(30)]
    where = [split_of(r.prompt.id, 0, (8, 1, 1)) for r in made]
    load(url, [ranked(n, ["abc"], **tagged) if where[n] == "test" else made[n] for n in range(30)])
    export(url, tmp_path / "out", "--splits", "8,1,1")
    data = load_dataset(tmp_path / "out", tmp_path / "cache")
    assert set(data) == {"train", "validation", "test"}
    for split in data:
        assert data[split].features == data["train"].features
        assert data[split].to_list() == lines(tmp_path / "out", f"data/{split}.jsonl")


def test_tool_calls_and_names_keep_their_place_in_a_message(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    call = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    other = [{"type": "function", "function": {"name": "look", "arguments": {"at": ["b", None]}}}]
    asked = [
        M(role="user", content="1 + 1?"),
        M(role="assistant", content="", tool_calls=call),
        M(role="tool", content="2", name="add"),
    ]
    also = [M(role="user", content="Where?"), M(role="assistant", content="", tool_calls=other)]
    rows_in = [
        ranked(0, ["abc"], messages=asked),
        ranked(1, ["abc"], messages=[*also, M(role="user", content="?")]),
    ]
    load(url, [*rows_in, *(ranked(n, ["abc"]) for n in range(2, 5))])
    export(url, tmp_path / "out", "--splits", "1,0,0")
    found = [r for r in rows(tmp_path / "out") if r["prompt"][0]["content"] == "1 + 1?"]
    assert len(found) == 3
    assert found[0]["prompt"][1] == {"role": "assistant", "content": "", "tool_calls": call}
    data = load_dataset(tmp_path / "out", tmp_path / "cache")["train"]
    (loaded,) = [r for r in data if r["id"] == found[0]["id"]]
    assert loaded["prompt"][1]["tool_calls"] == call
    assert loaded["prompt"][2]["name"] == "add"


def test_trl_takes_the_rows_as_conversational_preferences(tmp_path: Path) -> None:
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast
        from trl.data_utils import is_conversational, maybe_apply_chat_template
    except ImportError as error:
        from conftest import lacking

        lacking(f"no TRL for its own format check ({error}): pip install 'trl>=1.16' 'transformers>=5'")
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(n, ["abc"]) for n in range(4)])
    export(url, tmp_path / "out", "--splits", "1,0,0")
    bare = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    for r in load_dataset(tmp_path / "out", tmp_path / "cache")["train"]:
        assert is_conversational(r)
        flat = maybe_apply_chat_template({k: r[k] for k in ("prompt", "chosen", "rejected")}, tokenizer)
        assert flat == {
            "prompt": f"<user>{r['prompt'][0]['content']}</s><assistant>",
            "chosen": f"{r['chosen'][0]['content']}</s>",
            "rejected": f"{r['rejected'][0]['content']}</s>",
        }


@pytest.mark.parametrize(
    ("flags", "says", "status"),
    [
        (["--project", "skye"], "there is no project 'skye' in this store; did you mean 'sky'?", 2),
        (["--prior", "much"], "--prior: 'much' is no number", 2),
        (["--sources", "human,modle"], "did you mean 'model'?", 2),
        (["--splits", "a,b"], "--splits: 'a,b'", 2),
        (["--criterion", "helpful"], "no task of this project is rated on 'helpful'", 2),
        (["--sources", "rule"], "gives no pair yet", 3),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: Any, flags: list[str], says: str, status: int
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(0, ["abc"])])
    assert export(url, tmp_path / "out", *flags) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert told.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("s.db")) == []


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path, capsys: Any) -> None:
    assert export(f"sqlite:///{tmp_path}/none.db", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith(f"error: there is no store at {tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_flag_is_one_line_with_the_nearest(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--projct", "sky"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: --projct is no flag of python -m curate.export; did you mean '--project'?\n"
    )


def test_a_task_whose_record_is_gone_is_told_and_not_passed_over() -> None:
    from curate.moment import read_tasks
    from data.errors import BadInput

    class Answers:
        def tuples(self, sql: str, **_: Any) -> Any:
            return iter([(7,)] if "WHERE project" in sql else [])

    with pytest.raises(BadInput, match=r"task number 7 .* verify the ledger"):
        next(read_tasks(Answers(), 1))  # type: ignore[arg-type]
