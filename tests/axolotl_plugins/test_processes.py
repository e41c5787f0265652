"""One optimizer step takes the same rows on any number of processes."""

import logging
from pathlib import Path
from typing import Any

import datasets
import pytest
from axolotl.integrations.base import PluginManager
from hypothesis import given
from hypothesis import strategies as st

from axolotl_plugins.guard import Guard
from axolotl_plugins.processes import Batch, configured_batch, count_processes, share
from rabbit_ko.errors import UserError
from rabbit_ko.recipes import GUARD
from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.stages import load_on_cpu, load_stage

SIZES = st.integers(1, 64)


@given(micro=SIZES, accumulation=SIZES, processes=SIZES)
def test_a_share_times_the_processes_is_the_batch_or_it_is_refused(
    micro: int, accumulation: int, processes: int
) -> None:
    batch = Batch(micro, accumulation)
    if batch.size % processes:
        with pytest.raises(UserError, match=f"{batch.size} cannot be shared evenly by {processes} processes"):
            share(batch, processes)
        return
    part = share(batch, processes)
    assert part.size * processes == batch.size
    # No batch on a GPU is larger than the one whose memory the recipe was written for.
    assert part.micro_batch_size <= micro


@given(micro=SIZES, accumulation=SIZES)
def test_one_process_takes_the_batch_as_it_is_written(micro: int, accumulation: int) -> None:
    assert share(Batch(micro, accumulation), 1) == Batch(micro, accumulation)


@pytest.mark.parametrize(
    ("processes", "part"), [(2, (4, 4)), (8, (4, 1)), (16, (2, 1)), (32, (1, 1))], ids=lambda value: str(value)
)
def test_the_card_s_32_rows_on_more_gpus(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, processes: int, part: tuple[int, int]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    cfg = load_stage(recipe / "aog-8b" / "sft.yaml")
    assert (cfg.micro_batch_size, cfg.gradient_accumulation_steps) == part


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the guard says."""
    monkeypatch.setattr(logging.getLogger("axolotl"), "propagate", True)
    caplog.set_level(logging.INFO, logger="axolotl.guard")
    return caplog


def test_the_share_is_said_in_the_log(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    load_stage(recipe / "aog-8b-fast" / "sft.yaml")
    assert "4 packed sequences: micro_batch_size 1, gradient_accumulation_steps 1, 4 processes" in log.text


def test_the_rows_of_a_packed_step_are_said_in_the_log(smoke_recipe: Path, log: pytest.LogCaptureFixture) -> None:
    cfg = load_on_cpu("sft", sample_packing=True, micro_batch_size=2)
    loaded = PluginManager.get_instance().plugins[GUARD].load_datasets(cfg, preprocess=True)
    rows = len(loaded.train_dataset) * cfg.num_epochs / loaded.total_num_steps
    assert 4 < rows < 32
    assert f"one step takes {rows:.1f} rows on average" in log.text


def test_a_batch_that_cannot_be_shared_is_one_line(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(SystemExit) as error:
        load_stage(recipe / "aog-8b-fast" / "sft.yaml")
    [line] = str(error.value).splitlines()
    assert "4 cannot be shared evenly by 8 processes; use one of 1, 2, 4 processes" in line
    assert "`guard_keep_batch: false`" in line


def test_a_recipe_can_ask_for_its_batch_in_each_process(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    cfg = load_stage(recipe / "aog-8b-fast" / "sft.yaml", guard_keep_batch=False)
    assert (cfg.micro_batch_size, cfg.gradient_accumulation_steps) == (2, 2)


def test_a_batch_can_be_written_as_batch_size(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    stage = recipe / "smoke" / "sft.yaml"
    cfg = load_stage(stage, gradient_accumulation_steps=None, micro_batch_size=4, batch_size=16)
    assert (cfg.micro_batch_size, cfg.gradient_accumulation_steps) == (4, 2)
    assert configured_batch({"micro_batch_size": 4, "batch_size": 16}) == Batch(4, 4)
    assert configured_batch({}) == Batch(1, 1)


def test_processes_that_share_a_sequence_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert count_processes({}) == 8
    assert count_processes({"context_parallel_size": 2, "tensor_parallel_size": 2}) == 2


def test_ray_s_driver_shares_the_batch_and_its_workers_leave_it_as_it_is(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ray: dict[str, Any] = {"use_ray": True, "ray_num_workers": 8}
    cfg = load_stage(recipe / "aog-8b" / "sft.yaml", **ray)
    assert (cfg.micro_batch_size, cfg.gradient_accumulation_steps) == (4, 1)
    monkeypatch.setenv("WORLD_SIZE", "8")
    before, folder, worker = cfg.to_dict(), Path.cwd(), Guard()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", None)
    monkeypatch.chdir(tmp_path)  # as Ray does
    worker.register(cfg)
    assert cfg.to_dict() == {key: value for key, value in before.items() if key != "guard_driver"}
    assert (Path.cwd(), worker.overrides) == (folder, ray)
    assert worker.given["micro_batch_size"] == 4
    prepared = Path(cfg.dataset_prepared_path)
    assert prepared.parent / "raw" / prepared.name == datasets.config.HF_DATASETS_CACHE
