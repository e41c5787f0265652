"""Answers are drawn for the ids of training, each of a batch that nothing else changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import yaml
from axolotl.utils.chat_templates import get_chat_template
from transformers import PreTrainedTokenizerBase

from dataset_builders.recipe import load_config
from dataset_builders.rows import user
from prompt_strategies.native_renderer import NativeRenderer
from prompt_strategies.native_template import with_fixed_date
from prompt_strategies.renderer import renderer_for
from prompt_strategies.template import QIR, render_prompt
from prompt_strategies.tokens import encode_prompts, encode_rendered
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation import models
from rabbit_ko.evaluation.models import Sampling, generate, load_stage
from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.pairs.answers import NO_TEMPLATE, TOO_LONG, Answers, plan_answers
from rabbit_ko.pairs.config import PromptsConfig, SamplingConfig
from rabbit_ko.pairs.prompts import find_prompts
from rabbit_ko.pairs.records import Prompt
from rabbit_ko.recipes import Recipe
from tests.rabbit_ko.pairs.making import WORDS

pytestmark = pytest.mark.usefixtures("recipe")
HOW = SamplingConfig(n=2, max_new_tokens=6, batch_size=4)


def prompts(most: int = 6) -> list[Prompt]:
    """Return the first prompts of the recipe."""
    recipe = Recipe("smoke")
    return find_prompts(recipe, PromptsConfig(max_prompts=most), load_config(recipe.data_config)).taken


def plan(how: SamplingConfig = HOW, some: Sequence[Prompt] | None = None, journal: str = "a.jsonl") -> Answers:
    """Plan the answers of the base."""
    stage = find_stage("smoke", "base")
    return plan_answers(stage, None, "fingerprint", prompts() if some is None else some, how, Path(journal))


def asked_ids(answers: Answers) -> list[list[int]]:
    """Make the answers; return the ids of each prompt that reached the model's `generate`, without padding."""
    found: list[list[int]] = []
    whole = models.load_stage

    def load(stage: Stage) -> tuple[Any, Any]:
        model, tokenizer = whole(stage)
        say = model.generate

        def spied(**options: Any) -> Any:
            for ids, mask in zip(options["input_ids"], options["attention_mask"], strict=True):
                found.append(ids[mask.bool()].tolist())
            return say(**options)

        model.generate = spied
        return model, tokenizer

    with patch("rabbit_ko.pairs.answers.load_stage", load):
        answers.make()
    return found


def test_the_ids_that_are_asked_in_qir_are_those_of_sft(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    some = prompts()
    texts = [render_prompt(QIR, prompt.messages) for prompt in some]
    assert asked_ids(plan(some=some)) == encode_prompts(smoke_tokenizer, texts)


def test_the_ids_that_are_asked_in_native_are_those_of_sft(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    file = Path("axolotl_configs/smoke/sft.yaml")
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    for entry in (*config["datasets"], *config["test_datasets"]):
        entry["type"] = "prompt_strategies.native"
    config |= {"chat_template": "llama3", "special_tokens": {"eos_token": "<|eot_id|>"}}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    some, stage = prompts(), find_stage("smoke", "base")
    tokenizer = models.load_tokenizer(stage)
    assert tokenizer.chat_template == with_fixed_date(get_chat_template("llama3"))
    renderer = renderer_for("prompt_strategies.native", tokenizer)
    assert isinstance(renderer, NativeRenderer)
    trained = encode_rendered(tokenizer, [renderer.render(prompt.messages) for prompt in some])
    assert asked_ids(plan(some=some)) == trained


def test_an_answer_does_not_depend_on_what_was_answered_before_it() -> None:
    whole = plan(journal="whole.jsonl")
    whole.make()
    assert len({answer.text for answer in whole.known.values()}) > 1
    lines = Path("whole.jsonl").read_text().splitlines(keepends=True)
    for kept in (lines[1::2], lines[:5], lines[5:]):
        Path("a.jsonl").write_text("".join(kept))
        resumed = plan()
        assert resumed.missing == len(lines) - len(kept)
        resumed.make()
        assert resumed.known == whole.known
        assert sorted(Path("a.jsonl").read_text().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_new_tokens": 5},
        {"stop": ["끝"]},
    ],
)
def test_other_settings_ask_anew(change: dict[str, Any]) -> None:
    answers = plan()
    answers.make()
    assert plan().missing == 0
    other = plan(HOW.model_copy(update=change))
    assert other.missing == len(other.keys) * other.sampling.n


def test_a_smaller_batch_or_another_number_of_answers_keeps_those_that_are_there() -> None:
    answers = plan()
    answers.make()
    assert plan(HOW.model_copy(update={"batch_size": 2})).missing == 0
    more = plan(HOW.model_copy(update={"n": 3}))
    assert more.missing == len(more.keys)
    more.make()
    assert more.known.items() >= answers.known.items()
    assert plan(HOW.model_copy(update={"n": 3})).missing == 0


def test_the_answers_to_a_prompt_differ_with_the_seed_alone() -> None:
    first, again, other = (
        plan(HOW.model_copy(update={"seed": seed}), journal=f"{number}.jsonl")
        for number, seed in enumerate((0, 0, 1))
    )
    for answers in (first, again, other):
        answers.make()
    texts = [[[answer.text for answer in each.of(prompt)] for prompt in prompts()] for each in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]


def test_what_cannot_be_asked_has_a_reason_and_is_not_asked() -> None:
    good = user("수도는?")
    some = [
        Prompt("long", "s", [user("가나다라 " * 400)]),
        Prompt("odd", "s", [good, good]),
        Prompt("good", "s", [good]),
    ]
    answers = plan(some=some)
    assert answers.dropped == {"long": TOO_LONG, "odd": NO_TEMPLATE}
    answers.make()
    assert {json.loads(line)["id"] for line in Path("a.jsonl").read_text().splitlines()} == {"good"}


def test_sampling_stops_at_a_word_and_says_which_answers_ended() -> None:
    model, tokenizer = load_stage(find_stage("smoke", "base"))
    messages = [{"role": "user", "content": "수도는?"}]
    free = generate(model, tokenizer, [messages] * 2, 20, Sampling(8, 1.0, 1.0, 1))
    assert len(free) == 16
    assert {answer.is_cut for answer in free} == {True, False}
    assert all(len(answer.text) > 20 for answer in free if answer.is_cut)
    word = WORDS[0].strip()
    stopped = generate(model, tokenizer, [messages] * 2, 20, Sampling(8, 1.0, 1.0, 1, (word,)))
    assert not any(word in answer.text for answer in stopped)
    cut_at_word = [answer for answer, whole in zip(stopped, free, strict=True) if word in whole.text]
    assert cut_at_word
    assert not any(answer.is_cut for answer in cut_at_word)


def test_the_model_s_own_sampling_defaults_do_not_count() -> None:
    model, tokenizer = load_stage(find_stage("smoke", "base"))
    messages = [{"role": "user", "content": "수도는?"}]
    before = generate(model, tokenizer, [messages], 20, Sampling(8, 1.0, 1.0, 1))
    model.generation_config.update(top_k=1, repetition_penalty=1.7, temperature=0.1, top_p=0.1)
    assert generate(model, tokenizer, [messages], 20, Sampling(8, 1.0, 1.0, 1)) == before


def test_a_batch_that_is_too_large_for_the_gpu_is_one_line() -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model, tokenizer = load_stage(find_stage("smoke", "base"))
    model.generate = full
    with pytest.raises(UserError, match="a batch of 1 prompts does not fit into the GPU's memory; lower its size"):
        generate(model, tokenizer, [[{"role": "user", "content": "수도는?"}]], 5)
