"""The lines of a judge's reply that are no thoughts, where the last of them is no quote of what it judges."""

import re
from collections import Counter
from collections.abc import Sequence

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
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060"))
# What begins or ends a part, in a line of its own.
_MARK = re.compile(r"(```|~~~|\"\"\"|''').*+|</?([^<>/|\s]{1,40}+)[^<>]*+>")
# What says that the words of another follow: a sentence that points to them and names them.
_SENTENCE_END = re.compile(r"[.!?]\s")
_POINTS = re.compile(r"다음|아래|이렇게|following|(?::|says|reads|writes|claims|demands|states)$", re.IGNORECASE)
_NAMES = re.compile(
    r"답변|문구|요구|인용|요청|주장|위조|본문|원문|사용자"
    r"|answer|response|quote|text|demand|request|claim|cheat|forge|user|says|reads|writ",
    re.IGNORECASE,
)
# What begins the reasons, which stand before a verdict that is quoted as before any other.
_REASONS = re.compile(r"[\s*_#>-]*+(?:평가|assessment)[*_ ]*+:", re.IGNORECASE)


def own_lines(reply: str) -> list[str] | None:
    """Return the lines of a reply without its thoughts; None where those, or a part that it quotes, have no end.

    What stands before an end of thoughts that never began remains: that end may be one that the judge quotes.
    """
    if (said := _without_thoughts(_plain(reply).strip())) is None:
        return None
    before, after = said
    if not after:
        return None
    lines = lines_of(f"{before}\n{_without_fence(after)}")
    marks = Counter(mark[1] or mark[2] for line in lines if (mark := _MARK.fullmatch(line.strip())))
    return None if any(count % 2 for count in marks.values()) else lines


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not blank."""
    return [line.rstrip() for line in _plain(text).split("\n") if line.strip()]


def announced(lines: Sequence[str]) -> bool:
    """Tell whether a line above a verdict, or above its reasons, says that what comes next is of another's words."""
    return any(map(_announces, lines[-2:] if _REASONS.match(lines[-1]) else lines[-1:]))


def _plain(text: str) -> str:
    return normalize("NFC", text).translate(_FULL_WIDTH | _INVISIBLE).replace("\r", "\n")


def _announces(line: str) -> bool:
    sentence = _SENTENCE_END.split(line.rstrip(" .*_"))[-1]
    return bool(_POINTS.search(sentence) and _NAMES.search(sentence))


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
