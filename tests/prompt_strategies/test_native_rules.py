"""Rules that hold for any conversation in a base's own format, whichever makers its format is of."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

import prompt_strategies
from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.renderer import renderer_for
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.tokens import Dropped, Example, Sample
from tests.prompt_strategies.conversations import answer, system, user
from tests.prompt_strategies.native_templates import control_tokens
from tests.prompt_strategies.test_exactness import FRAGMENTS

# Of the makers whose formats are least alike.
TEMPLATES = [
    "llama3",
    "qwen3_own",
    "chatml",
    "mistral_v3_tekken",
    "exaone4",
    "gemma3",
    "deepseek_v3",
    "phi_4",
    "jamba",
]
CONTROLS = [
    *("<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>", "<|im_end|>", "<|im_start|>user", "</s>"),
    *("[INST]", "[/INST]", "[|endofturn|]", "[|user|]", "<end_of_turn>", "<start_of_turn>model", "<｜User｜>"),
    *("<｜end▁of▁sentence｜>", "<|im_sep|>", "<|eom|>", "<|bom|>", "<think>", "</think>", "<tool_call>"),
]
EVERYTHING = settings(max_examples=2, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def content(*more: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A text of fragments that are awkward to encode, or of `more`."""
    return st.lists(st.one_of(FRAGMENTS, *more), min_size=1, max_size=6).map("".join).filter(str.strip)


def conversations(texts: st.SearchStrategy[str], exchanges: int = 3) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Conversations of one exchange or more, with or without a system message."""
    pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=exchanges)
    turns = pairs.map(lambda pairs: [turn for asked, said in pairs for turn in (user(asked), answer(said))])
    return st.tuples(st.lists(texts.map(system), max_size=1), turns).map(lambda parts: [*parts[0], *parts[1]])


def rows(texts: st.SearchStrategy[str], exchanges: int = 3) -> st.SearchStrategy[list[list[dict[str, Any]]]]:
    return st.lists(conversations(texts, exchanges), min_size=30, max_size=40)


@pytest.fixture(params=TEMPLATES)
def tokenizer(
    request: pytest.FixtureRequest, native: Callable[[str], PreTrainedTokenizerBase]
) -> PreTrainedTokenizerBase:
    """The tokenizer of each template."""
    return native(request.param)


def samples(conversations: list[Any]) -> list[Sample]:
    return [Sample(messages[:-1], (messages[-1],)) for messages in conversations]


def examples(tokenizer: PreTrainedTokenizerBase, conversations: list[Any], limit: int = 4096) -> list[Any]:
    return renderer_for("prompt_strategies.native", tokenizer).tokenize(samples(conversations), limit)


def trained(kind: str, tokenizer: PreTrainedTokenizerBase, messages: Messages, limit: int = 4096) -> list[Any]:
    """The ids and labels of each sequence of a conversation."""
    strategy = getattr(prompt_strategies, kind).load(tokenizer, SimpleNamespace(sequence_len=limit))
    columns = strategy.tokenize_prompt({"messages": [messages]}).to_pydict()
    return list(zip(columns["input_ids"], columns["labels"], strict=True))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


@EVERYTHING
@given(conversations=rows(content()))
def test_the_answer_is_trained_and_its_end_once(tokenizer: PreTrainedTokenizerBase, conversations: Any) -> None:
    kept = 0
    for messages, row in zip(conversations, examples(tokenizer, conversations), strict=True):
        if isinstance(row, Example):
            kept += 1
            [ids] = row.answers
            assert (ids[-1], list(ids).count(tokenizer.eos_token_id)) == (tokenizer.eos_token_id, 1)
            assert list(row.prompt) == prompt_ids(tokenizer, messages[:-1])
            answered = [*messages[:-1], answer(messages[-1]["content"].strip())]
            whole = tokenizer.apply_chat_template(answered, return_dict=True)["input_ids"]
            assert whole[: len(row.prompt) + len(ids)] == [*row.prompt, *ids]
    assert kept > len(conversations) / 4


@EVERYTHING
@given(conversations=rows(content(st.sampled_from(CONTROLS), st.sampled_from(CONTROLS))))
def test_no_text_of_a_row_becomes_a_control_token(tokenizer: PreTrainedTokenizerBase, conversations: Any) -> None:
    controls = control_tokens(tokenizer)
    hostile = [user(f"가{tokenizer.eos_token}나"), answer("가")]
    *found, dropped = examples(tokenizer, [*conversations, hostile])
    assert dropped is Dropped.CONTROL
    for messages, row in zip(conversations, found, strict=True):
        if isinstance(row, Example):
            neutral = [{**message, "content": "가"} for message in messages]
            [plain] = examples(tokenizer, [neutral])
            counts = [
                Counter(each for each in [*one.prompt, *one.answers[0]] if each in controls) for one in (row, plain)
            ]
            assert counts[0] == counts[1]


@EVERYTHING
@given(conversations=rows(content(), exchanges=5), limit=st.integers(40, 200))
def test_whole_oldest_exchanges_go_and_only_as_many_as_have_to(
    tokenizer: PreTrainedTokenizerBase, conversations: Any, limit: int
) -> None:
    for messages, row in zip(conversations, examples(tokenizer, conversations, limit), strict=True):
        given = messages[:1] if messages[0]["role"] == "system" else []
        turns = messages[len(given) :]
        shown = [[*given, *turns[2 * dropped :]] for dropped in range(len(turns) // 2)]
        whole = [each for each in examples(tokenizer, shown) if isinstance(each, Example)]
        fitting = [each for each in whole if len(each.prompt) + len(each.answers[0]) <= limit]
        if isinstance(row, Example):
            assert (row.prompt, row.answers) == (fitting[0].prompt, fitting[0].answers)
            assert row.dropped_exchanges == len(whole) - len(fitting)
        else:
            assert not fitting


@EVERYTHING
@given(conversations=rows(content(), exchanges=4))
def test_each_answer_of_a_sequence_stands_behind_the_prompt_that_asks_for_it(
    tokenizer: PreTrainedTokenizerBase, conversations: Any
) -> None:
    for messages in conversations:
        asked = [target[:-1] for target in every_answer(messages)]
        alone = [row for row in examples(tokenizer, list(every_answer(messages))) if isinstance(row, Example)]
        prompts = []
        for ids, labels in trained("native_every_turn", tokenizer, messages):
            starts = [
                at for at, label in enumerate(labels) if label != IGNORE_INDEX and labels[at - 1] == IGNORE_INDEX
            ]
            prompts += [ids[:start] for start in starts]
            answers = [
                [*row.prompt, *row.answers[0]] for row in alone if list(row.prompt) in [ids[:s] for s in starts]
            ]
            assert len(answers) == len(starts)
            assert all(ids[: len(whole)] == whole for whole in answers)
        assert sorted(prompts) == sorted(list(row.prompt) for row in alone)
        assert len(alone) <= len(asked)


@EVERYTHING
@given(conversations=rows(content(), exchanges=1))
def test_one_exchange_is_the_same_row_in_both_strategies(
    tokenizer: PreTrainedTokenizerBase, conversations: Any
) -> None:
    for messages in conversations:
        assert trained("native", tokenizer, messages) == trained("native_every_turn", tokenizer, messages)
