"""From judged tasks to an adapter that ships or does not, typed command by command as its user would."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import ROOT
from fake import fake_server
from made import add, project_id
from training import export, lines

from annotate import answers, assign
from data.errors import BadInput, NotThere
from data.folder import write_folder
from data.manifest import read_manifest, verify_folder
from data.store import open_store
from train.contests import Key, read_key
from train.loading import open_model

TASKS = ROOT / "data" / "sample" / "judged" / "tasks.jsonl"
RECIPE = ROOT / "data" / "sample" / "export.yaml"
CONFIG = ROOT / "train" / "configs" / "tiny.yaml"
PART = 150  # of the sample's tasks: 135 pairs of 66 prompt families to test on
KEPT = """
- clause: better than chance on held-out pairs
  measure: accuracy
  threshold: 0.5
  direction: at_least
- clause: trained and served on one template
  measure: template_match
  threshold: 0.8
  direction: at_least
"""


class There(NamedTuple):
    """A workspace with an export, three runs and an evaluation of each."""

    folder: Path
    tiny: Path
    contract: Path

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name

    def type(self, module: str, *words: Any, status: int = 0) -> dict[str, Any]:
        """`python -m MODULE WORDS`; the summary, or {"error": the line} where it was refused."""
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words), "--json"],
            cwd=ROOT,
            env={
                **os.environ,
                "CONCORD_WORKSPACE": str(self.folder),
                "CONCORD_STORE": self.store,
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{module}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if done.stdout:
            summary: dict[str, Any] = json.loads(done.stdout)
            return summary
        return {"error": done.stderr.strip().splitlines()[-1]}

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/concord.db"

    def call(self, module: str, *words: Any, status: int = 0) -> dict[str, Any]:
        """The same without a process of its own: torch is imported once."""
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
            patch.setenv("CONCORD_WORKSPACE", str(self.folder))
            assert import_module(module).main([*map(str, words), "--json"]) == status
        summary: dict[str, Any] = json.loads(told.getvalue())
        return summary

    def train(self, how: Any, name: str, export: str, seed: int) -> None:
        """QLoRA in NF4, as train/configs/tiny.yaml has it, twice through the rows."""
        given = ("learning_rate=1e-2", "epochs=2", "length=1024")
        where = ("--config", CONFIG, "--model", self.tiny, "--out", self.run(name), "--seed", seed)
        how("train.dpo", self.folder / "exports" / export, *where, "--set", *given)

    def evaluate(self, how: Any, name: str, out: str, *words: Any) -> dict[str, Any]:
        """Against the model it started from, on the rows that nobody trained on."""
        held, place = self.folder / "exports" / "part", self.folder / "evaluations" / out
        flags = ("--against", self.tiny, "--export", held, "--out", place)
        summary: dict[str, Any] = how("train.evaluate", self.run(name), *flags, *words)
        return summary

    def gate(self, name: str, contract: Path, *, status: int) -> dict[str, Any]:
        return self.type("train.gate", self.run(name), "--contract", contract, status=status)


def exchanged(of: Path, out: Path) -> None:
    """The same pairs with chosen and rejected the other way round: what a bad export would teach."""
    with write_folder(out, "export", {"of": read_manifest(of).digest, "exchanged": True}) as made:
        for path in sorted((of / "data").glob("*.jsonl")):
            rows = lines(path)
            made.write(f"data/{path.name}", [{**r, "chosen": r["rejected"], "rejected": r["chosen"]} for r in rows])


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> There:
    """Part of the judged sample exported; two adapters trained on it, a worse one on its opposite; all evaluated."""
    folder = tmp_path_factory.mktemp("whole") / "workspace"
    made = There(folder, tiny, folder / "contract.yaml")
    folder.mkdir()
    made.contract.write_text(KEPT)
    (folder / "part.jsonl").write_bytes(b"".join(TASKS.read_bytes().splitlines(keepends=True)[:PART]))
    made.type("annotate.load", folder / "part.jsonl", "--project", "part")
    part = folder / "exports" / "part"
    splits = ("--splits", "45,5,50", "--out", part)
    made.type("curate.export", "--project", "part", "--recipe", RECIPE, *splits)
    exchanged(part, folder / "exports" / "exchanged")
    for how, name, of, seed in (
        (made.type, "first", "part", 0),
        (made.call, "second", "part", 1),
        (made.call, "worse", "exchanged", 0),
    ):
        made.train(how, name, of, seed)
        made.evaluate(how, name, name, "--no-regression")
    return made


def test_a_worse_adapter_fails_its_gate_and_is_not_released_and_the_release_before_comes_back(there: There) -> None:
    def current() -> str:
        return os.readlink(there.folder / "runs" / "current")

    for name in ("first", "second"):
        decided = there.gate(name, there.contract, status=0)
        assert (decided["decision"], decided["passed"]) == ("pass", "2 of 2 clauses")
        there.type("train.release", there.run(name))
        assert current() == name

    decided = there.gate("worse", there.contract, status=1)
    assert decided["decision"] == "fail"
    assert [one.split(" (")[0] for one in decided["failed"]] == ["better than chance on held-out pairs"]
    refused = there.type("train.release", there.run("worse"), status=1)["error"]
    assert refused.startswith(f"error: the gate failed {there.run('worse')}")
    assert current() == "second"

    back = there.type("train.rollback")
    assert (back["current"], back["taken_back"], current()) == ("first", "second", "first")
    there.type("train.rollback", status=2)  # there is none before the first
    assert current() == "first"
    assert verify_folder(there.folder / "runs" / "current") == []
    assert len(lines(there.folder / "gates" / "looks.jsonl")) == 3
    log = (there.folder / "reports" / "posttrain" / "experiment-log.md").read_text("utf-8")
    assert all(f"| {name} |" in log for name in ("first", "second", "worse"))


def test_a_contract_with_too_few_cases_is_not_enough_evidence_and_nothing_is_released(
    there: There, tmp_path: Path
) -> None:
    there.evaluate(there.call, "first", "few", "--no-regression", "--limit", "8")
    flags = ("--evaluation", there.folder / "evaluations" / "few", "--workspace", tmp_path)
    words = (there.run("first"), "--contract", there.contract, *flags)
    decided = there.type("train.gate", *words, status=3)
    assert decided["decision"] == "not enough evidence"
    assert decided["not_enough"][0].startswith("better than chance on held-out pairs (")
    assert "more needed" in decided["not_enough"][0]
    assert (tmp_path / "gates" / Path(decided["wrote"]).name / "report.html").is_file()
    refused = there.type("train.release", there.run("first"), "--workspace", tmp_path, status=3)["error"]
    assert "had not enough evidence" in refused
    assert not (tmp_path / "runs" / "current").exists()


def test_what_people_and_a_judge_said_of_blind_answers_comes_back_as_win_rates(there: There, tmp_path: Path) -> None:
    blind = there.folder / "ab"
    quick = ("--no-regression", "--limit", "40", "--max-tokens", "8")
    sent = there.evaluate(there.call, "first", "asked", *quick, "--to-tasks", blind, "--overlap", "1")
    tasks = lines(blind / "data" / "tasks.jsonl")
    assert len(tasks) == sent["tasks_for_people"] >= 20
    there.type("annotate.load", blind / "data" / "tasks.jsonl", "--project", "ab")
    key = read_key(blind / "audit" / "key.jsonl")
    won = _people_judge(there.store, key, of=16)
    flags = ("--from-judgments", there.store, "--project", "ab", "--key", blind / "audit" / "key.jsonl")
    by_people = there.evaluate(there.call, "first", "people", *quick, *flags)
    ties = sent["answers_alike"]
    expected = (won + 0.5 * ties) / (16 + ties)
    assert by_people["win_rate"].startswith(f"{expected:.3f}")
    assert f"n {16 + ties}" in by_people["win_rate"]

    with fake_server() as server:
        given = ("--tasks", blind / "data" / "tasks.jsonl", "--out", there.folder / "judged", "--both-orders")
        there.type("datagen.judge", *given, "--model", "fake", "--base-url", server.url)
    both = there.evaluate(there.call, "first", "both", *quick, *flags, "--judge", there.folder / "judged")
    assert both["win_rate"] == by_people["win_rate"]  # people's, where there are any
    assert "win_rate_corrected" in both
    measures = lines(there.folder / "evaluations" / "both" / "data" / "measures.jsonl")
    (corrected,) = [one for one in measures if one["measure"] == "win_rate_corrected" and one["slice"] == "all"]
    assert "set right by people" in corrected["note"]
    assert verify_folder(there.folder / "evaluations" / "both") == []


def _people_judge(store_url: str, key: Key, *, of: int) -> int:
    """One person judges so many tasks, the run's answer better in three of four; returns how often it was."""
    store = open_store(store_url)
    person = add(store, "Ana", languages=("en", "zh"), project="ab")
    number = project_id(store, "ab")
    won = 0
    for n in range(of):
        lease = store.change(lambda tx: assign.claim(tx, number, person))
        assert lease
        side = "reference" if n % 4 == 3 else "run"
        won += side == "run"
        choice = "AB"[[key.responses[one].side for one in lease.shown].index(side)]  # type: ignore[arg-type]
        hand_in = partial(answers.submit, annotator=person, token=lease.token)
        store.change(partial(hand_in, answer={"verdict": "answered", "choice": choice}))
    store.close()
    return won


NO_TORCH = """
import json, sys
from importlib import import_module
from data.errors import exit_status

ends = [exit_status(lambda: import_module(module).main(words)) for module, *words in json.loads(sys.argv[1])]
print(json.dumps([ends, sorted({"torch", "transformers", "peft", "trl"} & set(sys.modules))]))
"""


def test_what_files_alone_show_to_be_wrong_is_refused_before_torch_is_imported(tiny: Path, tmp_path: Path) -> None:
    pairs = export(tmp_path / "pairs", rows=4)
    changed = export(tmp_path / "changed", rows=4)
    (changed / "data" / "train.jsonl").write_text("{}\n")
    columns = tmp_path / "columns"
    (columns / "data").mkdir(parents=True)
    (columns / "data" / "train.jsonl").write_text('{"question": "?"}\n')
    bare, silent, short = (Path(shutil.copytree(tiny, tmp_path / name)) for name in ("bare", "silent", "short"))
    with (short / "model.safetensors").open("r+b") as file:
        file.truncate(5000)
    (bare / "tokenizer_config.json").unlink()
    (silent / "chat_template.jinja").unlink()
    key = tmp_path / "key.jsonl"
    key.write_text('{"contest": "a", "cluster": "a", "run": "x", "reference": "y", "lengths": [1, 1]}\n')
    hostile = "\x1b[31m/../\n.;rm -rf"
    wrong = [
        (["--model", tiny, "--out", tmp_path / "a"], changed, "is not as it was written"),
        (["--model", tiny, "--unverified", "--out", tmp_path / "b"], columns, "no columns prompt, chosen, rejected"),
        (["--model", bare, "--out", tmp_path / "c"], pairs, "has no tokenizer"),
        (["--model", silent, "--out", tmp_path / "d"], pairs, "has no chat template"),
        (["--model", short, "--out", tmp_path / "d"], pairs, "model.safetensors is cut off"),
        (["--model", tiny, "--out", tmp_path / "e", "--set", "learning_rat=1", "nonsense"], pairs, "2 problems"),
        (["--model", tiny, "--out", tiny], pairs, "there already"),
        (["--model", hostile, "--out", tmp_path / "f"], pairs, "is not there"),
        (["--model", tiny, "--out", tmp_path / "g"], tmp_path / "nowhere", "is not there"),
    ]
    tasks = ("train.reward", "train.dpo")
    typed = [[task, str(at), *map(str, words)] for task in tasks for words, at, _ in wrong]
    judged = ["train.evaluate", str(tiny), "--against", str(short), "--out", str(tmp_path / "j"), "--judge"]
    typed += [
        [*judged, str(columns / "data" / "train.jsonl"), "--key", str(key)],
        ["train.generate", str(short), "--prompts", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "i")],
        ["train.evaluate", str(tiny), "--against", str(bare), "--export", str(pairs), "--out", str(tmp_path / "h")],
        ["train.generate", str(silent), "--prompts", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "i")],
        ["train.release", str(tmp_path / "nowhere")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, json.dumps(typed)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ends, imported = json.loads(done.stdout)
    told = done.stderr.splitlines()
    assert imported == []
    assert ends == [2] * len(typed)
    assert len(told) == len(typed)  # one line each
    assert "\x1b" not in done.stderr
    for one, (_, _, part) in zip(told, wrong * len(tasks), strict=False):
        assert part in one
    for one, part in zip(
        told[-5:], ("train.jsonl, line 1", "is cut off", "has no tokenizer", "has no chat template"), strict=False
    ):
        assert part in one


def test_weights_that_are_missing_or_cut_short_are_said_in_one_line(tiny: Path, tmp_path: Path) -> None:
    whole = (tiny / "model.safetensors").read_bytes()
    for name, left in [("none", b""), ("header", whole[:50]), ("short", whole[:-1]), ("long", whole + b"0")]:
        broken = Path(shutil.copytree(tiny, tmp_path / name))
        (broken / "model.safetensors").write_bytes(left)
        with pytest.raises(BadInput, match=r"model.safetensors is cut off .*; copy or download it again$"):
            open_model(str(broken))
    (broken / "model.safetensors").unlink()
    with pytest.raises(NotThere, match="long has no weights"):
        open_model(str(broken))
    (broken / "model-00001-of-2.safetensors").write_bytes(whole)
    (broken / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-2.safetensors"}}')
    with pytest.raises(NotThere, match="long lacks model-00002-of-2"):
        open_model(str(broken))
    for said, words in [("{", "config.json cannot be read as JSON"), ("{}", "config.json names no model_type")]:
        broken = Path(shutil.copytree(tiny, tmp_path / f"config{len(said)}"))
        (broken / "config.json").write_text(said)
        with pytest.raises(BadInput, match=words):
            open_model(str(broken))
