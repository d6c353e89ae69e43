"""The stages of an export in order, from one recipe: models, repeats, clusters, audit, agreement; and their proof."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_export import export, lines, load, rows
from test_verify import check, edit, seal_anew

from curate.layouts import FORMATS
from curate.recipe import make_recipe, read_recipe
from data.errors import BadInput
from data.formats.rows import Row, Vote
from data.manifest import read_manifest, verify_folder
from data.records import Message as M
from data.records import Prompt, Response

WORDS = (ROOT / "README.md").read_text("utf-8").split()


def text(dice: random.Random, length: int = 30) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(length))


def ab(n: int, votes: list[tuple[str, str]], prompt: str, answers: list[str], **given: Any) -> Row:
    """A task of two answers; a vote is who and which: `a` or `b` the answer, `=` a tie."""
    made = Prompt.make([M(role="user", content=prompt)], licence="CC0-1.0", language="en")
    responses = [
        Response.make(made.id, [M(role="assistant", content=answer)], sample_index=i)
        for i, answer in enumerate(answers)
    ]
    ids = [r.id for r in responses]
    kinds = given.pop("kinds", {})
    cast = []
    for k, (who, which) in enumerate(votes):
        shown = ids if (n + k) % 2 == 0 else ids[::-1]
        choice = "tie" if which == "=" else "AB"[shown.index(ids["ab".index(which)])]
        at = f"2026-01-{1 + (n + 7 * k) % 28:02}T09:00:00Z"
        kind = kinds.get(who, "person")
        cast.append(
            Vote(who, kind, f"{n}/{k}/{who}", shown, choice=choice, submitted_at=at, active_seconds=30.0 + n % 7)
        )
    return Row(n, f"made, row {n}", f"key {n}", made, responses, kind="ab", votes=cast, **given)


def project(count: int = 60, seed: int = 0) -> list[Row]:
    """Good judges g0 to g3 and a poor one, each task judged by three; some prompts and rows come nearly again."""
    dice = random.Random(seed)
    made: list[Row] = []
    former: list[tuple[str, list[str]]] = []
    for n in range(count):
        prompt, answers = text(dice), [text(dice, 60), text(dice, 60)]
        if n % 10 == 9:
            prompt, answers = former[n // 2]
            answers = [answers[0], f"{answers[1]} indeed"]
        elif n % 10 == 8:
            prompt = f"{former[n // 2][0]} please"
        former.append((prompt, answers))
        truth = "ab"[n % 2]
        other = "ba"[n % 2]
        votes = [(f"g{(n + k) % 4}", truth if dice.random() < 0.95 else other) for k in range(2)]
        votes.append(("poor", truth if dice.random() < 0.55 else other))
        made.append(ab(n, votes, prompt, answers))
    return made


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('stages')}/s.db"
    load(made, project())
    return made


@pytest.fixture(scope="module")
def whole(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with every stage at work."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert export(url, out, *EVERY) == 0
    return out


EVERY = ("--aggregate", "dawid-skene", "--dedup", "row", "--per-prompt", "2", "--min-votes", "2", "--splits", "2,1,1")


def test_every_stage_together_verifies_alone_and_against_its_store(url: str, whole: Path) -> None:
    assert check(whole) == 0
    assert check(whole, "--store", url) == 0
    assert len(rows(whole)) + len(lines(whole, "audit/left_out.jsonl")) == 60


# Aggregation


def test_a_poor_annotator_s_word_weighs_less_by_dawid_and_skene(url: str, tmp_path: Path) -> None:
    export(url, tmp_path / "votes")
    export(url, tmp_path / "model", "--aggregate", "dawid-skene")
    votes, model = ({r["task_id"]: r for r in rows(tmp_path / name)} for name in ("votes", "model"))
    judged = {j["task_id"]: [] for j in lines(tmp_path / "votes", "audit/judgments.jsonl")}
    for j in lines(tmp_path / "votes", "audit/judgments.jsonl"):
        judged[j["task_id"]].append(j["shown"]["AB".index(j["choice"])])
    split = [t for t, chosen in judged.items() if t in votes and votes[t]["votes"]["chosen"] == 2.0]
    assert split
    assert all(votes[t]["probability"] == 0.625 for t in split)
    assert {model[t]["probability"] for t in split if t in model} - {0.625}
    people = {row["annotator"]: row["reliability"] for row in lines(tmp_path / "model", "audit/annotators.jsonl")}
    assert min(people, key=lambda who: people[who]) in {
        j["annotator"] for j in lines(tmp_path / "votes", "audit/judgments.jsonl")
    }
    assert sorted(people.values())[0] < 0.8 < sorted(people.values())[1]


@pytest.mark.parametrize("method", ["dawid-skene", "one-coin", "plackett-luce"])
def test_probabilities_and_scores_are_those_that_aggregate_gives(url: str, tmp_path: Path, method: str) -> None:
    from curate.aggregate import main as aggregate

    assert export(url, tmp_path / "out", "--aggregate", method) == 0
    aggregate(["--project", "sky", "--store", url, "--out", str(tmp_path / "agg"), "--method", method])
    told = {frozenset((r["chosen_id"], r["rejected_id"])): r for r in lines(tmp_path / "agg", "data/pairs.jsonl")}
    made = rows(tmp_path / "out")
    assert len(made) > 50
    for row in made:
        other = told[frozenset((row["chosen_id"], row["rejected_id"]))]
        assert row["probability"] == pytest.approx(other["probability"], abs=2e-6)
        assert (row["chosen_id"], row["rejected_id"]) == (other["chosen_id"], other["rejected_id"])
        assert row["score_chosen"] == pytest.approx(other["score_chosen"], abs=2e-6)
    assert check(tmp_path / "out", "--store", url) == 0


def test_beliefs_that_do_not_follow_from_the_judgments_are_found(whole: Path, tmp_path: Path, capsys: Any) -> None:
    import shutil

    out = Path(shutil.copytree(whole, tmp_path / "out"))

    def lie(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found[3]["pairs"][0]["probability"] = 0.99
        return found

    edit(out / "audit/beliefs.jsonl", lie)
    seal_anew(out)
    assert check(out) == 1
    assert "not what the judgments give" in capsys.readouterr().out


def test_a_judge_asked_often_has_one_vote(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    dice = random.Random(1)
    votes = [("ann", "a"), *[("judge", "b")] * 5]
    load(url, [ab(n, votes, text(dice), [text(dice), text(dice)], kinds={"judge": "model"}) for n in range(3)])
    export(url, tmp_path / "out", "--sources", "human,model", "--weights", "model=0.5")
    for row in rows(tmp_path / "out"):
        assert row["votes"] == {"chosen": 1.0, "rejected": 0.5, "tie": 0.0}
        assert row["weight"] == 1.5
        assert len(row["judgment_ids"]) == 6
    assert len(rows(tmp_path / "out")) == 3
    assert export(url, tmp_path / "most", "--sources", "human,model", "--min-votes", "3") == 3
    assert check(tmp_path / "out", "--store", url) == 0


# Repeats and clusters


def test_rows_that_come_again_go_and_name_what_stayed(whole: Path) -> None:
    removed = lines(whole, "audit/removed.jsonl")
    assert removed
    there = {r["id"] for r in rows(whole)}
    gaps = {g["reason"] for g in lines(whole, "audit/left_out.jsonl")}
    for one in removed:
        assert one["id"] not in there
        assert one["similarity"] >= 0.8
        assert f"{one['reason']} of {one['kept']}" in gaps


def test_a_row_taken_out_as_a_repeat_of_nothing_is_found(whole: Path, tmp_path: Path, capsys: Any) -> None:
    import shutil

    out = Path(shutil.copytree(whole, tmp_path / "out"))
    edit(out / "audit/removed.jsonl", lambda found: found[1:])
    seal_anew(out)
    assert check(out) == 1
    assert "audit/removed.jsonl: not what the rows give" in capsys.readouterr().out


def test_near_prompts_share_a_cluster_and_a_split(url: str, tmp_path: Path) -> None:
    export(url, tmp_path / "near", "--splits", "1,1,1")
    export(url, tmp_path / "alone", "--splits", "1,1,1", "--group-threshold", "0", "--allow", "split_leak")
    near, alone = rows(tmp_path / "near"), rows(tmp_path / "alone")
    assert (
        len({r["cluster"] for r in near}) < len({r["cluster"] for r in alone}) == len({r["prompt_id"] for r in alone})
    )
    splits: dict[str, set[str]] = {}
    for r in near:
        splits.setdefault(r["cluster"], set()).add(r["split"])
    assert all(len(own) == 1 for own in splits.values())
    (told,) = lines(tmp_path / "near", "audit/splits.json")
    assert told["greatest_similarity"] is None or told["greatest_similarity"] < 0.8
    (told,) = lines(tmp_path / "alone", "audit/splits.json")
    assert told["greatest_similarity"] >= 0.8
    assert check(tmp_path / "near") == check(tmp_path / "alone") == 0


def test_swapped_pairs_are_told_and_stay(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    dice = random.Random(2)
    prompt, one, other = text(dice), text(dice), text(dice)
    load(url, [ab(0, [("x", "a")], prompt, [one, other]), ab(1, [("y", "a")], prompt, [other, one])])
    assert export(url, tmp_path / "out", "--dedup", "row", "--allow", "contradiction") == 0
    (told,) = lines(tmp_path / "out", "audit/contradictions.jsonl")
    assert {told["first"], told["second"]} == {r["id"] for r in rows(tmp_path / "out")}
    assert told["reason"].startswith("chosen and rejected swapped")


# The audit


def leaky(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/s.db"
    dice = random.Random(3)
    made = [ab(n, [("x", "a"), ("y", "a")], text(dice), [text(dice), text(dice)]) for n in range(6)]
    made.append(ab(6, [("x", "b")], text(dice), [text(dice), f"{text(dice)} Write to jane.doe@gmail.com"]))
    load(url, made)
    return url


def test_a_finding_that_blocks_stops_the_export_and_leaves_what_was_found_beside(tmp_path: Path, capsys: Any) -> None:
    url = leaky(tmp_path)
    out = tmp_path / "out"
    assert export(url, out) == 1
    told = capsys.readouterr().err
    assert "private_data block" in told
    assert "--drop private_data" in told
    assert "--allow private_data" in told
    assert told.count("\n") == 1
    assert not out.exists()
    beside = tmp_path / "out.refused"
    assert verify_folder(beside) == []
    assert any(f["name"] == "private_data" and f["level"] == "block" for f in lines(beside, "audit/findings.jsonl"))
    assert "jane.doe" not in "".join(path.read_text("utf-8") for path in beside.rglob("*") if path.is_file())


def test_what_is_allowed_by_name_passes_and_the_manifest_says_so(tmp_path: Path) -> None:
    url = leaky(tmp_path)
    assert export(url, tmp_path / "out", "--allow", "private_data") == 0
    assert read_manifest(tmp_path / "out").config["checks"]["allow"] == ["private_data"]
    assert len(rows(tmp_path / "out")) == 7


def test_rows_a_finding_names_can_be_left_out_and_are_named(tmp_path: Path, capsys: Any) -> None:
    import shutil

    url = leaky(tmp_path)
    out = tmp_path / "out"
    assert export(url, out, "--drop", "private_data") == 0
    assert len(rows(out)) == 6
    assert [g["reason"] for g in lines(out, "audit/left_out.jsonl")] == ["dropped: private_data"]
    assert check(out, "--store", url) == 0
    forged = Path(shutil.copytree(out, tmp_path / "forged"))
    extra = rows(forged)[0]
    edit(forged / "audit/dropped.jsonl", lambda found: [*found, {"id": extra["id"], "reason": "dropped: private_data"}])
    seal_anew(forged)
    capsys.readouterr()
    assert check(forged) == 1
    assert f"row {extra['id']} is not what the findings name" in capsys.readouterr().out


def test_texts_of_an_evaluation_file_block_and_can_be_dropped(tmp_path: Path, capsys: Any) -> None:
    url = leaky(tmp_path)
    export(url, tmp_path / "all", "--allow", "private_data")
    row = rows(tmp_path / "all")[0]
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps({"question": row["prompt"][0]["content"]}) + "\n")
    flags = ("--evaluation", str(held_out), "--allow", "private_data")
    capsys.readouterr()
    assert export(url, tmp_path / "out", *flags) == 1
    assert "contamination" in capsys.readouterr().err
    assert export(url, tmp_path / "out", *flags, "--drop", "contamination") == 0
    assert row["id"] not in {r["id"] for r in rows(tmp_path / "out")}
    assert list(read_manifest(tmp_path / "out").inputs["evaluation"]) == ["held_out.jsonl"]
    assert check(tmp_path / "out") == 0


# Agreement


def test_agreement_that_is_required_and_not_shown_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    url = leaky(tmp_path)
    assert export(url, tmp_path / "out", "--drop", "private_data", "--require-agreement") == 3
    assert "is not shown yet" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_agreement_surely_below_is_refused(tmp_path: Path, capsys: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    dice = random.Random(4)
    votes = [[(f"g{k}", dice.choice("ab")) for k in range(3)] for _ in range(80)]
    load(url, [ab(n, cast, text(dice), [text(dice), text(dice)]) for n, cast in enumerate(votes)])
    assert export(url, tmp_path / "out", "--require-agreement") == 1
    assert "agreement is below 0.8 on choice by people" in capsys.readouterr().err


# One recipe


def test_a_recipe_holds_every_flag_by_its_name_and_flags_win(url: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("project: sky\naggregate: one-coin\nsplits: [2, 1, 1]\nmin_probability: .6\n")
    from curate.export import main
    from data.errors import exit_status

    out = tmp_path / "out"
    flags = ["--recipe", str(recipe), "--store", url, "--out", str(out), "--min-probability", "0.7"]
    assert exit_status(lambda: main(flags)) == 0
    made = read_manifest(out).config["rules"]
    assert (made["aggregate"], made["splits"], made["min_probability"]) == ("one-coin", [2, 1, 1], "0.7")
    assert min(r["probability"] for r in rows(out)) >= 0.7


def test_the_bundled_recipe_names_every_setting_and_is_sound() -> None:
    found = read_recipe(ROOT / "data/sample/export.yaml")
    recipe = make_recipe(found)
    from curate.recipe import Checks
    from curate.rules import Rules

    known = {*Rules.model_fields, *Checks.model_fields, "format"}
    assert (
        known - found.keys() == {"criterion", "margin", "min_agreement", "smoothing", "audit", "allow"} - found.keys()
    )
    assert recipe.rules.aggregate == "dawid-skene"


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        (
            "min_vote: 2\nagregate: votes\n",
            "'min_vote' is no setting; did you mean 'min_votes'?; 'agregate' is no setting",
        ),
        ("- a\n", "holds no settings"),
        ("a: [", "cannot be read as YAML"),
        ("prior: lots\n", "--prior: 'lots'"),
        ("drop: [private]\n", "--drop: 'private' is no finding"),
        ("format: trll\n", "--format: 'trll' is none of"),
        ("agreement: 7\n", "--agreement: 7.0 is not within -1 to 1"),
        ("dedup_threshold: 0\n", "--dedup-threshold: '0' is not above 0"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told_at_once(tmp_path: Path, yaml: str, says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml)
    with pytest.raises(BadInput) as error:
        make_recipe(read_recipe(path))
    assert says in str(error.value)


# The same bytes


@pytest.mark.parametrize("format", FORMATS)
def test_the_order_of_input_and_the_threads_change_no_digest(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import curate.exporting

    first, *made = project(40, 5)
    everybody = [(who, "a") for who in ("g0", "g1", "g2", "g3", "poor")]
    known = ab(40, everybody, "Who is there?", ["All of them are, in this order.", "Nobody is."])
    found = set()
    for name, given, threads in (
        ("one", [first, *made], 1),
        ("two", [*made[::-1], first], 2),
        ("eight", [*made[7:], first, *made[:7]], 8),
    ):
        url = f"sqlite:///{tmp_path}/{name}.db"
        numbers = iter(range(100))  # a person's id is drawn when they first come; here in one order everywhere
        monkeypatch.setattr("annotate.imported.secrets.token_hex", lambda _, numbers=numbers: f"{next(numbers):016x}")
        load(url, [known, *given])
        monkeypatch.setattr(curate.exporting, "THREADS", threads)
        assert export(url, tmp_path / name, *EVERY, "--format", format) == 0
        found.add(read_manifest(tmp_path / name).digest)
    assert len(found) == 1


def test_killed_at_fifty_moments_an_export_is_the_old_folder_or_the_whole_new_one(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export(url, out, *EVERY) == 0
    old = read_manifest(out).digest
    flags = ["--project", "sky", "--store", url, "--out", str(out), "--force", *EVERY, "--seed", "1"]
    command = [sys.executable, "-m", "curate.export", *flags]
    began = time.monotonic()
    other = subprocess.run([*command[:-1], "2"], cwd=ROOT, capture_output=True, timeout=120)
    assert other.returncode == 0, other.stderr
    took = time.monotonic() - began
    old = read_manifest(out).digest
    dice = random.Random(7)
    seen = set()
    for _ in range(50):
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        began = time.monotonic()
        try:
            run.wait(dice.uniform(0.3, 1.1) * took)
            took = time.monotonic() - began  # the machine may have been busier when the first was timed
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        for beside in (out, out.with_name(".out.former")):
            if beside.exists():
                assert verify_folder(beside) == [], beside
        there = out if out.exists() else out.with_name(".out.former")
        seen.add(read_manifest(there).digest)
        if read_manifest(there).digest != old:
            assert export(url, out, *EVERY, "--seed", "2", "--force") == 0
    assert old in seen
    assert export(url, out, *EVERY, "--seed", "1", "--force") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
