"""A line of JSON as a row: its keys differ, its integers are exact, and NaN is a missing value."""

import json
from collections.abc import Sequence
from typing import Any

import orjson

from dataset_builders.read.broken import Broken
from rabbit_ko.errors import printable

MAX_DEPTH = 100
_FLAT = frozenset((str, int, bool, type(None)))
_BEYOND_ORJSON = 1 << 63


class _Duplicate(Exception):
    pass


class _NeedsCare(Exception):
    pass


class _TooDeep(Exception):
    pass


def read_json_line(line: bytes) -> dict[str, Any] | Broken:
    """Return the row that a line holds."""
    try:
        row = orjson.loads(line)
        # Of two values of one key, orjson tells only the last. Each key has a colon.
        if type(row) is dict and line.count(b":") == len(row) and _FLAT.issuperset(map(type, row.values())):
            return row
        keys = _count_keys(row)
        if line.count(b":") != keys and (line.count(b'":') != keys or _has_space_before_colon(line)):
            raise _NeedsCare
    except (orjson.JSONDecodeError, _NeedsCare):
        return _read_exactly(line)
    except _TooDeep:
        return Broken(f"nested more than {MAX_DEPTH} deep", line.decode(errors="replace"))
    return row if isinstance(row, dict) else Broken("not an object", line.decode(errors="replace"))


def _count_keys(value: Any, depth: int = 1) -> int:
    """Return the number of keys at any depth. Raises _NeedsCare where an integer may have become a float."""
    if depth > MAX_DEPTH:
        raise _TooDeep
    kind = type(value)
    if kind is float and abs(value) >= _BEYOND_ORJSON:
        raise _NeedsCare
    if kind is dict:
        return len(value) + sum(_count_keys(it, depth + 1) for it in value.values() if type(it) not in _FLAT)
    if kind is list:
        return sum(_count_keys(it, depth + 1) for it in value if type(it) not in _FLAT)
    return 0


def _has_space_before_colon(line: bytes) -> bool:
    return any(space in line for space in (b" :", b"\t:", b"\r:"))


def _read_exactly(line: bytes) -> dict[str, Any] | Broken:
    """Read what takes longer: NaN, halves of surrogate pairs, of which the row is told later, and what is broken."""
    try:
        row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=lambda _: None)
        _check_depth(row)
    except UnicodeDecodeError:
        return Broken("broken unicode", repr(line))
    except _Duplicate as duplicate:
        return Broken(f"duplicate key `{duplicate}`", line.decode(errors="replace"))
    except (_TooDeep, RecursionError):
        return Broken(f"nested more than {MAX_DEPTH} deep", line.decode(errors="replace"))
    except ValueError:
        return Broken("broken JSON", line.decode(errors="replace"))
    return row if isinstance(row, dict) else Broken("not an object", line.decode(errors="replace"))


def _check_depth(value: Any, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise _TooDeep
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(item, depth + 1)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        raise _Duplicate(next(printable(key) for key, _ in pairs if key in seen or seen.add(key)))
    return found
