"""The files beside a model's weights, as those who serve it read them: transformers 4 and 5, vLLM, llama.cpp, TGI.

Transformers 5 writes what earlier versions refuse or do not see: a class of tokenizers that they do not have, and a
place for all that rotary embeddings need, without which they silently take their defaults.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from axolotl_plugins.checks.model_files import ADAPTER_CONFIG
from rabbit_ko import storage
from rabbit_ko.documents import read_object, read_text

Object = dict[str, Any]
# Layers of two kinds, with an embedding each; of them transformers 4 has such names for Gemma 3 alone.
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
# Sets, in peft.
_UNORDERED = ("target_modules", "exclude_modules")
_OLD_NAMES = ("torch_dtype", "rope_theta", "partial_rotary_factor", "rope_scaling", "rope_local_base_freq")
# Phi-3's, of which these two alone were there before; the length beside them has a place of its own, too.
_LONG = {"rope_type", "long_factor", "short_factor", "original_max_position_embeddings"}


def make_portable(folder: Path) -> None:
    """Say in a model's config and its tokenizer's what older readers look for; newer ones read the same as before.

    Of an adapter's config the same is left by each run that trains the same adapter.

    Raises UserError where a file is no JSON object.
    """
    _rewrite(folder / "config.json", _with_old_names)
    _rewrite(folder / "tokenizer_config.json", partial(_with_old_class, folder))
    _rewrite(folder / ADAPTER_CONFIG, _in_order)


def _rewrite(file: Path, change: Callable[[Object], Object]) -> None:
    if not file.exists():
        return
    before = read_object(file)
    if (after := change(before)) != before:
        storage.write(str(file), (json.dumps(after, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def _in_order(config: Object) -> Object:
    """Return an adapter's config with the names in the order of their letters that peft has in no order."""
    unordered = {name: names for name in _UNORDERED if isinstance(names := config.get(name), list)}
    return {**config, **{name: sorted(names, key=str) for name, names in unordered.items()}}


def _with_old_names(config: Object) -> Object:
    """Return a model's config, and each one in it, with the type of weights and the rotary embeddings as before."""
    inner = {key: value for key, value in config.items() if isinstance(value, dict) and "model_type" in value}
    nested = {key: _with_old_names(value) for key, value in inner.items()}
    dtype = {"torch_dtype": config["dtype"]} if isinstance(config.get("dtype"), str) else {}
    rope = config.get("rope_parameters") or {}
    if {_GLOBAL, _LOCAL} <= rope.keys():
        is_gemma = str(config.get("model_type")).startswith("gemma3")
        old = {**_old_rope(rope[_GLOBAL]), "rope_local_base_freq": rope[_LOCAL]["rope_theta"]} if is_gemma else {}
    else:
        old = _old_rope(rope)
    return {**config, **nested, **dtype, **old}


def without_old_names(config: Object) -> Object:
    """Return a model's config as it was before `make_portable`; one that it has not changed as it is."""
    bare = {key: value for key, value in config.items() if key not in _OLD_NAMES}
    return bare if _with_old_names(bare) == config else config


def _old_rope(rope: Object) -> Object:
    apart = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    scaling = {key: value for key, value in rope.items() if key not in apart}
    if scaling.keys() == _LONG:
        scaling = {
            "type": rope["rope_type"],
            "long_factor": rope["long_factor"],
            "short_factor": rope["short_factor"],
        }
    return apart | ({} if rope.get("rope_type", "default") == "default" else {"rope_scaling": scaling})


def _with_old_class(folder: Path, tokenizer: Object) -> Object:
    changed = dict(tokenizer)
    if changed.get("tokenizer_class") == "TokenizersBackend":
        changed["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(changed.get("extra_special_tokens"), list):
        changed["additional_special_tokens"] = changed.pop("extra_special_tokens")
    if _is_bpe(folder / "tokenizer.json"):
        # It takes away spaces before punctuation, which transformers 5 no longer does for such a tokenizer.
        changed["clean_up_tokenization_spaces"] = False
    if (template := folder / "chat_template.jinja").exists():
        # TGI looks for it here alone: https://github.com/huggingface/text-generation-inference/issues/3247
        changed["chat_template"] = read_text(template)
    return changed


def _is_bpe(file: Path) -> bool:
    return file.exists() and (read_object(file).get("model") or {}).get("type") == "BPE"
