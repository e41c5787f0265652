"""Runs of several processes, on a CPU, against one: losses, adapters, evaluation, a rank that is killed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch.distributed.checkpoint import FileSystemReader

from axolotl_plugins.resume.checkpoints import STATE_FILE
from axolotl_plugins.resume.identity import made_of
from rabbit_ko.recipes import RUN_FILE
from rabbit_ko.run_record import CHECKSUMS
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


@pytest.fixture(scope="module")
def one(started: Path) -> Path:
    """A run of one process, which those of several are compared with."""
    return alone(started, "one", **SHORT)


def is_the_same(run: Path, one: Path, bound: float = 1e-5) -> bool:
    """Tell whether a run has the losses, in training and evaluation, and the adapter of another."""
    keys = ("loss", "eval_loss")
    assert len(losses(one)) == len(losses(one, "eval_loss")) == 2
    return all(losses(run, key) == pytest.approx(losses(one, key), abs=bound) for key in keys) and is_close(run, one)


def test_losses_are_means_over_tokens_however_a_step_and_an_evaluation_are_cut(started: Path, one: Path) -> None:
    cut = {"micro_batch_size": 4, "gradient_accumulation_steps": 2, "eval_batch_size": 1}
    assert is_the_same(alone(started, "parts", **{**SHORT, **cut}), one)
    assert is_the_same(together(started, "ranks", micro_batch_size=8, eval_batch_size=4, **SHORT), one)


RAY = {"use_ray": True, "ray_num_workers": 2}


def test_ray_train_is_the_same_in_two_processes(started: Path, one: Path) -> None:
    run, log = started / "runs/ray", started / "ray.log"
    driver = attempt(started, with_ranks(started, "sft", "runs/ray", "CpuRay"), log, **SHORT, **RAY)
    assert finish(driver) == 0, log.read_text()[-4000:]
    assert is_the_same(run, one)
    assert "one step takes 8 rows: micro_batch_size 4" in log.read_text()
    ours, theirs = [made_of(json.loads((folder / RUN_FILE).read_text())["made_of"]) for folder in (run, one)]
    assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} == {"config.plugins"}


PACKED: dict[str, Any] = {
    **{"sample_packing": True, "micro_batch_size": 1, "gradient_accumulation_steps": 2},
    **{"eval_sample_packing": False, "max_steps": 6, "logging_steps": 3, "save_steps": 1000},
}


def test_packed_sft_is_the_same_in_two_processes(started: Path) -> None:
    one, two = alone(started, "packed-one", **PACKED), together(started, "packed-two", **PACKED)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert is_close(two, one)
    assert losses(two, "eval_loss") == pytest.approx(losses(one, "eval_loss"), abs=1e-5)


def test_dpo_is_the_same_in_two_processes_also_where_it_prepares_the_rows(started: Path) -> None:
    short: dict[str, Any] = {"max_steps": 4, "logging_steps": 2, "save_steps": 1000}
    one = alone(started, "dpo-one", "dpo", **short)
    for precompute in (False, True):
        # A folder of its own, so that the rows are prepared by one of the processes while the other waits.
        prepared, name = f"runs/dpo-prepared-{precompute}", f"dpo-two-{precompute}"
        options = {"dataset_prepared_path": prepared, "precompute_ref_log_probs": precompute, **short}
        two = together(started, name, "dpo", **options)
        assert losses(two) == pytest.approx(losses(one), abs=1e-5)
        assert is_close(two, one)


def test_a_run_whose_rank_is_killed_resumes_to_the_same_bytes(started: Path) -> None:
    options: dict[str, Any] = {"max_steps": 13, "logging_steps": 4, "save_steps": 7, "lora_dropout": 0.1}
    whole = together(started, "ranks-whole", **options)
    killed, log = "runs/ranks-killed", started / "ranks-killed.log"
    config = with_ranks(started, "sft", killed)
    processes = start_ranks(started, config, log, 2, **options)
    kill_after(processes[1], (started / killed / "checkpoint-7" / CHECKSUMS).exists)
    processes[0].kill()
    assert finish_ranks(start_ranks(started, config, log, 2, **options)) == [0, 0]
    assert f"resuming from {killed}/checkpoint-7" in Path(f"{log}.0").read_text()
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
    started: Path, one: Path, name: str, options: dict[str, Any]
) -> None:
    assert is_the_same(together(started, name, plugin="CpuEngines", **SHORT, **options), one, bound=1e-4)


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
