"""What the model is given to read: prompts with the ids of training, and how many do not fit into its context."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def encoded_apart(lm: Any, in_prompt: bool) -> Iterator[None]:
    """Encode a prompt and the answer that is weighed behind it apart, as in training.

    The harness encodes them together, and takes the line break at the prompt's end for a part of the answer.
    """
    if not in_prompt or not hasattr(lm, "_encode_pair"):
        yield
        return
    together = lm._encode_pair
    lm._encode_pair = lambda prompt, answer: (
        lm.tok_encode(prompt),
        lm.tok_encode(answer, add_special_tokens=False),
    )
    try:
        yield
    finally:
        lm._encode_pair = together


def count_cut(lm: Any, samples: dict[str, list[dict[str, Any]]]) -> int:
    """Count the prompts that leave too little room in the context, whose beginning the harness then cuts off."""
    asked = {
        (text, _room_for_answer(lm, answer))
        for rows in samples.values()
        for row in rows
        for text, answer in row["arguments"]
    }
    return sum(len(lm.tok_encode(text)) + room > lm.max_length for text, room in asked)


def _room_for_answer(lm: Any, answer: Any) -> int:
    """Return the tokens of a given answer, or those that a generated one may have."""
    if isinstance(answer, dict):
        return int(answer.get("max_gen_toks", lm.max_gen_toks))
    return len(lm.tok_encode(answer, add_special_tokens=False))
