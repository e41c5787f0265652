"""Whether prompts fit into the model's context; the harness cuts off the beginning of those that do not."""

from typing import Any


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
