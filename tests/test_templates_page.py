"""docs/templates.md shows rows as the code renders them, every reason to drop one, and a report as it is printed."""

import json
import re
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from dataset_builders.rows import Conversation
from dataset_builders.sources import SOURCES
from prompt_strategies.messages import last_answer
from prompt_strategies.native_template import TODAY
from prompt_strategies.renderer import renderer_for
from prompt_strategies.sft import join_prefixes
from prompt_strategies.template import PREFERENCES, TEMPLATES
from prompt_strategies.tokens import Dropped, Example, Sample
from rabbit_ko.cli import main
from tests.conftest import ROOT
from tests.stages import in_llama_format, save_base

PAGE = (ROOT / "docs/templates.md").read_text(encoding="utf-8")
ROW, ROW_WITH_CALLS = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


def trained(kind: str, tokenizer: PreTrainedTokenizerBase, raw: dict[str, Any]) -> list[Example | Dropped]:
    """The row as the source `messages` reads it, and a stage of this type trains it."""
    row = SOURCES["messages"].convert(raw, "page")
    assert isinstance(row, Conversation)
    samples = [Sample(target[:-1], (target[-1],), row.tools) for target in last_answer(row.messages)]
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


def test_every_type_of_preferences_is_named_and_how_a_new_template_has_its_own() -> None:
    extending = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    for suffix in PREFERENCES.values():
        assert f"`<name>{suffix}`" in extending
        assert [name for name in TEMPLATES if f"`{name}{suffix}`" not in PAGE] == []


def test_the_page_shows_one_row_as_each_template_trains_it(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    llama = in_llama_format(smoke_tokenizer)
    for kind, tokenizer in (("qir", smoke_tokenizer), ("iir", smoke_tokenizer), ("native", llama)):
        assert shown(tokenizer, kind, ROW) in PAGE
    assert f"{TODAY:%d %b %Y}" in PAGE


@pytest.mark.parametrize("tokenizer", ["qwen3"], indirect=True)
def test_the_page_shows_a_row_with_calls_and_reasoning_as_qwen3_trains_it(tokenizer: PreTrainedTokenizerBase) -> None:
    assert shown(tokenizer, "native", ROW_WITH_CALLS) in PAGE


def test_rows_with_calls_or_reasoning_are_dropped_by_the_other_templates(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    for kind in ("qir", "iir"):
        assert set(trained(kind, smoke_tokenizer, ROW_WITH_CALLS)) == {Dropped.NOT_RENDERED}


def test_the_page_names_every_reason_to_drop_a_row() -> None:
    assert {reason.value for reason in Dropped} == set(re.findall(r"^\| `([^`]+)` \| ", PAGE, re.MULTILINE))


def test_the_report_on_the_page_is_what_the_command_prints(
    smoke_tokenizer: PreTrainedTokenizerBase, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stops = smoke_tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eot_id|>"])
    base = "runs/smoke-native/base"
    save_base(in_tmp / base, in_llama_format(smoke_tokenizer), eos_token_id=stops)
    assert f"rabbit template check {base}`" in PAGE
    with pytest.raises(SystemExit):
        main(["template", "check", base])
    report = capsys.readouterr().out.partition("\nAs it would be trained")[0].rstrip()
    assert f"```\n{report}\n```" in PAGE
