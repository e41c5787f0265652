"""The command: what it prints, what it rests on, and its mistakes in one line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from rabbit_ko.benchmarks.training_speed import figures
from rabbit_ko.cli import main
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.planning.work import count_rows, describe_rows
from tests.conftest import ROOT
from tests.stages import save_base

GOLDEN = ROOT / "tests/golden/plan_aog_8b.txt"
Call = Callable[..., "Outcome"]
RECIPES = sorted(path.parent.name for path in ROOT.glob("axolotl_configs/*/data.yaml"))


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """A working directory with the recipes and no data."""
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")
    return in_tmp / "axolotl_configs"


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `rabbit plan` in this process."""

    def called(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(["plan", *arguments])
        said = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), said.out, said.err)

    return called


def plans(call: Call, *arguments: str) -> list[dict[str, Any]]:
    """The plans of a recipe's stages."""
    result = call(*arguments, "--json")
    assert result.code == 0, result.err
    read: list[dict[str, Any]] = json.loads(result.out)
    return read


def test_the_plan_of_the_model_card_s_recipe(recipes: Path, call: Call) -> None:
    result = call("--recipe", "aog-8b", "--gpus", "1", "--gpu-memory", "80")
    assert result.code == 0
    assert result.out == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.startswith("smoke")])
def test_every_recipe_can_be_planned_with_every_sharding(recipes: Path, call: Call, name: str) -> None:
    for sharding in ("ddp", "zero1", "zero2", *(() if name.endswith("-qlora") else ("zero3", "fsdp2"))):
        for plan in plans(call, "--recipe", name, "--gpus", "2", "--sharding", sharding):
            assert plan["recipe"] == name
            assert plan["memory_gib"]["total"] > 0
            assert plan["work"]["steps"] > 100


@pytest.mark.parametrize(
    ("name", "memory"), [("aog-8b", 80), ("aog-8b-fast", 80), ("aog-8b-qlora", 24), ("rabbit-ko-3b-fast", 80)]
)
def test_recipes_fit_the_gpu_that_they_name(recipes: Path, call: Call, name: str, memory: int) -> None:
    assert all(plan["fits"] for plan in plans(call, "--recipe", name, "--gpu-memory", str(memory)))


@pytest.mark.parametrize(
    ("name", "stage", "memory", "changes"),
    [
        ("aog-8b-fast", 0, 40, {"gradient_checkpointing": True}),
        ("rabbit-ko-3b-fast", 0, 40, {}),
        ("rabbit-ko-3b-fast", 0, 24, {"gradient_checkpointing": True}),
        ("rabbit-ko-3b-fast", 1, 40, {"micro_batch_size": 1, "gradient_accumulation_steps": 16}),
    ],
)
def test_smaller_gpus_take_what_the_files_advise(
    recipes: Path, call: Call, name: str, stage: int, memory: int, changes: dict[str, Any]
) -> None:
    path = recipes / name / ("sft.yaml", "dpo.yaml")[stage]
    text = path.read_text(encoding="utf-8")
    for key, value in changes.items():
        [line] = [line for line in text.splitlines() if line.startswith(f"{key}:")]
        text = text.replace(line, f"{key}: {json.dumps(value)}")
    path.write_text(text, encoding="utf-8")
    assert plans(call, "--recipe", name, "--gpu-memory", str(memory))[stage]["fits"]


def test_what_does_not_fit_comes_with_advice(recipes: Path, call: Call) -> None:
    result = call("--recipe", "aog-8b-fast", "--gpu-memory", "24")
    assert "does not fit: " in result.out
    assert "1. gradient_checkpointing: true" in result.out
    assert "not even all of this is enough" in call("--recipe", "aog-8b", "--gpu-memory", "4").out


def test_built_data_is_counted_and_measured(
    in_tmp: Path, call: Call, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    (in_tmp / "dataset_builders").symlink_to(ROOT / "dataset_builders")
    manifest = build(load_config(Path("axolotl_configs/smoke/data.yaml")), Path("data/smoke"))
    save_base(in_tmp / "runs/smoke/base", smoke_tokenizer)
    found = {plan["stage"]["method"]["name"]: plan for plan in plans(call, "--recipe", "smoke", "--gpu-memory", "4")}
    assert found["dpo-2"]["rows"]["count"] == 64 < found["sft"]["rows"]["count"]  # max_prompts of pairs.yaml
    assert found["dpo-2"]["rows"]["count_from"] == "one pair for each conversation of data/smoke, at most"
    assert found["dpo-2"]["trainable"] == found["sft"]["trainable"]
    # In KTO a pair is two answers.
    for stage, (kind, rows) in {"sft": ("sft", 1), "dpo": ("dpo", 1), "orpo": ("dpo", 1), "kto": ("dpo", 2)}.items():
        plan = found[stage]
        trained = [shard.rows for shard in manifest.in_folder(kind) if "train-" in shard.file]
        assert plan["rows"]["count"] == rows * sum(trained)
        held_out = [shard.rows for shard in manifest.in_folder(kind) if "test-" in shard.file]
        assert plan["rows"]["test_count"] == rows * sum(held_out) > 0
        assert plan["work"]["evaluations"] == 1 + plan["stage"]["epochs"]
        assert plan["rows"]["count_from"] == "data/smoke/manifest.json"
        assert plan["rows"]["tokens_from"].endswith("sequences of data/smoke, tokenized")
        assert 0.3 < plan["rows"]["filled"] < 1


def test_a_round_has_no_more_pairs_than_pairs_yaml_takes_prompts(recipes: Path, call: Call) -> None:
    folder = recipes / "rabbit-ko-3b"
    for method in ("dpo", "kto"):
        text = (folder / f"{method}.yaml").read_text(encoding="utf-8")
        text = text.replace("data/rabbit-ko-3b/dpo", "data/pairs/rabbit-ko-3b/sft/dpo")
        (folder / f"{method}-1.yaml").write_text(text, encoding="utf-8")

    def counts() -> dict[str, int]:
        return {
            plan["stage"]["method"]["name"]: plan["rows"]["count"] for plan in plans(call, "--recipe", folder.name)
        }

    capped = counts()
    assert (capped["dpo-1"], capped["kto-1"]) == (5_000, 10_000)
    (folder / "pairs.yaml").unlink()
    assert counts() == {**capped, "dpo-1": capped["sft"], "kto-1": 2 * capped["sft"]}


def test_measured_speeds_and_peaks_stand_beside_the_estimates(recipes: Path, call: Call) -> None:
    speed, rows = {"seconds_per_row": 0.0625, "reference_seconds_per_row": 0.0}, {"tokens": 390.4}
    result = {"recipe": "aog-8b-fast", "stage": "sft", "device": "GPU X", "gpus": 1, "speed": speed, "rows": rows}
    Path("train.json").write_text(json.dumps({"results": [{**result, "peak_memory_gib": 45.6}]}))
    shown = call("--recipe", "aog-8b-fast", "--measured", "train.json").out
    assert "measured on GPU X: 45.6 GiB" in shown
    assert "from a measured speed" in shown
    basis = "  hours, GPU X: rows x (epochs x 0.0625 s), measured on rows of 390 tokens, padding included"
    assert basis in shown.splitlines()
    on_two = call("--recipe", "aog-8b-fast", "--measured", "train.json", "--gpus", "2").out
    assert "padding included, 1 GPU there; speed taken to grow with GPUs" in " ".join(on_two.split())


@pytest.mark.parametrize(("recipe", "kind"), [("aog-8b", "sft"), ("rabbit-ko-3b-fast", "dpo")])
def test_measured_hours_are_those_of_the_benchmark(recipes: Path, call: Call, recipe: str, kind: str) -> None:
    stage = read_stage(recipes / recipe / f"{kind}.yaml")
    reference = [(0.0, 32), (9.0, 32), (10.0, 32), (11.0, 32)] if kind == "dpo" else []
    steps = [(9.0, 1, 1, 1, 32), (2.0, 9_000, 5_000, 1, 32), (3.0, 9_000, 7_000, 1, 32)]
    rows = describe_rows(stage, [100, 300] * 8, count_rows(stage))
    metered = {"steps": steps, "reference": reference, "device": "NVIDIA H100 80GB HBM3", "peak_bytes": 1}
    trained = figures(stage, rows, metered, warmup=1)
    Path("train.json").write_text(json.dumps({"results": [trained]}))
    planned = plans(call, "--recipe", recipe, "--measured", "train.json")[kind == "dpo"]
    speed = trained["speed"]
    seconds = speed["seconds_per_row"] * stage.epochs + speed["reference_seconds_per_row"]
    [hours] = planned["hours_as_measured"].values()
    assert hours == pytest.approx(rows.count * seconds / 3600)
    if stage.epochs == 3:
        assert hours == pytest.approx(trained["figures"]["hours for 3 epochs"])


def test_what_the_benchmark_has_left_is_read_without_being_named(recipes: Path, call: Call) -> None:
    file = Path("runs/bench/train/aog-8b.json")
    file.parent.mkdir(parents=True)
    result = {"stage": "sft", "device": "GPU X", "speed": {"seconds_per_row": 0.0625}}
    file.write_text(json.dumps({"results": [{**result, "recipe": name} for name in ("aog-8b", "aog-8b-fast")]}))
    for name in ("aog-8b", "aog-8b-fast"):
        assert list(plans(call, "--recipe", name)[0]["hours_as_measured"]) == ["GPU X"]
    assert plans(call, "--recipe", "aog-8b-qlora")[0]["hours_as_measured"] == {}


def test_evaluation_has_a_line_of_its_own(recipes: Path, call: Call) -> None:
    result = call("--recipe", "aog-8b-fast", "--gpu-memory", "80")
    assert "evaluation       5.06e+16  7 times 1,056 rows, 2.5% of all operations" in result.out.splitlines()
    assert "  hours: of training; evaluations, at the speed of training, add 2.6%" in result.out.splitlines()
    path = recipes / "aog-8b-fast/sft.yaml"
    text = path.read_text(encoding="utf-8").replace("evals_per_epoch: 2\n", "eval_strategy: no\n")
    path.write_text(text, encoding="utf-8")
    assert "evaluation" not in call("--recipe", "aog-8b-fast", "--gpu-memory", "80").out


def test_rows_and_lengths_can_be_given(recipes: Path, call: Call) -> None:
    [plan] = plans(call, "--recipe", "aog-8b", "--rows", "3200", "--row-tokens", "100", "--gpu", "h100")
    assert (plan["work"]["steps"], plan["work"]["tokens"]) == (300, 960_000)
    assert plan["rows"]["test_count"] == round(3200 * 0.02 / 0.98)
    assert list(plan["hours_at_assumed_mfu"]) == ["mfu", "H100 SXM"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "none"], "RECIPE=none: there is no such recipe; known are "),
        (["--recipe", "aog-8b-fast", "--gpus", "8"], "4 cannot be shared evenly by 8 processes"),
        (["--recipe", "smoke"], "runs/smoke/base: no config.json there"),
        (
            ["--recipe", "aog-8b", "--measured", "no.json"],
            "no.json: No such file or directory; `make bench WHAT=train` measures anew",
        ),
        (
            ["--recipe", "aog-8b-qlora", "--gpus", "4", "--sharding", "zero3"],
            "axolotl_configs/aog-8b-qlora/sft.yaml: load_in_4bit: a base in 4 bits is not estimated over zero3",
        ),
        (["--recipe", "aog-8b-qlora", "--gpus", "4", "--sharding", "fsdp2"], "is not estimated over fsdp2"),
    ],
)
def test_mistakes_are_one_line(recipes: Path, call: Call, arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.code == (2 if "there is no such" in message else 1)
    [line] = result.err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    "changes",
    [
        "lora_target_linear: false",
        "micro_batch_size: [1]",
        "adapter: [lora",
        "datasets: []",
        "rl: best",
        "plugins: []",
    ],
)
def test_a_stage_that_cannot_be_planned_is_one_line(recipes: Path, call: Call, changes: str) -> None:
    path = recipes / "aog-8b/sft.yaml"
    path.write_text(path.read_text(encoding="utf-8") + f"\n{changes}\n", encoding="utf-8")
    result = call("--recipe", "aog-8b")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1


def test_a_source_of_unknown_size_is_one_line(recipes: Path, call: Call) -> None:
    path = recipes / "aog-8b/data.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("beomi/KoAlpaca-v1.1a", "org/other"), encoding="utf-8")
    assert "org/other: its size is not known here; build the data, or say --rows" in call("--recipe", "aog-8b").err


def test_a_base_in_four_bits_is_not_advised_to_be_spread(recipes: Path, call: Call) -> None:
    result = call("--recipe", "aog-8b-qlora", "--gpus", "4", "--gpu-memory", "4")
    assert "does not fit: " in result.out
    assert "fsdp2" not in result.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gpu", "voodoo"],
        ["--gpus", "0"],
        ["--sharding", "zero4"],
        ["--gpu-memory", "nan"],
        ["--gpu-memory", "inf"],
        ["--row-tokens", "nan"],
    ],
)
def test_wrong_usage_exits_with_two(recipes: Path, call: Call, arguments: list[str]) -> None:
    assert call("--recipe", "aog-8b", *arguments).code == 2


def test_what_upstream_s_page_says_of_all_rows_is_not_taken_for_the_size_of_a_split(
    recipes: Path, call: Call
) -> None:
    path = recipes / "aog-8b/data.yaml"
    path.write_text(
        path.read_text(encoding="utf-8") + "  - {source: guanaco_ko, name: more, split: test, "
        "path: nlpai-lab/openassistant-guanaco-ko}\n",
        encoding="utf-8",
    )
    assert "nlpai-lab/openassistant-guanaco-ko: its size is not known here" in call("--recipe", "aog-8b").err
