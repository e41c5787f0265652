"""Rules that judge an answer without a judge. pairs.yaml names them, and functions like them in any module:

def polite(prompt: Prompt, answer: Answer, ending: str = "요") -> float:
    return float(answer.text.rstrip(" .!?").endswith(ending))
"""

import json
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates.letters import fold
from rabbit_ko.evaluation.judge.rubric import hangul_share
from rabbit_ko.normal_form import normalize
from rabbit_ko.pairs.records import Answer, Prompt

_SMALL, _LARGE = {"십": 10, "백": 10**2, "천": 10**3}, {"만": 10**4, "억": 10**8, "조": 10**12}
# What follows a unit: no Hangul, a noun that is counted, or a particle that ends the word. None is in `3조각`,
# `3만큼` and `3만 남는다`; and 만 and 조 are more often "only" and "groups" in `3만으로`, `4조로` and `4조가`.
_END = "(?![가-힣])"
_COUNTED = " ?(?:원|명|개|년|달러|사람|마리|가구|그루|권|톤|번|미터|킬로|그램|리터|시간)"
_COPULA = f"(?:이?다|입니다|이에요|예요|이?고|이?며|이?므로){_END}"
_PARTICLE = f"(?:이|가|은|는|을|를|의|에|과|와|도|보다|만큼| ?(?:이상|이하|이내|미만|초과|정도|가량)){_END}"
_UNIT = (
    f"(?:[십백천][만억조]?|억)(?={_END}|{_COUNTED}|{_COPULA}|{_PARTICLE}|으?로{_END})"
    f"|만(?=(?! ?[가-힣])|{_COUNTED}|{_COPULA}|{_PARTICLE})|조(?=(?! ?[가-힣])|{_COUNTED}|{_COPULA})"
)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])[-−])?+(?P<digits>[0-9]{1,3}(?:,[0-9]{3}){1,12}+(?![0-9])|[0-9]{1,40}+)"
    rf"(?P<rest>\.[0-9]{{1,40}}+)?+(?:/(?P<below>[1-9][0-9]{{0,39}}+)| ?(?P<unit>{_UNIT}))?+"
)
_FRACTION = re.compile(
    r"(?:(?<![0-9.,])([0-9]{1,20}+) ?+)?+\\[dt]?frac ?+\{ ?+([-−]?[0-9]{1,20}+) ?+\} ?+\{ ?+([1-9][0-9]{0,19}+) ?+\}"
)
_CLOSING = " \t\r\n.!?~…\"'”’)]"


def ends(prompt: Prompt, answer: Answer) -> float:
    """Return 1 where the model ended the answer by itself."""
    return float(answer.ended)


def within(prompt: Prompt, answer: Answer, least: int = 1, most: int = 2000) -> float:
    """Return 1 where the answer has so many characters."""
    return float(least <= len(answer.text.strip()) <= most)


def hangul(prompt: Prompt, answer: Answer, least: float | None = None) -> float:
    """Return the share of Hangul among the answer's letters; with `least`, 1 where it is that or more."""
    share = hangul_share(answer.text)
    return share if least is None else float(share >= least)


def distinct(prompt: Prompt, answer: Answer) -> float:
    """Return the share of the answer's 5-grams of letters that are distinct: near 0 where it says the same again."""
    hashes, _, _ = fold([answer.text]).shingles
    return len(set(hashes.tolist())) / len(hashes) if len(hashes) else 1.0


def ends_with(prompt: Prompt, answer: Answer, word: str) -> float:
    """Return 1 where the answer ends with a word; punctuation after it does not count."""
    return float(answer.text.rstrip(_CLOSING).endswith(word.rstrip(_CLOSING)))


def matches(prompt: Prompt, answer: Answer, pattern: str) -> float:
    """Return 1 where a regular expression matches anywhere in the answer; `^` and `$` tie it to the whole of it.

    It is read by RE2, whose time is linear in the answer. Raises ValueError where it is none.
    """
    return float(pc.match_substring_regex(pa.scalar(answer.text), pattern).as_py())


def is_json(prompt: Prompt, answer: Answer) -> float:
    """Return 1 where the whole answer, or the one block of code that it is, is JSON."""
    text = answer.text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.partition("\n")[2].removesuffix("```")
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


def equals(prompt: Prompt, answer: Answer) -> float:
    """Return 1 where the answer is the prompt's reference, but for case, white space and a full stop."""
    said, right = (" ".join(normalize("NFKC", text).split()).casefold() for text in (answer.text, prompt.reference))
    return float(bool(right) and said.rstrip(".") == right.rstrip("."))


def number(prompt: Prompt, answer: Answer) -> float:
    """Return 1 where the answer's number is that of the prompt's reference, however the two are written."""
    right = read_number(prompt.reference)
    return float(right is not None and read_number(answer.text) == right)


def read_number(text: str) -> Fraction | None:
    """Return the first number after the last `####` of a text, or without that its last; None where there is none.

    Read are `1,234`, `-0.5`, `3/4`, `\\frac{3}{4}`, `3만 5천`, and those in full-width digits.
    """
    _, marks, final = _FRACTION.sub(_plain, normalize("NFKC", text).replace("{,}", ",")).rpartition("####")
    numbers = [*_NUMBER.finditer(final)]
    if not numbers:
        return None
    if marks:
        start, stop = 0, 1
        while stop < len(numbers) and _belong(numbers[stop - 1], numbers[stop]):
            stop += 1
    else:
        start, stop = len(numbers) - 1, len(numbers)
        while start and _belong(numbers[start - 1], numbers[start]):
            start -= 1
    total = _sum(numbers[start:stop])
    return -total if numbers[start]["sign"] else total


def _plain(found: re.Match[str]) -> str:
    """Return a fraction of LaTeX, which may have a whole number before it, as `3/4`."""
    whole, above, below = found.groups()
    return f"{int(whole) * int(below) + int(above.replace('−', '-'))}/{below}" if whole else f"{above}/{below}"


def _belong(one: re.Match[str], other: re.Match[str]) -> bool:
    """Tell whether two are parts of one number, as in `3만 5천` or `3천 5백만`."""
    if one.string[one.end() : other.start()].strip(" ") or other["sign"] or other["below"]:
        return False
    (small, large), (next_small, next_large) = _scale(one), _scale(other)
    if large > 1:
        return large > next_large
    return small > next_small and (next_large == 1 or next_small > 1)


def _sum(parts: Iterable[re.Match[str]]) -> Fraction:
    total = section = Fraction()
    for part in parts:
        small, large = _scale(part)
        value = Fraction(part["digits"].replace(",", "") + (part["rest"] or "")) / int(part["below"] or 1)
        section += value * small
        if large > 1:
            total, section = total + section * large, Fraction()
    return total + section


def _scale(found: re.Match[str]) -> tuple[int, int]:
    unit = found["unit"] or ""
    return _SMALL.get(unit[:1], 1), _LARGE.get(unit[-1:], 1)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
