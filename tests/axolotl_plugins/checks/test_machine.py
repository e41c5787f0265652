"""What a stage asks of the machine, and is not there, is one line before anything is loaded."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from axolotl_plugins.checks.machine import (
    check_attention,
    check_disk,
    check_gpu,
    check_machine,
    check_wandb,
    driver,
    switch_off_lora_kernels,
    why_no_gpu,
)
from axolotl_plugins.guard import Guard
from rabbit_ko.errors import UserError
from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.axolotl_plugins.test_guard import rewrite
from tests.stages import load_stage

KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi of the driver 550 on the PATH, and nothing else."""
    file = tmp_path / "bin/nvidia-smi"
    file.parent.mkdir()
    file.write_text("#!/bin/sh\necho 550.54.15\necho 550.54.15\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(file.parent))
    return file


def see_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    """Let torch see a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")


def test_the_driver_is_the_one_that_nvidia_smi_names(nvidia_smi: Path) -> None:
    assert driver() == "550.54.15"
    nvidia_smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate'\nexit 9\n")
    assert driver() is None
    nvidia_smi.unlink()
    assert driver() is None


@pytest.mark.parametrize(
    ("found", "built_for", "said"),
    [
        (None, "13.0", "there is no NVIDIA driver here"),
        ("580.65.06", None, "is a build for the CPU, beside the driver 580.65.06; install one for CUDA"),
        ("550.54.15", "13.0", "needs the driver 580 or newer, and 550.54.15 is here; update it, or install a build"),
        ("550.54.15", "12.8", "needs the driver 570 or newer"),
        ("550.54.15", "12.6", "needs the driver 560 or newer, and 550.54.15 is here; update it"),
        ("470.82", "13.0", "and 470.82 is here; update it"),
        ("580.65.06", "13.0", "torch sees none, though the driver 580.65.06 is new enough for CUDA 13.0"),
    ],
)
def test_why_torch_sees_no_gpu(
    monkeypatch: pytest.MonkeyPatch, found: str | None, built_for: str | None, said: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    why = why_no_gpu(found, built_for)
    assert said in why
    assert ("https://download.pytorch.org/whl/cu126" in why) == (said.endswith(("a build", "newer", "for CUDA")))


def test_gpus_that_are_hidden_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert why_no_gpu("580.65.06", "13.0").startswith("CUDA_VISIBLE_DEVICES=-1 leaves none")


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ({"bf16": True}, "bf16: true needs a GPU, and there is no NVIDIA driver"),
        ({"bf16": "full"}, "bf16: full needs a GPU"),
        ({"tf32": True}, "tf32: true needs a GPU"),
        ({"lora_mlp_kernel": True}, "lora_mlp_kernel: true needs a GPU"),
        ({"liger_rms_norm": True}, "liger_rms_norm: true needs a GPU"),
        ({"attn_implementation": "flash_attention_2"}, "attn_implementation: flash_attention_2 needs a GPU"),
    ],
)
def test_what_only_a_gpu_can_do_is_refused_without_one(
    monkeypatch: pytest.MonkeyPatch, option: dict[str, Any], asked: str
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError) as error:
        check_gpu(option)
    assert str(error.value).startswith(asked)
    assert len(str(error.value).splitlines()) == 1


def test_a_gpu_without_bf16_is_refused_and_one_with_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    see_gpu(monkeypatch, (7, 5))
    with pytest.raises(UserError, match="bf16: Tesla T4 does not compute in it"):
        check_gpu({"bf16": True})
    see_gpu(monkeypatch, (8, 0))
    check_gpu({"bf16": True, "liger_rms_norm": True, "attn_implementation": "flash_attention_2"})


@pytest.mark.usefixtures("guard_on_duty")
def test_a_run_is_refused_before_axolotl_looks_for_its_base_and_preparing_is_not(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe / "aog-8b" / "sft.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"axolotl_config_path": str(path)}
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"aog-8b/sft\.yaml: bf16: true needs a GPU, and there is no NVIDIA driver"):
        Guard().register(config)
    for task in ("is_preprocess", "merge_lora"):
        Guard().register({**config, task: True})


@pytest.mark.usefixtures("no_login")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"bf16": True}, "bf16: true needs a GPU"),
        ({"deepspeed": "zero2.json"}, "deepspeed: zero2.json: DeepSpeed is not"),
        ({"use_wandb": True}, "use_wandb: there is no key"),
        ({}, "output_dir: "),
    ],
)
def test_all_that_the_machine_may_lack_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("axolotl_plugins.checks.machine.find_spec", {"torch": "is there"}.get)
    monkeypatch.setattr("axolotl_plugins.checks.machine.free_bytes", lambda _: -1)
    with pytest.raises(UserError, match=f"^{said}"):
        check_machine({"output_dir": str(tmp_path), "base_model": "org/base", **config})


def test_an_attention_that_is_not_installed_is_among_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see_gpu(monkeypatch, (9, 0))
    monkeypatch.setattr("axolotl_plugins.checks.machine.INSTALLED", {"flash_attention_3": lambda: False})
    with pytest.raises(UserError, match=r"^attn_implementation: flash_attention_3 is not installed"):
        check_machine({"output_dir": str(tmp_path), "base_model": "x", "attn_implementation": "flash_attention_3"})


def test_lora_kernels_that_axolotl_would_switch_on_are_left_out_without_a_gpu(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewrite(recipe / "smoke" / "sft.yaml", **dict.fromkeys(KERNELS))
    cfg = load_stage(path)
    assert [cfg[key] for key in KERNELS] == [False] * 4
    see_gpu(monkeypatch, (8, 0))
    assert load_stage(path).lora_qkv_kernel is True


def test_kernels_that_are_set_stay_and_are_said_nothing_of() -> None:
    said: list[str] = []
    for config in ({"adapter": "lora", "lora_o_kernel": True}, {"adapter": "lora", "rl": "dpo"}, {}):
        before = dict(config)
        switch_off_lora_kernels(config, said.append)
        assert config == before
    assert said == []
    switch_off_lora_kernels({"adapter": "qlora"}, said.append)
    assert len(said) == 1


@pytest.mark.parametrize("name", ["flash_attention_3", "flash_attention_4", "sage"])
def test_an_attention_that_is_not_installed_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"^attn_implementation: {name} is not installed; write `auto`, .* sdpa here"):
        check_attention(name)


@pytest.mark.parametrize("name", ["sdpa", "eager", "flex_attention", "org/kernel", None])
def test_an_attention_that_is_there_is_let_through(name: str | None) -> None:
    check_attention(name)


@pytest.fixture
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a key for W&B."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("asked", [{"use_wandb": True}, {"wandb_project": "rabbit"}])
def test_weights_and_biases_without_a_key_is_refused(no_login: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^use_wandb: there is no key for api\.wandb\.ai; run `wandb login`"):
        check_wandb(asked)
    check_wandb({**asked, "wandb_mode": "offline"})
    check_wandb({})


def test_a_key_for_weights_and_biases_is_found_where_it_is_kept(
    no_login: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = no_login / ".netrc"
    file.write_text("machine api.wandb.ai login user password " + "0" * 40 + "\n")
    file.chmod(0o600)
    check_wandb({"use_wandb": True})
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    with pytest.raises(UserError, match=r"no key for wandb\.example\.org"):
        check_wandb({"use_wandb": True})
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    check_wandb({"use_wandb": True})


def test_a_disk_that_holds_no_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(16 << 30)  # of no weight on the disk
    config = {"base_model": str(tmp_path), "output_dir": str(tmp_path / "runs/mine/sft"), "save_total_limit": 2}
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(UserError, match=r"runs/mine/sft has 1\.0 GiB free, .* at least 32\.0 GiB, of which 2"):
        check_disk(config)
    check_disk({**config, "adapter": "lora"})
    check_disk({**config, "base_model": "org/on-the-hub"})


def test_the_smoke_recipe_asks_for_nothing_that_a_laptop_lacks(recipe: Path) -> None:
    for stage in ("sft", "dpo"):
        check_machine(load_stage(recipe / "smoke" / f"{stage}.yaml"))
