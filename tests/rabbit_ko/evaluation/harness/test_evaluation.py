"""When a task counts as finished, which figures are kept, and what a reader is told; the harness is not run here."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.utils.chat_templates import get_chat_template
from lm_eval.api.registry import get_model
from transformers import PreTrainedTokenizerBase

from prompt_strategies.tokens import encode, encode_prompts, encode_rendered
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.evaluation.harness.backends import count_truncated, encode_as_trained
from rabbit_ko.evaluation.harness.evaluation import Evaluation, data_fingerprint
from rabbit_ko.evaluation.harness.suites import CARDS, SUITES, find_suites
from rabbit_ko.evaluation.records import Model, Result, finished_result, model_of, read_result, write_result
from rabbit_ko.evaluation.results.compare import differing_settings
from rabbit_ko.evaluation.stages import Stage, fingerprint
from rabbit_ko.recipes import GUARD
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, make_recipe, retrain

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


def test_a_group_limits_its_suites_and_a_limit_that_is_given_wins() -> None:
    [suite] = [each for each in find_suites("quick") if each.name == "gsm8k_ko"]
    assert suite.limit
    asked = {limit: evaluation(limit=limit).limit_of(suite) for limit in (None, 3, 0)}
    assert asked == {None: suite.limit, 3: 3, 0: None}
    assert evaluation().limit_of(GSM8K) is None


@pytest.mark.parametrize("changes", [{"limit": 3}, {"limit": None}, {"template": False}, {"hub_dir": ""}])
def test_it_is_not_finished_with_other_settings(measured: Path, changes: dict[str, Any]) -> None:
    assert not finished(evaluation(**{"limit": 2, "hub_dir": "hub", **changes}))


@pytest.mark.parametrize("changes", [{"limit": 1}, {"limit": 1, "template": True}])
def test_more_items_than_asked_for_will_do(measured: Path, changes: dict[str, Any]) -> None:
    assert finished(evaluation(hub_dir="hub", **changes))


def test_figures_of_a_version_that_did_not_say_how_it_encodes_are_not_finished(measured: Path) -> None:
    file = Path("runs/mine/eval/sft") / f"{GSM8K.name}.json"
    old = json.loads(file.read_text(encoding="utf-8"))
    del old["settings"]["encoding"]
    file.write_text(json.dumps(old), encoding="utf-8")
    assert not finished(evaluation(limit=2, hub_dir="hub"))
    before = read_result(file.parent, GSM8K.name)
    assert before
    now = before.model_copy(update={"settings": evaluation(limit=2, hub_dir="hub").settings(GSM8K)})
    assert differing_settings(before, now) == ("encoding",)


def test_each_way_of_asking_says_how_it_encodes(measured: Path) -> None:
    said = {in_prompt: evaluation(template=in_prompt).settings(GSM8K)["encoding"] for in_prompt in (True, False)}
    assert said == {True: "as in training", False: "as in the harness"}


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
    cards = {name: asked[name] for name in CARDS}
    assert cards == {"kobest": False, "haerae": False, "gsm8k": True, "gsm8k_ko": True, "ifeval": True}
    assert asked == {name: suite.generates for name, suite in SUITES.items()}
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
    """What the harness's models have in common, with a real tokenizer."""

    add_bos_token: bool | None = None

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def _encode_pair(self, prompt: str, answer: str) -> Any:
        return prompt + answer

    def tok_encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        adds = self.add_bos_token if add_special_tokens is None else add_special_tokens
        options = {} if adds is None else {"add_special_tokens": adds}
        ids: list[int] = self.tokenizer.encode(text, **options)
        return ids


def stage_of(kind: str) -> Stage:
    """The base of a recipe whose rows are of a type."""
    make_recipe()
    entry = f"plugins: [{GUARD}]\ndatasets: [{{path: data/mine/sft, type: {kind}}}]\n"
    Path("axolotl_configs/mine/sft.yaml").write_text(f"base_model: {MODELS['base']}\n{entry}", encoding="utf-8")
    return Stage("mine", "base", str(MODELS["base"]))


def test_a_prompt_and_the_answer_behind_it_are_encoded_apart_as_in_training(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    lm, bos = Encoder(smoke_tokenizer), smoke_tokenizer.bos_token
    encode_as_trained(lm, stage_of("prompt_strategies.qir"), True)
    apart: Any = lm._encode_pair(f"{bos}### Response:\n", " 예")
    assert apart == (*encode_prompts(smoke_tokenizer, ["### Response:\n"]), *encode(smoke_tokenizer, [" 예"]))
    encode_as_trained(lm, Stage("mine", "base", str(MODELS["base"])), False)
    assert lm._encode_pair("가", "나") == "가나"
    assert lm.tok_encode("가")[0] == smoke_tokenizer.bos_token_id


def test_bare_text_begins_at_a_server_as_the_harness_sends_it_also_after_a_prompt(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    smoke_tokenizer.save_pretrained("tokenizer")
    options = {"base_url": "http://localhost:1/v1/completions", "model": "m", "tokenizer": "tokenizer"}
    ours, stock = (get_model("local-completions")(**options) for _ in range(2))
    stage = stage_of("prompt_strategies.qir")
    for in_prompt in (False, True, False):
        encode_as_trained(ours, stage, in_prompt)
    assert ours.tok_encode("가") == stock.tok_encode("가")
    assert stock.tok_encode("가")[0] != smoke_tokenizer.bos_token_id


@pytest.mark.parametrize("name", ["llama3", "chatml"])
def test_a_native_prompt_is_encoded_with_its_answer_and_without_a_bos_that_its_template_does_not_write(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    lm = Encoder(smoke_tokenizer)
    encode_as_trained(lm, stage_of("prompt_strategies.native"), True)
    question = [{"role": "user", "content": "질문"}]
    prompt = smoke_tokenizer.apply_chat_template(
        question, chat_template=get_chat_template(name), tokenize=False, add_generation_prompt=True
    )
    ids, answer = lm._encode_pair(prompt, "예")
    assert [*ids, *answer] == encode_rendered(smoke_tokenizer, [f"{prompt}예"])[0]
    assert [ids] == encode_rendered(smoke_tokenizer, [prompt])
    assert ids.count(smoke_tokenizer.bos_token_id) == (1 if name == "llama3" else 0)
