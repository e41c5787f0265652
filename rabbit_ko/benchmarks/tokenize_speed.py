"""Rows per second of this project's SFT strategy, of axolotl's own, and of the tokenizer alone, on the same rows.

Each strategy runs through axolotl's own dataset wrapper, without the tokenizer's threads, as axolotl's own
commands. The contenders take turns, round by round, and ratios are the medians of each round's. No text comes in two
rounds, since a tokenizer may remember it; that one is loaded and proved, once for a data set, is in the round before.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from prompt_strategies.template import QIR, render_answer, render_prompt
from rabbit_ko.benchmarks.report import describe_machine, markdown_table, ratio, speeds
from rabbit_ko.recipes import GUARD
from rabbit_ko.terminal import say, silence

STRATEGY = "prompt_strategies.qir"


def bench_tokenizing(shards: Path, tokenizer_path: str, rows: int, rounds: int) -> None:
    """Time the strategies on so many rows of SFT shards, repeated where there are fewer; print a table."""
    import datasets
    from axolotl.integrations.base import PluginManager
    from transformers import AutoTokenizer

    silence()
    datasets.disable_caching()
    datasets.disable_progress_bars()
    PluginManager.get_instance().register(GUARD)
    built = datasets.load_dataset(str(shards), split="train")["messages"]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    seconds: dict[str, list[float]] = {}
    # The first round warms up.
    for number in range(rounds + 1):
        conversations = [_exchange(built[row % len(built)], row + number * rows) for row in range(rows)]
        texts = [render_prompt(QIR, messages[:-1]) + render_answer(messages[-1]) for messages in conversations]
        for name, run in _contenders(tokenizer, conversations, texts).items():
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            start = perf_counter()
            run()
            seconds.setdefault(name, []).append(perf_counter() - start)
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) / rows
    say(describe_machine("axolotl", "datasets", "transformers", "tokenizers", "fastokens"))
    say(f"{rows:,} rows of {tokens:.0f} tokens, tokenizer {Path(tokenizer_path).name}, {rounds} rounds")
    say(f"The first round of `{STRATEGY}`: {seconds[f'`{STRATEGY}`'][0]:.1f} s\n")
    own = seconds[f"`{STRATEGY}`"][1:]
    lines = [[name, ratio(times[1:], own), *speeds(rows, times[1:])] for name, times in seconds.items()]
    say(markdown_table(("", f"`{STRATEGY}` against it", "rows/s", "fastest and slowest"), lines))


def _contenders(tokenizer: Any, conversations: list[Any], texts: list[str]) -> dict[str, Callable[[], Any]]:
    return {
        f"`{STRATEGY}`": _wrapped(tokenizer, STRATEGY, {"messages": conversations}),
        "axolotl's `alpaca`": _wrapped(tokenizer, "alpaca", _alpaca(conversations)),
        "axolotl's `chat_template`": _wrapped(tokenizer, "chat_template", {"messages": conversations}),
        "`encode_batch_fast`": partial(_encode, tokenizer, texts, "false"),
        "`encode_batch_fast`, all cores": partial(_encode, tokenizer, texts, "true"),
    }


def _exchange(messages: list[dict[str, str]], number: int) -> list[dict[str, str]]:
    """Return a single exchange, which is all that alpaca's format can hold, with texts of its own."""
    system = messages[:1] if messages[0]["role"] == "system" else []
    return [*system, *({**message, "content": f"{number}. {message['content']}"} for message in messages[-2:])]


def _alpaca(conversations: list[list[dict[str, str]]]) -> dict[str, list[str]]:
    return {
        "instruction": [messages[-2]["content"] for messages in conversations],
        "input": [messages[0]["content"] if len(messages) == 3 else "" for messages in conversations],
        "output": [messages[-1]["content"] for messages in conversations],
    }


def _wrapped(tokenizer: Any, strategy: str, columns: dict[str, Any]) -> Callable[[], Any]:
    from axolotl.utils.data.wrappers import get_dataset_wrapper
    from axolotl.utils.dict import DictDefault
    from datasets import Dataset

    entry = DictDefault(type=strategy, field_messages="messages", chat_template="llama3", path="")
    cfg = DictDefault(sequence_len=8_192, dataset_num_proc=0, datasets=[entry], train_on_inputs=False)
    return partial(get_dataset_wrapper, entry, tokenizer, cfg, strategy, Dataset.from_dict(columns), None)


def _encode(tokenizer: Any, texts: list[str], parallelism: str) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = parallelism
    for start in range(0, len(texts), 1_000):
        tokenizer.backend_tokenizer.encode_batch_fast(texts[start : start + 1_000], add_special_tokens=False)
