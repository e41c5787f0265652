"""What a stage asks of the machine, and would end in a traceback for, minutes or hours after its start."""

import netrc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from axolotl.utils.schemas.enums import ATTN_IMPLS_USING_FLASH_LIB

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.checks.speed import AUTO, INSTALLED, best_attention
from rabbit_ko.errors import UserError

# What only a GPU computes.
GPU_ONLY = ("bf16", "bfloat16", "fp16", "float16", "fp8", "tf32", *LORA_KERNELS)
# The first release of the driver that each release of CUDA takes, by NVIDIA's release notes of its toolkit.
DRIVERS = {"13": 580, "12.9": 575, "12.8": 570, "12.6": 560, "12": 525, "11": 450}
OLDER_BUILDS = "https://download.pytorch.org/whl/cu126"
PACKAGES = {"xformers": "xformers", "sage": "sageattention"}
WANDB = "https://api.wandb.ai"
# An adapter of a low rank with the state of its optimizer, against its base; and all weights with theirs.
ADAPTER_SHARE, WEIGHTS_SHARE = 0.01, 2.0


def check_machine(cfg: Any) -> None:
    """Raise UserError, in one line, for the first thing that a stage's config asks and this machine lacks."""
    check_gpu(cfg)
    check_deepspeed(cfg)
    check_attention(cfg.get("attn_implementation"))
    check_wandb(cfg)
    check_disk(cfg)


def check_gpu(cfg: Any) -> None:
    """Raise UserError where an option needs a GPU and torch sees none, or one that has no bf16."""
    asked = next(_gpu_options(cfg), None)
    if asked and not torch.cuda.is_available():
        raise UserError(f"{asked} needs a GPU, and {why_no_gpu(driver())}")
    if asked == "bf16: true" and torch.cuda.get_device_capability()[0] < 8:
        raise UserError(
            f"bf16: {torch.cuda.get_device_name()} does not compute in it, GPUs from Ampere on do; write "
            "`bf16: false` and `fp16: true`"
        )


def _gpu_options(cfg: Any) -> Iterator[str]:
    yield from (f"{key}: {str(cfg[key]).lower()}" for key in GPU_ONLY if cfg.get(key) in (True, "full"))
    yield from (f"{key}: true" for key, value in cfg.items() if key.startswith("liger_") and value is True)
    attention = cfg.get("attn_implementation")
    if attention in INSTALLED or attention in ATTN_IMPLS_USING_FLASH_LIB or attention in PACKAGES:
        yield f"attn_implementation: {attention}"


def driver() -> str | None:
    """Return the release of the NVIDIA driver, as nvidia-smi says it; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0] if said and said[0][0].isdigit() else None


def why_no_gpu(found: str | None, built_for: str | None = torch.version.cuda) -> str:
    """Return why torch sees no GPU, and what to do. found: the driver's release. built_for: CUDA's, torch's build."""
    release = torch.__version__.partition("+")[0]
    if found is None:
        return "there is no NVIDIA driver here (nvidia-smi finds none); run it on a machine with a GPU"
    if built_for is None:
        return (
            f"torch {torch.__version__} is a build for the CPU, beside the driver {found}; install one for CUDA: "
            f"`pip install --force-reinstall torch=={release}`, with a driver older than 580 from {OLDER_BUILDS}"
        )
    needed, here = needed_driver(built_for), int(found.partition(".")[0])
    if here < needed:
        older = f", or install a build for an older CUDA: `pip install torch --index-url {OLDER_BUILDS}`"
        return (
            f"torch {release} is built for CUDA {built_for}, which needs the driver {needed} or newer, and {found} "
            f"is here; update it{'' if here < DRIVERS['12'] or built_for.startswith('12.6') else older}"
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    where = "torch sees none" if hidden is None else f"CUDA_VISIBLE_DEVICES={hidden} leaves none"
    return f"{where}, though the driver {found} is new enough for CUDA {built_for}; see what `nvidia-smi` says"


def needed_driver(cuda: str) -> int:
    """Return the first release of the driver that takes a release of CUDA; 0 where that is not known here."""
    return DRIVERS.get(cuda, DRIVERS.get(cuda.partition(".")[0], 0))


def switch_off_lora_kernels(cfg: MutableMapping[str, Any], say: Callable[[str], None]) -> None:
    """Switch off the LoRA kernels where there is no GPU: left unset, axolotl switches them on, and they need one."""
    would = cfg.get("adapter") in ("lora", "qlora") and not cfg.get("rl")
    if would and not torch.cuda.is_available() and all(cfg.get(key) is None for key in LORA_KERNELS):
        cfg.update(dict.fromkeys(LORA_KERNELS, False))
        say("lora_*_kernel: false, since axolotl's LoRA kernels need a GPU and there is none; only the speed differs")


def check_deepspeed(cfg: Any) -> None:
    """Raise UserError where a run is to be spread by DeepSpeed and that is not installed."""
    if cfg.get("deepspeed") and find_spec("deepspeed") is None:
        raise UserError(
            f"deepspeed: {cfg['deepspeed']}: DeepSpeed is not installed; run `make setup EXTRAS=train,gpu`, or use "
            "SHARDING=fsdp2"
        )


def check_attention(name: str | None) -> None:
    """Raise UserError where an attention is named that is not installed."""
    is_there = INSTALLED.get(str(name), lambda: find_spec(PACKAGES.get(str(name), "torch")) is not None)
    if not is_there():
        raise UserError(
            f"attn_implementation: {name} is not installed; write `{AUTO}`, which takes the fastest that is, "
            f"{best_attention()} here"
        )


def check_wandb(cfg: Any) -> None:
    """Raise UserError where a run is to be logged at Weights & Biases and there is no key for it."""
    mode = cfg.get("wandb_mode") or os.environ.get("WANDB_MODE")
    is_off = mode in ("offline", "disabled", "dryrun") or os.environ.get("WANDB_DISABLED", "").lower() == "true"
    if is_off or not (cfg.get("use_wandb") or cfg.get("wandb_project")):
        return
    host = str(urlsplit(os.environ.get("WANDB_BASE_URL", WANDB)).hostname)
    keys = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    if not any(map(os.environ.get, keys)) and not _has_login(host):
        raise UserError(
            f"use_wandb: there is no key for {host}; run `wandb login`, set WANDB_API_KEY, or write "
            "`wandb_mode: offline`"
        )


def _has_login(host: str) -> bool:
    named = os.environ.get("NETRC")
    files = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in files:
        try:
            if netrc.netrc(file).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def check_disk(cfg: Any) -> None:
    """Raise UserError where not even one checkpoint fits; of a base that is not on this machine nothing is known."""
    folder = Path(cfg.get("output_dir"))
    needed, free = checkpoint_bytes(cfg), free_bytes(folder)
    if needed > free:
        raise UserError(
            f"output_dir: {folder} has {free / 2**30:.1f} GiB free, and a checkpoint takes at least "
            f"{needed / 2**30:.1f} GiB, of which {cfg.get('save_total_limit') or 'all'} are kept; free some, or move "
            "the project to a larger disk"
        )


def checkpoint_bytes(cfg: Any) -> int:
    """Return how many bytes a checkpoint has at least, by the size of a local base; 0 of another one."""
    base = sum(file.stat().st_size for file in Path(cfg.get("base_model")).glob("*.safetensors"))
    return int(base * (ADAPTER_SHARE if cfg.get("adapter") else WEIGHTS_SHARE))


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or is going to be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
