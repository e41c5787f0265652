"""Answers of a model in this process and behind a real server: the same, greedy, and never beyond the context."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation import models
from rabbit_ko.evaluation.judge import answers as answers_module
from rabbit_ko.evaluation.judge.answers import BATCH, Answers, Prompt, room_for_answer
from rabbit_ko.evaluation.judge.benches import BENCHES, Bench, find_bench
from rabbit_ko.evaluation.judge.questions import Question, conversation, load_questions
from rabbit_ko.evaluation.records import model_of
from rabbit_ko.evaluation.stages import Stage, fingerprint
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge.cli import ANSWERS, HUB, JUDGED, lines, result_of
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.serving import served

BASE = "runs/smoke/base"
LOGICKOR = BENCHES["logickor"]


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    """Run in a recipe's working directory, whose base is a random model."""
    smoke_tokenizer.save_pretrained(BASE)
    save_model(smoke_tokenizer, context=1024)


def save_model(tokenizer: PreTrainedTokenizerBase, context: int) -> None:
    """Write a random model with room for so many tokens."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=context, **sizes, **ends)
    LlamaForCausalLM(config).save_pretrained(BASE)


def plan(questions: list[Question], wanted: int = 6, bench: Bench = LOGICKOR) -> Answers:
    """The answers of the random model, of which those are read that are there."""
    stage = Stage("smoke", "base", BASE)
    planned = Answers(stage, None, model_of(stage), bench, questions, wanted)
    planned.read()
    return planned


def answers(questions: list[Question], wanted: int = 6, bench: Bench = LOGICKOR) -> dict[str, tuple[str, ...]]:
    """Answer questions with the random model."""
    planned = plan(questions, wanted, bench)
    planned.make()
    return {question.name: planned.of(question) for question in questions}


def test_answers_are_the_models_likeliest_and_the_second_follows_the_first(questions: list[Question]) -> None:
    model, tokenizer = models.load_stage(Stage("smoke", "base", BASE))
    found = answers(questions)
    for question in questions:
        first, second = found[str(question.id)]
        asked = conversation(LOGICKOR, question.turns)
        assert [first] == [answer.text for answer in models.generate(model, tokenizer, [asked], 6)]
        asked = conversation(LOGICKOR, question.turns, [first])
        assert [second] == [answer.text for answer in models.generate(model, tokenizer, [asked], 6)]


def test_answers_that_are_there_are_not_generated_and_the_model_is_not_loaded(
    questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = answers(questions)
    monkeypatch.setattr(answers_module, "load_stage", lambda _: pytest.fail("loaded"))
    assert answers(questions) == found
    assert len(lines(ANSWERS)) == 2 * len(questions)


def test_another_model_or_length_is_asked_again(
    questions: list[Question], smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    answers(questions[:1])
    answers(questions[:1], 7)
    assert len(lines(ANSWERS)) == 4
    save_model(smoke_tokenizer, context=900)
    answers(questions[:1])
    assert len(lines(ANSWERS)) == 6


class Recorded:
    """In place of generation: notes each batch with its limit, and answers with as many tokens as allowed."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Any], int]] = []

    def __call__(self, _: Any, tokenizer: Any, conversations: list[Any], limit: int) -> list[models.Answer]:
        self.batches.append((conversations, limit))
        word = tokenizer("가").input_ids[-1:]
        return [models.Answer(tokenizer.decode(word * limit), is_cut=True)] * len(conversations)


@pytest.mark.parametrize(("context", "wanted"), [(1024, 1024), (600, 1024), (600, 64), (100_000, 1024)])
def test_an_answer_is_as_long_as_asked_but_never_beyond_the_context(
    questions: list[Question],
    smoke_tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    context: int,
    wanted: int,
) -> None:
    save_model(smoke_tokenizer, context)
    recorded = Recorded()
    monkeypatch.setattr(answers_module, "generate", recorded)
    answers(questions, wanted)
    for conversations, limit in recorded.batches:
        assert 0 < limit <= wanted
        assert len(conversations) <= BATCH
        for messages in conversations:
            taken = smoke_tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
            assert len(taken["input_ids"]) + limit <= context
    if context == 100_000:
        assert [(len(batch), limit) for batch, limit in recorded.batches] == [(8, wanted), (4, wanted)] * 2


def test_a_question_that_fills_the_context_is_named(
    questions: list[Question], smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    save_model(smoke_tokenizer, context=48)
    with pytest.raises(
        UserError, match=r"question 1, turn 1: leaves no room for an answer in the model's context of 48"
    ):
        answers(questions)


@pytest.mark.parametrize("turns", [1, 3, 4])
def test_each_of_several_turns_sees_all_before_it_and_leaves_room_for_those_after(
    smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    save_model(smoke_tokenizer, context=300)
    recorded = Recorded()
    monkeypatch.setattr(answers_module, "generate", recorded)
    question = Question(id="q", turns=tuple(f"{number}?" for number in range(turns)))
    found = answers([question], 1024, Bench("own", "own.jsonl"))["q"]
    assert [len(conversations) for conversations, _ in recorded.batches] == [1] * turns
    for turn, (conversations, limit) in enumerate(recorded.batches):
        assert conversations[0] == conversation(Bench("own", ""), question.turns, found[:turn])
        assert 0 < limit <= 300 // (turns - turn)


def test_what_is_expected_stands_for_answers_that_are_not_there(questions: list[Question]) -> None:
    planned = plan(questions[:2])
    assert planned.missing == 4
    expected = planned.expected(questions[0])
    assert [text.startswith(questions[0].reference(turn)) for turn, text in enumerate(expected)] == [True, True]
    # A reference such as a number says nothing of how much an answer says.
    assert all(len(text) >= answers_module.USUAL for text in expected)
    planned.make()
    assert planned.missing == 0
    assert planned.expected(questions[0]) == planned.of(questions[0])


def test_a_first_answer_that_grows_when_it_is_read_again_is_named(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    model, tokenizer = models.load_stage(Stage("smoke", "base", BASE))
    messages = conversation(LOGICKOR, ("가?", "나?"), ["쀍" * 500])
    with pytest.raises(UserError, match=r"question 7, turn 2: .* context of 1,024; lower --max-new-tokens"):
        room_for_answer(model, tokenizer, Prompt("", "7", 2, messages, messages, 1), 64)


def test_a_run_without_a_server_answers_here(judge: Judge) -> None:
    servers = ["--judge-url", judge.url, "--judge-model", MODEL]
    arguments = ["judge", "--stage", "base", *servers, "--max-new-tokens", "5", "--hub-dir", HUB]
    result = rabbit(*arguments)
    assert result.exit_code == 0, result.output
    assert result_of().model.model_dump() == {
        "path": BASE,
        "fingerprint": fingerprint(BASE),
        "backend": "hf",
        "name": "",
    }
    assert len(lines(ANSWERS)) == 8
    assert rabbit(*arguments).stdout.endswith(result.stdout)
    assert len(judge.requests) == 8


@pytest.mark.slow
def test_a_real_server_gives_the_answers_that_the_model_gives_here(judge: Judge) -> None:
    here = answers(load_questions(find_bench("logickor", HUB)), 12)
    with served(f"transformers serve {BASE} --port PORT") as address:
        server = ["--model-url", f"{address}/v1", "--model-name", BASE]
        servers = ["--judge-url", judge.url, "--judge-model", MODEL, *server]
        program = [sys.executable, "-m", "rabbit_ko.cli", "judge", "--stage", "base", *servers]
        options = ["--hub-dir", HUB, "--max-new-tokens", "12", "--concurrency", "2"]
        variables = environment(PYTHONPATH=str(ROOT))
        done = subprocess.run([*program, *options], env=variables, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert {str(row["id"]): tuple(row["outputs"]) for row in lines(JUDGED)} == here
    assert result_of().model.backend == "openai"
