"""The fast recipes train what their plain ones train, but for what makes them fast, and are valid on each GPU."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.conftest import ROOT
from tests.stages import A100, H100, load_stage

CONFIGS = ROOT / "axolotl_configs"
PLAIN = {"aog-8b-fast": "aog-8b", "aog-8b-qlora": "aog-8b", "rabbit-ko-3b-fast": "rabbit-ko-3b"}
STAGES = sorted(path for name in PLAIN for path in (CONFIGS / name).glob("*.yaml") if path.stem in ("sft", "dpo"))
BATCH = {"micro_batch_size", "gradient_accumulation_steps"}
FAST = {"plugins", "gradient_checkpointing", "liger_rms_norm"}
SFT = FAST | {"lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "liger_fused_linear_cross_entropy"}
PLACES = {"datasets", "test_datasets", "dataset_prepared_path", "output_dir"}
PACKED = {"lora_dropout", "sample_packing", "eval_sample_packing", "lora_embedding_kernel"}
DIFFERENCES = {
    "aog-8b-fast/sft": SFT | PLACES | BATCH | PACKED,
    "aog-8b-qlora/sft": (SFT | PLACES | BATCH | PACKED | {"adapter", "load_in_4bit"}) - {"gradient_checkpointing"},
    "rabbit-ko-3b-fast/sft": SFT | PLACES,
    "rabbit-ko-3b-fast/dpo": FAST
    | PLACES
    | {"base_model", "liger_rope", "liger_glu_activation", "precompute_ref_log_probs", "trainer_cls"},
}


def label(path: Path) -> str:
    """Recipe and stage."""
    return f"{path.parent.name}/{path.stem}"


def read(path: Path) -> dict[str, Any]:
    """A stage's YAML as it is written."""
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


@pytest.mark.parametrize("gpu", [A100, H100], ids=["a100", "h100"])
@pytest.mark.parametrize("stage", STAGES, ids=label)
def test_what_is_written_is_what_axolotl_validates(recipe: Path, stage: Path, gpu: dict[str, Any]) -> None:
    written = read(stage)
    cfg = load_stage(recipe / stage.parent.name / stage.name, gpu)
    for key in written.keys() - {"plugins", "datasets", "test_datasets", "dataset_prepared_path"}:
        kept = {"attn_implementation": "sdpa", "learning_rate": float(written["learning_rate"])}.get(
            key, written[key]
        )
        assert (cfg[key].to_dict() if hasattr(cfg[key], "to_dict") else cfg[key]) == kept, key
    assert cfg.capabilities.compute_capability == gpu["compute_capability"]


@pytest.mark.parametrize("stage", STAGES, ids=label)
def test_a_fast_stage_differs_from_its_plain_one_in_nothing_else(stage: Path) -> None:
    fast, plain = read(stage), read(CONFIGS / PLAIN[stage.parent.name] / stage.name)
    differing = {key for key in fast.keys() | plain.keys() if fast.get(key) != plain.get(key)}
    assert differing == DIFFERENCES[label(stage)]


@pytest.mark.parametrize("name", ["aog-8b", "rabbit-ko-3b", *PLAIN])
def test_a_recipe_for_a_gpu_names_no_attention_that_may_not_be_installed(name: str) -> None:
    stages = [path for path in (CONFIGS / name).glob("*.yaml") if path.stem in ("sft", "dpo")]
    assert {read(path)["attn_implementation"] for path in stages} == {"auto"}
    assert [path for path in stages if "flash_attention" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("stage", sorted(CONFIGS.glob("*/*.yaml")), ids=label)
def test_no_key_is_left_blank(stage: Path) -> None:
    blank = [key for key, value in read(stage).items() if value is None]
    assert blank == []


@pytest.mark.parametrize(("fast", "plain"), PLAIN.items())
def test_a_fast_recipe_has_the_data_of_its_plain_one(fast: str, plain: str) -> None:
    assert (CONFIGS / fast / "data.yaml").readlink() == Path(f"../{plain}/data.yaml")
    assert (CONFIGS / fast / "data.yaml").read_bytes() == (CONFIGS / plain / "data.yaml").read_bytes()
    other_methods = {"orpo.yaml", "simpo.yaml", "kto.yaml"}
    files, all_files = ({path.name for path in (CONFIGS / name).iterdir()} for name in (fast, plain))
    assert files == all_files - other_methods


@pytest.mark.parametrize("name", ["aog-8b-fast", "aog-8b-qlora"])
def test_four_packed_sequences_stand_for_the_32_rows_of_the_card(name: str) -> None:
    card, fast = read(CONFIGS / "aog-8b/sft.yaml"), read(CONFIGS / name / "sft.yaml")
    assert card["micro_batch_size"] * card["gradient_accumulation_steps"] == 32
    sequences = fast["micro_batch_size"] * fast["gradient_accumulation_steps"]
    assert sequences * fast["sequence_len"] == 32 * 512


def test_rabbit_takes_as_much_in_a_step_in_both_recipes() -> None:
    for stage, size in (("sft", 8), ("dpo", 16)):
        for name in ("rabbit-ko-3b", "rabbit-ko-3b-fast"):
            config = read(CONFIGS / name / f"{stage}.yaml")
            assert config["micro_batch_size"] * config["gradient_accumulation_steps"] == size
