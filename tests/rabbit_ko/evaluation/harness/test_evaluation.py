"""When a task counts as finished, which figures are kept, and what a reader is told; the harness is not run here."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.evaluation.harness.backends import count_truncated, encode_apart
from rabbit_ko.evaluation.harness.evaluation import Evaluation, data_fingerprint
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.records import Model, Result, finished_result, model_of, write_result
from rabbit_ko.evaluation.stages import Stage, fingerprint
from tests.rabbit_ko.evaluation.results.result_folder import retrain

GSM8K = SUITES["gsm8k_ko"]
MODEL = Model(path="runs/mine/sft", fingerprint="abc", backend="hf")


def evaluation(**changes: Any) -> Evaluation:
    """What is asked for."""
    return Evaluation(Stage("mine", "sft", "runs/mine/sft"), **changes)


def finished(asked: Evaluation, model: Model = MODEL) -> bool:
    """Whether the task's result is of this model and these settings."""
    return finished_result(asked.stage, GSM8K.name, model, asked.settings(GSM8K)) is not None


@pytest.fixture
def measured(in_tmp: Path) -> Path:
    """A working directory with a trained stage, a folder of data, and a result from it."""
    train("prompt_strategies.qir")
    folder = in_tmp / "hub" / GSM8K.data
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("{}")
    asked = evaluation(limit=2, hub_dir="hub")
    result = Result(
        recipe="mine",
        stage="sft",
        task=GSM8K.name,
        model=MODEL,
        settings=asked.settings(GSM8K),
        scores=[],
        versions={},
        command="",
        started="",
        seconds=1,
    )
    write_result(asked.stage.results, result, [])
    return in_tmp


def train(kind: str) -> None:
    """Leave what a run with this type of prompt leaves."""
    run = Path("runs/mine/sft/run.json")
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_text(json.dumps({"config": {"datasets": [{"type": kind}]}}))


def test_it_is_not_finished_in_another_prompt(measured: Path) -> None:
    train("prompt_strategies.iir")
    assert not finished(evaluation(limit=2, hub_dir="hub"))
    train("prompt_strategies.qir_every_turn")
    assert finished(evaluation(limit=2, hub_dir="hub"))


def test_a_task_is_finished_for_the_same_model_and_settings(measured: Path) -> None:
    assert finished(evaluation(limit=2, hub_dir="hub"))
    assert finished(evaluation(limit=2, hub_dir="hub", template=True))


@pytest.mark.parametrize("changes", [{"limit": 3}, {"limit": None}, {"template": False}, {"hub_dir": ""}])
def test_it_is_not_finished_with_other_settings(measured: Path, changes: dict[str, Any]) -> None:
    assert not finished(evaluation(**{"limit": 2, "hub_dir": "hub", **changes}))


@pytest.mark.parametrize("changes", [{"fingerprint": "def"}, {"backend": "vllm"}, {"path": "runs/mine/dpo"}])
def test_it_is_not_finished_for_another_model(measured: Path, changes: dict[str, str]) -> None:
    assert not finished(evaluation(limit=2, hub_dir="hub"), MODEL.model_copy(update=changes))


def test_it_is_not_finished_on_other_data(measured: Path) -> None:
    (measured / "hub" / GSM8K.data / "test.jsonl").write_text("[]")
    assert not finished(evaluation(limit=2, hub_dir="hub"))


def test_data_that_are_not_in_the_folder_are_named(measured: Path) -> None:
    with pytest.raises(UserError, match="hub/skt/kobest_v1: no such dataset"):
        data_fingerprint("hub", "skt/kobest_v1")


def test_generated_answers_alone_are_asked_for_in_the_recipes_prompt_by_default() -> None:
    asked = {name: evaluation().in_prompt(suite) for name, suite in SUITES.items()}
    assert asked == {"kobest": False, "haerae": False, "gsm8k": True, "gsm8k_ko": True, "ifeval": True}
    assert all(evaluation(template=True).in_prompt(suite) for suite in SUITES.values())
    assert not any(evaluation(template=False).in_prompt(suite) for suite in SUITES.values())


def test_prompts_without_room_for_their_answer_are_counted_once_each() -> None:
    lm = SimpleNamespace(max_length=10, max_gen_toks=4, tok_encode=lambda text, **_: text.split())
    asked = [("one two", {"until": []}), ("a b c d e f g", {}), ("a b c d", {"max_gen_toks": 7}), ("a b", " c")]
    rows = [{"arguments": [one]} for one in [*asked, *asked]]
    assert count_truncated(lm, {"task": rows}) == 2


def test_a_servers_model_is_known_by_its_name_and_by_the_stage_that_it_is_said_to_be(measured: Path) -> None:
    stage = "runs/mine/sft"
    server = find_endpoint("MODEL", "http://host:8000/v1", "mine", 8, 300.0)
    before = model_of(Stage("mine", "sft", stage), server)
    assert before == Model(path="http://host:8000/v1", fingerprint=fingerprint(stage), backend="openai", name="mine")
    retrain("sft")
    assert model_of(Stage("mine", "sft", stage), server) != before


class Encoder:
    """What the harness's models have in common."""

    def _encode_pair(self, prompt: str, answer: str) -> str:
        return prompt + answer

    def tok_encode(self, text: str, **options: Any) -> list[Any]:
        return [text, options]


def test_a_prompt_and_the_answer_behind_it_are_encoded_apart_as_in_training() -> None:
    lm = Encoder()
    encode_apart(lm, True)
    apart: Any = lm._encode_pair("### Response:\n", "예")
    assert apart == (["### Response:\n", {}], ["예", {"add_special_tokens": False}])
    encode_apart(lm, False)
    assert lm._encode_pair("가", "나") == "가나"
