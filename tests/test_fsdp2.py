"""FSDP2 on two processes: a checkpoint holds what is trained and nothing of the base, and a run resumes from it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.checkpoint import FileSystemReader

from tests.conftest import VENV, copy_project
from tests.ranks import finish_ranks, start_ranks
from tests.shards import with_shards

pytestmark = pytest.mark.slow

# Steps at which the learning rate is not zero, so that another adapter to resume from would show.
OPTIONS: dict[str, Any] = {"max_steps": 6, "save_steps": 3, "logging_steps": 1, "warmup_steps": 2}


def test_a_run_over_two_processes_resumes_to_the_bytes_of_one_that_was_not_interrupted(
    project: Path, tmp_path: Path
) -> None:
    copy_project(tmp_path)
    (tmp_path / ".venv").symlink_to(VENV)
    for name in ("data", "runs/smoke/base"):
        shutil.copytree(project / name, tmp_path / name, symlinks=True)
    config, log, folder = with_shards(tmp_path, "sft", "runs/spread"), tmp_path / "log", tmp_path / "runs/spread"

    def train() -> bytes:
        codes = finish_ranks(start_ranks(tmp_path, config, log, 2, **OPTIONS))
        assert codes == [0, 0], Path(f"{log}.0").read_text()[-4000:]
        return (folder / "adapter_model.safetensors").read_bytes()

    whole = train()
    saved = FileSystemReader(folder / "checkpoint-3/pytorch_model_fsdp_0").read_metadata().state_dict_metadata
    assert len(saved) == 28
    assert all("lora_" in name for name in saved)

    # As a kill after step 3 leaves it.
    for path in (*folder.glob("adapter_*"), folder / "run.json", folder / "trainer_state.json"):
        path.unlink()
    shutil.rmtree(folder / "checkpoint-6")
    assert train() == whole
    assert "resuming from runs/spread/checkpoint-3\n" in Path(f"{log}.0").read_text()
