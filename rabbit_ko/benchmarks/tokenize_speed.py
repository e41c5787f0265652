"""Rows per second of this project's SFT strategy, of axolotl's own, and of the tokenizer alone, on the same rows.

Each strategy runs through axolotl's own dataset wrapper, in this process. Axolotl's command line turns off the
tokenizer's threads, and so does this; the tokenizer alone is timed both ways. The contenders take turns, round by
round, and ratios are the medians of each round's.
"""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from prompt_strategies.template import QIR, render_answer, render_prompt
from rabbit_ko.benchmarks.report import describe_machine, markdown_table, ratio, speeds
from rabbit_ko.recipes import GUARD

STRATEGY = "prompt_strategies.qir"
BATCH = 1_000
SEQUENCE_LEN = 8_192
HEADINGS = ("", f"`{STRATEGY}` against it", "rows/s", "fastest and slowest")

Conversations = list[list[dict[str, str]]]


def bench_tokenizing(shards: Path, tokenizer_path: str, rows: int, rounds: int) -> None:
    """Time the strategies on so many rows of a folder of SFT shards, and print a table in Markdown.

    tokenizer_path: a folder or a hub id. The shards' rows are repeated where there are fewer.
    """
    from transformers import AutoTokenizer

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    tokenizer, conversations = AutoTokenizer.from_pretrained(tokenizer_path), _conversations(shards, rows)
    texts = [render_prompt(QIR, messages[:-1]) + render_answer(messages[-1]) for messages in conversations]
    seconds = _take_turns(_contenders(tokenizer, conversations, texts), rounds)
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) / rows
    print(describe_machine("axolotl", "datasets", "transformers", "tokenizers"))
    print(f"{rows:,} rows of {tokens:.0f} tokens, tokenizer {Path(tokenizer_path).name}, {rounds} rounds\n")
    own = next(iter(seconds.values()))
    lines = [[name, ratio(times, own), *speeds(rows, times)] for name, times in seconds.items()]
    print(markdown_table(HEADINGS, lines))


def _conversations(shards: Path, count: int) -> Conversations:
    """Return single exchanges, which is all that alpaca's format can hold; no two are the same."""
    import datasets
    from axolotl.integrations.base import PluginManager

    datasets.disable_caching()
    datasets.disable_progress_bars()
    PluginManager.get_instance().register(GUARD)
    rows = datasets.load_dataset(str(shards), split="train")["messages"]
    conversations = []
    for number in range(count):
        messages = rows[number % len(rows)]
        system = messages[:1] if messages[0]["role"] == "system" else []
        question, answer = messages[-2:]
        conversations.append([*system, {**question, "content": f"{number}. {question['content']}"}, answer])
    return conversations


def _contenders(tokenizer: Any, conversations: Conversations, texts: list[str]) -> dict[str, Callable[[], Any]]:
    messages = {"messages": conversations}
    alpaca = {
        "instruction": [messages[-2]["content"] for messages in conversations],
        "input": [messages[0]["content"] if len(messages) == 3 else "" for messages in conversations],
        "output": [messages[-1]["content"] for messages in conversations],
    }
    return {
        f"`{STRATEGY}`": _wrapped(tokenizer, STRATEGY, messages),
        "axolotl's `alpaca`": _wrapped(tokenizer, "alpaca", alpaca),
        "axolotl's `chat_template`": _wrapped(tokenizer, "chat_template", messages),
        "`encode_batch_fast`": lambda: _encode(tokenizer, texts, "false"),
        "`encode_batch_fast`, all cores": lambda: _encode(tokenizer, texts, "true"),
    }


def _wrapped(tokenizer: Any, strategy: str, columns: dict[str, list[Any]]) -> Callable[[], Any]:
    from axolotl.utils.data.wrappers import get_dataset_wrapper
    from axolotl.utils.dict import DictDefault
    from datasets import Dataset

    dataset = Dataset.from_dict(columns)
    entry = DictDefault(type=strategy, field_messages="messages", chat_template="llama3", path="")
    cfg = DictDefault(sequence_len=SEQUENCE_LEN, dataset_num_proc=0, datasets=[entry], train_on_inputs=False)
    return lambda: get_dataset_wrapper(entry, tokenizer, cfg, strategy, dataset, None)


def _encode(tokenizer: Any, texts: list[str], parallelism: str) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = parallelism
    for start in range(0, len(texts), BATCH):
        tokenizer.backend_tokenizer.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False)


def _take_turns(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, but for a first one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, run in contenders.items():
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
    return {name: times[1:] for name, times in seconds.items()}
