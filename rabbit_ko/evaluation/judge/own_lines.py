"""The lines of a judge's reply that are its own: no thoughts, and nothing that it quotes from what it judges."""

import re
from typing import NamedTuple

from rabbit_ko.normal_form import normalize

# Thoughts that begin a reply, as templates of models write them, and what ends them.
THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel>thought": "<channel|>",
    "<|channel|>analysis": "<|channel|>final<|message|>",
    # The same where a server takes away what no text is.
    "analysisWe": "assistantfinal",
}
# Full-width letters, digits and colons are the same; superscripts, which NFKC would turn into digits, are not, and
# quotes and brackets, which would be JSON's, neither.
_FULL_WIDTH = {code + 0xFEE0: code for code in range(0x21, 0x7F) if chr(code).isalnum() or chr(code) in ":/.()=-"}
_PART = re.compile(r"<([^<>\n]{1,40} [0-9a-f]{8})>")


class OwnLines(NamedTuple):
    """The lines of a reply. own: the judge's. doubtful: in a fence, or before thoughts end that never began."""

    own: list[str]
    doubtful: list[str]


def own_lines(reply: str) -> OwnLines | None:
    """Return the lines that are the judge's own; None where its thoughts or a part that it repeats have no end."""
    text = normalize("NFC", reply).translate(_FULL_WIDTH).replace("\r", "\n").strip()
    if (said := _without_thoughts(text)) is None:
        return None
    before, after = said
    if (unquoted := _without_quotes(_without_fence(after))) is None:
        return None
    return OwnLines(unquoted.own, [*unquoted.doubtful, *before.split("\n")])


def _without_thoughts(text: str) -> tuple[str, str] | None:
    """Return what may be thoughts, and what follows; None where thoughts have no end."""
    if opening := next((opening for opening in THOUGHTS if text.startswith(opening)), ""):
        _, closing, text = text.partition(THOUGHTS[opening])
        if not closing:
            return None
    for opening, closing in THOUGHTS.items():
        if (at := text.rfind(f"\n{opening}")) >= 0 and closing not in text[at:]:
            return None
    ends = [(text.find(closing), closing) for closing in THOUGHTS.values() if closing in text]
    if not ends:
        return "", text.strip()
    before, _, after = text.partition(min(ends)[1])
    return before, after.strip()


def _without_fence(text: str) -> str:
    """Return what stands in the one fence around a whole reply, and any other text as it is."""
    first, *inner, last = text.split("\n") if "\n" in text else (text, "")
    is_fence = first.startswith("```") and last.strip() == "```" and text.count("```") == 2
    return "\n".join(inner) if is_fence else text


def _without_quotes(text: str) -> OwnLines | None:
    """Drop parts between marks and lines after `>`; None where a part has no end."""
    found, end, is_fenced = OwnLines([], []), "", False
    for line in text.split("\n"):
        bare = line.strip()
        if end or (part := _PART.fullmatch(bare)):
            end = "" if bare == end else end or f"</{part[1]}>"  # type: ignore[index]
        elif bare.startswith("```") and "`" not in bare.lstrip("`"):
            is_fenced = not is_fenced
        elif not bare.startswith(">"):
            (found.doubtful if is_fenced else found.own).append(line.rstrip())
    return None if end else found
