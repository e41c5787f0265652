"""Text as it may stand in a shard: in Unicode's composed form (NFC), without control characters or injections."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from dataset_builders.near_duplicates import Signature
from dataset_builders.rows import Message, Row, all_messages, contents, message_lists
from prompt_strategies.prompt_injection import escape, find_injection
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
    cleaned = Cleaned(row)
    if any(map(_is_suspect, contents(all_messages(row)))):
        columns = message_lists(row)
        for name, messages in columns.items():
            columns[name] = [_clean_message(message, prompt_injection, cleaned) for message in messages]
        cleaned.row = replace(row, **columns)
    return cleaned


def _clean_message(message: Message, prompt_injection: PromptInjection, cleaned: Cleaned) -> Message:
    composed = normalize("NFC", message["content"])
    text = escape(composed) if prompt_injection == "escape" else composed
    cleaned.normalized |= composed != message["content"]
    cleaned.escaped |= text != composed
    if not cleaned.reason:
        is_control, is_broken = _CONTROL_CHARACTER.search(text), _BROKEN.search(text)
        unfit = "control character" if is_control else "broken unicode" if is_broken else ""
        cleaned.reason = find_injection(text) or unfit
    return {**message, "content": text}
