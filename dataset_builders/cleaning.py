"""Text as it may stand in a shard: in Unicode's composed form (NFC), without control characters or injections."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from dataset_builders.calls import change_texts
from dataset_builders.near_duplicates import Signature
from dataset_builders.rows import CALLS, Message, Row, all_messages, contents, has_extras, message_lists
from prompt_strategies.prompt_injection import escape, find_injection
from rabbit_ko.errors import Rejected
from rabbit_ko.normal_form import normalize

PromptInjection = Literal["reject", "escape"]

# Letters, digits, punctuation, kana, hanja and composed Hangul; not what marks a heading or a control token. Nearly
# all text is made of these, and only the rest is looked at closely.
UNSUSPICIOUS = (
    r"\t\n\r\x20-\x22\x24-\x3b\x3d-\x5a\x5c-\x7e\xa0-\u02ff\u2010-\u2027\u2030-\u205e\u3000-\u3029"
    r"\u3041-\u3096\u30a1-\u30fa\u3131-\u318e\u4e00-\u9fff\uac00-\ud7a3"
)
_is_suspect = re.compile(f"[^{UNSUSPICIOUS}]").search
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# The replacement character stands where a decoder gave up; the others are no characters at all.
_BROKEN = re.compile("[\ufffd\ufdd0-\ufdef\ufffe\uffff]")


@dataclass
class Cleaned:
    """A row with its texts as they may stand in a shard, and why it must be rejected, if so."""

    row: Row
    normalized: bool = False
    escaped: bool = False
    reason: str = ""
    signature: Signature | None = None


def clean(row: Row, prompt_injection: PromptInjection) -> Cleaned:
    """Compose each text (NFC), escape injections where that is asked, and say what cannot be mended."""
    cleaned, messages = Cleaned(row), all_messages(row)
    if row.tools or has_extras(messages) or any(map(_is_suspect, contents(messages))):
        mend, columns = partial(_mend, prompt_injection, cleaned), message_lists(row)
        try:
            for name, some in columns.items():
                columns[name] = [_clean_message(message, mend) for message in some]
            if row.tools:
                columns["tools"] = change_texts(row.tools, mend)
        except Rejected as error:
            cleaned.reason = str(error)
        cleaned.row = replace(row, **columns)
    return cleaned


def _clean_message(message: Message, mend: Callable[[str], str]) -> dict[str, Any]:
    return {name: _clean_field(name, value, mend) for name, value in message.items()}


def _clean_field(name: str, value: Any, mend: Callable[[str], str]) -> Any:
    if name in ("role", "weight"):
        return value
    return change_texts(value, mend) if name == CALLS else mend(value)


def _mend(prompt_injection: PromptInjection, cleaned: Cleaned, text: str) -> str:
    composed = normalize("NFC", text)
    mended = escape(composed) if prompt_injection == "escape" else composed
    cleaned.normalized |= composed != text
    cleaned.escaped |= mended != composed
    if not cleaned.reason:
        is_control, is_broken = _CONTROL_CHARACTER.search(mended), _BROKEN.search(mended)
        unfit = "control character" if is_control else "broken unicode" if is_broken else ""
        cleaned.reason = find_injection(mended) or unfit
    return mended
