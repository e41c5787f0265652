r"""Text from data that would pass for the frame around it: control tokens, and headings of the template.

Strategies drop rows with a heading and never parse a special token out of text. The builders look closer, since
shards may meet any tokenizer: they reject such rows, or put a backslash after the first character of what they find:
`<\|eot_id|>`. Both see through full-width letters, other line breaks and invisible characters; look-alikes from other
scripts are other text.
"""

import re
import unicodedata

from prompt_strategies.template import LABELS
from rabbit_ko.normal_form import normalize

# Possessive, so that a long line of blanks is read once.
_MARKS = r"[^\S\n]*+[*_]*+[^\S\n]*+"
_TURN = re.compile(rf"^[^\S\n]*+###{_MARKS}(?:{'|'.join(LABELS)}){_MARKS}:", re.MULTILINE | re.IGNORECASE)
# The spellings of public models' control tokens: Llama 3, Qwen, Phi, EXAONE, DeepSeek, Gemma, T5, Llama 2, Mistral.
_CONTROL = re.compile(
    r"<\|[^<>|\s]{1,64}\|>"
    r"|\[\|(?:system|user|assistant|tool|endofturn)\|\]"
    r"|<(?:start|end)_of_(?:turn|image)>"
    r"|</?s>|<(?:bos|eos|pad|unk)>|<(?:unused|extra_id_)\d+>"
    r"|<</?SYS>>"
    r"|(?<![\w\])])\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
)
# Control and format characters, marks that stand on top of another, and the letters and symbols that show nothing.
_INVISIBLE = dict.fromkeys(
    code
    for code in (*range(0x10000), *range(0xE0000, 0xE0200))
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Mn", "Me") or chr(code) in "\u115f\u1160\u2800\u3164\uffa0"
)
del _INVISIBLE[ord("\t")]


def has_fake_turn(text: str) -> bool:
    """Tell whether a line of the text reads as a heading of the template, even in disguise."""
    return sum(map(text.count, "#＃﹟")) >= 3 and _TURN.search(_undisguised(text)) is not None


def find_injection(text: str) -> str | None:
    """Return `control token` or `fake turn` where the text holds one, even in disguise."""
    if any(mark in text for mark in "<[＜［﹤") and _CONTROL.search(_undisguised(text)):
        return "control token"
    return "fake turn" if has_fake_turn(text) else None


def escape(text: str) -> str:
    r"""Put a backslash after the first character of each control token and heading, as in `<\|eot_id|>`."""
    without_tokens = _CONTROL.sub(lambda match: f"{match[0][0]}\\{match[0][1:]}", text)
    return _TURN.sub(lambda match: match[0].replace("#", "#\\", 1), without_tokens)


def _undisguised(text: str) -> str:
    """Fold compatibility characters (NFKC) and line breaks, and take invisible characters out."""
    lines = normalize("NFKC", text).splitlines()
    return "\n".join(line.translate(_INVISIBLE) for line in lines)
