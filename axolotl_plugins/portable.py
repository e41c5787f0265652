"""The files beside a model's weights, as those who serve it read them: transformers 4 and 5, vLLM, llama.cpp.

Transformers 5 writes what earlier versions refuse or do not see: a class of tokenizers that they do not have, and a
place for all that rotary embeddings need, without which they silently take their defaults.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rabbit_ko import storage
from rabbit_ko.documents import read_object

Object = dict[str, Any]
# In Gemma 3, layers of two kinds have an embedding each.
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# Phi-3's, of which these two alone were there before; the length beside them has a place of its own, too.
_LONG = {"rope_type", "long_factor", "short_factor", "original_max_position_embeddings"}


def make_portable(folder: Path) -> None:
    """Say in a model's config and its tokenizer's what older readers look for; newer ones read the same as before.

    Raises UserError where a file is no JSON object.
    """
    _rewrite(folder / "config.json", _with_old_names)
    _rewrite(folder / "tokenizer_config.json", _with_old_class)
    if _is_bpe(folder / "tokenizer.json"):
        # It takes away spaces before punctuation, which transformers 5 no longer does for such a tokenizer.
        _rewrite(folder / "tokenizer_config.json", lambda config: {**config, "clean_up_tokenization_spaces": False})


def _rewrite(file: Path, change: Callable[[Object], Object]) -> None:
    if not file.exists():
        return
    before = read_object(file)
    if (after := change(before)) != before:
        storage.write(str(file), (json.dumps(after, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def _is_bpe(file: Path) -> bool:
    return file.exists() and (read_object(file).get("model") or {}).get("type") == "BPE"


def _with_old_names(config: Object) -> Object:
    """Return a model's config, and each one in it, with the type of weights and the rotary embeddings as before."""
    inner = {key: value for key, value in config.items() if isinstance(value, dict) and "model_type" in value}
    nested = {key: _with_old_names(value) for key, value in inner.items()}
    dtype = {"torch_dtype": config["dtype"]} if isinstance(config.get("dtype"), str) else {}
    return {**config, **nested, **dtype, **_old_rope(config.get("rope_parameters") or {})}


def _old_rope(rope: Object) -> Object:
    if _GLOBAL in rope:
        local = {"rope_local_base_freq": rope[_LOCAL]["rope_theta"]} if _LOCAL in rope else {}
        return {**_old_rope(rope[_GLOBAL]), **local}
    apart = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    scaling = {key: value for key, value in rope.items() if key not in apart}
    if scaling.keys() == _LONG:
        scaling = {
            "type": rope["rope_type"],
            "long_factor": rope["long_factor"],
            "short_factor": rope["short_factor"],
        }
    return apart | ({} if rope.get("rope_type", "default") == "default" else {"rope_scaling": scaling})


def _with_old_class(tokenizer: Object) -> Object:
    changed = dict(tokenizer)
    if changed.get("tokenizer_class") == "TokenizersBackend":
        changed["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(changed.get("extra_special_tokens"), list):
        changed["additional_special_tokens"] = changed.pop("extra_special_tokens")
    return changed
