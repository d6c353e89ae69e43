"""Influence: known answers on a convex toy, planted people on a small model, and what is refused."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import asked, export, lines, said

from data.errors import BadInput, CheckFailed, NotEnough, NotThere, Refused, exit_status
from data.folder import write_folder
from data.records import Judgment
from train.exports import Pair, read_export
from train.gradient_sketch import make_sketch, sketched
from train.influence_run import Asked, influence
from train.left_out import relabelled
from train.margin_gradients import gradients, policy_margins, reward_margins
from train.preparing import Asked as RunAsked
from train.rows import Row
from train.running import run
from train.tokens import Tokens
from train.vote_directions import Terms, Vote, direction_of, probability_without, read_judgments, terms_of, votes_on
from train.vote_influence import Pull, effects, sigmoid, smoothed_accuracy, solved

PLAIN = Terms(None, 1, 0.5, {})


# ---- the arithmetic, beside training again


def fitted(x: Any, p: Any, w: Any, ridge: float) -> Any:
    """Weights of a logistic model with soft labels, by Newton's method to the end, on Σ w·loss / Σ w + ridge·|θ|²/2."""
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        sure = sigmoid(x @ theta)
        slope = x.T @ (w * (sure - p)) / w.sum() + ridge * theta
        curve = (x * (w * sure * (1 - sure))[:, None]).T @ x / w.sum() + ridge * np.eye(x.shape[1])
        theta = theta - np.linalg.solve(curve, slope)
    return theta


def toy(seed: int = 0) -> tuple[Any, ...]:
    """120 rows of three votes each by nine people, of whom the last two turn everything round."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=6)
    x, held = draw.normal(size=(120, 6)), draw.normal(size=(80, 6))
    votes = []
    for n in range(120):
        for who in draw.choice(9, 3, replace=False):
            right = np.sign(x[n] @ truth) * (1 if draw.random() < 0.9 else -1)
            votes.append((n, int(who), right * (-1 if who >= 7 else 1)))
    return x, held, (held @ truth > 0).astype(float), votes


def probabilities(votes: list[tuple[int, int, float]], rows: int, tied: int | None = None) -> Any:
    """p of each row as the mean of its votes; those of one person as ties."""
    p = np.zeros(rows)
    for n, who, direction in votes:
        p[n] += (1 + (0 if who == tied else direction)) / 6
    return p


def test_influence_is_what_training_again_with_ties_changes() -> None:
    x, held, labels, votes = toy()
    w, ridge = np.ones(len(x)), 0.05
    theta = fitted(x, probabilities(votes, len(x)), w, ridge)
    margin, held_margin = x @ theta, held @ theta
    sure = sigmoid(margin)
    own = float(((x * np.sqrt(sure * (1 - sure) / len(x))[:, None]) ** 2).sum()) / x.shape[1]
    kernel = solved(margin, x, w, held, ridge / own)
    pulls = []
    for who in range(9):
        mine = [(n, direction) for n, one, direction in votes if one == who]
        pull = np.array([direction / 2 / 3 / len(x) for _, direction in mine])
        pulls.append(Pull(np.array([n for n, _ in mine]), pull, labels, np.ones(len(held), dtype=bool)))
    found = effects(kernel, held_margin, pulls, (np.arange(len(held)), np.arange(len(x))))
    scale = float(np.median(np.abs(held_margin)))

    def smooth(m: Any) -> float:
        return float((labels * sigmoid(m / scale) + (1 - labels) * sigmoid(-m / scale)).mean())

    assert smooth(held_margin) == pytest.approx(smoothed_accuracy(held_margin, labels))
    told = [one.influence for one in found]
    true = [
        smooth(held_margin) - smooth(held @ fitted(x, probabilities(votes, len(x), tied=who), w, ridge))
        for who in range(9)
    ]
    assert [np.sign(one) for one in told] == [np.sign(one) for one in true]
    assert np.corrcoef(np.argsort(np.argsort(told)), np.argsort(np.argsort(true)))[0, 1] > 0.9
    assert np.corrcoef(told, true)[0, 1] > 0.95
    assert sorted(range(9), key=lambda who: found[who].per_vote)[:2] in ([7, 8], [8, 7])
    assert {found[7].verdict, found[8].verdict} == {"hurts"}


def test_few_rows_and_few_numbers_give_the_same_kernel() -> None:
    draw = np.random.default_rng(1)
    slope, held, margin, w = (
        draw.normal(size=(12, 40)),
        draw.normal(size=(5, 40)),
        draw.normal(size=12),
        draw.random(12),
    )
    sure = sigmoid(margin)
    curve = (slope * (w * sure * (1 - sure) / w.sum())[:, None]).T @ slope
    whole = held @ np.linalg.solve(curve + 2.0 * np.trace(curve) / 12 * np.eye(40), slope.T)
    assert solved(margin, slope, w, held, 2.0) == pytest.approx(whole)
    # Numbers that are always 0 add nothing but turn the other way of solving on.
    narrow = solved(margin, slope[:, :8], w, held[:, :8], 2.0)
    curve = curve[:8, :8]
    assert narrow == pytest.approx(
        held[:, :8] @ np.linalg.solve(curve + 2.0 * np.trace(curve) / 8 * np.eye(8), slope[:, :8].T)
    )


def test_votes_at_random_are_no_signal_and_few_clusters_never_are() -> None:
    draw = np.random.default_rng(2)
    kernel, margin, labels = draw.normal(size=(60, 200)), draw.normal(size=60), (draw.random(60) > 0.5) * 1.0
    clusters = np.arange(60), np.arange(200)
    there = np.ones(60, dtype=bool)
    pulls = [Pull(np.arange(200), draw.choice([-1.0, 1.0], 200), labels, there) for _ in range(8)]
    assert {one.verdict for one in effects(kernel, margin, pulls, clusters)} == {"no signal"}
    good = np.abs(kernel) * np.sign(labels - 0.5)[:, None]
    strong = Pull(np.arange(200), np.ones(200), labels, there)
    assert effects(good, margin, [strong], clusters)[0].verdict == "helps"
    assert effects(good, margin, [strong], (np.arange(60) % 9, np.arange(200)))[0].verdict == "no signal"
    assert effects(good, margin, [strong._replace(counted=~there)], clusters)[0].influence == 0


def test_a_group_of_few_votes_is_drawn_to_the_others() -> None:
    draw = np.random.default_rng(3)
    kernel, margin, labels = np.abs(draw.normal(size=(60, 300))), draw.normal(size=60), np.ones(60)
    there = np.ones(60, dtype=bool)
    many = [Pull(np.arange(300), draw.choice([1.0, 1.0, 1.0, -1.0], 300), labels, there) for _ in range(6)]
    few = Pull(np.arange(2), np.array([-1.0, -1.0]), labels, there)
    found = effects(kernel, margin, [*many, few], (np.arange(60), np.arange(300)))
    raw = found[-1].influence / 2
    assert raw < found[-1].per_vote < max(one.per_vote for one in found)


def test_a_sketch_keeps_inner_products_on_average() -> None:
    import torch

    a, b = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    exact = make_sketch(3000, 4000, 0)
    assert float(sketched([a[:1000], a[1000:]], exact) @ sketched([b], exact)) == pytest.approx(float(a @ b), rel=1e-4)
    many = [make_sketch(3000, 256, seed) for seed in range(60)]
    products = [float(sketched([a[:1000], a[1000:].reshape(2, 1000)], one) @ sketched([b], one)) for one in many]
    assert np.mean(products) == pytest.approx(float(a @ b), abs=4 * np.std(products) / np.sqrt(60))
    assert np.std(products) < 2 * float(a.norm() * b.norm()) / np.sqrt(256)


# ---- many rows in one pass


def some_rows(count: int = 7, seed: int = 0) -> list[Row]:
    draw = random.Random(seed)
    ids = [[[draw.randrange(3, 90) for _ in range(draw.randrange(2, 9))] for _ in range(3)] for _ in range(count)]
    pair = Pair("p", [], [], [], None, 1.0, 1.0, "train", "", {})
    return [Row(str(n), Tokens(*one, 0, ""), 1.0, 1.0, None, pair) for n, one in enumerate(ids)]


@pytest.mark.parametrize(
    ("kind", "method", "shared"),
    [
        ("causal", "lora", False),
        ("causal", "qlora", True),
        ("reward", "qlora", False),
        ("reward", "lora", False),
        ("reward", "full", False),
    ],
)
@pytest.mark.parametrize("width", [300, 10**9])
def test_gradients_of_a_batch_are_those_of_rows_alone(
    tiny: Path, kind: Any, method: str, shared: bool, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from train.adapters import put_on
    from train.answer_head import add_head
    from train.loading import open_model
    from train.margin_gradients import count_weights
    from train.settings import read_settings

    torch.manual_seed(0)
    settings = read_settings("dpo" if kind == "causal" else "reward", None, [f"method={method}", "lora.rank=4"], "m")
    model = open_model(str(tiny), kind=kind, four_bit=method == "qlora", trainable=True).model
    model = put_on(model, settings, kind)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    if kind == "causal":
        add_head(model.get_base_model())
    sketch = make_sketch(count_weights(model), width, 3)
    margins_of = reward_margins(0) if kind == "reward" else policy_margins(0, 0.1, shared=shared)
    rows, told = some_rows(), []
    alone = gradients(model, rows, margins_of, sketch, told.append)
    batched = gradients(model, rows, margins_of, sketch, told.append, batch=3, each=1 if shared else 2)
    assert told == [1] * 7 + [3, 3, 1]
    assert batched.margin == pytest.approx(alone.margin, abs=1e-5)
    assert np.abs(batched.slope - alone.slope).max() < 1e-4 * np.abs(alone.slope).max()
    assert len({one.tobytes() for one in alone.slope}) == 7
    assert "one row at a time" not in capsys.readouterr().err


def test_weights_that_no_layer_tells_by_row_are_done_one_row_at_a_time(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A head that is trained sees the tokens of all rows in one list."""
    from train.answer_head import add_head
    from train.loading import open_model
    from train.margin_gradients import count_weights

    model = open_model(str(tiny), trainable=True).model
    for name, p in model.named_parameters():
        p.requires_grad_("lm_head" in name)
    add_head(model)
    sketch, rows = make_sketch(count_weights(model), 300, 3), some_rows(5)
    alone = gradients(model, rows, policy_margins(0, 0.1), sketch)
    batched = gradients(model, rows, policy_margins(0, 0.1), sketch, batch=3)
    assert "one row at a time here (lm_head mixes rows)" in capsys.readouterr().err
    assert batched.slope == pytest.approx(alone.slope, abs=1e-6)


def test_a_batch_that_gives_other_gradients_than_rows_alone_is_not_believed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.loading import open_model
    from train.margin_gradients import count_weights

    model = open_model(str(tiny), kind="reward", trainable=True).model
    for name, p in model.named_parameters():
        p.requires_grad_("score" in name)

    def turned(model: Any, rows: Any) -> Any:
        return reward_margins(0)(model, rows[::-1]).flip(0)

    sketch, rows = make_sketch(count_weights(model), 300, 3), some_rows(5)
    alone = gradients(model, rows, reward_margins(0), sketch)
    batched = gradients(model, rows, turned, sketch, batch=5)
    assert "in a batch a row's gradient is not what it is alone" in capsys.readouterr().err
    assert batched.slope == pytest.approx(alone.slope, abs=1e-6)


# ---- votes


def judgment(**more: Any) -> Judgment:
    return Judgment.make(**{"task_id": "t", "annotator": "a", "shown": ["x", "y"], "token": "k", **more})


@pytest.mark.parametrize(
    ("fields", "terms", "direction"),
    [
        ({"choice": "A"}, PLAIN, 1.0),
        ({"choice": "B"}, PLAIN, -1.0),
        ({"choice": "tie"}, PLAIN, 0.0),
        ({"shown": ["y", "x"], "choice": "B"}, PLAIN, 1.0),
        ({"probability": 0.75}, PLAIN, 0.5),
        ({"shown": ["y", "x"], "probability": 0.75}, PLAIN, -0.5),
        ({"shown": ["x", "y", "z"], "ranking": [["z"], ["x", "y"]]}, PLAIN, 0.0),
        ({"shown": ["x", "y", "z"], "ranking": [["y"], ["z"], ["x"]]}, PLAIN, -1.0),
        ({"shown": ["x", "y", "z"], "ranking": [["x"], ["z"]]}, PLAIN, None),
        ({"shown": ["x", "z"], "choice": "A"}, PLAIN, None),
        ({"verdict": "all_bad"}, PLAIN, None),
        ({"ratings": {"x": {"help": 5}, "y": {"help": 3}}}, PLAIN, None),
        ({"ratings": {"x": {"help": 5}, "y": {"help": 3}}}, Terms("help", 2, 0.5, {}), 1.0),
        ({"ratings": {"x": {"help": 5}, "y": {"help": 4}}}, Terms("help", 2, 0.5, {}), 0.0),
    ],
)
def test_a_judgment_says_which_answer_and_how_far(
    fields: dict[str, Any], terms: Terms, direction: float | None
) -> None:
    assert direction_of(judgment(**fields), "x", "y", terms) == direction


def test_p_without_a_person_is_by_the_others() -> None:
    votes = [
        Vote(str(n), d, 1.0, {"annotator": who}) for n, (who, d) in enumerate([("a", 1.0), ("b", -1.0), ("c", 1.0)])
    ]
    assert probability_without(votes, "annotator", frozenset(["b"]), 0.5) == pytest.approx(2.5 / 3)
    assert probability_without(votes, "annotator", frozenset(["a"]), 0.5) == 0.5
    assert probability_without(votes, "annotator", frozenset("abc"), 0.5) is None


def test_a_row_relabelled_turns_round_stays_or_goes() -> None:
    pair = Pair("p", said("user", "q"), said("assistant", "x"), said("assistant", "y"), None, 0.7, 1.0, "train", "", {})
    row = Row("p", Tokens([1], [2], [3], 0, ""), 1.0, 3.0, None, pair)
    votes = [Vote(who, d, 1.0, {"annotator": who}) for who, d in (("a", 1.0), ("b", 1.0), ("c", -1.0))]
    assert relabelled(row, votes, frozenset("z"), 0.5, soft=True) is row
    turned = relabelled(row, votes, frozenset("ab"), 0.5, soft=True)
    assert turned
    assert (turned.tokens.chosen, turned.tokens.rejected) == ([3], [2])
    assert (turned.p, turned.w, turned.source.chosen) == (0.75, 1.0, pair.rejected)
    assert relabelled(row, votes, frozenset("a"), 0.5, soft=False) is None
    assert relabelled(row, votes, frozenset("abc"), 0.5, soft=False) is None
    kept = relabelled(row, votes, frozenset("c"), 0.5, soft=False)
    assert kept
    assert (kept.p, kept.w, kept.tokens) == (1.0, 2.0, row.tokens)


# ---- a whole run


PEOPLE = [*(f"sound-{n}" for n in range(5)), "inverts-0", "inverts-1"]
GOOD, BAD = "yes blue good fine", "no grey bad poor"


def judged_export(out: Path, rows: int = 84, held: int = 42) -> Path:
    """Answers of good or bad words, three votes each; two people say the opposite of what they think."""
    draw = random.Random(5)
    judgments: list[Judgment] = []
    made: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for n in range(rows + 2 * held):
        ids = [f"r{n}a", f"r{n}b"]
        worth = draw.random() < 0.5
        texts = [" ".join(draw.choices((GOOD if side == worth else BAD).split(), k=3)) for side in (True, False)]
        here = []
        for k in range(3):
            who = PEOPLE[(n + 2 * k + n // 7) % 7]
            first = worth != who.startswith("inverts")
            here.append(
                judgment(
                    task_id=f"t{n}",
                    annotator=who,
                    shown=ids,
                    choice="A" if first else "B",
                    submitted_at=f"2026-01-0{1 + n % 2}T10:00:00Z",
                    guideline_version=f"v{1 + n % 2}",
                    token=f"{n}",
                )
            )
        judgments += here
        firsts = sum(one.choice == "A" for one in here)
        side = 0 if firsts >= 2 else 1
        answers = [said("assistant", text) for text in texts]
        split = "train" if n < rows else "validation" if n < rows + held else "test"
        made[split].append(
            {
                "id": f"p{n}",
                "prompt": said("user", f"Question {n}?"),
                "chosen": answers[side],
                "rejected": answers[1 - side],
                "chosen_id": ids[side],
                "rejected_id": ids[1 - side],
                "judgment_ids": [one.id for one in here],
                "task_id": f"t{n}",
                "cluster": f"c{n}",
                "probability": (max(firsts, 3 - firsts) + 0.5) / 4,
                "weight": 1.0,
            }
        )
    with write_folder(out, "export", {"project": "planted", "rules": {"prior": "0.5", "criterion": None}}) as folder:
        for split, lines_ in made.items():
            folder.write(f"data/{split}.jsonl", lines_)
        folder.write("audit/judgments.jsonl", judgments)
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A workspace with an export and a run of each kind on it."""
    workspace = tmp_path_factory.mktemp("influence")
    judged_export(workspace / "exports" / "planted")
    for task, rate in (("reward", "5e-3"), ("dpo", "5e-3")):
        given = ("length=64", "batch=6", f"learning_rate={rate}", "epochs=2", "lora.rank=4", "device=cpu")
        out = workspace / "runs" / task
        run(RunAsked(task, workspace / "exports" / "planted", workspace, str(tiny), None, given, out))
    return workspace


@pytest.mark.parametrize("task", ["reward", "dpo"])
def test_inverted_annotators_are_those_that_hurt(place: Path, tmp_path: Path, task: str) -> None:
    summary = influence(Asked(place / "runs" / task, place, out=tmp_path / "found"))
    rows = lines(tmp_path / "found/data/influence.jsonl")
    people = [row for row in rows if row["kind"] == "annotator"]
    assert {people[0]["id"], people[1]["id"]} == {"inverts-0", "inverts-1"}
    assert {row["id"] for row in people if row["influence"] < 0} == {"inverts-0", "inverts-1"}
    assert {row["id"]: row["verdict"] for row in people[:2]} == {"inverts-0": "hurts", "inverts-1": "hurts"}
    assert all(row["low"] <= row["influence"] <= row["high"] for row in rows)
    assert sum(row["votes"] for row in people) == 84 * 3
    assert {row["id"] for row in rows if row["kind"] == "guideline"} == {"v1", "v2"}
    assert {row["id"] for row in rows if row["kind"] == "batch"} == {"2026-01-01", "2026-01-02"}
    page = (tmp_path / "found/report.html").read_text("utf-8")
    assert "标注者" in page
    assert "inverts-0" in page
    assert summary["rows"] == 84


def test_it_gives_the_same_bytes_again_and_trains_without_the_worst(place: Path, tmp_path: Path) -> None:
    first = influence(Asked(place / "runs/reward", place, out=tmp_path / "a", confirm=2))
    again = influence(Asked(place / "runs/reward", place, out=tmp_path / "b", confirm=2))
    assert first["digest"] == again["digest"]
    told = lines(tmp_path / "a/data/retrained.jsonl")
    assert {one["split"] for one in told} == {"validation", "test"}
    assert sorted(told[0]["without"]) == ["inverts-0", "inverts-1"]
    assert all(one["low"] <= one["difference"] <= one["high"] for one in told)
    assert told[0]["rows"] + told[0]["dropped"] == 84


# ---- what is refused


def test_the_export_has_to_be_the_runs_own(place: Path, tmp_path: Path) -> None:
    other = judged_export(tmp_path / "other", rows=77)
    with pytest.raises(Refused, match=r"is not what .* was trained with"):
        influence(Asked(place / "runs/reward", place, other, out=tmp_path / "x"))
    moved = tmp_path / "moved"
    (place / "runs").rename(moved)
    try:
        with pytest.raises(NotThere, match="name it with --export"):
            influence(Asked(moved / "reward", tmp_path, out=tmp_path / "x"))
    finally:
        moved.rename(place / "runs")
    assert not (tmp_path / "x").exists()


def test_a_changed_run_is_refused(place: Path, tmp_path: Path) -> None:
    file = place / "runs/reward/data/held_out.jsonl"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"correct":', b'"Correct":', 1))
    try:
        with pytest.raises(CheckFailed, match="is not a run as it was written"):
            influence(Asked(place / "runs/reward", place, out=tmp_path / "x"))
    finally:
        file.write_bytes(kept)


def test_an_export_without_judgments_or_with_few_held_out_rows_is_told(tmp_path: Path, tiny: Path) -> None:
    folder = export(tmp_path / "workspace/exports/plain", held_out=12)
    run(asked("reward", folder, tiny, tmp_path / "workspace", "steps=1", out=tmp_path / "workspace/runs/one"))
    with pytest.raises(NotEnough, match="7 prompt clusters, and 10 are needed"):
        influence(Asked(tmp_path / "workspace/runs/one", tmp_path / "workspace", out=tmp_path / "x"))
    with pytest.raises(NotThere, match=r"audit/judgments\.jsonl is not there"):
        read_judgments(read_export(folder))


def test_a_judgment_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = judged_export(tmp_path / "short", rows=7, held=1)
    found = read_export(folder)
    judged = read_judgments(found)
    pair = found.pairs["train"][0]
    assert [one.direction for one in votes_on(pair, judged, terms_of(found))]
    gone = judged._replace(by_id={})
    with pytest.raises(BadInput, match=r"train\.jsonl, line 1: judgment .* is not in audit/judgments\.jsonl"):
        votes_on(pair, gone, PLAIN)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere"),
        (["nowhere", "--damping", "0"], "--damping: 0 is not above 0"),
        (["nowhere", "--width", "3"], "--width: 3 is below 64"),
        (["nowhere", "--confirm", "-1"], "--confirm: -1 is below 0"),
    ],
)
def test_wrong_words_are_told_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    from train.influence import main

    assert exit_status(lambda: main(words)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_other_runs_have_no_influence(tmp_path: Path) -> None:
    with write_folder(tmp_path / "run", "sft run", {"task": "sft"}) as folder:
        folder.write("data/held_out.jsonl", [{"id": "a"}])
    with pytest.raises(BadInput, match=r"influence is of train\.reward and train\.dpo"):
        influence(Asked(tmp_path / "run", tmp_path))
    assert json.loads((tmp_path / "run/manifest.json").read_text("utf-8"))["what"] == "sft run"
