"""Rows per second of this project's SFT strategy, of axolotl's own, and of the tokenizer alone, on the same rows.

    python -m rabbit_ko.benchmarks.tokenize data/smoke/sft runs/smoke/base

Each strategy runs through axolotl's own dataset wrapper, in this process. Axolotl's command line turns off the
tokenizer's threads, and so does this; the tokenizer alone is timed both ways. The contenders take turns, round by
round, and ratios are the medians of each round's.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import typer

from prompt_strategies.template import QIR, render_answer, render_prompt
from rabbit_ko.benchmarks.machine import describe

STRATEGY, ALPACA, CHAT_TEMPLATE = "prompt_strategies.qir", "alpaca", "chat_template"
LIMIT, ALL_CORES = "encode_batch_fast", "encode_batch_fast, all cores"
BATCH = 1_000
SEQUENCE_LEN = 8_192


def benchmark(
    shards: Annotated[Path, typer.Argument(help="a folder of SFT shards")],
    tokenizer_path: Annotated[str, typer.Argument(metavar="TOKENIZER", help="a folder or a hub id")],
    rows: Annotated[int, typer.Option(min=1, help="rows to tokenize; the shards' are repeated")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="how often each contender runs")] = 5,
) -> None:
    """Time the strategies and print a table in Markdown."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    tokenizer, conversations = _load(shards, tokenizer_path, rows)
    texts = [render_prompt(QIR, messages[:-1]) + render_answer(messages[-1]) for messages in conversations]
    contenders: dict[str, Callable[[], Any]] = {
        STRATEGY: _wrapped(tokenizer, STRATEGY, {"messages": conversations}),
        ALPACA: _wrapped(tokenizer, ALPACA, _alpaca_columns(conversations)),
        CHAT_TEMPLATE: _wrapped(tokenizer, CHAT_TEMPLATE, {"messages": conversations}),
        LIMIT: lambda: _encode(tokenizer, texts),
        ALL_CORES: lambda: _encode_on_all_cores(tokenizer, texts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            start = perf_counter()
            run()
            if number:  # the first round warms up
                seconds[name].append(perf_counter() - start)
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) / rows
    _print(
        seconds, rows, f"{rows:,} rows of {tokens:.0f} tokens, tokenizer {Path(tokenizer_path).name}, {rounds} rounds"
    )


def _load(shards: Path, tokenizer_path: str, count: int) -> tuple[Any, list[list[dict[str, str]]]]:
    """Return the tokenizer, and single exchanges, which is all that alpaca's format can hold."""
    import datasets
    from axolotl.integrations.base import PluginManager
    from transformers import AutoTokenizer

    from rabbit_ko.recipes import GUARD

    datasets.disable_caching()
    datasets.disable_progress_bars()
    PluginManager.get_instance().register(GUARD)
    rows = datasets.load_dataset(str(shards), split="train")["messages"]
    conversations = []
    for number in range(count):
        messages = rows[number % len(rows)]
        system = messages[:1] if messages[0]["role"] == "system" else []
        question, answer = messages[-2:]
        # No two rows are the same.
        conversations.append([*system, {**question, "content": f"{number}. {question['content']}"}, answer])
    return AutoTokenizer.from_pretrained(tokenizer_path), conversations


def _alpaca_columns(conversations: list[list[dict[str, str]]]) -> dict[str, list[str]]:
    return {
        "instruction": [messages[-2]["content"] for messages in conversations],
        "input": [messages[0]["content"] if len(messages) == 3 else "" for messages in conversations],
        "output": [messages[-1]["content"] for messages in conversations],
    }


def _wrapped(tokenizer: Any, kind: str, columns: dict[str, list[Any]]) -> Callable[[], Any]:
    from axolotl.utils.data.wrappers import get_dataset_wrapper
    from axolotl.utils.dict import DictDefault
    from datasets import Dataset

    dataset = Dataset.from_dict(columns)
    entry = DictDefault(type=kind, field_messages="messages", chat_template="llama3", path="")
    cfg = DictDefault(sequence_len=SEQUENCE_LEN, dataset_num_proc=0, datasets=[entry], train_on_inputs=False)
    return lambda: get_dataset_wrapper(entry, tokenizer, cfg, kind, dataset, None)


def _encode(tokenizer: Any, texts: list[str]) -> None:
    for start in range(0, len(texts), BATCH):
        tokenizer.backend_tokenizer.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False)


def _encode_on_all_cores(tokenizer: Any, texts: list[str]) -> None:
    with _parallelism("true"):
        _encode(tokenizer, texts)


@contextmanager
def _parallelism(value: str) -> Iterator[None]:
    before = os.environ["TOKENIZERS_PARALLELISM"]
    os.environ["TOKENIZERS_PARALLELISM"] = value
    yield
    os.environ["TOKENIZERS_PARALLELISM"] = before


def _print(seconds: dict[str, list[float]], rows: int, what: str) -> None:
    print(f"{describe('axolotl', 'datasets', 'transformers', 'tokenizers')}\n{what}\n")
    print(f"| | `{STRATEGY}` against it | rows/s | fastest and slowest |\n| --- | ---: | ---: | ---: |")
    for name, times in seconds.items():
        ratio = median(other / own for other, own in zip(times, seconds[STRATEGY], strict=True))
        speeds = [rows / time for time in times]
        print(f"| {name} | {ratio:.2f} | {median(speeds):,.0f} | {max(speeds):,.0f} to {min(speeds):,.0f} |")


if __name__ == "__main__":
    typer.run(benchmark)
