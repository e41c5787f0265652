"""Every turn in one sequence trains the same tokens as one row a target does, in fewer."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from tests.prompt_strategies.measure_every_turn import conversations, measure

Native = Callable[[str], PreTrainedTokenizerBase]


def test_a_stable_template_trains_the_same_answers_in_one_row_a_conversation(native: Native) -> None:
    rows = [*conversations(60)]
    joined, alone = measure(native("llama4"), rows)
    assert joined.trained == alone.trained > 0
    assert 0.9 * len(rows) < joined.rows <= len(rows) < alone.rows
    assert joined.tokens < 0.8 * alone.tokens


def test_a_template_that_writes_earlier_answers_otherwise_trains_one_row_a_target(native: Native) -> None:
    joined, alone = measure(native("qwen3_5"), [*conversations(60)])
    assert joined == alone
