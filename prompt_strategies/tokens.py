"""From text to token ids: BOS and EOS, once each, and prompts that leave room for their answers."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Protocol

from prompt_strategies.messages import Messages, find_order_mistake, without_oldest_exchange
from prompt_strategies.prompt_injection import has_fake_turn
from prompt_strategies.template import Template, render_prompt

LOG = logging.getLogger(__name__)
# A list of numbers, or an array of int32.
Ids = Sequence[int]
# A PreTrainedTokenizerBase; builders import this package where transformers is not installed.
Tokenizer = Any


class Encode(Protocol):
    """What `encode` is."""

    def __call__(
        self, tokenizer: Tokenizer, texts: Sequence[str], before: Sequence[int] = (), after: Sequence[int] = ()
    ) -> Sequence[Ids]: ...


@dataclass(frozen=True)
class Example:
    """A prompt's text without BOS, its ids with BOS, and its answers' with EOS: one in SFT, two in DPO."""

    text: str
    prompt: Ids
    answers: tuple[Ids, ...]
    dropped_exchanges: int


class Dropped(StrEnum):
    """Why a row cannot be trained."""

    TOO_LONG = "too long even without history"
    MALFORMED = "roles out of order, or an empty message"
    FAKE_TURN = "a heading of the template in a message"
    CONTROL = "a control token that the tokenizer cannot read as text"
    READ_DIFFERENTLY = "TRL would read other tokens than SFT"


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], before: Sequence[int] = (), after: Sequence[int] = ()
) -> list[list[int]]:
    """Encode texts as plain text, with ids before and after each: nothing in them becomes a special token."""
    if not texts:
        return []
    if not tokenizer.is_fast:
        plain = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [[*before, *ids, *after] for ids in plain]
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    # Axolotl turns the tokenizer's own threads off; these stand in for them.
    threads = os.cpu_count() or 1
    size = -(-len(texts) // threads)
    parts = [list(texts[start : start + size]) for start in range(0, len(texts), size)]
    with ThreadPoolExecutor(threads) as pool:
        batches = pool.map(lambda part: backend.encode_batch_fast(part, add_special_tokens=False), parts)
        encoded = [[*before, *encoding.ids, *after] for batch in batches for encoding in batch]
    backend.encode_special_tokens = False
    return encoded


def encode_answers(tokenizer: Tokenizer, answers: Sequence[str], encode: Encode = encode) -> Sequence[Ids]:
    """Encode answers as they are trained, each with the tokenizer's EOS after it."""
    return encode(tokenizer, answers, after=[tokenizer.eos_token_id])


def encode_prompts(tokenizer: Tokenizer, prompts: Sequence[str], encode: Encode = encode) -> Sequence[Ids]:
    """Encode prompts with one BOS in front where the tokenizer has a BOS token."""
    bos = tokenizer.bos_token_id
    return encode(tokenizer, prompts, before=[] if bos is None else [bos])


def tokenize(
    tokenizer: Tokenizer,
    template: Template,
    prompts: Sequence[Messages],
    answers: Sequence[tuple[str, ...]],
    sequence_len: int,
    encode: Encode = encode,
) -> list[Example | Dropped]:
    """Tokenize rows; whole oldest exchanges are dropped until prompt and longest answer fit into `sequence_len`."""
    flat = iter(encode_answers(tokenizer, list(chain.from_iterable(answers)), encode))
    answer_ids = [tuple(islice(flat, len(texts))) for texts in answers]
    controls = _unsplittable(tokenizer)
    rows: list[Example | Dropped] = [
        _find_mistake(messages, texts, controls) or Dropped.TOO_LONG
        for messages, texts in zip(prompts, answers, strict=True)
    ]
    pending = {index: prompt for index, prompt in enumerate(prompts) if rows[index] is Dropped.TOO_LONG}
    dropped = 0
    while pending:
        rendered = [render_prompt(template, messages) for messages in pending.values()]
        too_long: dict[int, Messages] = {}
        for index, text, ids in zip(pending, rendered, encode_prompts(tokenizer, rendered, encode), strict=True):
            if len(ids) + max(map(len, answer_ids[index])) <= sequence_len:
                rows[index] = Example(text, ids, answer_ids[index], dropped)
            elif shorter := without_oldest_exchange(pending[index]):
                too_long[index] = shorter
        pending, dropped = too_long, dropped + 1
    return rows


def _find_mistake(messages: Messages, answers: tuple[str, ...], controls: tuple[str, ...]) -> Dropped | None:
    contents = [*answers, *(message["content"] for message in messages)]
    if find_order_mistake(messages, last="user") or not all(answers) or len(set(answers)) < len(answers):
        return Dropped.MALFORMED
    # A heading is a line, so that one look at all of them finds what one at each would.
    if has_fake_turn("\n".join(contents)):
        return Dropped.FAKE_TURN
    if controls and any("<|" in content and any(map(content.__contains__, controls)) for content in contents):
        return Dropped.CONTROL
    return None


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids that the tokenizer marks as special."""
    return frozenset(token for token, added in tokenizer.added_tokens_decoder.items() if added.special)


def _unsplittable(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return tokens in the form of control tokens that the tokenizer does not mark as special, as Qwen3's do."""
    added = tokenizer.added_tokens_decoder.values()
    return tuple(token.content for token in added if token.content.startswith("<|") and not token.special)


def log_dropped(rows: Sequence[Example | Dropped], sequence_len: int) -> None:
    """Say how many rows of a batch are dropped, and why, or lost their oldest exchanges."""
    dropped = Counter(row.value for row in rows if isinstance(row, Dropped))
    shortened = sum(isinstance(row, Example) and row.dropped_exchanges > 0 for row in rows)
    said = [f"{count} dropped: {reason}" for reason, count in sorted(dropped.items())]
    said += [f"{shortened} without their oldest exchanges"] if shortened else []
    if said:
        LOG.warning("of %d rows, with sequence_len %d: %s", len(rows), sequence_len, "; ".join(said))


def adds_bos(tokenizer: Tokenizer) -> bool:
    """Tell whether the tokenizer puts BOS in front of a text by itself; Llama-3's first public files do not."""
    return tokenizer.bos_token_id is not None and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
