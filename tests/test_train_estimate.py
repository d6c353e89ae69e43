"""train.estimate: exact counts of parameters, memory by part with known answers, and what former runs correct."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, NotThere
from train.estimate import main
from train.estimating import compare, lengths_of, note_run, predict, predict_run
from train.gpus import gpu_of
from train.memory import peak, quantisation_bytes, static
from train.plan import Lengths, Plan
from train.settings import DpoSettings
from train.shapes import Shape, adapter_parameters, parameters, read_shape, shape_of

LENGTHS = Lengths(512, 512, 512, 1024, 512, 512, 1000)
SMALL: dict[str, Any] = {
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("mistral", {"head_dim": 32}),
    ("qwen2", {}),
    ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    ("qwen3", {"head_dim": 16, "attention_bias": True}),
    ("gemma", {"head_dim": 16}),
    ("gemma2", {"head_dim": 16}),
    ("gemma3_text", {"head_dim": 16}),
]


@pytest.mark.parametrize(("family", "more"), CONFIGS)
@pytest.mark.parametrize("scores", [False, True])
def test_parameters_are_counted_as_transformers_builds_them(family: str, more: dict[str, Any], scores: bool) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.for_model(family, **SMALL, **more, num_labels=1)
    kind: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config)
    shape = shape_of(json.loads(config.to_json_string(use_diff=False)))
    assert parameters(shape, scores=scores).total == sum(p.numel() for p in model.parameters())


def test_published_sizes() -> None:
    assert parameters(read_shape("8B")).total == 8_030_261_248
    assert parameters(read_shape("7b")).total == 6_738_415_616
    assert parameters(read_shape("13B")).total == 13_015_864_320
    assert parameters(read_shape("70B")).total == 70_553_706_496
    assert parameters(read_shape("1B")).total == 1_235_814_400
    mistral = Shape("Mistral-7B", 4096, 32, 32, 8, 128, 14336, 32000)
    assert parameters(mistral).total == 7_241_732_096


def test_an_adapter_of_rank_16_on_every_linear_layer_of_8b() -> None:
    assert adapter_parameters(read_shape("8B"), 16) == 41_943_040
    assert adapter_parameters(read_shape("8B"), 16, ("q_proj", "v_proj")) == 6_815_744
    with pytest.raises(BadInput, match="did you mean"):
        adapter_parameters(read_shape("8B"), 16, ("q_prj",))


def test_weights_of_qlora_8b_with_and_without_double_quantisation() -> None:
    linear = parameters(read_shape("8B")).linear
    parts = static(read_shape("8B"), Plan("dpo", "qlora", dtype="bfloat16"))
    double = parts["weights"] + parts["quantisation"]
    single = parts["weights"] + quantisation_bytes(linear, double=False)
    # 2/3.2 and 2/3.6 bytes a weight are the rounded form of 4 + 32/64 and 4 + 8/64 + 32/16384 bits.
    assert single == pytest.approx(linear * 4.5 / 8 + 2.1e9, rel=0.002)
    assert double == pytest.approx(5.70e9, rel=0.005)
    assert linear / 3.2 * 2 + 2 * (8_030_261_248 - linear) == pytest.approx(6.46e9, rel=0.002)
    assert linear / 3.6 * 2 + 2 * (8_030_261_248 - linear) == pytest.approx(5.98e9, rel=0.002)


def test_full_training_in_float32_holds_sixteen_bytes_a_weight() -> None:
    shape = read_shape("8B")
    name, parts = peak(shape, Plan("sft", "full", accumulation=2, device="cpu"), Lengths(8, 8, 0, 16, 8))
    n = parameters(shape).total
    assert parts["weights"] + parts["gradients"] + parts["optimizer"] == 16 * n, name


def test_dpo_of_all_weights_without_precomputing_holds_a_second_model() -> None:
    shape = read_shape("7B")
    plan = Plan("dpo", "full", dtype="bfloat16", precompute=False)
    assert static(shape, plan)["reference"] == 2 * parameters(shape).total
    assert static(shape, plan._replace(precompute=True))["reference"] == 0
    assert static(shape, plan._replace(orpo=True))["reference"] == 0
    assert static(shape, plan._replace(method="lora"))["reference"] == 0


@given(
    task=st.sampled_from(["sft", "reward", "dpo"]),
    method=st.sampled_from(["full", "lora", "qlora"]),
    batch=st.integers(1, 16),
    longest=st.integers(16, 4096),
    again=st.booleans(),
)
def test_more_rows_or_tokens_never_take_less(task: Any, method: Any, batch: int, longest: int, again: bool) -> None:
    def bytes_of(batch: int, longest: int) -> int:
        plan = Plan(task, method, batch=batch, gradient_checkpointing=again)
        return sum(peak(read_shape("1B"), plan, Lengths(8, 8, 8, longest, 8, 8))[1].values())

    assert bytes_of(batch, longest) <= bytes_of(batch + 1, longest)
    assert bytes_of(batch, longest) <= bytes_of(batch, longest + 16)


def test_qlora_dpo_with_checkpointing_and_precomputing_takes_six_operations_a_weight() -> None:
    from train.effort import effort

    shape = read_shape("8B")
    n = parameters(shape).total
    short = Lengths(1, 1, 1, 2, 1, 1, 1000)
    plan = Plan("dpo", "qlora", gradient_checkpointing=True, precompute=False, rank=1)
    per_token = effort(shape, plan, short, 1).flops / 4000
    assert per_token / n == pytest.approx(8 * (n - shape.words * shape.width) / n, rel=0.01)
    twice = effort(shape, plan._replace(precompute=True), short, 2).flops
    assert twice / effort(shape, plan, short, 2).flops == pytest.approx((2 * 6 + 2) / (2 * 8), rel=0.01)
    assert effort(shape, plan._replace(sharing=True), short, 1).tokens == 3000
    assert effort(shape, plan, short, 1).tokens == 4000


def test_the_row_that_decides_the_memory_is_the_longest() -> None:
    found = lengths_of([(10, 5, 3), (4, 2, 30), (2, 2, 2)])
    assert (found.longest, found.longest_answer, found.longest_other, found.rows) == (34, 30, 2, 3)
    assert lengths_of([]).rows == 0


def test_former_runs_on_the_same_machine_correct_the_next(tmp_path: Path) -> None:
    shape, plan, gpu = read_shape("1B"), Plan("dpo", "qlora", dtype="bfloat16"), gpu_of("h100")

    def now() -> Any:
        return predict(shape, plan, LENGTHS, gpu=gpu, workspace=tmp_path, price=2.0)

    first = now()
    assert (first.correction, first.runs) == (1.0, 0)
    rows = note_run(tmp_path, first, round(first.peak.middle * 1.25), 100.0)
    assert next(row["error"] for row in rows if row["part"] == "peak") == pytest.approx(-0.2, abs=1e-4)
    second = now()
    assert second.runs == 1
    assert second.peak.middle == pytest.approx(1.25 * first.peak.middle)
    assert second.seconds.middle == pytest.approx(100)
    assert second.cost.middle == pytest.approx(200 / 3600)
    with (tmp_path / "estimates.jsonl").open("a") as file:
        file.write('{"machine": "H100"}\nno json\n')
    assert now().runs == 1
    other = predict(shape, plan, LENGTHS, gpu=gpu_of("L4"), workspace=tmp_path)
    assert other.runs == 0


def test_on_a_cpu_runs_teach_the_memory_of_the_process(tmp_path: Path) -> None:
    settings = DpoSettings(model="x", method="lora")
    counts = [(20, 10, 12)] * 8
    first = predict_run(settings, read_shape("1B"), counts, workspace=tmp_path)
    tensors = sum(first.parts.values()) - first.parts["framework"]
    note_run(tmp_path, first, tensors + 123_000_000, 7.5)
    second = predict_run(settings, read_shape("1B"), counts, workspace=tmp_path)
    assert second.parts["framework"] == 123_000_000
    assert second.correction == 1.0
    assert compare(second, tensors + 123_000_000, 7.5)[-2]["error"] == 0
    assert second.seconds is not None
    assert second.seconds.middle == pytest.approx(7.5)


def test_prints_parts_range_and_what_it_fits_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--workspace", str(tmp_path), "--model", "8B", "--task", "dpo"]
    assert main([*flags, "--gpu", "T4"]) == 0
    assert "has no bfloat16" in capsys.readouterr().out
    assert main([*flags, "--gpu", "L4", "--gradient-checkpointing", "--length", "1024", "--price", "2"]) == 0
    out = capsys.readouterr().out
    assert "fits on" in out
    assert "quantisation" in out
    assert "kWh" in out
    assert "in your currency" in out
    assert main([*flags, "--gpu", "L4", "--method", "full"]) == 0
    assert "method to lora" in capsys.readouterr().out


def test_a_table_has_all_sizes_or_the_model_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--workspace", str(tmp_path), "--table", "--json"]
    assert main(flags) == 0
    every = json.loads(capsys.readouterr().out)
    assert len([name for name in every if name != "for"]) == 9
    assert every["7B qlora"]["peak"]["middle"] < every["7B lora"]["peak"]["middle"] < every["7B full"]["peak"]["middle"]
    assert main([*flags, "--model", "1b"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert [name.split()[1] for name in one if name != "for"] == ["full", "lora", "qlora"]
    assert one["Llama-3.2-1B qlora"]["peak"]["middle"] < every["7B qlora"]["peak"]["middle"]


def test_settings_may_be_given_one_by_one_or_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--workspace", str(tmp_path), "--config", "train/configs/dpo.yaml", "--json"]
    said = []
    for words in (["--set", "batch=2", "length=512"], ["--set", "batch=2", "--set", "length=512"]):
        assert main([*flags, *words]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert "batch 2, 512 tokens" in said[0]["run"]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--model", "9B"], "is no size"),
        (["--gpu", "H10"], "did you mean"),
        (["--length", "0"], "not above 0"),
        (["--optimizer", "adamw_8bits"], "did you mean"),
        (["--prompt", "1024"], "leaves no token"),
        (["somewhere"], "--config"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], error: str, tmp_path: Path) -> None:
    with pytest.raises((BadInput, NotThere), match=error):
        main(["--workspace", str(tmp_path), *flags])


def test_lengths_of_an_export_are_those_of_its_rows(tmp_path: Path, tiny: Path, capsys: Any) -> None:
    from data.folder import write_folder

    def pair(n: int) -> dict[str, Any]:
        said = {"chosen": "It is blue. " * n, "rejected": "no"}
        answers = {side: [{"role": "assistant", "content": text}] for side, text in said.items()}
        return {"id": f"p{n}", "prompt": [{"role": "user", "content": "Why?"}], **answers, "tools": None}

    with write_folder(tmp_path / "e", "export", {}) as folder:
        folder.write("data/train.jsonl", (pair(n) for n in range(1, 9)))
    words = [str(tmp_path / "e"), "--model", str(tiny), "--workspace", str(tmp_path), "--device", "cpu", "--json"]
    assert main([*words, "--config", "train/configs/tiny.yaml"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 8 * 2 * 4 < found["tokens"] < 8 * 200
    assert found["framework"] > 0
    assert found["parameters"] > 100_000


def test_a_configuration_that_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    for text, error in [("[1]", "no JSON object"), ("{", "cannot be read"), ('{"model_type": "mamba"}', "mamba")]:
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(BadInput, match=error):
            read_shape(str(tmp_path))
    with pytest.raises(BadInput, match="hidden_size"):
        shape_of({"model_type": "llama", "num_attention_heads": 4, "hidden_size": "64"})


def test_the_peak_of_tensors_is_counted_to_the_byte() -> None:
    import torch

    from train.peak import peak_of_tensors

    layer = torch.nn.Linear(256, 256, bias=False)
    with peak_of_tensors(layer) as found:
        one = torch.zeros(1000, 250)
        del one
        two = torch.zeros(500, 250)
    assert found.start == 256 * 256 * 4
    assert found.bytes == found.start + 1_000_000
    assert len(two) == 500


@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL reads a name that transformers is letting go
@pytest.mark.parametrize(("task", "method"), [("dpo", "qlora"), ("reward", "full")])
def test_the_estimate_is_near_what_training_takes(task: str, method: str) -> None:
    from bench.estimate import predicted
    from bench.estimate_cells import Cell, measure

    cell = Cell(task, method, layers=3, length=96, answer=40, batch=2, kv=2)
    assert sum(predicted(cell)[1].values()) == pytest.approx(measure(cell), rel=0.12)
