"""What the guard does to a run's config, through axolotl's own loading."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from axolotl.integrations.base import PluginManager
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.resume.identity import dataset_fingerprints, remove_unfinished, run_identity, stage_identity
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import IIR, Native, template_for
from rabbit_ko.methods import METHODS
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT
from tests.dataset_builders.files import write_jsonl
from tests.stages import load_stage

STAGES = [path for name in METHODS for path in sorted(ROOT.glob(f"axolotl_configs/*/{name}.yaml"))]


@pytest.fixture
def recipe(in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every recipe has its shards, its merged model, and a smoke recipe its base.

    Every base has the smoke recipe's tokenizer, for whoever looks at that.
    """
    monkeypatch.setattr("axolotl_plugins.checks.base_model.load_base_tokenizer", lambda _: smoke_tokenizer)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")
    for stage in STAGES:
        folder = in_tmp / "data" / stage.parent.name / METHODS[stage.stem].rows
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            (folder / f"{split}-00000-of-00001.parquet").write_bytes(b"rows")
        for folder in (Path("runs") / stage.parent.name / name for name in ("sft/merged", "base")):
            write_jsonl(in_tmp / folder / "model.safetensors", [])
            write_jsonl(in_tmp / folder / "config.json", [{}])
    return in_tmp / "axolotl_configs"


def rewrite(path: Path, **changes: Any) -> Path:
    """Change keys of a YAML; a value of None takes the key away."""
    config = {**yaml.safe_load(path.read_text(encoding="utf-8")), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_stage_of_every_recipe_passes_axolotls_validation(
    recipe: Path, smoke_tokenizer: PreTrainedTokenizerBase, stage: Path
) -> None:
    cfg = load_stage(recipe / stage.parent.name / stage.name)
    template = template_for(cfg.datasets[0].type)
    own = smoke_tokenizer.chat_template if isinstance(template, Native) else chat_template(template)
    assert (cfg.chat_template, cfg.chat_template_jinja) == ("jinja", own)
    assert cfg.output_dir == f"runs/{stage.parent.name}/{stage.stem}"


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_stage_saves_often_and_reports_to_this_machine_alone(recipe: Path, stage: Path) -> None:
    cfg = load_stage(recipe / stage.parent.name / stage.name)
    assert cfg.save_steps <= 100
    assert cfg.save_total_limit >= 2
    assert cfg.use_tensorboard
    assert not any(cfg[name] for name in ("use_wandb", "use_mlflow", "use_comet", "use_trackio", "hub_model_id"))


def test_aog_has_the_hyperparameters_of_its_model_card(recipe: Path) -> None:
    cfg = load_stage(recipe / "aog-8b" / "sft.yaml")
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
    cfg = load_stage(recipe / "rabbit-ko-3b" / "dpo.yaml")
    assert (cfg.base_model, cfg.rl, cfg.rl_beta) == ("runs/rabbit-ko-3b/sft/merged", "dpo", 0.1)
    assert (cfg.attn_implementation, cfg.gradient_checkpointing) == ("sdpa", True)  # of auto, without a GPU


def test_iir_strategies_get_the_iir_chat_template(recipe: Path) -> None:
    path = recipe / "smoke" / "sft.yaml"
    path.write_text(path.read_text().replace("prompt_strategies.qir", "prompt_strategies.iir"))
    assert load_stage(path).chat_template_jinja == chat_template(IIR)


def test_prepared_folder_follows_all_that_decides_about_its_rows(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe / "smoke" / "sft.yaml"
    paths = [load_stage(path).dataset_prepared_path, load_stage(path).dataset_prepared_path]
    Path("data/smoke/sft/train-00000-of-00001.parquet").write_bytes(b"other rows")
    paths.append(load_stage(path).dataset_prepared_path)
    Path("runs/smoke/base/tokenizer.json").write_text("{}")
    paths.append(load_stage(path).dataset_prepared_path)
    for option in ({"sequence_len": 512}, {"special_tokens": {"eos_token": "<|eot_id|>"}}):
        paths.append(load_stage(path, **option).dataset_prepared_path)
    monkeypatch.setattr("axolotl_plugins.resume.identity.source_fingerprint", lambda: "another template")
    paths.append(load_stage(path).dataset_prepared_path)
    assert paths[0] == paths[1]
    assert len(set(paths)) == 6
    assert all(prepared.startswith("runs/smoke/sft/prepared/") for prepared in paths)


@pytest.mark.parametrize("output", ["runs/smoke/dpo", "runs/aog-8b/sft", "elsewhere"])
def test_a_folder_that_is_not_the_stages_own_is_refused(recipe: Path, output: str) -> None:
    with pytest.raises(SystemExit, match=f"sft.yaml: output_dir: {output} is not this stage's own folder"):
        load_stage(rewrite(recipe / "smoke" / "sft.yaml", output_dir=output))


def test_half_written_rows_of_an_interrupted_run_are_removed(tmp_path: Path) -> None:
    for name in ("complete/dataset_info.json", "half/data-00000-of-00001.arrow"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert [folder.name for folder in tmp_path.glob("*/")] == ["complete"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batchsize": 4}, "micro_batchsize: unknown key; did you mean `micro_batch_size`?"),
        (
            {"datasets": [{"path": "data/smoke/sft", "split": "train", "typ": "prompt_strategies.qir"}]},
            r"datasets\[0\].typ: unknown key; did you mean `type`\?",
        ),
        (
            {"datasets": [{"path": "data/other/sft", "split": "train", "type": "prompt_strategies.qir"}]},
            "data/other/sft holds no train shards; run `make data RECIPE=other` first",
        ),
        (
            {"datasets": [{"path": "data/pairs/x/dpo-1/sft", "split": "train", "type": "prompt_strategies.qir"}]},
            "data/pairs/x/dpo-1/sft holds no train shards; run `make pairs RECIPE=x STAGE=dpo-1` first",
        ),
        (
            {"base_model": "runs/other/sft/merged"},
            "runs/other/sft/merged is not there; run `make merge RECIPE=other STAGE=sft`",
        ),
        ({"learning_rate": 1e-3, "base_model": "~/none"}, "none: no such folder"),
        ({"guard_any_dpo_base": True}, "guard_any_dpo_base: unknown key; did you mean `guard_any_parent`"),
        ({"guard_engine": "x.yaml"}, "guard_engine: unknown key; did you mean `guard_sharding`"),
        ({"guard_max_left_out": 0.5}, "guard_max_left_out: unknown key; did you mean `guard_max_dropped`"),
        ({"num_epochs": "three"}, "num_epochs"),
        ({"base_model": None}, "base_model: missing"),
        ({"dataset_prepared_path": None}, "dataset_prepared_path: missing"),
        ({"datasets": "data/smoke/sft"}, "datasets: must be a list of entries"),
        ({"datasets": ["data/smoke/sft"]}, "datasets: must be a list of entries"),
        ({"datasets": [{"type": "prompt_strategies.qir"}]}, "datasets: each entry needs a `path`"),
        (
            {"test_datasets": [{"path": "data/smoke/sft", "split": "test", "type": "prompt_strategies.iir"}]},
            "datasets: two templates in one stage",
        ),
        ({"datasets": None}, "datasets: missing"),
        ({"test_datasets": [{"path": "data/smoke/sft"}]}, "test_datasets: each entry needs a `split`"),
        (
            {"datasets": [{"path": "data/smoke/sft", "split": "train", "type": "prompt_strategies.qir_dpo"}]},
            r"datasets\[0\].type: `prompt_strategies.qir_dpo` is not a prompt for sft; did you mean",
        ),
        ({"chat_template": "chatml"}, "chat_template: take it away"),
        ({"val_set_size": 0.1}, "val_set_size: take it away: answers of one conversation would be in both splits"),
        ({"streaming": True}, "streaming: take it away: rows cannot be checked"),
        ({"train_on_inputs": True}, "train_on_inputs: take it away: only answers are trained"),
        ({"save_total_limit": 1}, "save_total_limit: with 1, the last checkpoint goes"),
        ({"save_only_model": True}, "save_only_model: take it away: a run could not resume"),
        ({"merge_method": "memory_efficient"}, "merge_method: must be `legacy`"),
        ({"rl": "grpo"}, "rl: `grpo` is not a method of this project; known are dpo, ipo, orpo, simpo, kto"),
        ({"base_model": "/no/such/model"}, "base_model: /no/such/model: no such folder"),
        (
            {
                "datasets": [
                    {"path": "data/smoke/sft", "split": "train", "type": "prompt_strategies.qir", "shards": 4}
                ]
            },
            r"datasets\[0\].shards: take fewer rows with `fraction`",
        ),
    ],
)
def test_mistakes_are_one_line(recipe: Path, changes: dict[str, Any], message: str) -> None:
    path = rewrite(recipe / "smoke" / "sft.yaml", **changes)
    with pytest.raises(SystemExit, match=message) as error:
        load_stage(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_trackio_that_is_too_old_for_transformers_is_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rewrite(recipe / "smoke" / "sft.yaml", use_trackio=True)
    monkeypatch.setattr("trackio.init", lambda project, bucket_id: None)
    load_stage(path)
    monkeypatch.setattr("trackio.init", lambda project: None)
    with pytest.raises(SystemExit, match="use_trackio: the installed trackio is too old for transformers"):
        load_stage(path)


def test_dpo_with_lora_model_dir_is_refused(recipe: Path) -> None:
    path = rewrite(recipe / "smoke" / "dpo.yaml", lora_model_dir="runs/smoke/sft")
    with pytest.raises(
        SystemExit, match="lora_model_dir: axolotl ignores it in DPO, which starts from base_model; merge it first"
    ):
        load_stage(path)


def test_an_override_that_axolotl_would_drop_is_refused(recipe: Path) -> None:
    load_stage(recipe / "smoke" / "dpo.yaml", max_steps=1, debug=False, is_preprocess=True, fsdp=None)
    with pytest.raises(SystemExit, match=r"learning_rat: unknown key; did you mean `learning_rate`\?"):
        load_stage(recipe / "smoke" / "dpo.yaml", learning_rat=1e-9)
    with pytest.raises(SystemExit, match="lora_model_dir: axolotl ignores it in DPO"):
        load_stage(recipe / "smoke" / "dpo.yaml", lora_model_dir="runs/smoke/sft")


def test_no_test_rows_are_said_to_be_none_and_not_to_be_unbuilt(recipe: Path) -> None:
    Path("data/smoke/sft/test-00000-of-00001.parquet").unlink()
    with pytest.raises(SystemExit, match=r"data/smoke/sft has no test rows; raise test_size in data.yaml"):
        load_stage(recipe / "smoke" / "sft.yaml")


def test_a_base_in_the_home_folder_is_found(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    cfg = load_stage(rewrite(recipe / "smoke" / "sft.yaml", base_model="~/runs/smoke/base"))
    assert cfg.base_model == str(Path.cwd() / "runs/smoke/base")


def test_a_base_in_the_home_folder_does_not_make_a_run_stale(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    path = rewrite(recipe / "smoke" / "sft.yaml", base_model="~/runs/smoke/base")
    cfg = load_stage(path)
    guard = PluginManager.get_instance().plugins[GUARD]
    assert guard.overrides == {}
    assert run_identity(guard.given, dataset_fingerprints(cfg)) == stage_identity(path, {})


def test_what_is_true_of_one_machine_is_said_by_its_first_process(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe / "smoke" / "sft.yaml"
    monkeypatch.setenv("RANK", "8")
    for local_rank, said in (("0", "num_epoch: unknown key"), ("1", "^1$")):
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        with pytest.raises(SystemExit, match=said):
            load_stage(path, num_epoch=1)


def test_what_the_guard_tells_itself_is_no_key_of_a_yaml(recipe: Path) -> None:
    with pytest.raises(SystemExit, match="guard_driver: unknown key"):
        load_stage(recipe / "smoke" / "sft.yaml", guard_driver="x")
