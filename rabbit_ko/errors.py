"""What goes wrong, in two kinds: a mistake that a person has to mend, and a row that is dropped."""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable

NAMES_SHOWN = 100

# What joins two emoji, such as those of a family, shows in what they become.
_JOINED = re.compile("([\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\\\\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")


class UserError(Exception):
    """A mistake in a config, in data or in a call: one line that says where, what, and what to do."""


class UnknownName(UserError):
    """A call that names a recipe, stage, task or option that there is none of: wrong usage, so the exit code is 2."""


class Rejected(Exception):
    """A row that is dropped and counted; the message is the reason, the same for all such rows."""


def reason(error: BaseException) -> str:
    """Return an error's message in one line that is printable."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...` with the nearest known name, or `; known are ...` where none is near."""
    names = list(known)
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean `{nearest[0]}`?" if nearest else f"; known are {', '.join(names[:NAMES_SHOWN])}{more}"


def is_of_storage(error: BaseException) -> bool:
    """Tell whether a cloud's own client raised an error; such errors share no class, and the client may be absent."""
    return type(error).__module__.partition(".")[0] in ("botocore", "gcsfs", "google", "azure")


def printable(text: str, keep: str = "") -> str:
    """Return text of unknown origin in which nothing but what is in `keep` drives a terminal, hides or breaks lines.

    Control characters become their pictures, such as `␛`. Other line breaks, half characters and characters of
    format, such as those that turn the direction of writing, become their numbers, such as `\\u202e`.
    """
    if text.isprintable():
        return text
    shown = (letter if letter.isprintable() or letter in keep else _picture(letter) for letter in text)
    return _JOINED.sub("\\1\u200d", "".join(shown)) if "\u200d" in text else "".join(shown)


def _picture(letter: str) -> str:
    code = ord(letter)
    if code < 0x20 or code == 0x7F:
        return "␡" if code == 0x7F else chr(0x2400 + code)
    is_hidden = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return json.dumps(letter)[1:-1] if is_hidden else letter
