"""A line of JSON as a row: its keys differ, its integers are exact, and NaN is a missing value."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from dataset_builders.read.bounds import ROW_BYTES, SHOWN_LETTERS, TOO_LARGE
from dataset_builders.read.broken import Broken
from rabbit_ko.errors import Rejected, printable

MAX_DEPTH = 100
_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
_SCALARS = frozenset((str, int, float, bool, type(None)))
_TOO_LARGE = 1 << 63


class _NeedsCare(Exception):
    pass


def read_json_lines(content: bytes) -> Iterator[dict[str, Any] | Broken]:
    """Yield the row of each line that is not blank."""
    is_tight = not _has_space_before_colon(content)
    for line in content.split(b"\n"):
        if len(line) > ROW_BYTES:
            yield Broken(TOO_LARGE, line[:SHOWN_LETTERS].decode(errors="replace"))
        elif line.strip():
            yield read_json_line(line, is_tight)


def read_json_line(line: bytes, is_tight: bool = False) -> dict[str, Any] | Broken:
    """Return the row that a line holds; is_tight: no colon in it comes after white space."""
    try:
        row = orjson.loads(line)
        if type(row) is not dict:
            return _read_exactly(line)
        # Of two values of one key orjson tells only the last, but `":` ends each key; texts may hold it as well.
        if line.count(b'":') == _count_keys(row) and (is_tight or not _has_space_before_colon(line)):
            return row
    except (orjson.JSONDecodeError, _NeedsCare, RecursionError):
        pass
    return _read_exactly(line)


def _has_space_before_colon(text: bytes) -> bool:
    return any(space in text for space in (b" :", b"\t:", b"\r:"))


def _count_keys(row: dict[str, Any]) -> int:
    """Return the number of keys of a row and of its turns. Raises _NeedsCare where there is more to look at."""
    count = len(row)
    for value in row.values():
        kind = type(value)
        if kind is str:
            continue
        if kind is list:
            for item in value:
                count += _count_inner(item) if type(item) is dict else _check_scalar(item)
        else:
            count += _count_inner(value) if kind is dict else _check_scalar(value)
    return count


def _count_inner(item: dict[str, Any]) -> int:
    for value in item.values():
        if type(value) is not str:
            _check_scalar(value)
    return len(item)


def _check_scalar(value: Any) -> int:
    kind = type(value)
    # orjson makes a float of an integer that is too large for it.
    if kind not in _SCALARS or (kind is float and abs(value) >= _TOO_LARGE):
        raise _NeedsCare
    return 0


def _read_exactly(line: bytes) -> dict[str, Any] | Broken:
    """Read what takes longer: NaN, halves of surrogate pairs, of which the row is told later, and what is broken."""
    try:
        row = load_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Broken("broken unicode", repr(line))
    except Rejected as error:
        return Broken(str(error), line.decode(errors="replace"))
    except ValueError:
        return Broken("broken JSON", line.decode(errors="replace"))
    return row if isinstance(row, dict) else Broken("not an object", line.decode(errors="replace"))


def load_json(text: str) -> Any:
    """Return what JSON says, NaN as null. Raises ValueError, and Rejected for a key twice or too many levels."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=lambda _: None)
    except RecursionError:
        raise Rejected(_TOO_DEEP) from None
    check_depth(value)
    return value


def check_depth(value: Any, depth: int = 1) -> None:
    """Raise Rejected where lists and objects stand in each other more than MAX_DEPTH deep."""
    if depth > MAX_DEPTH:
        raise Rejected(_TOO_DEEP)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_depth(item, depth + 1)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise Rejected(f"duplicate key `{printable(counts.most_common(1)[0][0][:40])}`")
    return found
