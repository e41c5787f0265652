"""What a judge's last line says; what is not clear beyond doubt is not read at all, and asked for again."""

import re
from typing import Literal

from rabbit_ko.normal_form import normalize

Mode = Literal["score", "pairwise"]
LOWEST, HIGHEST = 1.0, 10.0

# Full-width letters, digits and colons are the same; superscripts, which NFKC would turn into digits, are not.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SCORE = re.compile(
    r"[\s*_`#-]*+(?:점수|score)[\s*_`]*+:[\s*_`\[(]*+([0-9]++(?:\.[0-9]++)?+)\s*+점?+(?:\s*+/\s*+10(?:\.0)?+점?+)?+"
    r"[\s*_`\]).]*+",
    re.IGNORECASE,
)
_BETTER = re.compile(
    r"[\s*_`#-]*+(?:더 나은 답변|better)[\s*_`]*+:[\s*_`\[(]*+(?:(a)|(b)|무승부|tie)[\s*_`\]).]*+", re.IGNORECASE
)


def read_verdict(mode: Mode, text: str) -> float | None:
    """Return the score of a verdict, from 1 to 10, or which of two answers is better: 1 the first, 0 the second.

    0.5: neither. None where the last line is no such verdict and nothing else, or stands in thoughts that were cut.
    """
    lines = normalize("NFC", text).translate(_FULL_WIDTH).rstrip().splitlines()
    if not lines or (lines[0].lstrip().startswith("<think>") and "</think>" not in text):
        return None
    if mode == "pairwise":
        found = _BETTER.fullmatch(lines[-1])
        return {1: 1.0, 2: 0.0, None: 0.5}[found.lastindex] if found else None
    found = _SCORE.fullmatch(lines[-1])
    score = float(found[1]) if found else 0.0
    return score if LOWEST <= score <= HIGHEST else None
