"""Conversations through three doors: SFT, TRL's own tokenization, and the saved tokenizer's chat template."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dataset_builders.rows import assistant
from prompt_strategies import iir, qir
from prompt_strategies.chat_template import chat_template
from prompt_strategies.dpo import to_preference_texts
from prompt_strategies.messages import Messages
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import QIR, Template
from tests.prompt_strategies.trl import tokenize_with_trl

SEQUENCE_LEN = 16_384


def saved(tokenizer: PreTrainedTokenizerBase, folder: Path, template: Template = QIR) -> Any:
    """The tokenizer as a run leaves it on disk, with the project's chat template."""
    before, tokenizer.chat_template = tokenizer.chat_template, chat_template(template)
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = before
    return AutoTokenizer.from_pretrained(folder)


def mismatches(
    tokenizer: PreTrainedTokenizerBase,
    served: Any,
    conversations: Sequence[Messages],
    folder: Path,
    template: Template = QIR,
) -> list[str]:
    """Describe each way in which a conversation is not the same, token for token, through the three doors.

    Each conversation is also a preference pair, whose rejected answer ends with two more characters.
    """
    batch: dict[str, list[Any]] = {
        "prompt": [messages[:-1] for messages in conversations],
        "chosen": [messages[-1:] for messages in conversations],
        "rejected": [[assistant(f"{messages[-1]['content']}?!")] for messages in conversations],
    }
    texts = to_preference_texts(batch, tokenizer=tokenizer, template=template, sequence_len=SEQUENCE_LEN, source="")
    preferences = tokenize_with_trl(Dataset.from_dict(texts), tokenizer, folder)
    strategy = (qir if template is QIR else iir).load(tokenizer, SimpleNamespace(sequence_len=SEQUENCE_LEN))
    trained = strategy.tokenize_prompt({"messages": list(conversations)}).to_pydict()
    prompts = served.apply_chat_template(batch["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
    found = []
    if not len(preferences) == len(trained["input_ids"]) == len(conversations):
        found.append(f"{len(conversations)} rows, {len(trained['input_ids'])} in SFT, {len(preferences)} in DPO")
    rows = zip(conversations, trained["input_ids"], trained["labels"], prompts, preferences, strict=False)
    for messages, ids, labels, prompt, preference in rows:
        answer = [label for label in labels if label != IGNORE_INDEX]
        same = {
            "the mask's edge": labels == [IGNORE_INDEX] * (len(ids) - len(answer)) + answer
            and ids[: -len(answer)] == prompt,
            "one BOS": ids.count(tokenizer.bos_token_id) == (tokenizer.bos_token_id is not None),
            "one EOS": ids.count(tokenizer.eos_token_id) == 1 and answer[-1] == tokenizer.eos_token_id,
            "the answer": decoded(tokenizer, answer[:-1]) == normalised(tokenizer, messages[-1]["content"].strip()),
            "the DPO prompt": preference["prompt_ids"] == prompt,
            "the DPO answer": preference["chosen_ids"] == answer,
        }
        found += [f"{name}: {messages!r}" for name, holds in same.items() if not holds]
    return found


def decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text of token ids, as it is."""
    text: str = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    return text


def normalised(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text as the tokenizer reads it; Qwen's composes characters (NFC)."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer.normalize_str(text) if normalizer else text
