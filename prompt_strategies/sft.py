"""The SFT strategy: rows of `messages` become input ids and labels, and only the answer and its EOS are trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from axolotl.integrations.base import PluginManager
from axolotl.prompt_tokenizers import PromptTokenizingStrategy
from transformers import PreTrainedTokenizerBase

from prompt_strategies.fast_tokenizer import encode_fast
from prompt_strategies.messages import Messages, Targets
from prompt_strategies.template import Template, render_answer, source_fingerprint
from prompt_strategies.tokens import Dropped, Encode, Example, encode, log_dropped, tokenize
from rabbit_ko.recipes import GUARD

IGNORE_INDEX = -100


def require_guard() -> None:
    """Raise SystemExit where the guard is not registered: axolotl only logs a plugin that it cannot import."""
    if GUARD not in PluginManager.get_instance().plugins:
        raise SystemExit(
            f"the guard is not loaded, so nothing would check this run: name `- {GUARD}` under `plugins:`, and if it "
            f"is there, see what `python -c 'import {GUARD.rsplit('.', 1)[0]}'` says"
        )


class SftStrategy(PromptTokenizingStrategy):
    """Axolotl's batched strategy over a `messages` column."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, sequence_len: int, template: Template, targets: Targets
    ) -> None:
        super().__init__(None, tokenizer, train_on_inputs=False, sequence_len=sequence_len)
        self.template = template
        self.targets = targets
        # `datasets` keys its own cache by this object's state, which the code below is no part of.
        self.source = source_fingerprint()

    @property
    def supports_batched(self) -> bool:
        return True

    def tokenize_prompt(self, prompt: dict[str, list[Any]]) -> pa.Table:
        """Tokenize a batch of rows; rows that cannot be trained are dropped and counted in the log."""
        rows = self.examples(prompt["messages"], encode_fast)
        log_dropped(rows, self.sequence_len)
        return to_columns([row for row in rows if isinstance(row, Example)])

    def examples(self, conversations: Sequence[Messages], encode: Encode = encode) -> list[Example | Dropped]:
        """Tokenize each target of the conversations, in order; by the tokenizer itself unless told otherwise."""
        targets = [target for messages in conversations for target in self.targets(messages)]
        prompts = [target[:-1] for target in targets]
        answers = [(render_answer(target[-1]) if target[-1]["role"] == "assistant" else "",) for target in targets]
        return tokenize(self.tokenizer, self.template, prompts, answers, self.sequence_len, encode)


def to_columns(examples: Sequence[Example]) -> pa.Table:
    """Lay examples out as `input_ids`, `labels` and `attention_mask`, each a column of n lists in one flat array."""
    prompt_lengths = np.fromiter((len(example.prompt) for example in examples), np.int32, len(examples))
    lengths = prompt_lengths + np.fromiter((len(example.answers[0]) for example in examples), np.int32, len(examples))
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    parts = [part for example in examples for part in (example.prompt, example.answers[0])]
    ids = np.concatenate([[], *parts], dtype=np.int32, casting="unsafe")
    position = np.arange(len(ids), dtype=np.int32) - np.repeat(offsets[:-1], lengths)
    columns = {
        "input_ids": ids,
        "labels": np.where(position < np.repeat(prompt_lengths, lengths), np.int32(IGNORE_INDEX), ids),
        "attention_mask": np.ones(len(ids), np.int8),
    }
    return pa.table({name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()})
