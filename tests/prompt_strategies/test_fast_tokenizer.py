"""Ids by `fastokens` are the tokenizer's own, or are not used."""

import random
import sys
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import fastokens
import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from dataset_builders.rows import Conversation, Row
from prompt_strategies import fast_tokenizer, qir, qir_every_turn
from prompt_strategies.fast_tokenizer import AWKWARD, encode_fast, prove
from prompt_strategies.template import QIR, render_answer, render_prompt
from prompt_strategies.tokens import encode
from tests.conftest import SHARED, hostile_rows
from tests.prompt_strategies.test_exactness import real_conversations
from tests.prompt_strategies.test_other_tokenizers import make

RANGES = [(0, 0x7F), (0x80, 0x36F), (0x1100, 0x11FF), (0xAC00, 0xD7A3), (0x2000, 0x206F), (0x1F300, 0x1FAFF)]


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said in the log; no tokenizer is proved yet, and few texts make a full batch."""
    lines: list[str] = []
    monkeypatch.setattr(fast_tokenizer, "_proved", WeakKeyDictionary())
    monkeypatch.setattr(fast_tokenizer, "FULL_BATCH", 10)
    monkeypatch.setattr(fast_tokenizer.LOG, "warning", lambda line, *values: lines.append(line % values))
    return lines


def hostile_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Look-alikes, the tokenizer's own added tokens in and beside other text, and random characters of all kinds."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    draw = random.Random(7)
    mixed = [
        "".join(chr(draw.randint(*draw.choice([*RANGES, (0xE000, 0x10FFFF)]))) for _ in range(draw.randint(1, 40)))
        for _ in range(2_000)
    ]
    texts = [text for text, _ in hostile_rows()]
    return [*texts, *AWKWARD, *mixed, *(text for token in added for text in (f"앞{token} {token}뒤", token[:-1]))]


def lists(ids: Any) -> list[list[int]]:
    """Ids as lists, whatever they are in."""
    return [[int(number) for number in row] for row in ids]


def test_hostile_texts_have_the_tokenizers_own_ids(tokenizer: PreTrainedTokenizerBase, said: list[str]) -> None:
    texts = hostile_texts(tokenizer)
    fast = prove(tokenizer, texts)
    assert fast
    assert said == []
    assert lists(fast(tokenizer, texts)) == encode(tokenizer, texts)


@pytest.mark.slow
def test_real_rows_have_the_tokenizers_own_ids(tokenizer: PreTrainedTokenizerBase) -> None:
    if not (SHARED / "data").exists():
        pytest.skip(f"{SHARED}/data is absent; point RABBIT_KO_SHARED at a folder with data/chatbot and data/hub")
    rows = real_conversations()
    texts = [text for row in rows for text in (render_prompt(QIR, row[:-1]), render_answer(row[-1]))]
    fast = prove(tokenizer, [])
    assert fast
    assert len(rows) >= 40_000
    differing = [
        text
        for text, *ids in zip(texts, *map(lists, (fast(tokenizer, texts), encode(tokenizer, texts))), strict=True)
        if ids[0] != ids[1]
    ]
    assert differing == []


@pytest.mark.parametrize(("before", "after"), [([], []), ([1], []), ([], [2]), ([1, 2], [3, 4, 5])])
def test_ids_before_and_after_each_text_are_as_the_tokenizers(
    smoke_tokenizer: PreTrainedTokenizerBase, before: list[int], after: list[int]
) -> None:
    fast = prove(smoke_tokenizer, [])
    assert fast
    texts = ["", *AWKWARD, "", ""]
    assert lists(fast(smoke_tokenizer, texts, before, after)) == encode(smoke_tokenizer, texts, before, after)
    assert lists(fast(smoke_tokenizer, [], before, after)) == []


@pytest.mark.parametrize("module", [qir, qir_every_turn])
def test_the_strategys_tables_are_the_same_and_so_is_what_it_drops(
    tokenizer: PreTrainedTokenizerBase,
    smoke_rows: list[Row],
    module: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped: list[str] = []
    monkeypatch.setattr("prompt_strategies.tokens.LOG.warning", lambda line, *values: dropped.append(line % values))
    rows = [row.messages for row in smoke_rows if isinstance(row, Conversation)]
    rows += [[*rows[0][-2:], *rows[1][-2:], *rows[2][-2:]], [rows[0][-2], *rows[1][-2:]]]
    tables = {}
    for encoder in (encode_fast, encode):
        monkeypatch.setattr("prompt_strategies.sft.encode_fast", encoder)
        for sequence_len in (40, 100, 200, 8_192):
            strategy = module.load(tokenizer, SimpleNamespace(sequence_len=sequence_len))
            tables[encoder, sequence_len] = strategy.tokenize_prompt({"messages": rows})
    assert fast_tokenizer._proved[tokenizer][1] is not encode
    assert all(table.equals(tables[encode, length]) for (_, length), table in tables.items())
    assert dropped[:4] == dropped[4:]
    assert "without their oldest exchanges" in "".join(dropped)
    assert len({len(table) for table in tables.values()}) > 2


def test_special_tokens_in_text_stay_text_and_other_added_tokens_stay_tokens(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    added = tokenizer.added_tokens_decoder
    texts = [f"앞 {token.content} 뒤" for token in added.values()] * 10
    found = lists(encode_fast(tokenizer, texts))
    assert fast_tokenizer._proved[tokenizer][1] is not encode
    for (number, token), ids in zip([*added.items()] * 10, found, strict=True):
        assert (number in ids) is not token.special, token


def test_one_wrong_id_is_noticed_and_the_tokenizer_does_the_work(
    smoke_tokenizer: PreTrainedTokenizerBase, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneIdOff:
        """The first id of one awkward text is another."""

        def __init__(self, content: str) -> None:
            self.true = fastokens.Tokenizer.from_json_str(content)

        def encode_batch_flat(self, texts: list[str]) -> tuple[bytes, bytes]:
            ids, offsets = self.true.encode_batch_flat(texts)
            changed = np.frombuffer(ids, np.uint32).copy()
            changed[np.frombuffer(offsets, np.uint64)[texts.index(AWKWARD[7])]] += 1
            return changed.tobytes(), offsets

    monkeypatch.setattr(fast_tokenizer, "_load", OneIdOff)
    texts = [f"{number}번째 글" for number in range(20)]
    assert encode_fast(smoke_tokenizer, texts) == encode(smoke_tokenizer, texts)
    assert encode_fast(smoke_tokenizer, texts) == encode(smoke_tokenizer, texts)
    [line] = said
    assert line.startswith(
        f"tokenizer {type(smoke_tokenizer).__name__}: encoded at its own speed, since fastokens has"
    )
    assert "대한민국" not in line


def test_a_wrong_id_in_the_rows_at_hand_is_noticed_too(
    smoke_tokenizer: PreTrainedTokenizerBase, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class WrongOnOneWord:
        """It has no ids for texts with a word in them that is not awkward."""

        def __init__(self, content: str) -> None:
            self.true = fastokens.Tokenizer.from_json_str(content)

        def encode_batch_flat(self, texts: list[str]) -> tuple[bytes, bytes]:
            flat: tuple[bytes, bytes] = self.true.encode_batch_flat([text.replace("번째", "") for text in texts])
            return flat

    monkeypatch.setattr(fast_tokenizer, "_load", WrongOnOneWord)
    texts = [f"{number}번째 글" for number in range(20)]
    assert encode_fast(smoke_tokenizer, texts) == encode(smoke_tokenizer, texts)
    assert len(said) == 1
    assert "번째" in said[0]


def test_a_tokenizer_that_fastokens_reads_otherwise_does_the_work_itself(said: list[str]) -> None:
    tokenizer, texts = make([("질", "문")]), ["질문 답"] * 20
    assert encode_fast(tokenizer, texts) == encode(tokenizer, texts)
    assert ["fastokens has other ids" in line for line in said] == [True]


def test_a_tokenizer_that_fastokens_refuses_does_the_work_itself(said: list[str]) -> None:
    tokenizer, texts = make([("질", "문")], metaspace=True), ["질문 답"] * 20
    assert encode_fast(tokenizer, texts) == encode(tokenizer, texts)
    assert ["fastokens cannot read it: " in line and "Metaspace" in line for line in said] == [True]


def test_a_tokenizer_that_got_another_token_is_proved_anew(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    grown = deepcopy(smoke_tokenizer)
    texts = ["글 <new> 글"] * 20
    before = lists(encode_fast(grown, texts))
    grown.add_tokens(["<new>"])
    assert lists(encode_fast(grown, texts)) == encode(grown, texts) != before


def test_a_text_that_fastokens_gives_up_on_is_encoded_by_the_tokenizer_from_there_on(
    smoke_tokenizer: PreTrainedTokenizerBase, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*_: Any) -> Any:
        raise ValueError("JIT stack limit reached")

    monkeypatch.setitem(fast_tokenizer._proved, smoke_tokenizer, (len(smoke_tokenizer), give_up))
    assert encode_fast(smoke_tokenizer, ["글"] * 20) == encode(smoke_tokenizer, ["글"] * 20)
    assert encode_fast(smoke_tokenizer, ["글"] * 20) == encode(smoke_tokenizer, ["글"] * 20)
    [line] = said
    assert "encoded at its own speed from here on: JIT stack limit reached" in line


def test_without_fastokens_the_tokenizer_does_the_work_and_nothing_is_said(
    smoke_tokenizer: PreTrainedTokenizerBase, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastokens", None)
    assert encode_fast(smoke_tokenizer, ["글"] * 20) == encode(smoke_tokenizer, ["글"] * 20)
    assert said == []


def test_for_a_few_texts_no_other_tokenizer_is_loaded(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    assert encode_fast(smoke_tokenizer, ["글"] * 9) == encode(smoke_tokenizer, ["글"] * 9)
    assert smoke_tokenizer not in fast_tokenizer._proved
