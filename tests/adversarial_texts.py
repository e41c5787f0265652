"""Texts on which a regular expression takes longest, made from what the expression itself is made of."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

GENERAL = " \n\t\"'\\#[]{}()<>:.,-_*`|/@=?~$0aZ가"
MOST_OF_CLASS = 12
REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def adversarial_texts(pattern: re.Pattern[Any], size: int, places: Collection[int] | None = None) -> Iterator[Any]:
    """Yield texts of about `size` characters, or of all of them those at some places.

    They repeat each character that the pattern knows, each prefix of a match up to a repetition, and near matches.
    """
    is_bytes = isinstance(pattern.pattern, bytes)
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    letters = sorted({*GENERAL, *_letters(tree)})
    if is_bytes:
        letters = [letter for letter in letters if letter <= "\xff"]
    shapes = dict.fromkeys(_shapes(tree, letters))
    for place, (head, pump, tail) in enumerate(shapes):
        if places is None or place in places:
            text = head + pump * (size // len(pump)) + tail
            yield text.encode("latin-1") if is_bytes else text


def _shapes(tree: Any, letters: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the start of a text, what is repeated in it, and its end."""
    whole = _example(tree, letters)
    for text in (*letters, *('\\"', "\\'", "\n ", "[{", "a\n", "##", whole, whole[:-1], whole[1:], whole + "\n")):
        if text:
            yield "", text, ""
    for head, body in _repeats(tree, "", letters):
        for pump in _pumps(body, letters):
            yield from ((head, pump, tail) for tail in ("", "\x00", "\n\x00", "\x000"))
            yield "", head + pump, ""
            yield "", head + 3 * pump, "\x00"
        if head:
            yield "", head, ""


def _pumps(body: Any, letters: list[str]) -> Iterable[str]:
    if len(body) == 1 and (accepts := _accepts(body[0])):
        return [letter for letter in letters if accepts(letter)]
    return filter(None, [_example(body, letters), *(_example(branch, letters) for branch in _branches(body))])


def _branches(body: Any) -> Iterator[Any]:
    for name, value in body:
        if name is op.BRANCH:
            yield from value[1]
        elif name is op.SUBPATTERN:
            yield from _branches(value[3])


def _repeats(tree: Any, head: str, letters: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield each repetition without a bound, with the shortest text that leads to it."""
    for node in tree:
        name, value = node
        if name in REPEATS and value[1] is op.MAXREPEAT:
            yield head, value[2]
        for inner in _inner(node):
            yield from _repeats(inner, head, letters)
        head += _example([node], letters)


def _inner(node: Any) -> list[Any]:
    name, value = node
    if name in REPEATS:
        return [value[2]]
    if name is op.BRANCH:
        return list(value[1])
    if name in (op.SUBPATTERN, op.ASSERT, op.ASSERT_NOT):
        return [value[-1]]
    return [value] if name is op.ATOMIC_GROUP else []


def _example(tree: Any, letters: list[str]) -> str:
    """Return a short text that the tree matches, as far as can be told."""
    said = ""
    for node in tree:
        name, value = node
        if accepts := _accepts(node):
            said += chr(value) if name is op.LITERAL else next(filter(accepts, letters), "a")
        elif name in REPEATS:
            said += value[0] * _example(value[2], letters)
        elif name not in (op.ASSERT, op.ASSERT_NOT) and (inner := _inner(node)):
            said += _example(inner[0], letters)
    return said


def _accepts(node: Any) -> Callable[[str], bool] | None:
    """Return what tells whether a node that stands for one character matches it; None for other nodes."""
    name, value = node
    if name is op.LITERAL:
        return lambda letter: ord(letter) == value
    if name is op.NOT_LITERAL:
        return lambda letter: ord(letter) != value
    if name is op.ANY:
        return lambda letter: letter != "\n"
    if name is op.RANGE:
        return lambda letter: value[0] <= ord(letter) <= value[1]
    if name is op.CATEGORY:
        return lambda letter: re.match(CATEGORIES[value], letter) is not None
    if name is not op.IN:
        return None
    is_negative, *items = [value[0][0] is op.NEGATE, *(item for item in value if item[0] is not op.NEGATE)]
    inner = [_accepts(item) for item in items]
    return lambda letter: any(accepts(letter) for accepts in inner if accepts) is not is_negative


def _letters(tree: Any) -> Iterator[str]:
    """Yield the characters that a pattern names: its literals, and the first ones of its ranges."""
    for node in tree:
        name, value = node
        if name in (op.LITERAL, op.NOT_LITERAL):
            yield chr(value)
        elif name is op.RANGE:
            yield chr(value[0])
        elif name is op.IN:
            yield from islice(_letters(value), MOST_OF_CLASS)
        for inner in _inner(node):
            yield from _letters(inner)
