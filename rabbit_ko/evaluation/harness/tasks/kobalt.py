"""How an answer to KoBALT is read: by the letters that it says to be the right ones, all of which count."""

import string
from typing import Any


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Return 1 where an answer says one letter to be right, however often, and it is; 0 otherwise."""
    return {"exact_match": float(letters(results[0]) == {doc["Answer"].strip()})}


def letters(answer: str) -> set[str]:
    """Return the capital letters of all sentences of the form `정답은 ...입니다` in an answer."""
    said: set[str] = set()
    for line in answer.splitlines():
        for rest in line.split("정답은")[1:]:
            choice, end, _ = rest.partition("입니다")
            said |= set(choice) & set(string.ascii_uppercase) if end else set()
    return said
