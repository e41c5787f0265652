"""FSDP2 in several processes of one run on a CPU, by gloo."""

import os
from pathlib import Path
from typing import Any

import yaml
from axolotl.integrations.base import BasePlugin
from axolotl.loaders.model import ModelLoader

from rabbit_ko.recipes import GUARD
from tests.attempts import variant

CPU_SHARDS = "tests.shards.CpuShards"


class CpuShards(BasePlugin):
    """Lets axolotl spread a model over processes without a GPU: they talk by gloo, and each part is on the CPU."""

    def register(self, cfg: Any) -> None:
        """Let accelerate take the processes for those of GPUs, for which alone it knows FSDP2."""
        from accelerate import PartialState
        from accelerate.parallelism_config import ParallelismConfig
        from accelerate.utils import DistributedType

        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
        make_mesh, place = ParallelismConfig.build_device_mesh, ModelLoader._set_device_map_config
        ParallelismConfig.build_device_mesh = lambda config, _: make_mesh(config, "cpu")

        def on_cpu(loader: Any) -> None:
            loader.cfg.device_map = {"": "cpu"}
            place(loader)

        ModelLoader._set_device_map_config = on_cpu


def with_shards(project: Path, stage: str, output_dir: str) -> str:
    """Write a YAML of one's own for a stage, which FSDP2 spreads over processes on a CPU; returns its path."""
    name = variant(project, stage, output_dir)
    config = yaml.safe_load((project / name).read_text(encoding="utf-8"))
    config |= {"plugins": [CPU_SHARDS, GUARD], "guard_sharding": "axolotl_configs/fsdp/fsdp2.yaml"}
    (project / name).write_text(yaml.safe_dump(config), encoding="utf-8")
    return name
