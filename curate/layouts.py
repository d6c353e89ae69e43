"""How pairs are spelled for each reader of an export: TRL, HH-RLHF's readers, LLaMA-Factory, Parquet.

    trl            prompt, chosen, rejected as message lists; tools            a row a pair
    trl-unpaired   prompt, completion, label; tools                            a row a response
    sft            prompt, completion; tools                                   a row a task: its best response
    hh-rlhf        chosen, rejected as whole transcripts                       a row a pair
    llama-factory  conversations, chosen, rejected, system, tools (sharegpt)   a row a pair
    parquet        as trl                                                      a row a pair

Beside the reader's own columns stand ours, which it passes over: ids, source, weight, votes,
judgments, so that people and models stay told apart and each row leads back to its judgments.
A row is a pure function of the pairs of one task; a pair that a format has no place for is left
out with the reason. Pairs come here as plain values (`plain_pair`), for there are many.
"""

from collections.abc import Collection, Sequence
from math import fsum
from typing import Any, NamedTuple

from curate.pairs import PlainPair as PlainPair
from curate.pairs import Source, plain_messages
from data.jsonl import parse
from data.parquet import Kind
from data.records import PreferencePair, canonical, content_id

FORMATS = ("trl", "trl-unpaired", "sft", "hh-rlhf", "llama-factory", "parquet")
FIRST = "trl without tools"
"""What an export without a format in its manifest is: trl, before the column `tools` was there."""

_TEXTS = {"prompt", "chosen", "rejected", "tools"}
_SCORES = ("score_chosen", "score_rejected")  # by these columns readers know another layout, UltraFeedback's
_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
_TAGS = {"user": "human", "assistant": "gpt", "tool": "observation"}
_TURN: Kind = [("from", "string"), ("value", "string")]  # type: ignore[assignment]


class Row(NamedTuple):
    """A row of an export: its id, its split, and its columns."""

    id: str
    split: str
    value: dict[str, Any]

    def line(self) -> bytes:
        """The row as one canonical JSON line, without the line break."""
        return canonical(self.value)


def plain_pair(pair: PreferencePair) -> PlainPair:
    """A pair as JSON types."""
    return {
        **pair.__dict__,
        **{column: plain_messages(getattr(pair, column)) for column in ("prompt", "chosen", "rejected")},
    }


def rows(format: str, pairs: Sequence[PlainPair], even: float = 0.5) -> list[Row]:
    """The rows of one task in this format, by id.

    Args:
        pairs: the pairs of one task that are exported, by id; each fits the format (see `unfit`).
        even: the score of a response that is neither better nor worse than the others.
    """
    if format == "trl-unpaired":
        made = [_response_row(pairs, response, "unpaired", even) for response in _labelled(pairs, even)]
    elif format == "sft":
        best = _best(pairs)
        made = [_response_row(pairs, best, "sft", even)] if best else []
    else:
        made = [Row(p["id"], p["split"], _value(format, p)) for p in pairs]
    return sorted(made, key=lambda row: row.id)


def _value(format: str, pair: PlainPair) -> dict[str, Any]:
    if format == "hh-rlhf":
        return {**_without(pair, {*_TEXTS, *_SCORES}), **_transcripts(pair)}
    if format == "llama-factory":
        return {**_without(pair, _TEXTS), **_sharegpt(pair)}
    return _without(pair, {"tools"}) if format == FIRST else pair


def unfit(format: str, pair: PlainPair) -> str:
    """Why a format has no place for this pair; empty when it has."""
    if format not in ("hh-rlhf", "llama-factory"):
        return ""
    what = _unfit_transcript(pair) if format == "hh-rlhf" else _unfit_sharegpt(pair)
    return f"{format} has no place for {what}" if what else ""


def columns(format: str, message_fields: set[str], tools: bool) -> dict[str, Kind]:
    """The type of every column, for the dataset card and for Parquet.

    Args:
        message_fields: which of `tool_calls` and `name` some message has.
        tools: whether some prompt offers tools.
    """
    message = [("role", "string"), ("content", "string")]
    message += [("tool_calls", "json")] if "tool_calls" in message_fields else []
    message += [("name", "string")] if "name" in message_fields else []
    turns: Kind = ("list", message)
    offered: dict[str, Kind] = {"tools": "json" if tools else "string"}
    if format in ("trl-unpaired", "sft"):
        label: dict[str, Kind] = {"label": "bool"} if format == "trl-unpaired" else {}
        texts: dict[str, Kind] = {"prompt": turns, "completion": turns, **label, **offered}
        ids = ["id", "prompt_id", "response_id", "task_id"]
        numbers: dict[str, Kind] = {"score": "float64", "weight": "float64"}
    else:
        ids = ["id", "prompt_id", "chosen_id", "rejected_id", "task_id"]
        sides: Kind = ("struct", [(side, "float64") for side in ("chosen", "rejected", "tie")])
        numbers = dict.fromkeys(("probability", "weight", "score_chosen", "score_rejected", "agreement"), "float64")
        numbers["votes"] = sides
        texts = {"prompt": turns, "chosen": turns, "rejected": turns, **({} if format == FIRST else offered)}
    if format == "hh-rlhf":
        texts = {"chosen": "string", "rejected": "string"}
        numbers = {name: kind for name, kind in numbers.items() if name not in _SCORES}
    elif format == "llama-factory":
        texts = {
            "conversations": ("list", _TURN),
            **dict.fromkeys(("chosen", "rejected"), ("struct", _TURN)),
            **dict.fromkeys(("system", "tools"), "string"),
        }
    words: dict[str, Kind] = dict.fromkeys(("source", "cluster", "split", "language", "licence", "method"), "string")
    lists: dict[str, Kind] = dict.fromkeys(("judgment_ids", "tags", "guideline_versions"), ("list", "string"))
    return {**dict.fromkeys(ids, "string"), **texts, **numbers, **words, **lists}


def dataset_info(splits: Sequence[str]) -> dict[str, Any]:
    """LLaMA-Factory's dataset_info.json: with the export's folder as `dataset_dir`, `concord_train` and so on."""
    named = {name: name for name in ("chosen", "rejected", "system", "tools")}
    return {
        f"concord_{split}": {
            "file_name": f"data/{split}.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", **named},
        }
        for split in splits
    }


def _without(pair: PlainPair, but: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in pair.items() if name not in but}


def _scores(pairs: Sequence[PlainPair]) -> dict[str, float]:
    """The score of each response that stands in a pair, by response id."""
    both = [((p["chosen_id"], p["score_chosen"]), (p["rejected_id"], p["score_rejected"])) for p in pairs]
    return {response: score for two in both for response, score in two if score is not None}


def _labelled(pairs: Sequence[PlainPair], even: float) -> list[str]:
    """The responses that won more of their comparisons than they lost, or fewer; as many is no label."""
    return [response for response, score in sorted(_scores(pairs).items()) if score != even]


def _best(pairs: Sequence[PlainPair]) -> str | None:
    """The response to imitate: the greatest score of those that were chosen, then the smaller id."""
    scores = _scores(pairs)
    return min({p["chosen_id"] for p in pairs}, key=lambda r: (-scores.get(r, 0.0), r), default=None)


def _response_row(pairs: Sequence[PlainPair], response: str, what: str, even: float) -> Row:
    """A row of one response: the evidence is that of its pairs, whose weight it shares with the other side."""
    own = [p for p in pairs if response in (p["chosen_id"], p["rejected_id"])]
    first = own[0]
    score = _scores(own)[response]
    made = content_id(what, first["task_id"], response, first["method"])
    value = {
        "id": made,
        "prompt_id": first["prompt_id"],
        "response_id": response,
        "task_id": first["task_id"],
        "prompt": first["prompt"],
        "completion": first["chosen"] if first["chosen_id"] == response else first["rejected"],
        **({"label": score > even} if what == "unpaired" else {}),
        "tools": first["tools"],
        "score": score,
        "weight": fsum(p["weight"] for p in own) / 2,
        "source": _joined({p["source"] for p in own}),
        "judgment_ids": sorted({j for p in own for j in p["judgment_ids"]}),
        "guideline_versions": sorted({v for p in own for v in p["guideline_versions"]}),
        **{name: first[name] for name in ("cluster", "split", "language", "tags", "licence", "method")},
    }
    return Row(made, first["split"], value)


def _joined(sources: set[Source]) -> Source:
    """Who stands behind several pairs."""
    if sources & {"human", "both"}:
        return "human" if sources == {"human"} else "both"
    return "model" if "model" in sources else "rule"


def _transcripts(pair: PlainPair) -> dict[str, str]:
    said = "".join(f"\n\n{_SPEAKERS[m['role']]}: {m['content']}" for m in pair["prompt"])
    return {side: f"{said}\n\nAssistant: {pair[side][0]['content']}" for side in ("chosen", "rejected")}


def _unfit_transcript(pair: PlainPair) -> str:
    messages = [*pair["prompt"], *pair["chosen"], *pair["rejected"]]
    if pair["tools"] or any(m.get("tool_calls") or m["role"] == "tool" for m in messages):
        return "tools"
    if any(m["role"] == "system" for m in messages):
        return "a system message"
    if [m["role"] for m in pair["prompt"]] != (["user", "assistant"] * len(pair["prompt"]))[: len(pair["prompt"])]:
        return "turns that do not alternate"
    if pair["prompt"][-1]["role"] != "user" or not _one_answer(pair):
        return "an answer of several messages"
    if any(m.get("name") for m in messages):
        return "a speaker's name"
    if any(f"\n\n{speaker}:" in m["content"] for m in messages for speaker in _SPEAKERS.values()):
        return "a text that looks like a turn"
    return ""


def _one_answer(pair: PlainPair) -> bool:
    return all(len(side) == 1 and side[0]["role"] == "assistant" for side in (pair["chosen"], pair["rejected"]))


def _sharegpt(pair: PlainPair) -> dict[str, Any]:
    system = pair["prompt"][0]["content"] if pair["prompt"][0]["role"] == "system" else ""
    turns = pair["prompt"][1:] if pair["prompt"][0]["role"] == "system" else pair["prompt"]
    offered = [tool.get("function", tool) for tool in pair["tools"] or []]
    return {
        "conversations": [_tagged(m) for m in turns],
        "chosen": _tagged(pair["chosen"][0]),
        "rejected": _tagged(pair["rejected"][0]),
        "system": system,
        "tools": canonical(offered).decode() if offered else "",
    }


def _tagged(message: dict[str, Any]) -> dict[str, str]:
    if calls := message.get("tool_calls"):
        return {"from": "function_call", "value": canonical([_called(call) for call in calls]).decode()}
    return {"from": _TAGS[message["role"]], "value": message["content"]}


def _called(call: dict[str, Any]) -> dict[str, Any] | None:
    """A tool call as name and arguments; None when it is no call of a function."""
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = parse(arguments.encode())[0]
    return {"name": function["name"], "arguments": arguments} if isinstance(arguments, dict) else None


def _unfit_sharegpt(pair: PlainPair) -> str:
    turns = pair["prompt"][1:] if pair["prompt"][0]["role"] == "system" else pair["prompt"]
    if any(m["role"] == "system" for m in turns):
        return "a system message between turns"
    sides = [("user", "tool"), ("assistant",)]
    if len(turns) % 2 == 0 or any(m["role"] not in sides[n % 2] for n, m in enumerate(turns)):
        return "turns that do not alternate"
    if not _one_answer(pair):
        return "an answer of several messages"
    for m in (*turns, *pair["chosen"], *pair["rejected"]):
        if m.get("tool_calls") and (m["content"] or not all(map(_called, m.get("tool_calls")))):
            return "text beside a tool call" if m["content"] else "a tool call that is no function's"
        if m.get("name") and m["role"] != "tool":
            return "a speaker's name"
    return ""
