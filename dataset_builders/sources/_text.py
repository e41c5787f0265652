"""Values of raw rows: which are missing, which are empty, and what of a text can be seen."""

import json
import re
from typing import Any

from rabbit_ko.errors import Rejected, printable
from rabbit_ko.normal_form import normalize

# Characters that leave no mark: soft hyphen, joiners, directions, Hangul fillers, selectors, tags and their like.
INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_is_visible = re.compile(rf"[^\s{INVISIBLE}]").search
SHOWN = 40


def visible(text: str) -> str:
    """Return a text without a byte order mark in front, and nothing where none of its characters can be seen."""
    if "!" <= text[:1] <= "~" or "가" <= text[:1] <= "힣":
        return text
    if not _is_visible(text):
        return ""
    return text.lstrip("\ufeff") if text[0] == "\ufeff" else text


def is_missing(value: Any) -> bool:
    """Tell whether a value is null, or the NaN that stands for null in tables."""
    return value is None or bool(value != value)


def is_empty(value: Any) -> bool:
    """Tell whether a value says nothing: missing, false, blank, or a list or object of nothing else, also as JSON."""
    waiting = [value]
    # No recursion: a value may be nested deeper than Python's stack.
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if visible(one).strip() not in ("", "[]", "{}", "null", "None"):
                return False
        elif isinstance(one, list | tuple | dict):
            waiting += one.values() if isinstance(one, dict) else one
        elif not is_missing(one) and one is not False:
            return False
    return True


def text(row: Any, field: str) -> str:
    """Return a text field; a missing or invisible one is empty. Raises Rejected where it is another thing."""
    value = row.get(field)
    if not isinstance(value, str):
        if is_missing(value):
            return ""
        check_type(value, str, field, "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Rejected("broken unicode") from None
    return visible(value)


def composed(content: str) -> str:
    """Return a text as texts compare: in Unicode's composed form (NFC), without blanks around it."""
    return normalize("NFC", content).strip()


def check_type(value: Any, kind: type, field: str, expected: str) -> None:
    """Raise Rejected where a field's value is of another type."""
    if not isinstance(value, kind):
        raise Rejected(f"`{field}` must be {expected}, not {type(value).__name__}")


def shown(value: Any) -> str:
    """Return a value as a reason can show it: in 40 characters at most, with control characters escaped."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    escaped = printable(said[: SHOWN + 1])
    return escaped if len(escaped) <= SHOWN else f"{escaped[:SHOWN]}..."
