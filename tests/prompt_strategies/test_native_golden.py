"""What is trained of a few rows in Llama-3.2's format and in Qwen3's: golden files, and a count by other means."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.messages import Messages
from tests.prompt_strategies.conversations import ROWS, as_given
from tests.prompt_strategies.native_golden import (
    KINDS,
    TEMPLATES,
    Trained,
    dpo,
    golden,
    sft,
    text_of,
)

# What stands before an answer, as the makers write it.
BEFORE_ANSWERS = {
    "llama_3_2": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen3": "<|im_start|>assistant\n",
    "qwen3_of_axolotl": "<|im_start|>assistant\n<think>\n\n",
}
# Llama's takes one call at a time, and no reasoning; axolotl's for Qwen3 begins to think in its generation prompt.
DROPPED = {
    ("llama_3_2", "parallel calls"),
    ("llama_3_2", "reasoning"),
    ("llama_3_2", "reasoning and a call"),
    ("qwen3_of_axolotl", "reasoning"),
    ("qwen3_of_axolotl", "reasoning and a call"),
}


@pytest.fixture(params=TEMPLATES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each golden."""
    return str(request.param)


@pytest.fixture
def tokenizer(name: str, native: Callable[[str], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    """Its tokenizer."""
    return native(TEMPLATES[name])


def test_the_text_and_the_ids_are_golden(name: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    assert text_of(tokenizer, tmp_path) == golden(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_token_is_trained_or_not_as_its_place_in_the_text_says(
    name: str, tokenizer: PreTrainedTokenizerBase, row: str, kind: str
) -> None:
    found = sft(kind, tokenizer, row)
    if (name, row) in DROPPED:
        assert len(found) < len(targets(kind, ROWS[row][0]))
    else:
        assert found == expected(tokenizer, row, kind, BEFORE_ANSWERS[name])


@pytest.mark.parametrize("row", ROWS)
def test_dpo_reads_the_last_target_of_sft(
    name: str, tokenizer: PreTrainedTokenizerBase, row: str, tmp_path: Path
) -> None:
    found = dpo(tokenizer, row, tmp_path)
    if (name, row) in DROPPED:
        assert found == []
        return
    chosen, rejected = found
    [(text, (start, end))] = rendered([ROWS[row][0]], ROWS[row][1], tokenizer, BEFORE_ANSWERS[name])
    assert chosen == by_offsets(tokenizer, text, [(start, end)])
    asked = [token for token in chosen if not token[1]]
    assert [token for token in rejected if not token[1]] == asked
    assert tokenizer.decode([token for token, trained in rejected if trained]).endswith(
        f"모르겠습니다.{tokenizer.eos_token}"
    )


def targets(kind: str, messages: Messages) -> list[Messages]:
    """The conversation up to each answer that is a target: all of them, or those since the last question."""
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    return [
        messages[: place + 1]
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and (place > last or kind == "native_every_turn")
    ]


def rendered(
    ends: list[Messages], tools: str | None, tokenizer: PreTrainedTokenizerBase, before: str
) -> list[tuple[str, tuple[int, int]]]:
    """The text of each conversation up to the end of its last turn, and where its last answer stands in it."""
    found = []
    for messages in ends:
        text = apply(tokenizer, messages, tools)
        end = text.rindex(tokenizer.eos_token) + len(tokenizer.eos_token)
        found.append((text[:end], (text.rindex(before) + len(before), end)))
    return found


def apply(tokenizer: PreTrainedTokenizerBase, messages: Messages, tools: str | None) -> str:
    given: list[Any] = [as_given(dict(message)) for message in messages]
    listed = json.loads(tools) if tools else None
    return str(tokenizer.apply_chat_template(given, tools=listed, tokenize=False))


def expected(tokenizer: PreTrainedTokenizerBase, row: str, kind: str, before: str) -> list[Trained]:
    """What SFT has to make of a row: one sequence for all targets of which each is the beginning of the next."""
    messages, tools = ROWS[row]
    sequences: list[tuple[str, list[tuple[int, int]]]] = []
    for text, span in rendered(targets(kind, messages), tools, tokenizer, before):
        if sequences and text.startswith(sequences[-1][0]):
            sequences[-1] = (text, [*sequences[-1][1], span])
        else:
            sequences.append((text, [span]))
    return [by_offsets(tokenizer, text, spans) for text, spans in sequences]


def by_offsets(tokenizer: PreTrainedTokenizerBase, text: str, spans: list[tuple[int, int]]) -> Trained:
    """The ids of a text, and whether each stands in one of the spans."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return [
        (token, any(start <= begin and end <= stop for start, stop in spans))
        for token, (begin, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]
