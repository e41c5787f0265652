r"""Text from data that would pass for the frame around it: control tokens, and headings of the template.

Strategies leave rows with a heading out and never parse a token out of text. The builders look closer, since shards
may meet any tokenizer: they see through full-width letters and invisible characters, and reject the row, or put a
backslash behind the first character of what they find: `<\|eot_id|>`.
"""

import re
import unicodedata

from prompt_strategies.template import LABELS

_TURN = re.compile(rf"^[^\S\n]*###[^\S\n]*({'|'.join(LABELS)})[^\S\n]*:", re.MULTILINE | re.IGNORECASE)
# The spellings of public models' control tokens: Llama 3, Qwen, Phi, EXAONE, DeepSeek, Gemma, Llama 2, Mistral, BERT.
_CONTROL = re.compile(
    r"<\|[^<>|\s]{1,64}\|>"
    r"|\[\|(?:system|user|assistant|tool|endofturn)\|\]"
    r"|<(?:start|end)_of_(?:turn|image)>"
    r"|</?(?:s|bos|eos|pad|unk|mask|cls|sep|eod|endoftext|im_start|im_end)>"
    r"|<<SYS>>|<</SYS>>"
    r"|\[(?:/?INST|/?SYSTEM_PROMPT|BOS|EOS|PAD|UNK|CLS|SEP|MASK|gMASK)\]",
    re.IGNORECASE,
)


def forges_turn(text: str) -> bool:
    """Tell whether a line of the text reads as a heading of the template."""
    return "###" in text and _TURN.search(text) is not None


def find_forgery(text: str) -> str | None:
    """Return `control token` or `forged turn` where the text holds one, even in disguise."""
    if not any(mark in text for mark in "<[#＜［＃﹤﹟"):
        return None
    plain = _undisguised(text)
    if _CONTROL.search(plain):
        return "control token"
    return "forged turn" if forges_turn(plain) else None


def escape(text: str) -> str:
    r"""Put a backslash behind the first character of each control token and heading, as in `<\|eot_id|>`."""
    without_tokens = _CONTROL.sub(lambda match: f"{match[0][0]}\\{match[0][1:]}", text)
    return _TURN.sub(lambda match: match[0].replace("#", "#\\", 1), without_tokens)


def _undisguised(text: str) -> str:
    """Fold compatibility characters (NFKC) and line breaks, and leave invisible characters out."""
    folded = unicodedata.normalize("NFKC", text)
    visible = "".join(char for char in folded if unicodedata.category(char) not in ("Cf", "Mn", "Me"))
    return "\n".join(visible.splitlines())
