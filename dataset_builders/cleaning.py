"""Text as it may stand in a shard: in Unicode's composed form (NFC), without control characters, forging nothing.

Nearly all text is made of characters that raise no question. One pass over the column finds the rest, and only that
is looked at closely.
"""

import re
import unicodedata
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.batch import Batch
from prompt_strategies.prompt_injection import escape, find_injection

PromptInjection = Literal["reject", "escape"]

# Letters, digits, punctuation, kana, hanja and composed Hangul; not what marks a heading or a control token.
UNSUSPICIOUS = (
    r"\t\n\r\x20-\x22\x24-\x3b\x3d-\x5a\x5c-\x7e\x{a0}-\x{2ff}\x{2010}-\x{2027}\x{2030}-\x{205e}\x{3000}-\x{3029}"
    r"\x{3041}-\x{3096}\x{30a1}-\x{30fa}\x{3131}-\x{318e}\x{4e00}-\x{9fff}\x{ac00}-\x{d7a3}"
)
_SUSPECT = f"[^{UNSUSPICIOUS}]"
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# The replacement character stands where a decoder gave up; the others are no characters at all.
_BROKEN = re.compile("[\ufffd\ufdd0-\ufdef\ufffe\uffff]")


def clean(batch: Batch, prompt_injection: PromptInjection) -> tuple[Batch, dict[int, str]]:
    """Compose each text (NFC), escape injections where that is asked, and tell of the rows that cannot be mended.

    Returns the batch with its changed texts, and row -> reason.
    """
    suspects = np.flatnonzero(pc.match_substring_regex(batch.contents, _SUSPECT).to_numpy(zero_copy_only=False))
    normalized, escaped = batch.normalized.copy(), batch.escaped.copy()
    rejected: dict[int, str] = {}
    changed: dict[int, str] = {}
    for message, row in zip(suspects.tolist(), batch.rows_of(suspects).tolist(), strict=True):
        text = batch.contents[message].as_py()
        composed = unicodedata.normalize("NFC", text)
        harmless = escape(composed) if prompt_injection == "escape" else composed
        if reason := _unfit(harmless):
            rejected.setdefault(row, reason)
        normalized[row] |= composed != text
        escaped[row] |= harmless != composed
        if harmless != text:
            changed[message] = harmless
    if not changed:
        return batch, rejected
    return batch.with_contents(_replaced(batch.contents, changed), normalized, escaped), rejected


def _unfit(text: str) -> str | None:
    if prompt_injection := find_injection(text):
        return prompt_injection
    if _CONTROL_CHARACTER.search(text):
        return "control character"
    return "broken unicode" if _BROKEN.search(text) else None


def _replaced(texts: pa.StringArray, changed: dict[int, str]) -> pa.StringArray:
    places = np.arange(len(texts))
    places[list(changed)] = len(texts) + np.arange(len(changed))
    return pa.concat_arrays([texts, pa.array(changed.values(), pa.string())]).take(pa.array(places))
