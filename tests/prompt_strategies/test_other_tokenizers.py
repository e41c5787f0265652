"""Tokenizers that do not split where this project does: rows are encoded apart, or dropped, never read two ways."""

from pathlib import Path
from typing import Any

import pytest
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from axolotl_plugins.checks.base_model import check_tokenizer
from prompt_strategies import qir
from prompt_strategies.chat_template import chat_template
from prompt_strategies.preferences import examples, pairs, to_pair_texts
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import QIR
from prompt_strategies.tokens import Dropped, Example
from rabbit_ko.errors import UserError
from tests.prompt_strategies.test_sft import tokenize
from tests.prompt_strategies.trl import tokenize_with_trl

CHARACTERS = ["<eos>", "<bos>", *sorted({*"### Question:\nResponse: 질문답가나다", "▁"})]


def make(merges: list[tuple[str, str]], metaspace: bool = False) -> PreTrainedTokenizerFast:
    """A BPE tokenizer of single characters and the merges given, with no splitting before it."""
    tokens = [*CHARACTERS, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    else:
        tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", chat_template=chat_template(QIR)
    )


def row(answer: str) -> list[dict[str, str]]:
    """One exchange."""
    return [{"role": "user", "content": "질문"}, {"role": "assistant", "content": answer}]


@pytest.fixture
def merging() -> PreTrainedTokenizerBase:
    """It has one token for a newline with 답 behind it."""
    return make([("\n", "답")])


def test_an_answer_that_would_merge_with_the_prompt_is_encoded_apart_in_sft(merging: PreTrainedTokenizerBase) -> None:
    [(ids, labels)] = tokenize(qir, merging, [row("답")])
    prompt = merging.apply_chat_template(row("답")[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids == [*prompt, *merging.convert_tokens_to_ids(["답", "<eos>"])]
    assert labels[len(prompt) :] == ids[len(prompt) :]


def test_a_pair_whose_answer_would_merge_is_dropped_in_dpo_and_counted(merging: PreTrainedTokenizerBase) -> None:
    def tokenized(chosen: str, rejected: str) -> Any:
        batch = {"prompt": [row("가")[:-1]], "chosen": [row(chosen)[-1:]], "rejected": [row(rejected)[-1:]]}
        return examples(pairs(batch), merging, QIR, 1024, "dpo")[0]

    assert isinstance(tokenized("가", "나"), Example)
    assert tokenized("답", "나") is tokenized("나", "답") is Dropped.READ_DIFFERENTLY


def test_a_tokenizer_that_puts_a_space_before_each_text_is_refused(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "eos_token_id": 0}')
    cfg = DictDefault(base_model=str(tmp_path), datasets=[{"type": "prompt_strategies.qir"}])
    check_tokenizer(cfg, make([]), print)
    with pytest.raises(UserError, match="puts a space before each text"):
        check_tokenizer(cfg, make([], metaspace=True), print)


def test_trl_reads_one_bos_where_the_tokenizer_adds_none(tmp_path: Path) -> None:
    tokenizer = make([])
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    batch = {"prompt": [row("가")[:-1]], "chosen": [row("가")[-1:]], "rejected": [row("나")[-1:]]}
    texts = to_pair_texts(batch, tokenizer=tokenizer, template=QIR, sequence_len=1024, rl="dpo", source="")
    [preference] = tokenize_with_trl(Dataset.from_dict(texts), tokenizer, tmp_path)
    [(ids, labels)] = tokenize(qir, tokenizer, [row("가")])
    assert preference["prompt_ids"] == ids[: labels.count(IGNORE_INDEX)]
    assert (ids[0], ids.count(ids[0])) == (tokenizer.bos_token_id, 1)


def test_one_token_for_bos_and_eos_is_fine() -> None:
    tokenizer = make([])
    tokenizer.bos_token = "<eos>"
    [(ids, labels)] = tokenize(qir, tokenizer, [row("답")])
    assert (ids[0], ids[-1], labels[0]) == (0, 0, -100)
    assert 0 not in ids[1:-1]
