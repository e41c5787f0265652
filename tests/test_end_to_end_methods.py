"""ORPO, SimPO and KTO the whole way: train, merge, chat, evaluate, results, curves, card; and other headings."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import IIR, QIR
from rabbit_ko.inspection.curves import panels, read_history
from rabbit_ko.methods import METHODS
from tests.attempts import attempt, finish, variant
from tests.conftest import run

pytestmark = pytest.mark.slow

STAGES = ("orpo", "simpo", "kto")
# What each of them logs beside the loss.
OWN = {
    "orpo": {"nll_loss", "log_odds_ratio", "rewards/chosen", "rewards/rejected", "rewards/margins"},
    "simpo": {"rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"},
    "kto": {"kl", "rewards/chosen", "rewards/rejected", "rewards/margins"},
}
QUIET = "--assume-old=.venv/.ready"


@pytest.fixture(scope="module")
def trained(started: Path) -> Path:
    """A project in which the three have been trained on top of what they start from."""
    run(started, "make", *STAGES, QUIET)
    return started


def run_file(project: Path, stage: str) -> Any:
    """A stage's `run.json`."""
    return json.loads((project / "runs/smoke" / stage / "run.json").read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_an_adapter_on_what_it_starts_from(trained: Path, stage: str) -> None:
    folder = trained / "runs/smoke" / stage
    adapter = json.loads((folder / "adapter_config.json").read_text())
    parent = METHODS[stage].parent
    assert Path(adapter["base_model_name_or_path"]).parts[-2:] == (("sft", "merged") if parent else ("smoke", "base"))
    assert [file.name for file in folder.glob("*.safetensors")] == ["adapter_model.safetensors"]
    assert AutoTokenizer.from_pretrained(folder).chat_template == chat_template(QIR)
    made = run_file(trained, stage)
    assert made["config"]["rl"] == stage
    rows = made["rows"]["train"]
    assert rows["examples"] == rows["prepared"] > 60
    assert rows["checked"] == rows["examples"] * (1 if stage == "kto" else 2)


def test_orpo_learns_the_answers_and_kto_tells_them_apart(trained: Path) -> None:
    orpo, kto = run_file(trained, "orpo"), run_file(trained, "kto")
    assert orpo["last_evaluation"]["eval_nll_loss"] < 0.99 * orpo["first_evaluation"]["eval_nll_loss"]
    assert kto["first_evaluation"]["eval_rewards/margins"] == 0 < kto["last_evaluation"]["eval_rewards/margins"]


@pytest.mark.parametrize("stage", STAGES)
def test_curves_show_a_methods_own_figures_and_tokens_per_second(trained: Path, stage: str) -> None:
    shown = panels(read_history(trained / "runs/smoke" / stage))
    assert OWN[stage] | {"loss", "tokens_per_second"} <= shown.keys()
    assert ("nll_loss" in shown) == (stage == "orpo")
    assert all(shown[name]["training"] and shown[name]["evaluation"] for name in OWN[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_up_to_date_merges_and_answers(trained: Path, stage: str) -> None:
    assert run(trained, "make", stage, QUIET).stdout.splitlines()[-1] == f"runs/smoke/{stage}: up to date"
    run(trained, "make", "merge", f"STAGE={stage}", QUIET)
    assert (trained / "runs/smoke" / stage / "merged/model.safetensors").exists()
    result = run(trained, "make", "chat", f"STAGE={stage}", "PROMPT=안녕하세요?", QUIET)
    assert f"[runs/smoke/{stage}]" in result.stderr
    assert result.stdout.strip()


def test_results_stand_beside_each_other_and_a_card_is_of_its_stage(trained: Path) -> None:
    for stage in STAGES:
        run(trained, "make", "eval", f"STAGE={stage}", "TASKS=gsm8k_ko", "LIMIT=1", QUIET)
    table = run(trained, "make", "results", QUIET).stdout
    assert all(stage in table.split() for stage in STAGES)
    drawn = run(trained, "make", "curves", QUIET).stdout.split()
    assert {f"runs/smoke/{stage}/curves.png" for stage in STAGES} <= {*drawn}
    for stage in ("orpo", "kto"):
        run(trained, "make", "card", f"STAGE={stage}", "LANG=en", QUIET)
        card = (trained / "runs/smoke" / stage / "README.md").read_text(encoding="utf-8")
        assert f"# smoke {stage.upper()}" in card
        # ORPO has no SFT before it.
        assert ("It starts from the merged SFT model." in card) == (stage == "kto")
        assert ("Supervised fine-tuning" in card) == (stage == "kto")


def test_orpo_trains_under_other_headings(trained: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "orpo-iir", tmp_path / "log"
    config = variant(trained, "orpo", str(output))
    text = (trained / config).read_text(encoding="utf-8")
    (trained / config).write_text(text.replace("prompt_strategies.qir_dpo", "prompt_strategies.iir_dpo"))
    assert finish(attempt(trained, config, log, max_steps=2, eval_strategy="no")) == 0, log.read_text()[-4_000:]
    assert AutoTokenizer.from_pretrained(output).chat_template == chat_template(IIR)
