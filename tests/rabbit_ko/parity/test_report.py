"""What is said of a door is a line on each thing that differs, whatever it is."""

import math
from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import QIR
from rabbit_ko.parity.answers import Token
from rabbit_ko.parity.report import DoorRecord, ParityRecord, as_table, describe
from rabbit_ko.parity.verdict import Outcome, Verdict
from rabbit_ko.terminal import Terminal
from tests.rabbit_ko.parity.compared import SAME

CUT = "### Question:\n가나다\n### Response:\n"
COMPARED = replace(
    SAME,
    answer=replace(SAME.answer, prompt=CUT, prompt_ids=(0, 9), prompt_tokens=2),
    tokens=(Token(40, -0.1), Token(1, -0.2)),
)


@pytest.fixture
def tokenizer(smoke_tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The smoke tokenizer with the recipe's prompt."""
    smoke_tokenizer.chat_template = chat_template(QIR)
    return smoke_tokenizer


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": False}, r"the prompt, from its character 18 on: here '\n### Resp"),
        ({"ids": False}, "the prompt, from its token 1 on: here ["),
        ({"count": False}, " tokens here and 2 there"),
        ({"first": 1, "chosen": 50, "gap": 0.25}, "less likely here by 0.2500"),
        ({"first": 1, "chosen": None, "gap": math.inf}, ": here its end, there '<|end_of_text|>'"),
        ({"first": 2, "chosen": 50, "gap": math.inf}, ", there its end"),
        ({"tokens": (Token(10**12, None),), "first": 0, "chosen": 50, "gap": math.inf}, ", there another"),
        ({"tokens": (Token(-1, None),), "first": 0, "chosen": 50, "gap": math.inf}, ", there another"),
    ],
)
def test_the_first_place_that_differs_is_shown_with_both_sides(
    tokenizer: PreTrainedTokenizerBase, change: dict[str, Any], expected: str
) -> None:
    shown = replace(COMPARED, **change)
    lines = [*describe(Outcome("door", "f32", [shown], Verdict.DIFFERENT, "why", shown), tokenizer)]
    assert lines[:2] == ["door: different: why", "  in row/1 (test)"]
    assert expected in "\n".join(lines[2:])
    assert all("\n" not in line for line in lines)


def test_a_door_that_is_the_same_is_one_line(tokenizer: PreTrainedTokenizerBase) -> None:
    assert [*describe(Outcome("door", "f32", [COMPARED]), tokenizer)] == ["door: same"]


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    door = DoorRecord(
        door="gguf-lora q4_k_m, as served",
        quant="q4_k_m",
        verdict=Verdict.DIFFERENT,
        why="",
        conversations=260,
        prompts=(260, 260),
        ids=(260, 260),
        counts=(260, 260),
        same=260,
        tokens=9_000,
        mean=1.234e-5,
        largest=10.98765,
        kl=1e-9,
        share=-0.093,
        ends=(260, 260),
    )
    untold = door.model_copy(update={"ids": (0, 0), "prompts": (0, 0), "counts": (0, 0), "mean": None, "share": None})
    record = ParityRecord(
        made_of="", files={}, asked={}, skipped=0, settings={}, doors=[door, untold], versions={}, at=""
    )
    Terminal(width=80).print(as_table(record))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "260/260 ids" in lines[1]
    assert "different" in lines[1]
