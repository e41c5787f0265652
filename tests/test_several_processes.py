"""Runs of several processes, on a CPU, against one: losses, adapters, evaluation, a rank that is killed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch.distributed.checkpoint import FileSystemReader

from axolotl_plugins.resume.checkpoints import CHECKSUMS, STATE_FILE
from tests.attempts import attempt, finish, kill_after, variant
from tests.ranks import finish_ranks, start_ranks, with_ranks

pytestmark = pytest.mark.slow

FSDP2 = "axolotl_configs/fsdp/fsdp2.yaml"
SHORT: dict[str, Any] = {"max_steps": 10, "logging_steps": 5, "save_steps": 1000}


def history(run: Path) -> list[dict[str, float]]:
    """What a run has logged."""
    return list(json.loads((run / STATE_FILE).read_text())["log_history"])


def losses(run: Path, key: str = "loss") -> list[float]:
    """The losses that a run has logged."""
    return [log[key] for log in history(run) if key in log]


def adapter(run: Path) -> bytes:
    """The weights of a run's adapter."""
    return (run / "adapter_model.safetensors").read_bytes()


def is_close(run: Path, other: Path) -> bool:
    """Tell whether the adapters of two runs have the same weights, as far as sums in another order allow."""
    weights, others = load(adapter(run)), load(adapter(other))
    return weights.keys() == others.keys() and all(
        torch.allclose(weight, others[name], atol=1e-4) for name, weight in weights.items()
    )


def alone(project: Path, name: str, stage: str = "sft", **overrides: Any) -> Path:
    """Train in one process; returns the run's folder."""
    log, output = project / f"{name}.log", f"runs/{name}"
    assert finish(attempt(project, variant(project, stage, output), log, **overrides)) == 0, log.read_text()[-4000:]
    return project / output


def together(project: Path, name: str, stage: str = "sft", plugin: str = "CpuRanks", **overrides: Any) -> Path:
    """Train in two processes; returns the run's folder."""
    log, output = project / f"{name}.log", f"runs/{name}"
    codes = finish_ranks(start_ranks(project, with_ranks(project, stage, output, plugin), log, 2, **overrides))
    assert codes == [0, 0], "".join(Path(f"{log}.{rank}").read_text()[-4000:] for rank in range(2))
    return project / output


def test_a_steps_loss_is_the_mean_over_its_tokens_however_they_are_cut(started: Path) -> None:
    whole = alone(started, "whole", **SHORT)
    parts = alone(started, "parts", micro_batch_size=4, gradient_accumulation_steps=2, **SHORT)
    ranks = together(started, "ranks", micro_batch_size=8, **SHORT)
    assert len(losses(whole)) == 2
    for run in (parts, ranks):
        assert losses(run) == pytest.approx(losses(whole), abs=1e-5)
        assert is_close(run, whole)


def test_an_evaluation_is_the_mean_over_its_tokens_however_they_are_cut(started: Path) -> None:
    short = {**SHORT, "max_steps": 1}
    runs = [
        alone(started, "rows", eval_batch_size=8, **short),
        alone(started, "row", eval_batch_size=1, **short),
        together(started, "halves", eval_batch_size=4, **short),
    ]
    first, *others = [losses(run, "eval_loss")[0] for run in runs]
    assert others == pytest.approx([first, first], abs=1e-5)


PACKED: dict[str, Any] = {
    **{"sample_packing": True, "micro_batch_size": 1, "gradient_accumulation_steps": 2},
    **{"eval_sample_packing": False, "max_steps": 6, "logging_steps": 3, "save_steps": 1000},
}


def test_packed_sft_is_the_same_in_two_processes(started: Path) -> None:
    one, two = alone(started, "packed-one", **PACKED), together(started, "packed-two", **PACKED)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert is_close(two, one)
    assert losses(two, "eval_loss") == pytest.approx(losses(one, "eval_loss"), abs=1e-5)


@pytest.mark.parametrize("precompute", [False, True])
def test_dpo_is_the_same_in_two_processes_also_where_it_prepares_the_rows(started: Path, precompute: bool) -> None:
    options: dict[str, Any] = {
        "max_steps": 4,
        "logging_steps": 2,
        "save_steps": 1000,
        "precompute_ref_log_probs": precompute,
    }
    # A folder of its own, so that the rows are prepared by one of the processes while the other waits.
    prepared = f"runs/dpo-prepared-{precompute}"
    two = together(started, f"dpo-two-{precompute}", "dpo", dataset_prepared_path=prepared, **options)
    one = alone(started, f"dpo-one-{precompute}", "dpo", **options)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert is_close(two, one)


def test_a_run_whose_rank_is_killed_resumes_to_the_same_bytes(started: Path) -> None:
    options: dict[str, Any] = {"max_steps": 8, "logging_steps": 4, "save_steps": 3, "lora_dropout": 0.1}
    whole = together(started, "ranks-whole", **options)
    killed, log = "runs/ranks-killed", started / "ranks-killed.log"
    config = with_ranks(started, "sft", killed)
    processes = start_ranks(started, config, log, 2, **options)
    kill_after(processes[1], (started / killed / "checkpoint-3" / CHECKSUMS).exists)
    processes[0].kill()
    assert finish_ranks(start_ranks(started, config, log, 2, **options)) == [0, 0]
    assert f"resuming from {killed}/checkpoint-3" in Path(f"{log}.0").read_text()
    assert adapter(started / killed) == adapter(whole)


def test_a_refusal_is_one_line_of_the_first_process(started: Path) -> None:
    log, config = started / "refused.log", with_ranks(started, "sft", "runs/refused")
    codes = finish_ranks(start_ranks(started, config, log, 2, num_epoch=1))
    assert 0 not in codes
    said = [Path(f"{log}.{rank}").read_text().count("num_epoch: unknown key") for rank in range(2)]
    assert said == [1, 0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fsdp2", {"guard_sharding": FSDP2}),
        ("zero2", {"deepspeed": "axolotl_configs/deepspeed/zero2.json"}),
        ("zero3", {"deepspeed": "axolotl_configs/deepspeed/zero3.json"}),
    ],
)
def test_a_model_that_is_spread_over_processes_has_the_same_losses(
    started: Path, name: str, options: dict[str, Any]
) -> None:
    short: dict[str, Any] = {"max_steps": 4, "logging_steps": 2, "save_steps": 1000}
    one, two = alone(started, "unspread", **short), together(started, name, plugin="CpuEngines", **short, **options)
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    assert is_close(two, one)
    assert losses(two, "eval_loss") == pytest.approx(losses(one, "eval_loss"), abs=1e-4)


def test_a_checkpoint_of_fsdp2_holds_all_that_is_trained_and_a_run_resumes_from_it(started: Path) -> None:
    # Steps at which the learning rate is not zero, so that another adapter to resume from would show.
    options: dict[str, Any] = {"max_steps": 6, "save_steps": 3, "logging_steps": 1, "warmup_steps": 2}
    options["guard_sharding"] = FSDP2
    run = together(started, "spread", plugin="CpuEngines", **options)
    whole = adapter(run)
    saved = FileSystemReader(run / "checkpoint-3/pytorch_model_fsdp_0").read_metadata().state_dict_metadata
    assert len(saved) == 28
    assert all("lora_" in name for name in saved)

    # As a kill after step 3 leaves it.
    for path in (*run.glob("adapter_*"), run / "run.json", run / STATE_FILE):
        path.unlink()
    shutil.rmtree(run / "checkpoint-6")
    assert adapter(together(started, "spread", plugin="CpuEngines", **options)) == whole
    assert "resuming from runs/spread/checkpoint-3\n" in (started / "spread.log.0").read_text()
