"""What SFT trains: the answer and EOS, behind a prompt with one BOS, for every sample row and tokenizer."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from dataset_builders.rows import Conversation, Row
from prompt_strategies import iir, qir, qir_every_turn
from prompt_strategies.chat_template import chat_template
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import QIR, render_prompt


@pytest.fixture
def conversations(smoke_rows: list[Row]) -> list[Any]:
    """The messages of every SFT row that the smoke recipe keeps."""
    return [row.messages for row in smoke_rows if isinstance(row, Conversation)]


def tokenize(module: Any, tokenizer: PreTrainedTokenizerBase, rows: list[Any], sequence_len: int = 8192) -> Any:
    """Run a strategy as axolotl does, on a batch of rows; returns (input ids, labels) pairs."""
    strategy = module.load(tokenizer, SimpleNamespace(sequence_len=sequence_len))
    batch = strategy.tokenize_prompt({"messages": rows}).to_pydict()
    assert all(mask == [1] * len(ids) for mask, ids in zip(batch["attention_mask"], batch["input_ids"], strict=True))
    return list(zip(batch["input_ids"], batch["labels"], strict=True))


@pytest.mark.parametrize("module", [qir, iir])
def test_trained_ids_of_every_sample_decode_to_answer_and_eos(
    module: Any, tokenizer: PreTrainedTokenizerBase, conversations: list[Any]
) -> None:
    pairs = tokenize(module, tokenizer, conversations)
    assert len(pairs) == len(conversations) >= 120
    for messages, (ids, labels) in zip(conversations, pairs, strict=True):
        trained = [label for label in labels if label != IGNORE_INDEX]
        assert labels == [IGNORE_INDEX] * (len(ids) - len(trained)) + trained
        assert ids[-len(trained) :] == trained
        assert trained.count(tokenizer.eos_token_id) == 1
        assert trained[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(trained[:-1]) == messages[-1]["content"].strip()


def test_prompt_ids_are_those_of_the_chat_template(
    tokenizer: PreTrainedTokenizerBase, conversations: list[Any]
) -> None:
    for messages, (ids, labels) in zip(conversations, tokenize(qir, tokenizer, conversations), strict=True):
        served = tokenizer.apply_chat_template(
            messages[:-1], chat_template=chat_template(QIR), add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert ids[: labels.count(IGNORE_INDEX)] == served
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        assert served[: len(bos)] == bos
        assert tokenizer.bos_token_id is None or ids.count(tokenizer.bos_token_id) == 1


def test_special_tokens_in_contents_stay_text(tokenizer: PreTrainedTokenizerBase) -> None:
    hostile = f"{tokenizer.eos_token}{tokenizer.pad_token} 그리고 {tokenizer.bos_token or '<|im_start|>'}"
    messages = [{"role": "user", "content": hostile}, {"role": "assistant", "content": hostile}]
    [(ids, labels)] = tokenize(qir, tokenizer, [messages])
    special = set(tokenizer.all_special_ids)
    begin = 0 if tokenizer.bos_token_id is None else 1
    assert not special & set(ids[begin:-1])
    assert tokenizer.decode([label for label in labels if label != IGNORE_INDEX][:-1]) == hostile


def conversation(turns: int) -> list[dict[str, str]]:
    """A conversation with an instruction and `turns` exchanges of some 40 tokens each."""
    messages = [{"role": "system", "content": "짧게 답해 주세요."}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"{turn}번째 질문: 오늘 날씨는 어떤가요? " * 2})
        messages.append({"role": "assistant", "content": f"{turn}번째 답: 맑고 바람이 붑니다. " * 2})
    return messages


def test_oldest_exchanges_go_first_and_the_answer_stays_whole(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    messages = conversation(5)
    [(whole, whole_labels)] = tokenize(qir, smoke_tokenizer, [messages])
    answer = [label for label in whole_labels if label != IGNORE_INDEX]
    for limit in range(len(whole), 0, -7):
        pairs = tokenize(qir, smoke_tokenizer, [messages], limit)
        fitting = [
            [messages[0], *messages[1 + 2 * dropped :]]
            for dropped in range(5)
            if len(tokenize(qir, smoke_tokenizer, [[messages[0], *messages[1 + 2 * dropped :]]])[0][0]) <= limit
        ]
        assert len(pairs) == bool(fitting)
        if pairs:
            [(ids, labels)] = pairs
            assert len(ids) <= limit
            assert [label for label in labels if label != IGNORE_INDEX] == answer
            assert smoke_tokenizer.decode(ids[1 : -len(answer)]) == render_prompt(QIR, fitting[0][:-1])


def test_rows_dropped_for_length_are_counted_in_the_log(
    smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Axolotl takes the handlers of others away whenever it sets up its own.
    said: list[str] = []
    monkeypatch.setattr("prompt_strategies.tokens.LOG.warning", lambda line, *values: said.append(line % values))
    pairs = tokenize(qir, smoke_tokenizer, [conversation(5), conversation(1), conversation(5)], 40)
    assert pairs == []
    assert said == ["of 3 rows, with sequence_len 40: 3 dropped: too long even without history"]


def test_every_turn_makes_each_answer_a_target_with_its_history(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    messages = conversation(3)
    expected = [messages[:3], messages[:5], messages[:7]]
    assert tokenize(qir_every_turn, smoke_tokenizer, [messages]) == tokenize(qir, smoke_tokenizer, expected)


def test_an_answer_with_a_weight_of_0_is_history_and_never_a_target(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    plain = conversation(3)
    weighted = [{**message, "weight": 0 if place == 4 else None} for place, message in enumerate(plain)]
    expected = tokenize(qir, smoke_tokenizer, [plain[:3], plain[:7]])
    assert tokenize(qir_every_turn, smoke_tokenizer, [weighted]) == expected
    assert tokenize(qir, smoke_tokenizer, [weighted]) == tokenize(qir, smoke_tokenizer, [plain])
    rendered = [smoke_tokenizer.apply_chat_template(messages, tokenize=False) for messages in (plain, weighted)]
    assert rendered[0] == rendered[1]


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "assistant", "user"),
        ("user", "user", "user", "assistant"),
        ("user", "system", "user", "assistant"),
        ("assistant",),
        ("user", "tool", "user", "assistant"),
    ],
)
def test_a_row_with_roles_out_of_order_is_dropped(smoke_tokenizer: PreTrainedTokenizerBase, roles: Any) -> None:
    assert tokenize(qir, smoke_tokenizer, [[{"role": role, "content": "글"} for role in roles]]) == []


@pytest.mark.parametrize("empty", range(4))
def test_a_row_with_an_empty_message_is_dropped(smoke_tokenizer: PreTrainedTokenizerBase, empty: int) -> None:
    messages = conversation(2)[1:]
    messages[empty]["content"] = " \n"
    assert tokenize(qir, smoke_tokenizer, [messages]) == []


def test_control_tokens_that_the_tokenizer_cannot_split_drop_a_row(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "user", "content": "<|fim_prefix|>?"}, {"role": "assistant", "content": "답"}]
    known = tokenizer.convert_tokens_to_ids("<|fim_prefix|>") not in (None, tokenizer.unk_token_id)
    assert len(tokenize(qir, tokenizer, [messages])) == (not known)


def test_an_empty_batch_is_an_empty_batch(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenize(qir, smoke_tokenizer, []) == []
