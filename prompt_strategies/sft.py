"""The SFT strategy: rows of `messages` become input ids and labels, and only the answer and its EOS are trained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import pyarrow as pa
from axolotl.integrations.base import PluginManager
from axolotl.prompt_tokenizers import PromptTokenizingStrategy
from transformers import PreTrainedTokenizerBase

from prompt_strategies.fast_tokenizer import encode_fast
from prompt_strategies.messages import Targets
from prompt_strategies.renderer import bind
from prompt_strategies.template import Native, Template, source_fingerprint
from prompt_strategies.tokens import Dropped, Encode, Example, Sample, encode, log_dropped
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
    """Axolotl's batched strategy over a `messages` column, and one of `tools` where there is one."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, sequence_len: int, template: Template | Native, targets: Targets
    ) -> None:
        super().__init__(None, tokenizer, train_on_inputs=False, sequence_len=sequence_len)
        self.renderer = bind(template, tokenizer)
        self.targets = targets
        # `datasets` keys its own cache by this object's state, which the code below is no part of.
        self.source = source_fingerprint()

    @property
    def supports_batched(self) -> bool:
        return True

    def tokenize_prompt(self, prompt: dict[str, list[Any]]) -> pa.Table:
        """Tokenize a batch of rows; rows that cannot be trained are dropped and counted in the log."""
        rows = [*chain.from_iterable(self.examples(prompt, encode_fast))]
        log_dropped(rows, self.sequence_len)
        return to_columns([row for row in rows if isinstance(row, Example)])

    def examples(
        self, batch: Mapping[str, Sequence[Any]], encode: Encode = encode
    ) -> Iterator[list[Example | Dropped]]:
        """Yield the examples of each row of a batch, in order; encoded by the tokenizer itself unless told otherwise.

        Targets share one where the prompt and answer of each are the beginning of the next one's prompt.
        """
        rows = zip(batch["messages"], batch.get("tools") or repeat(None), strict=False)
        samples = [
            [Sample(target[:-1], (target[-1],), tools) for target in self.targets(messages)]
            for messages, tools in rows
        ]
        found = iter(self.renderer.tokenize([*chain.from_iterable(samples)], self.sequence_len, encode))
        for targets in samples:
            yield join_prefixes(islice(found, len(targets)))


def join_prefixes(targets: Iterable[Example | Dropped]) -> list[Example | Dropped]:
    """Let an example take the place of the one before where its prompt begins with that one's prompt and answer."""
    joined: list[Example | Dropped] = []
    for row in targets:
        before = joined[-1] if joined else None
        if isinstance(before, Example) and isinstance(row, Example):
            start, end = len(before.prompt), len(before.prompt) + len(before.answers[0])
            if list(row.prompt[:end]) == [*before.prompt, *before.answers[0]]:
                joined[-1] = replace(row, earlier=(*before.earlier, (start, end)))
                continue
        joined.append(row)
    return joined


def to_columns(examples: Sequence[Example]) -> pa.Table:
    """Lay examples out as `input_ids`, `labels` and `attention_mask`, each a column of n lists in one flat array."""
    prompt_lengths = np.fromiter((len(example.prompt) for example in examples), np.int32, len(examples))
    lengths = prompt_lengths + np.fromiter((len(example.answers[0]) for example in examples), np.int32, len(examples))
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    parts = [part for example in examples for part in (example.prompt, example.answers[0])]
    ids = np.concatenate([[], *parts], dtype=np.int32, casting="unsafe")
    position = np.arange(len(ids), dtype=np.int32) - np.repeat(offsets[:-1], lengths)
    labels = np.where(position < np.repeat(prompt_lengths, lengths), np.int32(IGNORE_INDEX), ids)
    for offset, example in zip(offsets.tolist(), examples, strict=False):
        for start, end in example.earlier:
            labels[offset + start : offset + end] = ids[offset + start : offset + end]
    columns = {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": np.ones(len(ids), np.int8),
    }
    return pa.table({name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()})
