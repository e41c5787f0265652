"""What llama.cpp calls the way in which a BPE tokenizer splits text, by what tokenizer.json says of it.

The converter knows tokenizers by a hash of the ids that they give a text, so one with a vocabulary of its own is
unknown to it, however it splits words.
"""

from pathlib import Path
from typing import Any

from rabbit_ko.documents import read_object

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
QWEN_2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
GPT_2 = "GPT-2's"
# By the pattern that splits words, the normalizer, and whether words of the vocabulary are taken as they are.
# llama.cpp normalizes nothing, so its qwen2 is Qwen's tokenizer on text in NFC alone, as this project's rows are.
NAMES: dict[tuple[str, str | None, bool], str] = {
    (LLAMA_3, None, True): "llama-bpe",
    (LLAMA_3, None, False): "smaug-bpe",
    (QWEN_2, "NFC", False): "qwen2",
    (QWEN_2, None, False): "qwen2",
    (GPT_2, None, False): "gpt-2",
}


def pre_tokenizer(model: Path) -> str | None:
    """Return llama.cpp's name for how a model's tokenizer splits text; None where it is none of those known here.

    Raises UserError where tokenizer.json is damaged.
    """
    content = read_object(model / "tokenizer.json")
    normalizer, bpe = (content.get("normalizer") or {}).get("type"), content.get("model") or {}
    pattern = _pattern(content.get("pre_tokenizer") or {})
    if pattern is None or bpe.get("type") != "BPE" or bpe.get("byte_fallback") or bpe.get("dropout"):
        return None
    return NAMES.get((pattern, normalizer, bool(bpe.get("ignore_merges"))))


def _pattern(pre_tokenizer: dict[str, Any]) -> str | None:
    """Return the pattern that a byte-level pre-tokenizer splits by; None where it does anything else."""
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    *splits, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if not splits:
        return GPT_2 if last.get("use_regex", True) else None
    (split, *others), by_itself = splits, ("Isolated", False)
    if others or last.get("use_regex", True) or (split.get("behavior"), split.get("invert")) != by_itself:
        return None
    pattern: str | None = (split.get("pattern") or {}).get("Regex")
    return pattern
