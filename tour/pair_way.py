"""One pair's way, from the seed tasks its prompt was grown from to the gate that decided on what it trained."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from data.report import Words, code, paragraph, percent, say, trail
from tour.chain import Followed, one_row
from tour.proof import lines
from tour.truth import said, worth

KINDS = {
    "seed": Words("seed task", "种子任务"),
    "prompt": Words("prompt", "提示"),
    "chosen": Words("chosen", "chosen"),
    "rejected": Words("rejected", "rejected"),
    "judgment": Words("judgment", "判断"),
    "row": Words("row of the export", "导出的一行"),
    "run": Words("trained on it", "用它训练"),
    "evaluation": Words("evaluation", "评测"),
    "gate": Words("gate", "门禁"),
}
RIGHT, WRONG = Words("{who}: right", "{who}：对"), Words("{who}: wrong", "{who}：错")


def way(first: Followed) -> Markup:
    """The way as `curate.trace` walked it, drawn; nothing where it was not walked."""
    found = next((stage.summary for stage in first.desk.stages if stage.key == "trace"), None)
    if not found:
        return Markup()
    row = one_row(first.desk.place)
    told = paragraph(
        Words(
            "As {command} walks it: every step is a record that the one below was made from.",
            "由 {command} 走出：每一步都是下一步的来源。",
        ),
        command=code(f"curate.trace {row['id']}"),
    )
    return told + trail([*_before(first, row, found["back"]), *_itself(row), *_after(found["forward"])])


def _before(first: Followed, row: Any, back: Sequence[Any]) -> Iterator[tuple[Words, Any, Any]]:
    place = first.desk.place
    seeds, prompt = _seeds_of(back)
    for seed in seeds[:1]:
        yield KINDS["seed"], seed["note"], _where(seed)
    for grown in prompt:
        yield KINDS["prompt"], grown["note"], _where(grown)
    for side in ("chosen", "rejected"):
        text = said(row[side])
        points = Words("worth {points} points", "{points} 分")
        yield KINDS[side], text, say(points, points=f"{worth(text):.1f}")
    names = {one["id"]: one["name"] for one in lines(place / "people.jsonl")}
    judged = lines(place / "exports" / "answers" / "audit" / "judgments.jsonl")
    for one in (one for one in judged if one["id"] in row["judgment_ids"]):
        chose = one["shown"]["AB".index(one["choice"])] == row["chosen_id"]
        right = chose == (worth(said(row["chosen"])) > worth(said(row["rejected"])))
        yield KINDS["judgment"], say(RIGHT if right else WRONG, who=names[one["annotator"]]), code(one["id"])


def _itself(row: Any) -> Iterator[tuple[Words, Any, Any]]:
    sure = Words("chosen is better with probability {p}", "chosen 更好的概率为 {p}")
    yield KINDS["row"], say(sure, p=percent(row["probability"])), code(row["id"])


def _after(forward: Sequence[Any]) -> Iterator[tuple[Words, Any, Any]]:
    for node in forward:
        if node["kind"] in KINDS:
            yield KINDS[node["kind"]], node["note"], _where(node)
        yield from _after(node["next"])


def _seeds_of(back: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The seeds nearest to the row's prompt, and the prompts between, oldest first."""
    (prompt,) = [node for node in back if node["kind"] == "prompt"][:1]
    between = [prompt]
    while True:
        seeds = [node for node in between[0]["next"] if node["kind"] == "record"]
        grown = [node for node in between[0]["next"] if node["kind"] == "prompt" and not node.get("again")]
        if seeds or not grown:
            return seeds, between
        between.insert(0, grown[0])


def _where(node: Mapping[str, Any]) -> Markup:
    return code(node["where"][0]) if node["where"] else Markup()
