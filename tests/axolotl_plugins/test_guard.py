"""What the guard does to a run's config, through axolotl's own loading."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from axolotl.cli.config import prepare_plugins
from axolotl.integrations.base import PluginManager
from axolotl.utils.config import validate_config
from axolotl.utils.dict import DictDefault

from axolotl_plugins.guard import Guard
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import IIR, QIR
from tests.conftest import ROOT
from tests.dataset_builders.files import write_jsonl

A100 = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 1, "compute_capability": "sm_80"}
STAGES = sorted(ROOT.glob("axolotl_configs/*/sft.yaml")) + sorted(ROOT.glob("axolotl_configs/*/dpo.yaml"))


@pytest.fixture
def recipe(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every recipe has its shards, its merged model, and the smoke recipe's base."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")
    for stage in STAGES:
        folder = in_tmp / "data" / stage.parent.name / stage.stem
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            (folder / f"{split}-00000-of-00001.parquet").write_bytes(b"rows")
        write_jsonl(in_tmp / "runs" / stage.parent.name / "sft" / "merged" / "model.safetensors", [])
    write_jsonl(in_tmp / "runs/smoke/base/model.safetensors", [])
    return in_tmp / "axolotl_configs"


def load(path: Path, **overrides: Any) -> DictDefault:
    """Load a stage's YAML as axolotl does, up to its validation, as on an A100."""
    cfg = DictDefault(yaml.safe_load(path.read_text(encoding="utf-8")))
    cfg.axolotl_config_path = str(path)
    cfg.update(overrides)
    prepare_plugins(cfg)
    try:
        return validate_config(cfg, capabilities=A100, env_capabilities={"torch_version": "2.13.0"})
    except Exception:
        PluginManager.get_instance().on_config_validation_error(cfg)
        raise


def rewrite(path: Path, **changes: Any) -> Path:
    """Change keys of a YAML; a value of None takes the key away."""
    config = {**yaml.safe_load(path.read_text(encoding="utf-8")), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_stage_of_every_recipe_passes_axolotls_validation(recipe: Path, stage: Path) -> None:
    cfg = load(recipe / stage.parent.name / stage.name)
    assert cfg.chat_template_jinja == chat_template(IIR if "iir" in cfg.datasets[0].type else QIR)
    assert cfg.output_dir == f"runs/{stage.parent.name}/{stage.stem}"


def test_aog_has_the_hyperparameters_of_its_model_card(recipe: Path) -> None:
    cfg = load(recipe / "aog-8b" / "sft.yaml")
    card = {
        "base_model": "beomi/Llama-3-Open-Ko-8B",
        "adapter": "lora",
        "lora_r": 32,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "gradient_accumulation_steps": 8,
        "micro_batch_size": 4,
        "num_epochs": 3,
        "learning_rate": 2e-4,
        "lr_scheduler": "cosine",
        "warmup_steps": 50,
        "sequence_len": 4096,
        "bf16": True,
    }
    assert {key: cfg[key] for key in card} == card


def test_rabbit_starts_dpo_from_the_merged_sft_model(recipe: Path) -> None:
    cfg = load(recipe / "rabbit-ko-3b" / "dpo.yaml")
    assert (cfg.base_model, cfg.rl, cfg.rl_beta) == ("runs/rabbit-ko-3b/sft/merged", "dpo", 0.1)
    assert (cfg.attn_implementation, cfg.gradient_checkpointing) == ("flash_attention_2", True)


def test_iir_strategies_get_the_iir_chat_template(recipe: Path) -> None:
    path = recipe / "smoke" / "sft.yaml"
    path.write_text(path.read_text().replace("prompt_strategies.qir", "prompt_strategies.iir"))
    assert load(path).chat_template_jinja == chat_template(IIR)


def test_prepared_folder_follows_shards_and_tokenizer_and_nothing_else(recipe: Path) -> None:
    path = recipe / "smoke" / "sft.yaml"
    paths = [load(path).dataset_prepared_path, load(path).dataset_prepared_path]
    Path("data/smoke/sft/train-00000-of-00001.parquet").write_bytes(b"other rows")
    paths.append(load(path).dataset_prepared_path)
    Path("runs/smoke/base/tokenizer.json").write_text("{}")
    paths.append(load(path).dataset_prepared_path)
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3
    assert all(prepared.startswith("runs/smoke/sft/prepared/") for prepared in paths)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batchsize": 4}, "micro_batchsize: unknown key; did you mean `micro_batch_size`?"),
        (
            {"datasets": [{"path": "data/smoke/sft", "split": "train", "typ": "prompt_strategies.qir"}]},
            r"datasets\[0\].typ: unknown key; did you mean `type`\?",
        ),
        (
            {"datasets": [{"path": "data/other/sft", "type": "prompt_strategies.qir"}]},
            "data/other/sft holds no train shards; run `make data RECIPE=other` first",
        ),
        (
            {"base_model": "runs/other/sft/merged"},
            "runs/other/sft/merged is not there; run `make merge RECIPE=other`",
        ),
        ({"num_epochs": "three"}, "num_epochs"),
        ({"base_model": None}, "base_model: missing"),
        ({"dataset_prepared_path": None}, "dataset_prepared_path: missing"),
        ({"datasets": "data/smoke/sft"}, "datasets: must be a list of entries"),
        ({"datasets": ["data/smoke/sft"]}, "datasets: must be a list of entries"),
        ({"datasets": [{"type": "prompt_strategies.qir"}]}, "datasets: each entry needs a `path`"),
        (
            {"test_datasets": [{"path": "data/smoke/sft", "type": "prompt_strategies.iir"}]},
            "datasets: qir and iir in one stage",
        ),
        ({"datasets": None}, "datasets: missing"),
        (
            {"datasets": [{"path": "data/smoke/sft", "type": "prompt_strategies.qir_dpo"}]},
            r"datasets\[0\].type: `prompt_strategies.qir_dpo` is none of this stage's prompts",
        ),
    ],
)
def test_mistakes_are_one_line(recipe: Path, changes: dict[str, Any], message: str) -> None:
    path = rewrite(recipe / "smoke" / "sft.yaml", **changes)
    with pytest.raises(SystemExit, match=message) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_an_override_that_axolotl_would_drop_is_refused(recipe: Path) -> None:
    load(recipe / "smoke" / "dpo.yaml", max_steps=1, debug=False, is_preprocess=True, fsdp=None)
    with pytest.raises(SystemExit, match=r"learning_rat: unknown option; did you mean `learning_rate`\?"):
        load(recipe / "smoke" / "dpo.yaml", learning_rat=1e-9)


class FinishedTrainer:
    """What `run.json` is made from."""

    def __init__(self) -> None:
        history = [{"eval_loss": 3.0}, {"loss": 2.5}, {"eval_loss": 2.0, "eval_rewards/margins": 0.5}]
        self.state = SimpleNamespace(global_step=2, log_history=history)

    def is_world_process_zero(self) -> bool:
        return True


def test_run_file_is_taken_away_at_the_start_and_written_at_the_end(in_tmp: Path) -> None:
    cfg = DictDefault({"output_dir": str(in_tmp), "axolotl_config_path": "sft.yaml", "base_model": "base"})
    run_file = in_tmp / "run.json"
    run_file.write_text("of an earlier run")
    guard = Guard()
    guard.post_trainer_create(cfg, FinishedTrainer())
    assert not run_file.exists()
    guard.post_train(cfg, None)
    run = yaml.safe_load(run_file.read_text())
    assert run["first_evaluation"] == {"eval_loss": 3.0}
    assert run["last_evaluation"] == {"eval_loss": 2.0, "eval_rewards/margins": 0.5}


def test_the_copy_of_the_base_beside_an_adapter_is_removed_and_a_full_model_stays(in_tmp: Path) -> None:
    cfg = DictDefault({"output_dir": str(in_tmp), "axolotl_config_path": "dpo.yaml", "base_model": "base"})
    guard = Guard()
    guard.trainer = FinishedTrainer()
    (in_tmp / "model.safetensors").touch()
    guard.post_train(cfg, None)
    assert (in_tmp / "model.safetensors").exists()
    (in_tmp / "adapter_model.safetensors").touch()
    guard.post_train(cfg, None)
    assert not (in_tmp / "model.safetensors").exists()
