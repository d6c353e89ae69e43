"""Settings of a run: everything wrong at once, before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import BadInput, NotThere
from train.settings import CONFIGS, RECORDS, DpoSettings, Lora, read_settings

TASK_OF = {"sft.yaml": "sft", "reward.yaml": "reward", "dpo.yaml": "dpo", "kto.yaml": "kto"}


def wrong(task: str, *given: str, path: Path | None = None, model: str = "m") -> str:
    with pytest.raises(BadInput) as caught:
        read_settings(task, path, given, model)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_the_files_that_come_along_are_whole_but_for_the_model(path: Path) -> None:
    for task in [TASK_OF[path.name]] if path.name in TASK_OF else RECORDS:
        assert read_settings(task, path, model="m").model == "m"
        assert "model: needed" in wrong(task, path=path, model="")


def test_set_goes_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("beta: 0.3\nlora: {rank: 4}\nlearning_rate: 1e-5\nmodel: x\n", "utf-8")
    made = read_settings("dpo", file, ["beta=0.5", "lora.alpha=8", "soft_labels=true", "learning_rate=3e-6"])
    assert isinstance(made, DpoSettings)
    assert (made.beta, made.lora, made.soft_labels) == (0.5, Lora(rank=4, alpha=8), True)
    assert (made.learning_rate, made.length, made.model) == (3e-6, 1024, "x")


def test_all_problems_are_told_at_once_and_unknown_keys_name_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("learning_rat: 1\nlora: {rnk: 4}\nbatch: 0\nmethod: qlor\n", "utf-8")
    told = wrong("dpo", "beta=-1", "nonsense", path=file)
    assert told.startswith("6 problems")
    for part in (
        "'learning_rat' is no key of dpo; did you mean 'learning_rate'?",
        "'lora.rnk' is no key of dpo; did you mean 'lora.rank'?",
        "batch: 0",
        "method: 'qlor' is none of full, lora, qlora, peft; did you mean 'qlora'?",
        "beta: -1",
        "--set 'nonsense' is no KEY=VALUE",
    ):
        assert part in told


def test_an_unknown_loss_is_one_problem_that_names_the_nearest() -> None:
    told = wrong("dpo", "loss=orpoo")
    assert told.startswith("the settings: loss: 'orpoo' is none of sigmoid, cdpo, ")
    assert told.endswith("; did you mean 'orpo'?")


@pytest.mark.parametrize(
    ("task", "given", "part"),
    [
        ("dpo", ["label_smoothing=0.1"], "does nothing in loss sigmoid"),
        ("dpo", ["loss=robust", "label_smoothing=0.5"], "below 0.5"),
        ("dpo", ["loss=cdpo"], "plain sigmoid without it"),
        ("dpo", ["loss=cdpo", "label_smoothing=0.1", "soft_labels=true"], "take them or label_smoothing"),
        ("dpo", ["lora.targets=[lm_head]"], "the head cannot have an adapter"),
        ("sft", ["anchor=0.1"], "take method full"),
        ("sft", ["beta=0.1"], "no key of sft"),
        ("reward", ["margin=1", "soft_labels=true"], "take one of the two"),
        ("reward", ["learning_rate=nan"], "learning_rate"),
        ("sft", ["resume=true"], "no key of sft"),
        ("sft", ["method=peft"], "peft.peft_type: needed"),
        ("sft", ["method=peft", "peft.peft_type=LOR"], "did you mean 'LORA'?"),
        ("sft", ["method=peft", "peft={peft_type: IA3, target_module: [q_proj]}"], "did you mean 'target_modules'?"),
        ("sft", ["method=peft", "peft={peft_type: OFT, r: 8, oft_block_size: 8}"], "peft: "),
        ("sft", ["peft.peft_type=IA3"], "where method is peft alone"),
        ("sft", ["device=gpu"], "device"),
        ("sft", ["device=cpu", "optimizer=paged_adamw_8bit"], "want a GPU"),
        ("sft", ["device=cpu", "dtype=float16"], "want"),
        ("kto", ["batch=1"], "take 2 or more"),
    ],
)
def test_keys_that_are_wrong_together_are_told(task: str, given: list[str], part: str) -> None:
    assert part in wrong(task, *given)


def test_a_file_that_is_not_there_or_no_yaml_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="train/configs"):
        read_settings("sft", tmp_path / "no.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [", "utf-8")
    assert "cannot be read as YAML" in wrong("sft", path=bad)


def test_every_key_says_what_it_means_and_is_frozen() -> None:
    source = (CONFIGS.parent / "settings.py").read_text("utf-8").splitlines()
    for record in (*RECORDS.values(), Lora):
        for name in record.__annotations__:
            (at, *_) = [i for i, line in enumerate(source) if line.startswith(f"    {name}: ")]
            assert source[at + 1].strip().startswith('"""'), f"{name} has no meaning beside it"
        assert record.model_config["frozen"]


def test_reading_settings_imports_nothing_heavy() -> None:
    look = "print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    code = f"import sys, train.settings as s; s.read_settings('dpo', model='m'); {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_certainty_and_evidence_have_flags_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train import running
    from train.run_flags import train_command

    asked = []
    monkeypatch.setattr(running, "run", lambda one: asked.append(one) or {})
    train_command("dpo", "Doc.", [str(tmp_path), "--set", "loss=ipo", "--soft-labels", "--weights", "agreement"])
    train_command("sft", "Doc.", [str(tmp_path), "--weights", "none"])
    assert asked[0].given == ("loss=ipo", "soft_labels=true", "weights=agreement")
    assert asked[1].given == ("weights=none",)
