"""A redacted copy: nothing private is left in a text of any format, JSON stays JSON, and the copy says what it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.audit import main
from curate.private import find
from curate.redaction import redact_file, redact_text
from data.errors import BadInput, CheckFailed
from data.folder import Lines, write_folder
from data.manifest import read_manifest, verify_folder

MAIL, PHONE = "ann.lee@corp-mail.io", "13763528190"
IDS = {"id": "r1", "prompt_id": "p", "chosen_id": "c", "rejected_id": "d", "task_id": "t"}
ARGUMENTS = json.dumps({"to": f"line\n{MAIL}", "who": {"phone": PHONE}})
CALL = {"id": "call 1", "type": "function", "function": {"name": "send", "arguments": ARGUMENTS}}
ASKED = {"role": "user", "content": f"mail {MAIL}"}
CALLED = {"role": "assistant", "content": "", "tool_calls": [CALL]}
SAID = {"role": "tool", "content": f"told {PHONE}", "name": "send"}
NUMBER = {"function": {"arguments": f'{{"n":{PHONE}}}'}}
TOOLS = [{"type": "function", "function": {"name": "send", "description": f"as {MAIL} does"}}]
KEY = "-----BEGIN RSA PRIVATE KEY-----"
ROWS: dict[str, dict[str, Any]] = {
    "trl": {"prompt": [ASKED, CALLED, SAID], "chosen": [{"role": "assistant", "content": MAIL}], "rejected": [CALLED]},
    "trl-unpaired": {"prompt": [ASKED], "completion": [{"role": "assistant", "content": PHONE}], "label": True},
    "sft": {"prompt": [ASKED, CALLED, SAID], "completion": [{"role": "assistant", "content": PHONE}], "tools": TOOLS},
    "hh-rlhf": {
        "chosen": f"\n\nHuman: {KEY} {MAIL}\n\nAssistant: no -----END RSA PRIVATE KEY-----",
        "rejected": f"\n\nHuman: {KEY} {MAIL}\n\nAssistant: call {PHONE}",
    },
    "llama-factory": {
        "conversations": [{"from": "human", "value": MAIL}, {"from": "function_call", "value": ARGUMENTS}],
        "chosen": {"from": "gpt", "value": f"call {PHONE}"},
        "rejected": {"from": "gpt", "value": "no"},
        "system": f"you are {MAIL}",
        "tools": json.dumps(TOOLS),
    },
}


def texts(value: Any) -> Iterator[str]:
    """Every text, name and number within a value, and within JSON that is a text."""
    if isinstance(value, str):
        yield value
        if value.startswith(('{"', "[{")):
            yield from texts(json.loads(value))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


def redacted(tmp_path: Path, *rows: Any) -> tuple[list[Any], list[Any]]:
    """The rows as they are in the copy, and what was told of them."""
    source, paths = tmp_path / "rows.jsonl", [tmp_path / "out.jsonl", tmp_path / "told.jsonl"]
    for path in paths:
        path.unlink(missing_ok=True)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with Lines(paths[0]) as out, Lines(paths[1]) as told:
        count = redact_file(source, out, told)
    made, said = (
        [json.loads(x) for x in path.read_text("utf-8").splitlines()] if path.exists() else [] for path in paths
    )
    assert count == len(said)
    return made, said


@pytest.mark.parametrize("format", ROWS)
def test_no_text_of_any_format_keeps_private_data(tmp_path: Path, format: str) -> None:
    row = {**IDS, **ROWS[format], "tags": [f"from {MAIL}"], "weight": 1.5}
    (made,), told = redacted(tmp_path, row)
    left = [text for name, value in made.items() for text in texts(value) if not name.endswith("id")]
    assert [one for text in left for one in find(text)] == []
    assert {name: made[name] for name in IDS} == IDS
    assert made.keys() == row.keys()
    assert MAIL not in json.dumps(told)
    assert {one["kind"] for one in told} >= {"email", "phone"}
    assert redacted(tmp_path, made) == ([made], [])


def test_arguments_of_a_tool_call_stay_json(tmp_path: Path) -> None:
    hidden = '{"to":"ann\\u002elee\\u0040corp-mail.io","n":1}'
    message = {"role": "assistant", "content": "", "tool_calls": [CALL, {"function": {"arguments": hidden}}, NUMBER]}
    (made,), _ = redacted(tmp_path, {"id": "r", "chosen": [message]})
    first, second, third = (call["function"]["arguments"] for call in made["chosen"][0]["tool_calls"])
    assert json.loads(third) == {"n": "[PHONE]"}
    assert json.loads(first) == {"to": "line\n[EMAIL]", "who": {"phone": "[PHONE]"}}
    assert json.loads(second) == {"to": "[EMAIL]", "n": 1}


def test_ids_within_a_call_names_and_long_numbers_are_looked_at_too(tmp_path: Path) -> None:
    inner = {"customer_id": PHONE, "n": int(PHONE), MAIL: 1, "[EMAIL]": 2, "year": 2026}
    (made,), told = redacted(
        tmp_path, {"id": PHONE, "x_id": PHONE, "judgment_ids": [PHONE], "a": [inner], "seed": int(PHONE)}
    )
    assert made["a"] == [{"customer_id": "[PHONE]", "n": "[PHONE]", "[EMAIL]'": 1, "[EMAIL]": 2, "year": 2026}]
    assert (made["id"], made["x_id"], made["judgment_ids"], made["seed"]) == (PHONE, PHONE, [PHONE], int(PHONE))
    assert {one["field"] for one in told} == {"a.0.customer_id", "a.0.n", "names"}


def test_a_transcript_keeps_its_turns(tmp_path: Path) -> None:
    (made,), _ = redacted(tmp_path, {**IDS, **ROWS["hh-rlhf"]})
    assert made["chosen"] == "\n\nHuman: [PRIVATE_KEY] [EMAIL]\n\nAssistant: no -----END RSA PRIVATE KEY-----"
    assert made["rejected"].count("\n\nAssistant:") == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["\\", "{", "[", '"', ":", "}", "]", "n", MAIL, PHONE, " ", "\n\nHuman:", "1"])))
def test_a_redacted_text_holds_nothing_more_to_find(parts: list[str]) -> None:
    text = "".join(parts)
    clean, found = redact_text(text)
    assert redact_text(clean) == (clean, [])
    assert bool(found) == (clean != text)


def test_a_row_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"id":"r","a":' + "[" * 800 + f'"{MAIL}"' + "]" * 800 + "}\n", "utf-8")
    with (
        Lines(tmp_path / "o") as out,
        Lines(tmp_path / "t") as told,
        pytest.raises(BadInput, match=r"rows\.jsonl, line.* nested too deep"),
    ):
        redact_file(source, out, told)


@pytest.mark.parametrize("format", ROWS)
def test_the_copy_of_an_export_says_what_it_is_and_of_which_digest(tmp_path: Path, format: str) -> None:
    row = {**IDS, **ROWS[format], "split": "train"}
    if "completion" in row:
        row["response_id"] = "c"
    with write_folder(tmp_path / "export", "export", {"format": format}) as folder:
        folder.write("data/train.jsonl", [row])
        if format == "llama-factory":
            folder.write_text("dataset_info.json", '{"concord_train":{"file_name":"data/train.jsonl"}}\n')
    digest = read_manifest(tmp_path / "export").digest
    with pytest.raises(CheckFailed, match="private_data"):
        main([str(tmp_path / "export"), "--out", str(tmp_path / "copy"), "--redact", "--only", "private_data"])
    manifest = read_manifest(tmp_path / "copy")
    assert verify_folder(tmp_path / "copy") == []
    assert (manifest.what, manifest.inputs["redacted"]["of"]) == ("audit", digest)
    said = (tmp_path / "copy/README.md").read_text("utf-8")
    assert digest in said
    assert f"{manifest.inputs['redacted']['replaced']} pieces" in said
    assert "curate.verify DIR" not in said
    assert (tmp_path / "copy/dataset_info.json").exists() == (format == "llama-factory")
    (kept,) = [json.loads(x) for x in (tmp_path / "copy/data/train.jsonl").read_text("utf-8").splitlines()]
    assert MAIL not in json.dumps(kept)
