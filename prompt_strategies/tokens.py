"""From text to token ids: samples and examples, and how texts are encoded."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from prompt_strategies.messages import Messages, without_oldest_exchange

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
class Sample:
    """A prompt and its answers, one in SFT and two in DPO; tools: the row's definitions of tools, in JSON."""

    prompt: Messages
    answers: tuple[Mapping[str, Any], ...]
    tools: str | None = None


@dataclass(frozen=True)
class Example:
    """A sample's texts as TRL is to read them, its prompt's ids with BOS, and its answers' with EOS.

    earlier: (start, end) of each earlier answer within the prompt that is trained as well.
    """

    text: str
    answer_texts: tuple[str, ...]
    prompt: Ids
    answers: tuple[Ids, ...]
    dropped_exchanges: int = 0
    earlier: tuple[tuple[int, int], ...] = ()


class Dropped(StrEnum):
    """Why a row cannot be trained."""

    TOO_LONG = "too long even without history"
    MALFORMED = "roles out of order, or an empty message"
    FAKE_TURN = "a heading of the template in a message"
    CONTROL = "a control token that the tokenizer would not read as text"
    READ_DIFFERENTLY = "TRL would read other tokens than SFT"
    NOT_RENDERED = "tools or reasoning, which the template does not render"
    REFUSED = "the chat template refuses it"
    CHANGED = "the chat template drops, moves or changes the text of a message"
    NOT_CONTINUED = "the chat template writes another prompt once there is an answer"
    NO_END = "the chat template does not end the answer with EOS"
    BOS_INSIDE = "the chat template writes BOS within the row"
    TURN_INSIDE = "the chat template begins a turn within the answer"
    MERGED = "the answer's first token would merge with the prompt's last"


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], before: Sequence[int] = (), after: Sequence[int] = ()
) -> list[list[int]]:
    """Encode texts as plain text, with ids before and after each: nothing in them becomes a special token."""
    return [[*before, *ids, *after] for ids in _encode(tokenizer, texts, as_text=True)]


def encode_rendered(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Encode texts that a chat template has rendered as `apply_chat_template` does, which reads control tokens."""
    return _encode(tokenizer, texts, as_text=False)


def _encode(tokenizer: Tokenizer, texts: Sequence[str], *, as_text: bool) -> list[list[int]]:
    if not texts:
        return []
    if not tokenizer.is_fast:
        ids = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=as_text)["input_ids"]
        return list(ids)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = as_text
    # Axolotl turns the tokenizer's own threads off; these stand in for them.
    threads = os.cpu_count() or 1
    size = -(-len(texts) // threads)
    parts = [list(texts[start : start + size]) for start in range(0, len(texts), size)]
    with ThreadPoolExecutor(threads) as pool:
        batches = pool.map(lambda part: backend.encode_batch_fast(part, add_special_tokens=False), parts)
        encoded = [encoding.ids for batch in batches for encoding in batch]
    backend.encode_special_tokens = False
    return encoded


def encode_answers(tokenizer: Tokenizer, answers: Sequence[str], encode: Encode = encode) -> Sequence[Ids]:
    """Encode answers as they are trained, each with the tokenizer's EOS after it."""
    return encode(tokenizer, answers, after=[tokenizer.eos_token_id])


def encode_prompts(tokenizer: Tokenizer, prompts: Sequence[str], encode: Encode = encode) -> Sequence[Ids]:
    """Encode prompts with one BOS in front where the tokenizer has a BOS token."""
    bos = tokenizer.bos_token_id
    return encode(tokenizer, prompts, before=[] if bos is None else [bos])


def fit(
    samples: Sequence[Sample], sequence_len: int, encode_all: Callable[[list[Sample]], Iterable[Example | Dropped]]
) -> list[Example | Dropped]:
    """Encode samples; whole oldest exchanges are dropped until prompt and longest answer fit into `sequence_len`."""
    rows: list[Example | Dropped] = [Dropped.TOO_LONG] * len(samples)
    pending, exchanges = dict(enumerate(samples)), 0
    while pending:
        too_long: dict[int, Sample] = {}
        for (index, sample), row in zip(pending.items(), encode_all([*pending.values()]), strict=True):
            if isinstance(row, Dropped):
                rows[index] = row
            elif len(row.prompt) + max(map(len, row.answers)) <= sequence_len:
                rows[index] = replace(row, dropped_exchanges=exchanges) if exchanges else row
            elif shorter := without_oldest_exchange(sample.prompt):
                too_long[index] = replace(sample, prompt=shorter)
        pending, exchanges = too_long, exchanges + 1
    return rows


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids that the tokenizer marks as special."""
    return frozenset(token for token, added in tokenizer.added_tokens_decoder.items() if added.special)


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


def written_bos(tokenizer: Tokenizer) -> str:
    """Return the text of BOS where the tokenizer has one but does not add it by itself, which TRL leaves it to do."""
    bos: str | None = tokenizer.bos_token
    return "" if bos is None or adds_bos(tokenizer) else bos
