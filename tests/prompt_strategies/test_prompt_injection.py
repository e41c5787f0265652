"""Text that would pass for a control token or for a turn is found in any disguise, and harmless text is not."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from prompt_strategies import iir, qir
from prompt_strategies.preferences import examples, pairs, to_pair_texts
from prompt_strategies.prompt_injection import escape, find_injection, has_fake_turn
from prompt_strategies.template import IIR, LABELS, QIR
from prompt_strategies.tokens import Example
from tests.conftest import hostile_rows
from tests.prompt_strategies.trl import tokenize_with_trl

HOSTILE = hostile_rows()


def test_the_corpus_holds_sixty_different_rows() -> None:
    assert len({text for text, _ in HOSTILE}) >= 60


@pytest.mark.parametrize(("text", "kind"), HOSTILE, ids=[json.dumps(text) for text, _ in HOSTILE])
def test_hostile_text_is_found(text: str, kind: str) -> None:
    assert find_injection(text) == kind
    assert find_injection(f"앞 문장입니다.\n{text}\n뒤 문장입니다.") == kind


@pytest.mark.parametrize(
    "text",
    [
        "## Question\n제목입니다",
        "#### Response:\n더 작은 제목",
        "### 질문:\n무엇인가요?",
        "문장 속의 ### Response: 는 줄의 처음이 아닙니다",
        "a < b | c > d, 그리고 [1, 2] 와 x[|i|]",
        "<b>굵게</b> <span> <|> <||> < | eot_id | >",
        "C# 과 F# 은 언어이고 #해시태그 는 아닙니다",
        "Question: 무엇인가요? Response: 이것입니다",
        "<think>생각</think>",
        "df = df[mask]\narr[pad] = 0\nlogits[eos], line[sep], tokens[INST]",
        "<svg><mask id='m'></mask></svg> [CLS] 문장 [SEP] 과 [MASK] 는 BERT의 것입니다",
    ],
)
def test_harmless_text_is_not(text: str) -> None:
    assert find_injection(text) is None
    assert escape(text) == text


@pytest.mark.parametrize("template", [QIR, IIR])
def test_every_heading_of_the_templates_is_one_that_is_looked_for(template: Any) -> None:
    for part in (template.question, template.instruction, template.response):
        assert has_fake_turn(part)
        assert part.split(":")[0].removeprefix("### ") in LABELS


@pytest.mark.parametrize(("text", "kind"), HOSTILE, ids=[json.dumps(text) for text, _ in HOSTILE])
def test_escaped_text_is_harmless_unless_it_was_in_disguise(text: str, kind: str) -> None:
    escaped = escape(text)
    assert escaped.replace("\\", "") == text.replace("\\", "")
    assert (find_injection(escaped) is None) == (escaped != text)


def test_every_special_token_of_a_tokenizer_is_found(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.all_special_tokens
    for token in tokenizer.added_tokens_decoder.values():
        assert not token.special or find_injection(f"글 {token.content} 글") == "control token"


def messages(*contents: str) -> list[dict[str, str]]:
    """A conversation of these contents, user first."""
    return [{"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(contents)]


def hostile_conversations() -> list[list[dict[str, str]]]:
    """Each hostile text as instruction, history, question and answer."""
    conversations = []
    for text, _ in HOSTILE:
        conversations.append([{"role": "system", "content": text}, *messages("질문", "답")])
        conversations += [messages(text, "답", "질문", "답"), messages("질문", text, "질문", "답")]
        conversations += [messages(text, "답"), messages("질문", text)]
    return conversations


@pytest.mark.parametrize("module", [qir, iir])
def test_hostile_rows_bring_no_control_token_and_no_turn_into_sft(
    module: Any, tokenizer: PreTrainedTokenizerBase
) -> None:
    strategy = module.load(tokenizer, SimpleNamespace(sequence_len=4096))
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    bos = 0 if tokenizer.bos_token_id is None else 1
    conversations = hostile_conversations()
    kept = 0
    for conversation in conversations:
        for ids in strategy.tokenize_prompt({"messages": [conversation]}).to_pydict()["input_ids"]:
            kept += 1
            assert not special & set(ids[bos:-1])
            assert ids[-1] == tokenizer.eos_token_id
            turns = len(conversation) // 2
            assert tokenizer.decode(ids).count("\n### Response:\n") == turns
    assert 0 < kept < len(conversations)


def test_hostile_rows_bring_no_control_token_and_no_turn_into_dpo(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Any
) -> None:
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    bos = 0 if tokenizer.bos_token_id is None else 1
    conversations = hostile_conversations()
    for flip in (False, True):
        batch = {
            "prompt": [conversation[:-1] for conversation in conversations],
            "chosen": [conversation[-1:] for conversation in conversations],
            "rejected": [[{"role": "assistant", "content": "다른 답"}] for _ in conversations],
        }
        if flip:
            batch["chosen"], batch["rejected"] = batch["rejected"], batch["chosen"]
        texts = to_pair_texts(batch, tokenizer=tokenizer, template=QIR, sequence_len=4096, rl="dpo", source="")
        assert 0 < len(texts["prompt"]) < len(conversations)
        kept = zip(conversations, examples(pairs(batch), tokenizer, QIR, 4096, "dpo"), strict=True)
        turns = iter([len(conversation) // 2 for conversation, row in kept if isinstance(row, Example)])
        for row in tokenize_with_trl(Dataset.from_dict(texts), tokenizer, tmp_path):
            for ids in (row["chosen_ids"], row["rejected_ids"]):
                assert not special & set(row["prompt_ids"][bos:] + ids[:-1])
                assert ids[-1] == tokenizer.eos_token_id
            assert tokenizer.decode(row["prompt_ids"]).count("### Response:\n") == next(turns)
