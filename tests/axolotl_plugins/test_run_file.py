"""`run.json`: written last, with the whole story, and without a secret."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.utils.dict import DictDefault

from axolotl_plugins.guard import Guard
from axolotl_plugins.resume.identity import dataset_fingerprints
from axolotl_plugins.run_file import write_run_file
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import file_digest
from rabbit_ko.recipes import RUN_FILE
from rabbit_ko.run_record import check_run

HISTORY = [{"eval_loss": 3.0}, {"loss": 2.5}, {"eval_loss": 2.0, "eval_rewards/margins": 0.5}, {"train_loss": 2.7}]


class FinishedTrainer:
    """What `run.json` is made from."""

    state = SimpleNamespace(global_step=2, log_history=HISTORY)
    args = SimpleNamespace(world_size=1)
    get_eval_dataloader = evaluation_loop = prediction_step = None

    def is_world_process_zero(self) -> bool:
        return True

    def save_state(self) -> None:
        """Saved by the real one as `trainer_state.json`."""


def config(folder: Path, **options: Any) -> DictDefault:
    """A resolved config."""
    datasets = [{"path": str(folder), "split": split} for split in ("train", "train")]
    return DictDefault({"output_dir": str(folder), "base_model": "base", "seed": 7, "datasets": datasets, **options})


def test_it_tells_what_ran_on_what_and_how_it_ended(tmp_path: Path) -> None:
    rows = {"train": {"examples": 3, "dropped": 1}}
    cfg = config(tmp_path)
    facts = {"datasets": dataset_fingerprints(cfg), "rows": rows}
    write_run_file(cfg, FinishedTrainer(), datetime(2026, 1, 2, tzinfo=UTC), 0, {}, **facts)
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


def test_it_tells_what_the_run_is_made_of_and_what_was_overridden(tmp_path: Path) -> None:
    made_of, overrides = {"config.my_token": '"kept"', "data/secret": "abc"}, {"max_steps": 3, "comet_api_key": "key"}
    started = datetime.now(UTC)
    write_run_file(config(tmp_path), FinishedTrainer(), started, 0, made_of, overrides=overrides)
    run = json.loads((tmp_path / RUN_FILE).read_text())
    assert run["made_of"] == made_of
    assert run["overrides"] == {"max_steps": 3}


def test_no_secret_gets_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_PAT", "DB_PASS", "OPENAI_APIKEY")
    secrets = {name: f'{name.lower()}-"\\0123456789' for name in names}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SECRET_KEY", "12345678")
    cfg = config(
        tmp_path,
        wandb_project=f"mine-{secrets['WANDB_API_KEY']}",
        comet_api_key="comet-0123456789",
        hub_model_id="https://me:hub-password@hub.example/mine",
        mlflow_tracking_uri="https://mlflow.example/x?token=query-secret&X-Amz-Signature=signature",
        trackio={"api_key": "nested-secret"},
        some_list=[{"hf_token": "listed-secret", "text": f"{value}!"} for value in secrets.values()],
        max_steps=12345678,
    )
    write_run_file(cfg, FinishedTrainer(), datetime.now(UTC), 0, {})
    text = (tmp_path / RUN_FILE).read_text()
    run = json.loads(text)
    for secret in (
        *(json.dumps(value)[1:-1] for value in secrets.values()),
        *("comet-0123456789", "hub-password", "query-secret", "signature", "nested-secret", "listed-secret"),
    ):
        assert secret not in text
    assert run["config"]["wandb_project"] == "mine-***"
    assert run["config"]["max_steps"] == 12345678


def test_what_is_no_secret_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsehood")
    options = {
        "special_tokens": {"eos_token": "<|eot_id|>", "pad_token": "[PAD]"},
        "note": "falsehood",
        "url": "https://hub.example/a@b",
        "question": "무엇? a=b",
        "total_num_tokens": 5,
    }
    write_run_file(config(tmp_path, **options), FinishedTrainer(), datetime.now(UTC), 0, {})
    written = json.loads((tmp_path / RUN_FILE).read_text())["config"]
    assert {name: written[name] for name in options} == options


def test_it_ends_a_run_and_is_taken_away_when_another_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_plugins.guard.check_collator", lambda *_: None)
    guard, cfg = Guard(), config(tmp_path)
    (tmp_path / RUN_FILE).write_text("of an earlier run")
    guard.post_trainer_create(cfg, FinishedTrainer())
    assert not (tmp_path / RUN_FILE).exists()
    guard.post_train_unload(cfg)
    assert json.loads((tmp_path / RUN_FILE).read_text())["steps"] == 2


def test_the_copy_of_the_base_beside_an_adapter_is_removed_and_a_full_model_stays(tmp_path: Path) -> None:
    guard = Guard()
    guard.trainer = FinishedTrainer()
    (tmp_path / "model.safetensors").touch()
    guard.post_train_unload(config(tmp_path))
    assert (tmp_path / "model.safetensors").exists()
    (tmp_path / "adapter_model.safetensors").touch()
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "base"}')
    guard.post_train_unload(config(tmp_path))
    assert not (tmp_path / "model.safetensors").exists()


def test_older_readers_take_what_a_run_saves_and_its_checksums_are_those(tmp_path: Path) -> None:
    guard = Guard()
    guard.trainer = FinishedTrainer()
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    guard.post_train_unload(config(tmp_path))
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast"
    }
    check_run(tmp_path)


@pytest.mark.hostile
def test_it_has_the_checksums_of_the_model_and_of_nothing_else(tmp_path: Path) -> None:
    model = ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"]
    for name in (*model, "README.md", "trainer_state.json", "log.txt", "optimizer.pt"):
        (tmp_path / name).write_text(name)
    write_run_file(config(tmp_path), FinishedTrainer(), datetime.now(UTC), 0, {})
    files = json.loads((tmp_path / RUN_FILE).read_text())["files"]
    assert sorted(files) == model
    assert files["tokenizer.json"] == {"bytes": 14, "sha256": file_digest(tmp_path / "tokenizer.json")}
    check_run(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("chat_template.jinjo")
    with pytest.raises(UserError, match=r"chat_template\.jinja: is not what its run wrote, by its checksum"):
        check_run(tmp_path)


@pytest.mark.hostile
def test_a_run_that_is_killed_while_it_is_written_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_run_file(config(tmp_path), FinishedTrainer(), datetime.now(UTC), 0, {})
    assert not (tmp_path / RUN_FILE).exists()


@pytest.mark.hostile
def test_large_weights_are_read_where_they_are_published_and_measured_where_they_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_run_file(config(tmp_path), FinishedTrainer(), datetime.now(UTC), 0, {})
    monkeypatch.setattr("rabbit_ko.run_record.LARGE", 5)
    (tmp_path / "model.safetensors").write_bytes(b"WEIGHTS")
    check_run(tmp_path, thorough=False)
    with pytest.raises(UserError, match="is not what its run wrote"):
        check_run(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weight")
    with pytest.raises(UserError, match="has 6 bytes, and its run wrote 7"):
        check_run(tmp_path, thorough=False)
