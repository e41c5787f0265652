"""Conversations through three doors: SFT, TRL's own tokenization, and the saved tokenizer's chat template."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

import prompt_strategies
from dataset_builders.rows import assistant
from prompt_strategies.fast_tokenizer import encode_fast
from prompt_strategies.messages import Messages
from prompt_strategies.preferences import to_pair_texts
from prompt_strategies.renderer import bind
from prompt_strategies.sft import IGNORE_INDEX, to_columns
from prompt_strategies.template import TEMPLATES
from prompt_strategies.tokens import Dropped, Example
from tests.prompt_strategies.trl import tokenize_with_trl

SEQUENCE_LEN = 16_384


@dataclass(frozen=True)
class Compared:
    """What is not the same through the three doors, in words, and the reasons why rows are dropped."""

    rows: int
    mismatches: list[str]
    dropped: Counter[str]


def saved(tokenizer: PreTrainedTokenizerBase, folder: Path, name: str = "qir") -> Any:
    """The tokenizer as a run leaves it on disk, with the chat template that belongs to the strategy."""
    before = tokenizer.chat_template
    tokenizer.chat_template = bind(TEMPLATES[name], tokenizer).chat_template
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = before
    return AutoTokenizer.from_pretrained(folder)


def compare(
    tokenizer: PreTrainedTokenizerBase,
    served: Any,
    conversations: Sequence[Messages],
    folder: Path,
    name: str = "qir",
) -> Compared:
    """Describe each way in which a conversation is not the same, token for token, through the three doors.

    Each conversation is also a preference pair, whose rejected answer ends with two more characters.
    """
    strategy = getattr(prompt_strategies, name).load(tokenizer, SimpleNamespace(sequence_len=SEQUENCE_LEN))
    rows = [row for [row] in strategy.examples({"messages": list(conversations)}, encode_fast)]
    trained = to_columns([row for row in rows if isinstance(row, Example)]).to_pydict()
    batch: dict[str, list[Any]] = {
        "prompt": [messages[:-1] for messages in conversations],
        "chosen": [messages[-1:] for messages in conversations],
        "rejected": [[assistant(f"{messages[-1]['content']}?!")] for messages in conversations],
    }
    texts = Dataset.from_dict(
        to_pair_texts(
            batch, tokenizer=tokenizer, template=TEMPLATES[name], sequence_len=SEQUENCE_LEN, rl="dpo", source=""
        )
    )
    preferences = tokenize_with_trl(texts, tokenizer, folder) if len(texts) else []
    kept = [messages for messages, row in zip(conversations, rows, strict=True) if isinstance(row, Example)]
    dropped = Counter(row.name for row in rows if isinstance(row, Dropped))
    return Compared(len(rows), mismatches(tokenizer, served, kept, trained, preferences, name), dropped)


def mismatches(
    tokenizer: PreTrainedTokenizerBase,
    served: Any,
    conversations: Sequence[Messages],
    trained: dict[str, list[list[int]]],
    preferences: Any,
    name: str,
) -> list[str]:
    """Describe what is not the same of rows that are kept, whose columns in SFT and in DPO these are."""
    asked = [messages[:-1] for messages in conversations]
    whole = [[*messages[:-1], assistant(messages[-1]["content"].strip())] for messages in conversations]
    prompts = _served_ids(served, asked, add_generation_prompt=True)
    answered = _served_ids(served, whole) if name == "native" else [[]] * len(whole)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    found = []
    if not len(preferences) == len(trained["input_ids"]) == len(conversations):
        found.append(f"{len(conversations)} rows, {len(trained['input_ids'])} in SFT, {len(preferences)} in DPO")
    rows = zip(conversations, trained["input_ids"], trained["labels"], prompts, answered, preferences, strict=False)
    for messages, ids, labels, prompt, all_ids, preference in rows:
        answer = [label for label in labels if label != IGNORE_INDEX]
        text, content = decoded(tokenizer, answer[:-1]), normalised(tokenizer, messages[-1]["content"].strip())
        same = {
            "the mask's edge": labels == [IGNORE_INDEX] * (len(ids) - len(answer)) + answer
            and ids[: -len(answer)] == prompt,
            "one BOS": ids.count(bos) == (prompt[:1] == [bos] if name == "native" else bos is not None),
            "one EOS": answer.count(eos) == 1 and answer[-1] == eos,
            "the answer": content in text if name == "native" else content == text and ids.count(eos) == 1,
            "the conversation": name != "native" or all_ids[: len(ids)] == ids,
            "the DPO prompt": preference["prompt_ids"] == prompt,
            "the DPO answer": preference["chosen_ids"] == answer,
        }
        found += [f"{promise}: {messages!r}" for promise, holds in same.items() if not holds]
    return found


def _served_ids(served: Any, conversations: Sequence[Messages], **options: bool) -> list[list[int]]:
    ids = served.apply_chat_template(conversations, return_dict=True, **options)["input_ids"] if conversations else []
    return list(ids)


def decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text of token ids, as it is."""
    text: str = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    return text


def normalised(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text as the tokenizer reads it; Qwen's composes characters (NFC)."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer.normalize_str(text) if normalizer else text
