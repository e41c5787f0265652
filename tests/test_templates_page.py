"""docs/templates.md shows rows as the code renders them, every reason to drop one, and a report as it is printed."""

import json
import re
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

from transformers import PreTrainedTokenizerBase

from prompt_strategies.messages import last_answer
from prompt_strategies.native_renderer import TODAY
from prompt_strategies.renderer import Sample, renderer_for
from prompt_strategies.sft import join_prefixes
from prompt_strategies.tokens import Dropped, Example
from tests.conftest import ROOT
from tests.stages import in_llama_format

PAGE = (ROOT / "docs/templates.md").read_text(encoding="utf-8")
ROW, ROW_WITH_CALLS = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


def as_row(raw: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """A row's messages and tools, calls and tools as JSON."""
    messages = [
        {**turn, "tool_calls": json.dumps(turn["tool_calls"], ensure_ascii=False)} if "tool_calls" in turn else turn
        for turn in raw["messages"]
    ]
    return messages, json.dumps(raw["tools"], ensure_ascii=False) if "tools" in raw else None


def trained(kind: str, tokenizer: PreTrainedTokenizerBase, raw: dict[str, Any]) -> list[Example | Dropped]:
    """The row as a stage of this type trains it."""
    messages, tools = as_row(raw)
    samples = [Sample(target[:-1], (target[-1],), tools) for target in last_answer(messages)]
    return join_prefixes(renderer_for(f"prompt_strategies.{kind}", tokenizer).tokenize(samples, 4_096))


def as_diff(tokenizer: PreTrainedTokenizerBase, example: Example) -> Iterator[str]:
    """The lines of an example, those that are trained with a plus; no line is both."""
    edges = (0, *chain.from_iterable(example.earlier), len(example.prompt))
    spans = [(example.prompt[start:end], number % 2) for number, (start, end) in enumerate(pairwise(edges))]
    spans.append((example.answers[0], 1))
    letters = [(letter, mark) for ids, mark in spans for letter in tokenizer.decode(ids)]
    text, marks = "".join(letter for letter, _ in letters), [mark for _, mark in letters]
    for line in re.finditer(r"[^\n]*\n|[^\n]+", text):
        width = len(line[0].rstrip("\n")) or 1
        inside = set(marks[line.start() : line.start() + width])
        assert len(inside) == 1
        yield f"{'+' if inside == {1} else ' '} {line[0]}".rstrip()


def shown(tokenizer: PreTrainedTokenizerBase, kind: str, raw: dict[str, Any]) -> str:
    """The block that the page has to show."""
    [example] = trained(kind, tokenizer, raw)
    assert isinstance(example, Example)
    lines = list(as_diff(tokenizer, example))
    start = lines.index("  <|im_start|>user") if raw is ROW_WITH_CALLS else 0
    return "\n".join(["```diff", *lines[start:], "```"])


def test_the_page_shows_one_row_as_each_template_trains_it(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    llama = in_llama_format(smoke_tokenizer)
    for kind, tokenizer in (("qir", smoke_tokenizer), ("iir", smoke_tokenizer), ("native", llama)):
        assert shown(tokenizer, kind, ROW) in PAGE
    assert f"{TODAY:%d %b %Y}" in PAGE
