"""The files that spread a run over GPUs: read by DeepSpeed itself, and by axolotl beside every stage."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from axolotl.utils.schemas.config import AxolotlInputConfig
from axolotl.utils.schemas.fsdp import FSDPConfig

from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.conftest import ROOT
from tests.stages import load_stage

DEEPSPEED = sorted(ROOT.glob("axolotl_configs/deepspeed/*.json"))
FSDP2 = ROOT / "axolotl_configs/fsdp/fsdp2.yaml"
STAGES = [(name, stage) for name in ("aog-8b", "aog-8b-fast", "rabbit-ko-3b") for stage in ("sft", "dpo")]
STAGES = [(name, stage) for name, stage in STAGES if (ROOT / f"axolotl_configs/{name}/{stage}.yaml").exists()]
TWO_GPUS = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 2, "compute_capability": "sm_80"}
ARGUMENTS: dict[str, Any] = {
    "world_size": 1,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "max_grad_norm": 1.0,
    "learning_rate": 2e-4,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "save_on_each_node": False,
    "fp16": False,
    "fp16_full_eval": False,
    "bf16": True,
    "bf16_full_eval": False,
    "get_warmup_steps": lambda steps: 50,
}


@pytest.mark.parametrize("path", DEEPSPEED, ids=lambda path: path.stem)
def test_deepspeed_reads_its_files_as_the_trainer_fills_them_in(path: Path) -> None:
    pytest.importorskip("deepspeed", reason="deepspeed is not installed: `make setup EXTRAS=train,gpu,dev` does it")
    from deepspeed.runtime.config import DeepSpeedConfig
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    filled = HfTrainerDeepSpeedConfig(str(path))
    arguments = SimpleNamespace(**ARGUMENTS)
    filled.trainer_config_process(arguments)
    filled.trainer_config_finalize(arguments, SimpleNamespace(config=SimpleNamespace(hidden_size=4096)), 100)
    read = DeepSpeedConfig(filled.config)
    assert f"zero{int(read.zero_optimization_stage)}" == path.stem
    assert (read.train_batch_size, read.train_micro_batch_size_per_gpu, read.gradient_accumulation_steps) == (
        32,
        4,
        8,
    )
    assert read.bfloat16_config.enabled
    assert not read.float16_config.enabled
    # DeepSpeed's schema keeps what it does not know, so a slip of the pen would be no error.
    known = type(read.zero_config).model_fields
    names = known.keys() | {field.alias for field in known.values()}
    assert json.loads(path.read_text(encoding="utf-8"))["zero_optimization"].keys() <= names


def test_each_deepspeed_file_is_named_by_its_stage() -> None:
    stages = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DEEPSPEED}
    assert {name: config["zero_optimization"]["stage"] for name, config in stages.items()} == {
        "zero1": 1,
        "zero2": 2,
        "zero3": 3,
    }
    # What transformers fills in from the model; another `auto` would reach DeepSpeed as it is.
    filled = {"reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"}
    for config in stages.values():
        assert {key for key, value in config["zero_optimization"].items() if value == "auto"} <= filled
        # The batch and the precision are the stage's.
        assert {config[key] for key in ("train_batch_size", "gradient_accumulation_steps")} == {"auto"}
        assert config["bf16"] == config["fp16"] == {"enabled": "auto"}


@pytest.mark.parametrize("path", DEEPSPEED, ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_axolotl_takes_a_stage_with_each_deepspeed_file(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str, path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    cfg = load_stage(recipe / name / f"{stage}.yaml", TWO_GPUS, deepspeed=str(path))
    assert cfg.deepspeed == str(path)


@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_axolotl_takes_a_stage_with_fsdp2_laid_over_it(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    cfg = load_stage(recipe / name / f"{stage}.yaml", TWO_GPUS, guard_sharding=str(FSDP2))
    assert cfg.fsdp_version == 2
    assert cfg.fsdp_config.transformer_layer_cls_to_wrap == "LlamaDecoderLayer"
    assert cfg.fsdp_config.cpu_ram_efficient_loading


def test_fsdp2_reads_the_base_once_a_machine_and_its_checkpoints_hold_all_parts() -> None:
    keys = yaml.safe_load(FSDP2.read_text(encoding="utf-8"))["fsdp_config"]
    # With false, `ModelLoader` puts the whole base on each GPU before it is spread.
    assert keys["cpu_ram_efficient_loading"] is True
    # With FULL_STATE_DICT, `save_fsdp_model` writes what the first process holds of an adapter, and that part alone.
    assert keys["state_dict_type"] == "SHARDED_STATE_DICT"
    assert keys["final_state_dict_type"] == "FULL_STATE_DICT"


def test_a_base_in_four_bits_beside_fsdp2_is_refused_in_one_line(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="cpu_ram_efficient_loading` with load_in_4bit") as refused:
        load_stage(recipe / "aog-8b-qlora" / "sft.yaml", TWO_GPUS, guard_sharding=str(FSDP2))
    assert len(str(refused.value).splitlines()) == 1


def test_axolotl_knows_every_key_of_the_fsdp2_file() -> None:
    keys = yaml.safe_load(FSDP2.read_text(encoding="utf-8"))
    assert keys.keys() <= AxolotlInputConfig.model_fields.keys()
    assert keys["fsdp_config"].keys() <= FSDPConfig.model_fields.keys()
