"""`make bench WHAT=train`: with a small shape on a CPU it is the real trainer; what a GPU would get is looked at."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.manifest import MANIFEST
from rabbit_ko.benchmarks import training_speed
from rabbit_ko.benchmarks.training_speed import changed_config, figures, generate_data, prepare_base, run_logged
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.plan import FAST, read_measurements
from rabbit_ko.planning.stage import load_shape, read_stage
from rabbit_ko.planning.work import count_rows, describe_rows
from rabbit_ko.recipes import CONFIGS
from tests.conftest import ROOT
from tests.rabbit_ko.planning.stages import stage

TRAINED = [CONFIGS / name / file for name in ("aog-8b", "rabbit-ko-3b") for file in ("sft.yaml", "dpo.yaml")]
METERED = {
    "steps": [(9.0, 1, 1, 1, 32), (2.0, 9_000, 5_000, 2_000, 32)],
    "reference": [],
    "device": "X",
    "peak_bytes": 1,
}
METER = "rabbit_ko.benchmarks.training_meter.Meter"


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """A working directory with the recipes, the samples and no data."""
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")
    (in_tmp / "dataset_builders").mkdir()
    (in_tmp / "dataset_builders/samples").symlink_to(ROOT / "dataset_builders/samples")
    return in_tmp


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "kind"), [("aog-8b", "sft"), ("rabbit-ko-3b", "dpo")])
def test_the_real_trainer_is_timed_with_a_small_shape(recipes: Path, recipe: str, kind: str) -> None:
    asked = ["--what=train", f"--recipe={recipe}", f"--stage={kind}", "--steps=2", "--warmup=1"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "rabbit_ko.cli", "bench", *asked]
    result = subprocess.run(command, cwd=recipes, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert f"| `{recipe}{FAST}` {kind} | " in result.stdout
    file = recipes / f"runs/bench/train/{recipe}.json"
    plain, fast = json.loads(file.read_text())["results"]
    for entry in (plain, fast):
        shown = entry["figures"]
        assert 0 < shown["rows/s"] < shown["trained tokens/s"] < shown["tokens/s"] <= shown["with padding"]
        sequences = shown["rows/s"] * (2 if kind == "dpo" else 1)
        assert shown["tokens/s"] / sequences == pytest.approx(entry["rows"]["tokens"], rel=0.5)
        assert (entry["shape"], shown["MFU"], shown["hours for 3 epochs"]) == ("small", None, None)
    if kind == "sft":
        assert fast["figures"]["padding"] < plain["figures"]["padding"]
    else:
        assert not plain["speed"]["reference_seconds_per_row"]
        assert fast["speed"]["reference_seconds_per_row"]
    # A small shape says nothing about the recipe's own.
    assert read_measurements(file, stage(path=CONFIGS / recipe / "x", method=METHODS[kind])) == []


@pytest.mark.parametrize("path", [path for path in TRAINED if (ROOT / path).is_file()], ids=str)
@pytest.mark.parametrize("fast", ["", FAST])
def test_on_a_gpu_a_recipe_is_trained_as_it_is_written(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, path: Path, fast: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    path = CONFIGS / f"{path.parent.name}{fast}" / path.name
    after, said = changed_config(path, Path("base"), "folder", 3, attention="sdpa")
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    of_place = {"base_model", "datasets", "dataset_prepared_path", "output_dir", "max_steps"}
    of_time = {"test_datasets", "evals_per_epoch", "save_steps", "save_strategy"}
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= of_place | of_time | {"plugins", "attn_implementation", "guard_any_parent"}
    assert after["plugins"] == [*before["plugins"], METER]
    assert said.startswith("attn_implementation: sdpa") == (before["attn_implementation"] != "sdpa")


def test_what_a_cpu_cannot_do_is_taken_away_and_said(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config, said = changed_config(CONFIGS / "aog-8b-fast/sft.yaml", Path("base"), "folder", 3, "")
    after = yaml.safe_dump(config)
    assert "liger" not in after
    assert "kernel: true" not in after
    assert {line.split(":")[0] for line in said.split("; ")} == {
        "lora_mlp_kernel",
        "lora_qkv_kernel",
        "lora_o_kernel",
        "bf16",
        "tf32",
        "liger_rms_norm",
        "liger_fused_linear_cross_entropy",
    }
    assert "bf16: False instead of True" in said


@pytest.mark.parametrize(
    ("built", "source"),
    [
        ((), None),
        (("aog-8b",), "data/aog-8b"),
        (("aog-8b-fast",), "data/aog-8b-fast"),
        (("aog-8b", "aog-8b-fast"), "data/aog-8b"),
    ],
)
def test_both_sides_of_a_pair_have_one_source(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, built: tuple[str, ...], source: str | None
) -> None:
    for recipe in built:
        (recipes / "data" / recipe).mkdir(parents=True)
        (recipes / "data" / recipe / MANIFEST).touch()
    taken: list[Path | None] = []

    def took(path: Path, data: Path | None, *_: Any) -> dict[str, Any]:
        taken.append(data)
        return measured(path)

    monkeypatch.setattr(training_speed, "measure_stage", took)
    assert bench_train("--recipe", "aog-8b", "--stage", "sft") == 0
    assert taken == [Path(source) if source else None] * 2


def test_generated_data_has_rows_of_both_kinds(recipes: Path) -> None:
    Path("runs/bench/train").mkdir(parents=True)
    data = generate_data()
    assert count_rows(stage(data=data))[0] > 3_000
    assert count_rows(stage(data=data, method=METHODS["dpo"]))[0] > 3_000


def measured(path: Path, *_: Any) -> dict[str, Any]:
    """A measurement that takes no time."""
    planned = read_stage(path)
    return figures(planned, describe_rows(planned, [], count_rows(stage(path=path))), METERED, 1) | {
        "note": "made up"
    }


def bench_train(*arguments: str) -> Any:
    """Run `rabbit bench` in this process, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--what", "train", "--steps", "1", "--warmup", "1", *arguments])
    return ended.value.code or 0


def test_what_is_finished_stays_where_a_later_one_fails(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recipes / "runs/bench/train/rabbit-ko-3b.json"

    def fails(path: Path, *_: Any) -> dict[str, Any]:
        if path.parent.name.endswith("-fast") and path.stem == "sft":
            assert len(json.loads(file.read_text())["results"]) == 1
            raise UserError("x.log: exit 1: OutOfMemoryError: no room")
        return measured(path)

    monkeypatch.setattr(training_speed, "measure_stage", fails)
    assert bench_train("--recipe", "rabbit-ko-3b") == 1
    assert [(entry["recipe"], entry["stage"]) for entry in json.loads(file.read_text())["results"]] == [
        ("rabbit-ko-3b", "sft"),
        ("rabbit-ko-3b", "dpo"),
        ("rabbit-ko-3b-fast", "dpo"),
    ]
    said = capsys.readouterr()
    assert "| `rabbit-ko-3b-fast` sft | - | - |" in said.out
    reason = "`rabbit-ko-3b-fast` sft: x.log: exit 1: OutOfMemoryError: no room"
    assert said.err.splitlines()[-1] == f"error: 1 of 4 failed: {reason}"


def test_where_all_fail_a_file_from_before_stays(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise UserError("no room")

    file = Path("runs/bench/train/aog-8b.json")
    file.parent.mkdir(parents=True)
    file.write_text("before")
    monkeypatch.setattr(training_speed, "measure_stage", fails)
    assert bench_train("--recipe", "aog-8b", "--stage", "sft") == 1
    assert file.read_text() == "before"


def test_a_process_that_fails_is_named_by_its_last_error(recipes: Path) -> None:
    Path("runs/bench/train").mkdir(parents=True)
    code = "import sys; sys.stderr.write('ValueError: early\\nMemoryError: no room\\nbye\\n'); sys.exit(3)"
    with pytest.raises(UserError, match=r"x\.log: exit 3: MemoryError: no room; read that log$"):
        run_logged("x", ["-c", code])


def test_the_hub_stays_on_for_attention_unless_the_user_has_set_it_off(
    recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def measure(path: Path, *_: Any) -> dict[str, Any]:
        code = "import os, pathlib; pathlib.Path('seen').write_text(os.environ.get('HF_HUB_OFFLINE', 'on'))"
        run_logged("x", ["-c", code])
        seen.append(Path("seen").read_text())
        raise UserError("enough")

    Path("runs/bench/train").mkdir(parents=True)
    monkeypatch.setattr(training_speed, "measure_stage", measure)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert bench_train("--stage", "sft") == 1  # of aog-8b, in the place of smoke
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert bench_train("--stage", "sft") == 1
    assert seen == ["on", "on", "1", "1"]


def test_a_recipe_without_a_fast_variant_is_told_so_in_one_line(
    recipes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_train("--recipe", "aog-8b-qlora") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: axolotl_configs: no sft or dpo both in aog-8b-qlora and in aog-8b-qlora-fast")
    assert len(said.splitlines()) == 1


def test_a_small_base_has_the_small_shape_and_the_special_tokens_of_the_recipe(
    recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    folder = prepare_base(read_stage(Path("axolotl_configs/aog-8b/sft.yaml")))
    assert load_shape(str(folder)).layers == 2
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["pad_token"] == "<|reserved_special_token_0|>"
