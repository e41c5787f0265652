"""The whole way for real: the three commands on a copy of the project, chat, and the trainer by hand."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import QIR
from tests.conftest import VENV, run

pytestmark = pytest.mark.slow

NEXT_YEAR = time.time() + 366 * 86_400


def run_file(project: Path, stage: str) -> Any:
    """A stage's `run.json`."""
    return json.loads((project / "runs/smoke" / stage / "run.json").read_text())


def digest(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sft_loss_falls_and_dpo_margin_ends_above_zero(project: Path) -> None:
    sft, dpo = run_file(project, "sft"), run_file(project, "dpo")
    assert sft["last_evaluation"]["eval_loss"] < 0.95 * sft["first_evaluation"]["eval_loss"]
    assert dpo["last_evaluation"]["eval_rewards/margins"] > 0


def test_dpo_is_a_lora_adapter_on_the_merged_sft_model(project: Path) -> None:
    folder = project / "runs/smoke/dpo"
    adapter = json.loads((folder / "adapter_config.json").read_text())
    assert (adapter["peft_type"], adapter["r"]) == ("LORA", 32)
    base = Path(adapter["base_model_name_or_path"])
    assert base.is_absolute()
    assert base.parts[-4:] == ("runs", "smoke", "sft", "merged")
    assert [file.name for file in folder.glob("*.safetensors")] == ["adapter_model.safetensors"]
    merged, base = (project / "runs/smoke" / name / "model.safetensors" for name in ("sft/merged", "base"))
    assert digest(merged) != digest(base)


def test_weights_can_be_read_by_others_and_an_adapter_loads_from_any_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = list((project / "runs/smoke").rglob("*.safetensors"))
    assert len(weights) >= 4
    (tmp_path / "other").touch()
    assert {file.stat().st_mode for file in weights} == {(tmp_path / "other").stat().st_mode}
    monkeypatch.chdir(tmp_path)
    model = AutoPeftModelForCausalLM.from_pretrained(project / "runs/smoke/dpo")
    assert model.get_base_model().config.vocab_size == 2048


@pytest.mark.parametrize("folder", ["base", "sft", "sft/merged", "dpo"])
def test_every_stage_saves_the_projects_chat_template(project: Path, folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(project / "runs/smoke" / folder)
    assert tokenizer.chat_template == chat_template(QIR)


@pytest.mark.parametrize("folder", ["sft", "sft/merged", "dpo"])
def test_every_stage_saves_what_older_readers_take(project: Path, folder: str) -> None:
    config, tokenizer = (
        json.loads((project / "runs/smoke" / folder / name).read_text())
        for name in ("config.json", "tokenizer_config.json")
    )
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (config["torch_dtype"], config["rope_theta"]) == (config["dtype"], config["rope_parameters"]["rope_theta"])


def test_nothing_is_trained_again_after_a_touch_a_copy_or_a_clock_that_is_ahead(
    project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    for path in copy.rglob("*"):
        os.utime(path, (NEXT_YEAR, NEXT_YEAR), follow_symlinks=False)
    before = {path: path.stat().st_mtime_ns for path in (copy / "runs").rglob("*")}
    result = run(copy, "make", "data", "sft", "dpo")
    assert result.stdout.splitlines() == [
        "data/smoke: up to date",
        "runs/smoke/sft: up to date",
        "runs/smoke/dpo: up to date",
    ]
    assert {path: path.stat().st_mtime_ns for path in (copy / "runs").rglob("*")} == before


def test_dpo_with_a_stale_sft_names_the_key_with_both_values_and_starts_nothing(project: Path) -> None:
    config = project / "axolotl_configs/smoke/sft.yaml"
    text = config.read_text()
    config.write_text(text.replace("learning_rate: 6e-3", "learning_rate: 5e-3"))
    result = run(project, "make", "dpo", returns=2)
    config.write_text(text)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "runs/smoke/sft is stale: learning_rate was 0.006, not 0.005; run `make sft dpo RECIPE=smoke`" in line


def test_chat_answers_and_stops_by_itself(project: Path) -> None:
    asked = 'PROMPT=안녕하세요? "오늘" 날씨가 어떤가요?'
    results = [run(project, "make", "chat", asked, f"SEED={seed}") for seed in (0, 1, 2)]
    for result in results:
        assert result.stdout.strip()
        assert "[runs/smoke/dpo]" in result.stderr
    # What a small model draws differs by the machine that trained it; it mostly ends.
    assert any("[cut after" not in result.stderr for result in results)


def test_the_trainer_by_hand_does_what_make_sft_does(project: Path) -> None:
    adapter = project / "runs/smoke/sft/adapter_model.safetensors"
    by_make = digest(adapter)
    adapter.unlink()
    command = ["accelerate", "launch", "-m", "axolotl.cli.train", "axolotl_configs/smoke/sft.yaml"]
    run(project, str(VENV / "bin" / command[0]), *command[1:], AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1")
    assert digest(adapter) == by_make
    assert (project / "runs/smoke/sft/run.json").exists()


def test_a_run_that_fails_leaves_the_finished_one_alone(project: Path) -> None:
    before = digest(project / "runs/smoke/dpo/run.json")
    config = project / "axolotl_configs/smoke/dpo.yaml"
    text = config.read_text()
    config.write_text(text.replace("num_epochs", "num_epoch"))
    result = run(project, "make", "dpo", returns=2)
    config.write_text(text)
    assert "axolotl_configs/smoke/dpo.yaml: num_epoch: unknown key; did you mean `num_epochs`?" in result.stderr
    assert "Traceback" not in result.stderr
    assert digest(project / "runs/smoke/dpo/run.json") == before


def test_inspect_shows_rows_of_both_stages_in_the_terminal_and_as_a_page(project: Path) -> None:
    shown = run(project, "make", "inspect", "N=2").stdout
    assert shown.count("⟦<|begin_of_text|>⟧### Question:") == shown.count("⟦<|end_of_text|>⟧") == 2
    first = next(line.split()[0] for line in shown.splitlines() if " tokens" in line)
    alone = run(project, "make", "inspect", f"ID={first}").stdout
    assert alone.count("⟦<|begin_of_text|>⟧") == 1
    run(project, "make", "inspect", "STAGE=dpo", "HTML=pairs.html")
    assert (project / "pairs.html").read_text().count("<article>") == 20


def test_inspect_is_a_command_of_axolotl_and_names_what_is_not_there(project: Path) -> None:
    command = [".venv/bin/axolotl", "inspect", "axolotl_configs/smoke/sft.yaml"]
    assert "⟦<|end_of_text|>⟧" in run(project, *command, "--n", "1", HF_HUB_OFFLINE="1").stdout
    error = run(project, *command, "--id", "no/such", returns=1, HF_HUB_OFFLINE="1").stderr
    assert "Error: axolotl_configs/smoke/sft.yaml: no row of the train split has the id no/such" in error
    assert "Traceback" not in error
