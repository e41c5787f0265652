"""Unicode's normal forms, in time that is linear in the text.

`unicodedata` puts marks that stand on one letter into their order by moving each past all that stand before it: a
megabyte of accents in turn above and below takes it ten minutes.
"""

import re
import unicodedata
from itertools import groupby
from typing import Literal

Form = Literal["NFC", "NFKC"]
# Up to such lengths, its way is fast enough.
SHORT_TEXT, SHORT_RUN = 2_000, 100
_MARKS = "".join(
    letter for letter in map(chr, range(0x10000)) if unicodedata.combining(unicodedata.normalize("NFKD", letter)[0])
)
# Also of letters of plane 1, since as many ranges as its marks make would be slow to search.
_LONG_RUN = re.compile(f"[{_MARKS}\U00010000-\U0001ffff]{{{SHORT_RUN},}}+")


def normalize(form: Form, text: str) -> str:
    """Return text in a normal form, as `unicodedata.normalize` does."""
    if len(text) > SHORT_TEXT and not unicodedata.is_normalized(form, text):
        text = _LONG_RUN.sub(lambda run: _ordered(form, run[0]), text)
    return unicodedata.normalize(form, text)


def _decomposed(form: Form, text: str) -> str:
    return unicodedata.normalize("NFD" if form == "NFC" else "NFKD", text)


def _ordered(form: Form, run: str) -> str:
    letters = "".join(_decomposed(form, letter) for letter in run)
    groups = groupby(letters, key=lambda letter: unicodedata.combining(letter) > 0)
    return "".join(letter for _, group in groups for letter in sorted(group, key=unicodedata.combining))
