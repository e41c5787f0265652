"""The forms of a verdict that are read: a line such as `점수: 8/10`, or JSON with a key such as `better`."""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

Mode = Literal["score", "pairwise"]
HIGHEST = 10.0

# What a verdict is called, in a line of its own and as a key of JSON.
_HEADS: dict[Mode, str] = {
    "score": r"(?:(?:최종|종합|전체|총|final|overall|total)[ _]?+)?+(?:점수|평점|score|rating)|총점",
    "pairwise": r"더[ _]?+나은[ _]?+답변|(?:better|best)(?:[ _](?:answer|response))?+|승자|winner",
}
# What stands before it, and between it and the value: marks of a list and of emphasis, and the scale.
_BEFORE = r" {0,3}+(?:#++ ++|[-*•] ++|[0-9]{1,2}+[.)] ++)?+[*_]*+(?:the |my )?+"
_SCALE = r"[*_]*+\s*+(?:\((?:10점 ?만점|만점:? ?10점?|[01] ?[-~] ?10점?|out of 10|/ ?10)\)\s*+)?+[*_]*+\s*+"
_SAYS = r"(?::|=|은|는|is\b)\s*+[*_]*+\s*+"
# What values are marked up with, and how their sentence ends.
_OPEN, _CLOSE = r"(?:\\boxed\{|[\s\[({*_`'\"$])*+", r"[\])}*_`'\"$]*+"
_POLITE, _TAG = rf"(?:입니다|이다)?+[.!]?+{_CLOSE}", r"(?:</[^<>]{1,20}+>)?+\s*+"
_TEN_FIRST = r"(?:10점 ?(?:만점)?+ ?(?:에서|에|중에|중|기준) ?)?+"
_OF_TEN = r"(?:\s*+(?:/|out of|of)\s*+10(?:\.0++)?+점?+(?![0-9.]))?+"
# No number in a remark on a score may be another score, and no letter in one on a choice an answer's name.
_NUMBERS = r"10점? ?만점|(?<=만점 )10점?+|(?<=만점: )10점?+|(?<=out of )10|[0-9]++점? ?감점|[0-9]++(?!점)(?=[가-힣])"
_REMARK = rf"(?:\s*+\(|\s++[-–—]\s++|(?:(?<=[.!])|[,;])\s++)(?!.*(?:점수|score))(?:[^0-9]++|{_NUMBERS})*+"
_NO_NAMES = r"\s*+\((?:(?!(?<![a-z])[ab](?![a-z])).)*+"
_SCORE = (
    rf"{_TEN_FIRST}{_OPEN}(?P<value>[0-9]{{1,2}}+(?:[.,][0-9]{{1,2}}+)?+){_CLOSE}(?:\s*+점)?+{_CLOSE}"
    rf"{_OF_TEN}{_CLOSE}{_POLITE}(?:{_REMARK})?+{_TAG}"
)
_NAMES = r"a|b|무승부|동점|tie|draw"
_CHOICE = (
    rf"{_OPEN}(?:답변 |answer |response |assistant )?+(?P<value>{_NAMES})(?![a-z]){_CLOSE}{_POLITE}"
    rf"(?:{_NO_NAMES})?+{_TAG}"
)
_VALUES: dict[Mode, re.Pattern[str]] = {
    "score": re.compile(_SCORE, re.IGNORECASE),
    "pairwise": re.compile(_CHOICE, re.IGNORECASE),
}
_HINTS: dict[Mode, re.Pattern[str]] = {
    "score": re.compile(r"[0-9]"),
    "pairwise": re.compile(r"(?<![A-Za-z])[AB](?![A-Za-z])"),
}
_KEYS = {mode: re.compile(head, re.IGNORECASE) for mode, head in _HEADS.items()}
_HEADED = {
    mode: re.compile(rf"{_BEFORE}(?:{head}){_SCALE}(?P<says>{_SAYS}|$)", re.IGNORECASE)
    for mode, head in _HEADS.items()
}
_IN_JSON = {
    mode: re.compile(rf"[\"'](?:{head})[\"']\s*+:\s*+[\"']?+([0-9.]++|(?:{_NAMES})\b)?+", re.IGNORECASE)
    for mode, head in _HEADS.items()
}


def said_in_lines(mode: Mode, lines: Iterable[str], lowest: float) -> set[float | None]:
    """Return what lines say, each by itself; None stands for what begins like a verdict and is not clear."""
    found = set[float | None]()
    present = [line for line in lines if line.strip()]
    for line, below in pairwise([*present, ""]):
        if headed := _HEADED[mode].match(line):
            said = line[headed.end() :].strip() or _value_of(mode, below)
            is_prose = headed["says"].strip("*_ ") not in (":", "=", "") and not _HINTS[mode].search(said)
            if said and not is_prose:
                found.add(_read(mode, said, lowest))
    return found


def said_in_json(mode: Mode, text: str, lowest: float) -> set[float | None] | None:
    """Return what a text that is an object in JSON says under the keys of a verdict; None where it is none."""
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list):
        return None
    return {_read(mode, str(value), lowest) for key, value in pairs if _KEYS[mode].fullmatch(key.strip())}


def said_in_quoted_json(mode: Mode, lines: Iterable[str], lowest: float) -> set[float | None]:
    """Return what stands behind the keys of a verdict, wherever that is."""
    return {_read(mode, value, lowest) for line in lines for value in _IN_JSON[mode].findall(line)}


def _value_of(mode: Mode, below: str) -> str:
    """Return the line below a head where it begins like a value, and nothing otherwise."""
    said = below.lstrip(" :")
    return said if _VALUES[mode].match(said) else ""


def _read(mode: Mode, said: str, lowest: float) -> float | None:
    """Return the value that is said; None where there is none, or one that is not on the scale."""
    if not (found := _VALUES[mode].fullmatch(said.strip())):
        return None
    value = found["value"].lower()
    if mode == "pairwise":
        return {"a": 1.0, "b": 0.0}.get(value, 0.5)
    score = float(value.replace(",", "."))
    return score if lowest <= score <= HIGHEST else None
