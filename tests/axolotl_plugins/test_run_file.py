"""`run.json`: written last, with the whole story, and without a secret."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from axolotl.utils.dict import DictDefault

from axolotl_plugins.guard import Guard
from axolotl_plugins.run_file import RUN_FILE, redact, write_run_file

HISTORY = [{"eval_loss": 3.0}, {"loss": 2.5}, {"eval_loss": 2.0, "eval_rewards/margins": 0.5}, {"train_loss": 2.7}]


class FinishedTrainer:
    """What `run.json` is made from."""

    state = SimpleNamespace(global_step=2, log_history=HISTORY)
    args = SimpleNamespace(world_size=1)

    def is_world_process_zero(self) -> bool:
        return True


def config(folder: Path, **options: str) -> DictDefault:
    """A resolved config."""
    datasets = [{"path": str(folder), "split": split} for split in ("train", "train")]
    return DictDefault({"output_dir": str(folder), "base_model": "base", "seed": 7, "datasets": datasets, **options})


def test_it_tells_what_ran_on_what_and_how_it_ended(tmp_path: Path) -> None:
    rows = {"train": {"examples": 3, "left_out": 1}}
    write_run_file(config(tmp_path), FinishedTrainer(), rows, datetime(2026, 1, 2, tzinfo=UTC))
    run = json.loads((tmp_path / RUN_FILE).read_text())
    assert run["config"]["base_model"] == "base"
    assert {"python", "axolotl", "trl", "torch"} <= run["versions"].keys()
    assert (run["seed"], run["rows"], run["device"]["processes"]) == (7, rows, 1)
    assert [entry["path"] for entry in run["datasets"]] == [str(tmp_path)]
    assert len(run["datasets"][0]["fingerprint"]) == 64
    assert run["started"] == "2026-01-02T00:00:00+00:00" < run["ended"]
    assert (run["steps"], run["last_train_loss"]) == (2, 2.5)
    assert run["first_evaluation"] == {"eval_loss": 3.0}
    assert run["last_evaluation"] == {"eval_loss": 2.0, "eval_rewards/margins": 0.5}


def test_no_secret_gets_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name: f"{name.lower()}-0123456789" for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY")}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    cfg = config(
        tmp_path,
        wandb_project=f"mine-{secrets['WANDB_API_KEY']}",
        comet_api_key="comet-0123456789",
        hub_model_id=f"https://me:{secrets['HF_TOKEN']}@hub.example/mine",
        mlflow_tracking_uri="https://me:a-password@mlflow.example",
    )
    write_run_file(cfg, FinishedTrainer(), {}, datetime.now(UTC))
    text = (tmp_path / RUN_FILE).read_text()
    for secret in (*secrets.values(), "comet-0123456789", "a-password"):
        assert secret not in text
    assert "mine-***" in text


def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsehood")
    text = '"eos_token": "<|eot_id|>", "falsehood", "https://hub.example/a@b", "tokens": 5'
    assert redact(text) == text


def test_it_ends_a_run_and_is_taken_away_when_another_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_plugins.guard.check_collator", lambda *_: None)
    guard, cfg = Guard(), config(tmp_path)
    (tmp_path / RUN_FILE).write_text("of an earlier run")
    guard.post_trainer_create(cfg, FinishedTrainer())
    assert not (tmp_path / RUN_FILE).exists()
    guard.post_train(cfg, None)
    assert json.loads((tmp_path / RUN_FILE).read_text())["steps"] == 2


def test_the_copy_of_the_base_beside_an_adapter_is_removed_and_a_full_model_stays(tmp_path: Path) -> None:
    guard = Guard()
    guard.trainer = FinishedTrainer()
    (tmp_path / "model.safetensors").touch()
    guard.post_train(config(tmp_path), None)
    assert (tmp_path / "model.safetensors").exists()
    (tmp_path / "adapter_model.safetensors").touch()
    guard.post_train(config(tmp_path), None)
    assert not (tmp_path / "model.safetensors").exists()
