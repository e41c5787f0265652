"""Several processes of one run on a CPU, by gloo, each forked from one that has axolotl loaded."""

import os
from pathlib import Path
from typing import Any

import yaml
from axolotl.integrations.base import BasePlugin
from axolotl.loaders.model import ModelLoader
from axolotl.utils import trainer

from rabbit_ko.recipes import GUARD
from tests.attempts import FORKS, finish, train, variant
from tests.loopback import free_port


class CpuRanks(BasePlugin):
    """Lets axolotl run in several processes without a GPU: they talk by gloo, and each model is on the CPU."""

    def register(self, cfg: Any) -> None:
        """Make the process group before axolotl would ask for one of GPUs."""
        from accelerate import PartialState

        os.environ.update(ACCELERATE_USE_CPU="true", ACCELERATE_TORCH_DEVICE="cpu")
        PartialState(cpu=True)
        on_cpu()


class CpuRay(CpuRanks):
    """Lets Ray Train, which axolotl asks for GPUs, start the processes on a CPU."""

    def register(self, cfg: Any) -> None:
        """Ask a cluster on this machine for cores in the driver; be one of the processes in a worker."""
        if "WORLD_SIZE" in os.environ:
            super().register(cfg)
            return
        import ray
        from ray import train

        ray.init("local", num_cpus=2, include_dashboard=False)  # not the cluster of another test
        scaling = train.ScalingConfig
        train.ScalingConfig = lambda num_workers, **_: scaling(num_workers=num_workers)


class CpuEngines(BasePlugin):
    """Lets FSDP2 and DeepSpeed, which accelerate keeps for GPUs, shard a model over processes on a CPU."""

    def register(self, cfg: Any) -> None:
        """Give out gloo where GPUs' own backend is asked for, and a mesh of CPUs for one of GPUs."""
        import deepspeed.ops
        from accelerate import PartialState
        from accelerate.parallelism_config import ParallelismConfig
        from accelerate.utils import DistributedType

        os.environ.update(ACCELERATE_TORCH_DEVICE="cpu", DS_ACCELERATOR="cpu")
        PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
        build_mesh = ParallelismConfig.build_device_mesh
        ParallelismConfig.build_device_mesh = lambda config, _: build_mesh(config, "cpu")
        # Otherwise DeepSpeed compiles an operator for CPUs, for half a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        on_cpu()


def on_cpu() -> None:
    """Let axolotl put the models that it loads on the CPU, whatever the rank, and look for no way from GPU to GPU."""
    trainer.check_cuda_p2p_ib_support = lambda: True
    place = ModelLoader._set_device_map_config

    def placed(loader: Any) -> None:
        loader.cfg.device_map = {"": "cpu"}
        place(loader)

    ModelLoader._set_device_map_config = placed


def with_ranks(project: Path, stage: str, output_dir: str, plugin: str = "CpuRanks") -> str:
    """Write a YAML of one's own for a stage, which runs in several processes on a CPU; returns its path."""
    name = variant(project, stage, output_dir)
    config = yaml.safe_load((project / name).read_text(encoding="utf-8"))
    config |= {"plugins": [f"tests.ranks.{plugin}", GUARD], "guard_trust_remote_code": True}
    (project / name).write_text(yaml.safe_dump(config), encoding="utf-8")
    return name


def start_ranks(project: Path, config: str, log: Path, count: int, **overrides: Any) -> list[Any]:
    """Start the processes of a run, as torchrun would; each has a log of its own, with its rank behind the name."""
    group = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = []
    for rank in range(count):
        own = {**group, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)}
        arguments = (project, config, Path(f"{log}.{rank}"), overrides, own)
        processes.append(FORKS.Process(target=train, args=arguments))
        processes[-1].start()
    return processes


def finish_ranks(processes: list[Any]) -> list[int]:
    """Wait for the end of all processes, and return their exit codes."""
    return [finish(process) for process in processes]
