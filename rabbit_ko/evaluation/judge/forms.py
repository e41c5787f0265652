"""The forms of a verdict: a last line such as `점수: 8/10`, or JSON with a key such as `better`."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

Mode = Literal["score", "pairwise"]
HIGHEST = 10.0

# What a verdict is called, in a line of its own and as a key of JSON.
_HEADS: dict[Mode, str] = {
    "score": r"(?:(?:최종|종합|전체|총|평가|final|overall|total)[ _]?+)?+(?:점수|평점|score|rating)|총점",
    "pairwise": r"더[ _]?+나은[ _]?+답변|(?:better|best)(?:[ _](?:answer|response))?+"
    r"|(?:최종 ?|final )?+(?:승자|winner)",
}
# What stands before it, and between it and the value: marks of a list and of emphasis, and the scale.
_BEFORE = r" {0,3}+(?:#++ ++|[-*•] ++|[0-9]{1,2}+[.)] ++)?+[*_]*+(?:the |my )?+"
_TEN = r"(?:10점 ?만점(?: 기준)?|만점:? ?10점?|[01] ?[-~] ?10점?|out of 10|/ ?10)"
_SCALE = rf"[*_]*+\s*+(?:\({_TEN}\)\s*+)?+[*_]*+\s*+"
_SAYS = r"(?::|=|은|는|is\b)\s*+[*_]*+\s*+|(?=[0-9.]++ ?(?:/ ?10|점))"
# What values are marked up with, and what may end their line.
_OPEN, _CLOSE = r"(?:\\boxed\{|[\s\[({*_`'\"$])*+", r"[\])}*_`'\"$]*+"
_TOKEN = r"<\|[a-z_0-9]{1,30}+\|>|</s>|<end_of_turn>"
_POLITE, _END = rf"(?:입니다|이다)?+[.!]?+{_CLOSE}", rf"(?:{_TOKEN})?+\s*+"
_TEN_FIRST = r"(?:10점 ?(?:만점)?+ ?(?:에서|에|중에|중|기준) ?)?+"
_OUT_OF_TEN = r"\s*+(?:/|out of|of)\s*+10(?:\.0++)?+점?+(?!\.?[0-9])"
_OF_TEN = rf"(?:{_OUT_OF_TEN})?+(?: points?+)?+{_CLOSE}{_POLITE}(?:\s*+\({_TEN}\))?+"
_NUMBER = r"[0-9]{1,2}+(?:[.,][0-9]{1,2}+)?+"
_SCORE = rf"{_TEN_FIRST}{_OPEN}(?P<value>{_NUMBER}){_CLOSE}(?:\s*+점)?+{_CLOSE}{_OF_TEN}{_POLITE}{_END}"
_NAMES = r"a|b|무승부|동점|tie|draw"
_CHOICE = rf"{_OPEN}(?:답변 |answer |response |assistant )?+(?P<value>{_NAMES})(?![a-z]){_CLOSE}{_POLITE}{_END}"
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
# Verdicts without a head: as a whole line, and as words that put another one in doubt.
_ALONE = {
    mode: re.compile(
        r"(?:(?:my |the )?+(?:final )?+verdict(?: is)?+:? ?[*_]*+)?+\[\[(?P<bare>[^\[\]]++)\]\]\.?+"
        rf"|\\boxed\{{(?P<boxed>[^{{}}]++)\}}|<(?P<tag>{head})>(?P<tagged>[^<>]++)</(?P=tag)>"
        + (rf"|(?P<of_ten>{_NUMBER}{_OUT_OF_TEN})" if mode == "score" else ""),
        re.IGNORECASE,
    )
    for mode, head in _HEADS.items()
}
# A match without a group, as that of another scale, is a value that cannot be read.
_DECISION = "판단|판정|결론|최종|총평|verdict|decision|choice"
_WHOLE = "overall|total|종합|전체|합계|총점"
_DECIDES = rf"(?:{_DECISION})(?:[은는:]| is)? ?[*_]*+(?:answer |답변 )?+"
_OTHER_TEN = r"(?<![0-9.,])(?!10(?![0-9]))[0-9]++"
_SCALES = (
    rf"{_OTHER_TEN}(?: ?점 ?(?:만점|척도|기준)|만점|[- ]points? scale)|[01] ?점?(?:[-~]|에서) ?{_OTHER_TEN} ?점"
    rf"|(?:scale|rate|from)[^0-9.]{{0,20}}[01] ?(?:[-–~]|to) ?{_OTHER_TEN}|\bout of (?:{_OTHER_TEN}|five|a hundred)"
    r"|(?:다섯|백) ?(?:개|점) ?만점"
)
_GIVEN: dict[Mode, re.Pattern[str]] = {
    "score": re.compile(
        rf"{_DECIDES}({_NUMBER})(?= ?[점입]|(?! ?[가-힣]))"
        rf"|\b(?:score|rating|grade|(?:give|rate) (?:it|this)|deserves)(?: is| a|:)? ({_NUMBER})(?![0-9])"
        rf"|(?:{_WHOLE})[:은는]? ?[*_]*+({_NUMBER})(?={_OUT_OF_TEN})|총점[ |:]++({_NUMBER})|{_SCALES}"
        rf"|(?<![0-9.,])(?<!감점 )({_NUMBER}) ?점(?:[을를]? ?(?:준|줄|줍|주|드|부여|매)|으로 (?:평가|매|하|한|합|정)"
        r"|입니다|이다|이 (?:맞|적)|[.!]|$)",
        re.IGNORECASE,
    ),
    "pairwise": re.compile(
        rf"{_DECIDES}([ab])(?![a-z])|\bprefer (?:answer )?([ab])\b"
        r"|(?<![a-z])([ab])[가이]? ?(?:더 (?:낫|좋다|좋습니다|우수하다|우수합니다)"
        r"|is (?:the )?better(?= than|[^ a-z]|$))",
        re.IGNORECASE,
    ),
}
_IN_JSON = {
    mode: re.compile(rf"[\"'](?:{head})[\"']\s*+:\s*+[\"']?+([0-9.]++|(?:{_NAMES})\b)?+", re.IGNORECASE)
    for mode, head in _HEADS.items()
}
# The score of one of several criteria: `정확성: 9점`.
_CRITERION = re.compile(
    rf"(?![^:]*(?:{_DECISION}|{_WHOLE})){_BEFORE}[가-힣A-Za-z][가-힣A-Za-z ·]{{0,20}}+[*_]*+:\s*+[*_]*+"
    rf"{_NUMBER} ?점?+(?:{_OUT_OF_TEN})?+[*_.]*+",
    re.IGNORECASE,
)
# What may follow a verdict.
_CLOSING = re.compile(
    rf"-{{3,}}+|[*_]*+(?:이상입니다|이상으로 평가를 마칩니다|평가를 마칩니다|감사합니다|thank you|{_TOKEN})"
    r"[.!]*+[*_]*+",
    re.IGNORECASE,
)


def said_last(mode: Mode, lines: Sequence[str], lowest: float) -> tuple[float | None, list[str]]:
    """Return what lines say at their end, in an object in JSON or in the last line, and the lines before that."""
    said = list(lines)
    while said and _CLOSING.fullmatch(said[-1].strip()):
        said.pop()
    at = next((place for place, line in enumerate(said) if line.startswith("{")), len(said))
    if (found := _said_in_json(mode, "\n".join(said[at:]).removesuffix("\n```"), lowest)) is not None:
        is_fenced = said[at - 1 : at] and said[at - 1].startswith("```")
        return found.pop() if len(found) == 1 else None, said[: at - bool(is_fenced)]
    return _said_in_last_line(mode, said, lowest)


def said_in(mode: Mode, lines: Sequence[str], lowest: float) -> set[float | None]:
    """Return all that lines say, each by itself; None stands for what begins like a verdict and is not clear."""
    found = list[str]()
    for line, below in pairwise([*lines, ""]):
        found += _IN_JSON[mode].findall(line)
        found += [] if mode == "score" and _CRITERION.fullmatch(line) else _given(mode, line)
        found += filter(None, [_said_under_head(mode, line, below), _said_alone(mode, line)])
        # A number alone may be a verdict without its head; a letter alone is a heading.
        found += [line] if mode == "score" and _VALUES[mode].fullmatch(line) else []
    return {_read(mode, said, lowest) for said in found}


def is_asked_for(mode: Mode, lines: Sequence[str], said: float | None, lowest: float) -> bool:
    """Tell whether lines of others say so, or begin like a verdict that is not clear, as `점수: 10 (꼭)`."""
    headed = filter(None, (_said_under_head(mode, line, "") for line in lines))
    return said in said_in(mode, lines, lowest) or any(_read(mode, each, lowest) is None for each in headed)


def _given(mode: Mode, line: str) -> list[str]:
    """Return what a line gives in the midst of prose; a number that is on no scale of ten is of something else."""
    given = [found[found.lastindex or 0] for found in _GIVEN[mode].finditer(line)]
    numbers = (re.fullmatch(_NUMBER, value) for value in given)
    return [value for value, number in zip(given, numbers, strict=True) if not number or _number(value) <= HIGHEST]


def _number(value: str) -> float:
    return float(value.replace(",", "."))


def _said_in_last_line(mode: Mode, lines: list[str], lowest: float) -> tuple[float | None, list[str]]:
    """Return the value behind a head in the last line, alone below one, or without one, and the lines before."""
    *above, last = lines or [""]
    if headed := _HEADED[mode].match(last):
        return _read(mode, last[headed.end() :], lowest), above
    if above and _HEADED[mode].fullmatch(above[-1]):
        return _read(mode, last.lstrip(" :"), lowest), above[:-1]
    return _read(mode, _said_alone(mode, last), lowest), above


def _said_under_head(mode: Mode, line: str, below: str) -> str:
    """Return what a line says that begins with a head, or the value alone below it; prose says nothing."""
    if not (headed := _HEADED[mode].match(line)):
        return ""
    said = line[headed.end() :].strip()
    is_prose = headed["says"].strip("*_ ") not in (":", "=", "") and not _HINTS[mode].search(said)
    return "" if is_prose else said or (below if _VALUES[mode].fullmatch(below.lstrip(" :")) else "")


def _said_alone(mode: Mode, line: str) -> str:
    """Return what a line says in a form that has no head before it; `[[C]]` is a tie, as in MT-bench."""
    if not (alone := _ALONE[mode].fullmatch(line.strip(" *_"))):
        return ""
    if mode == "pairwise" and alone["bare"] in ("C", "c"):
        return "tie"
    return next(value for name, value in alone.groupdict().items() if value and name != "tag")


def _said_in_json(mode: Mode, text: str, lowest: float) -> set[float | None] | None:
    """Return what a text that is an object in JSON says under the keys of a verdict; None where it is none."""
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list):
        return None
    return {_read(mode, value, lowest) for key, value in pairs if _KEYS[mode].fullmatch(key.strip())}


def _read(mode: Mode, said: object, lowest: float) -> float | None:
    """Return the value that is said; None where there is none, or one that is not on the scale."""
    if mode == "score" and isinstance(said, int | float) and not isinstance(said, bool):
        return float(said) if lowest <= said <= HIGHEST else None
    if not isinstance(said, str) or not (found := _VALUES[mode].fullmatch(said.strip())):
        return None
    value = found["value"].lower()
    if mode == "pairwise":
        return {"a": 1.0, "b": 0.0}.get(value, 0.5)
    score = _number(value)
    return score if lowest <= score <= HIGHEST else None
