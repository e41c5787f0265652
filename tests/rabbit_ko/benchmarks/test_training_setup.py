"""`make bench WHAT=train`: with a small shape on a CPU it is the real trainer; what a GPU would get is looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transformers import PreTrainedTokenizerBase

from rabbit_ko.benchmarks.training_setup import (
    METER,
    generate_rows,
    make_tokenizer,
    take_rows,
    write_config,
    write_rows,
)
from rabbit_ko.methods import METHODS, RowKind
from rabbit_ko.planning.speed import FAST, read_measurements
from rabbit_ko.planning.work import row_lengths
from rabbit_ko.recipes import CONFIGS
from tests.conftest import ROOT
from tests.rabbit_ko.planning.stages import stage

TRAINED = [CONFIGS / name / file for name in ("aog-8b", "rabbit-ko-3b") for file in ("sft.yaml", "dpo.yaml")]


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "kind"), [("aog-8b", "sft"), ("rabbit-ko-3b", "dpo")])
def test_the_real_trainer_is_timed_with_a_small_shape(tmp_path: Path, recipe: str, kind: str) -> None:
    command = [
        sys.executable,
        "-m",
        "rabbit_ko.cli",
        "bench",
        "--what=train",
        f"--recipe={recipe}",
        "--stage",
        kind,
        "--steps",
        "2",
        "--warmup",
        "1",
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(
        [*command, "--out", tmp_path], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert f"| `{recipe}{FAST}` {kind} | " in result.stdout
    plain, fast = json.loads((tmp_path / f"{recipe}.json").read_text())["results"]
    for entry in (plain, fast):
        check_counts(entry, kind)
    if kind == "sft":
        assert fast["speed"]["padding"] < plain["speed"]["padding"]
    else:
        assert not plain["steps"]["reference_rows"]
        # Of three steps of 16 pairs, each is read once.
        assert sum(fast["steps"]["reference_rows"]) == 48
    # A small shape says nothing about the recipe's own.
    assert (
        read_measurements(tmp_path / f"{recipe}.json", stage(path=CONFIGS / recipe / "x", method=METHODS[kind])) == []
    )


def check_counts(entry: dict[str, Any], kind: str) -> None:
    """Hold what the meter has counted against what a step of the recipe takes."""
    steps = entry["steps"]
    assert len(steps["seconds"]) == len(steps["positions"]) == 3
    counts = (steps[name] for name in ("rows", "trained", "tokens", "positions"))
    for rows, trained, tokens, positions in zip(*counts, strict=True):
        assert 0 < rows < trained < tokens <= positions
        assert rows == 16 if kind == "dpo" else 20 < rows < 60
        assert tokens / rows / (2 if kind == "dpo" else 1) == pytest.approx(entry["rows"]["tokens"], rel=0.5)
    assert (entry["shape"], entry["mfu"], entry["hours_3_epochs"]) == ("small", None, None)


def changes(folder: Path) -> dict[str, Any]:
    """What a run changes in a stage, all of it below one folder."""
    paths = dict.fromkeys(("base_model", "path", "dataset_prepared_path", "output_dir"), str(folder))
    return {**paths, "max_steps": 3, "sequence_len": 1024}


@pytest.mark.parametrize("path", [path for path in TRAINED if path.is_file()], ids=str)
@pytest.mark.parametrize("fast", ["", FAST])
def test_on_a_gpu_a_recipe_is_trained_as_it_is_written(tmp_path: Path, path: Path, fast: str) -> None:
    path = CONFIGS / f"{path.parent.name}{fast}" / path.name
    said = write_config(path, changes(tmp_path), cuda=True, attention="sdpa")
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    after = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    of_place = {"base_model", "datasets", "dataset_prepared_path", "output_dir", "max_steps", "sequence_len"}
    of_time = {"test_datasets", "evals_per_epoch", "save_steps", "save_total_limit", "save_strategy"}
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= of_place | of_time | {"plugins", "attn_implementation", "guard_any_parent"}
    assert after["plugins"] == [*before["plugins"], METER]
    assert bool(said) == (before["attn_implementation"] != "sdpa")


def test_what_a_cpu_cannot_do_is_taken_away_and_said(tmp_path: Path) -> None:
    said = write_config(CONFIGS / "aog-8b-fast/sft.yaml", changes(tmp_path), cuda=False)
    after = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert "liger" not in after
    assert "kernel: true" not in after
    assert {line.split(":")[0] for line in said} == {
        "lora_mlp_kernel",
        "lora_qkv_kernel",
        "lora_o_kernel",
        "bf16",
        "tf32",
        "liger_rms_norm",
        "liger_fused_linear_cross_entropy",
    }
    assert "bf16: False instead of True" in said


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_generated_rows_have_the_lengths_that_are_asked_for(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase, kind: RowKind
) -> None:
    rows = generate_rows(kind, smoke_tokenizer, 2_000, 200.0, 960)
    assert rows == generate_rows(kind, smoke_tokenizer, 2_000, 200.0, 960)
    write_rows(tmp_path, kind, rows)
    method, prompt = METHODS[kind], f"prompt_strategies.qir{'_dpo' if kind == 'dpo' else ''}"
    lengths = row_lengths(stage(method=method, data=tmp_path, prompt=prompt), smoke_tokenizer)
    assert len(lengths) == (4_000 if kind == "dpo" else 2_000)
    # With the template, which is not among what is asked for.
    assert 205 < np.mean(lengths) < 235
    assert max(lengths) < 1_024
    assert np.std(np.log(lengths)) == pytest.approx(0.6, abs=0.15)


def test_rows_of_a_recipe_are_spread_evenly_over_its_shards(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    write_rows(tmp_path, "dpo", generate_rows("dpo", smoke_tokenizer, 10, 100.0, 960))
    taken = take_rows(tmp_path, "dpo", 5)
    assert taken["id"].to_pylist() == [f"benchmark/{n}" for n in (0, 2, 4, 6, 8)]
    assert take_rows(tmp_path, "dpo", 50).num_rows == 10


def test_the_tokenizer_knows_the_special_tokens_of_the_recipe() -> None:
    asked = yaml.safe_load((CONFIGS / "aog-8b/sft.yaml").read_text(encoding="utf-8"))
    tokenizer = make_tokenizer(asked, small=True)
    assert tokenizer.pad_token == "<|reserved_special_token_0|>"
    assert tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.unk_token_id, None)
