"""What must hold of the files of a model before anything loads them: they are complete, and name no foreign code."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open

from rabbit_ko.documents import check_no_pointer, read_object, read_text
from rabbit_ko.errors import UserError, reason
from rabbit_ko.run_record import remedy

TRUST = "guard_trust_remote_code"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
BASE_OF_ADAPTER = "base_model_name_or_path"
CHAT_TEMPLATE = "chat_template.jinja"
PICKLE = re.compile(r"[.](bin|pth?|pkl|ckpt)$")
# By these, a model's files name modules that are imported with it: transformers' own, and peft's.
NAMES_CODE = ("auto_map", "auto_mapping", "megatron_config")
OWN_CODE = ("axolotl.", "axolotl_plugins.", "rabbit_ko.")
# The kernels that axolotl and transformers themselves take.
OWN_KERNELS = "kernels-community/"
ATTENTIONS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
CODE_PATHS = ("plugins", "trainer_cls", "reward_funcs", "rollout_func", "worker_extension_cls")
# As axolotl's schema reads a switch, from a command line too.
_SWITCH = TypeAdapter(bool)


def trusts(config: Mapping[str, Any]) -> bool:
    """Tell whether a stage's YAML lets code of others run: `guard_trust_remote_code: true`. Raises UserError."""
    return _is_on(config, TRUST)


def _is_on(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key)
    try:
        return value is not None and _SWITCH.validate_python(value)
    except ValidationError:
        raise UserError(f"{key}: {str(value)[:40]!r} is neither true nor false") from None


def check_foreign_code(config: Mapping[str, Any]) -> None:
    """Raise UserError where a stage's YAML would run code of others, and does not say so by a key of its own."""
    if trusts(config):
        return
    # The schema reads this key as a switch; what is nested reaches libraries as it is, which take any text for on.
    given = {**config, "trust_remote_code": _is_on(config, "trust_remote_code")}
    if place := next(_foreign_code(given, ""), None):
        raise UserError(
            f"{place}: runs code that is not this project's, as you; take it away, or, when you have read that code, "
            f"write `{TRUST}: true`, which the model card then says"
        )


def _foreign_code(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _foreign_code(inner, f"{place}[{number}]")
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        here = f"{place}.{key}" if place else str(key)
        if key in ("trust_remote_code", *NAMES_CODE) and inner:
            yield here
        elif key in CODE_PATHS and inner:
            yield from (f"{here}: {name}" for name in _listed(inner) if not name.startswith(OWN_CODE))
        elif key in ATTENTIONS and "/" in str(inner) and not str(inner).startswith(OWN_KERNELS):
            yield f"{here}: {inner}"
        else:
            yield from _foreign_code(inner, here)


def _listed(value: Any) -> list[str]:
    return list(map(str, value if isinstance(value, list | tuple) else [value]))


def check_model(folder: Path, trusted: bool = False) -> None:
    """Raise UserError where a model's folder holds a damaged file or pickled weights, or names foreign code.

    trusted: its foreign code may run. Whatever is no folder of this machine passes.
    """
    check_configs(folder, trusted)
    check_weights(folder)


def check_configs(folder: Path, trusted: bool = False) -> None:
    """Raise UserError where a model's config, tokenizer or chat template is damaged, or names foreign code."""
    for file in sorted({*folder.glob("*.json")} - {folder / "trainer_state.json"}):
        if file.name.endswith(("config.json", "tokenizer.json", ".index.json", "_map.json", "_tokens.json")):
            _check_json(file, trusted)
    if (template := folder / CHAT_TEMPLATE).exists():
        read_text(template, remedy(folder))


def check_weights(folder: Path) -> None:
    """Raise UserError where a model's weights are damaged, or pickled."""
    weights = sorted(folder.glob("*.safetensors"))
    pickles = sorted(file.name for file in folder.glob("*model*") if PICKLE.search(file.name))
    if pickles and not weights:
        raise UserError(f"{folder / pickles[0]}: may run code where it is loaded; save the weights as safetensors")
    for file in weights:
        if not file.is_file():
            raise UserError(f"{file}: is no file; {remedy(folder)}")
        check_no_pointer(file)
        with loading(f"{file}: damaged or cut", folder), safe_open(file, "np") as content:
            if not content.keys():
                raise UserError(f"{file}: holds no weights; {remedy(folder)}")


def _check_json(file: Path, trusted: bool) -> None:
    content = read_object(file, remedy(file.parent))
    named = next(_foreign_code(content, ""), None) if file.name.endswith("config.json") else None
    if named and not trusted:
        raise UserError(
            f"{file}: {named}: names code that would run as you; take a model without, or, when you have read that "
            f"code, write `{TRUST}: true` and `trust_remote_code: true` into the stage's YAML"
        )
    if file.name.endswith(".index.json"):
        parts = content.get("weight_map")
        names = sorted(set(map(str, parts.values()))) if isinstance(parts, dict) else [""]
        if missing := next((name for name in names if not name or not (file.parent / name).is_file()), None):
            raise UserError(f"{file}: the part {missing} is missing; {remedy(file.parent)}")
    if file.name == ADAPTER_CONFIG:
        _check_adapter_config(file, content)


def _check_adapter_config(file: Path, content: Mapping[str, Any]) -> None:
    kinds = {"peft_type": str, "r": int, "target_modules": list | str}
    for key, kind in kinds.items():
        if key in content and not isinstance(content[key], kind):
            raise UserError(f"{file}: {key}: {str(content[key])[:40]} is none; {remedy(file.parent)}")
    if (kind := content.get("peft_type", "LORA")) != "LORA":
        raise UserError(f"{file}: peft_type: {kind[:40]}, and runs of this project leave LORA; {remedy(file.parent)}")


def check_adapter_fits(model: Any, folder: Path) -> None:
    """Raise UserError where peft, which only warns of it, has found other layers in a folder's adapter than it wants.

    model: with the adapter of the folder in it.
    """
    from peft import get_peft_model_state_dict

    wanted = get_peft_model_state_dict(model, save_embedding_layers=False).keys()
    with safe_open(folder / ADAPTER, "np") as weights:
        there = set(weights.keys())
    # Embeddings are there where the vocabulary grew.
    differing = sorted({*(wanted - there), *(name for name in there - wanted if "lora_" in name)})
    if differing:
        said = f"{len(differing)} layers of it or of its base have no counterpart, such as {differing[0]}"
        raise UserError(f"{folder / ADAPTER}: is of another model: {said}; {remedy(folder)}")


def accept_any_width() -> None:
    """Let transformers load a Llama whose heads do not divide its width, as Kanana's do not, which name their own.

    Its versions 5 refuse that config, and the model takes it: https://github.com/huggingface/transformers/issues/46082
    """
    from transformers import LlamaConfig  # slow to import; few checks need it

    kept = [check for check in LlamaConfig.__class_validators__ if check.__name__ != "validate_architecture"]
    LlamaConfig.__class_validators__ = kept


@contextmanager
def loading(what: str, folder: Path) -> Iterator[None]:
    """Raise UserError for whatever transformers, peft, tokenizers or safetensors raise where they load a folder.

    They raise errors of every kind for a file that they cannot use, and those in Rust panic.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise UserError(f"{what}: {reason(error)[:300]}") from None
    except BaseException as error:
        raise UserError(f"{what}: {reason(error)[:300]}; {remedy(folder)}") from None
