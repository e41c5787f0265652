"""Seeded Korean rows to build from, of which no two say the same by chance."""

import random
from typing import Any

_SYLLABLES = [chr(code) for code in range(0xAC00, 0xD7A4, 37)]


def word(rng: random.Random) -> str:
    """A made-up word of one to four syllables."""
    return "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))


def sentence(rng: random.Random, words: int) -> str:
    """A made-up sentence."""
    return " ".join(word(rng) for _ in range(words)) + "."


def exchange(rng: random.Random, words: int = 40) -> dict[str, Any]:
    """A row of KoAlpaca's shape."""
    return {"instruction": sentence(rng, 8), "output": sentence(rng, words)}


def exchanges(count: int, seed: int = 0, words: int = 40) -> list[dict[str, Any]]:
    """Rows of KoAlpaca's shape."""
    rng = random.Random(seed)
    return [exchange(rng, words) for _ in range(count)]


def with_words_replaced(text: str, share: float, rng: random.Random) -> str:
    """The text with this share of its words replaced by others."""
    words = text.split(" ")
    for place in rng.sample(range(len(words)), round(share * len(words))):
        words[place] = word(rng)
    return " ".join(words)
