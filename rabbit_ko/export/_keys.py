"""What a GGUF of a stage has to say beside its weights: its prompt, where it begins and ends, and whose it is."""

import re
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from axolotl_plugins.checks.base_model import stop_tokens
from prompt_strategies.probes import QUESTION
from prompt_strategies.tokens import Tokenizer
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.models import encode_chat, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export._jinja_template import STRIP_CONTENT, jinja_template
from rabbit_ko.export._pattern import find_pattern
from rabbit_ko.run_record import remedy, trained_files

Keys = Mapping[str, bool | int | float | str]
# How a chat template of this project's own takes a message.
_TRIMMED = re.compile(r"\{%- set content = [^%]*\| trim %\}")
TRAINED_FILES = "rabbit_ko.trained_files"
CHAT_TEMPLATE, ADDS_BOS = "tokenizer.chat_template", "tokenizer.ggml.add_bos_token"
# What llama.cpp takes in its place where a request has tools.
TOOL_TEMPLATE = f"{CHAT_TEMPLATE}.tool_use"
# A file names three tokens at which llama.cpp stops, and it stops at some others by their text.
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")


def identity(stage: Stage) -> Keys:
    """Return the keys that tell a stage's file from that of another stage or run."""
    return {"general.name": f"{stage.recipe} {stage.name}", TRAINED_FILES: trained_files(Path(stage.model))}


def ends_of(stage: Stage, model: Path, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that end an answer of a stage's model in a folder, its tokenizer's own EOS first."""
    eos = tokenizer.eos_token_id
    return [eos, *sorted({*stop_tokens(str(model), stage.trusted)} - {eos})]


def model_keys(stage: Stage, model: Path) -> Keys:
    """Return what the file of a stage's model in a folder says. Raises UserError where llama.cpp has no such key.

    BOS begins a prompt where it does in training, whether or not the tokenizer adds it by itself.
    """
    tokenizer = load_tokenizer(stage)
    bos, ends = tokenizer.bos_token_id, ends_of(stage, model, tokenizer)
    has_bos = bos is not None and encode_chat(tokenizer, [QUESTION])["input_ids"][0] == bos
    if len(ends) > len(ENDS):
        raise UserError(
            f"{model / 'generation_config.json'}: eos_token_id: a GGUF names at most {len(ENDS)} tokens that end an "
            f"answer, and these are {len(ends)} with the tokenizer's own; take away what never ends one"
        )
    return {
        **identity(stage),
        **({} if bos is None else {"tokenizer.ggml.bos_token_id": bos}),
        **dict(zip(ENDS, ends, strict=False)),
        ADDS_BOS: has_bos,
        "tokenizer.ggml.add_eos_token": False,
        **_templates(stage, tokenizer, has_bos),
    }


def _templates(stage: Stage, tokenizer: Any, has_bos: bool) -> Keys:
    """Return a stage's chat template as llama.cpp can render it, and beside it one that knows tools.

    A native one is written anew in plain Jinja, where a pattern is all that it does: llama.cpp has a part of Jinja.
    https://github.com/ggml-org/llama.cpp/tree/master/common/jinja
    """
    whole = _template(stage.chat_template, tokenizer.bos_token_id)
    if stage.headings:
        return {CHAT_TEMPLATE: _TRIMMED.sub(lambda found: found[0] + STRIP_CONTENT, whole)}
    try:
        plain = jinja_template(find_pattern(tokenizer), tokenizer, has_bos)
    except UserError:
        return {CHAT_TEMPLATE: whole}
    return {CHAT_TEMPLATE: plain, **({TOOL_TEMPLATE: whole} if "tools" in whole else {})}


def _template(template: str, bos: int | None) -> str:
    """Take BOS from a chat template that writes one and is on a tokenizer without: llama.cpp always has one."""
    return "{%- set bos_token = '' %}" + template if bos is None and "bos_token" in template else template


def read_gguf(file: Path) -> dict[str, Any]:
    """Return what a GGUF says, without lists such as its vocabulary. Raises UserError for one that is damaged."""
    at = file.stat() if file.exists() else None
    return {**_read(file, at and (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns))}


@cache
def _read(file: Path, version: tuple[int, ...] | None) -> dict[str, Any]:
    """Read a file once while it is the same: its vocabulary takes seconds."""
    return _said(_open(file))


def _open(file: Path) -> Any:
    from gguf import GGUFReader

    try:
        return GGUFReader(file)
    except Exception as error:  # whatever numpy and Python raise for bytes that are not what they should be
        raise UserError(f"{file}: no GGUF, damaged or cut: {reason(error)}; {remedy(file.parent)}") from None


def _said(reader: Any) -> dict[str, Any]:
    from gguf import GGUFValueType

    return {name: it.contents() for name, it in reader.fields.items() if it.types[0] is not GGUFValueType.ARRAY}


def check_gguf(file: Path, keys: Keys, config: Any = None) -> None:
    """Raise UserError where a GGUF does not say what it has to. config: of its model, as transformers loads it."""
    reader = _open(file)
    said = _said(reader)
    wanted = {**keys, **(_positions(config, said) if config else {})}
    for key, value in wanted.items():
        if said.get(key) != value:
            raise UserError(
                f"{file}: llama.cpp's converter wrote {key} = {str(said.get(key))[:60]!r}, and the stage has "
                f"{str(value)[:60]!r}; give LLAMA_CPP=<a newer checkout of llama.cpp>"
            )
    if config and _rope(config).get("rope_type", "default") != "default" and not _scales(reader):
        raise UserError(f"{file}: does not say how the model scales positions; give LLAMA_CPP=<a newer checkout>")
    if said.get("tokenizer.ggml.model") == "gpt2" and said.get("tokenizer.ggml.pre") in (None, "default"):
        raise UserError(f"{file}: does not say how its tokenizer splits text; give LLAMA_CPP=<a newer checkout>")


def _rope(config: Any) -> dict[str, Any]:
    return getattr(config, "rope_parameters", None) or {}


def _positions(config: Any, said: Mapping[str, Any]) -> Keys:
    """Return what a file has to say of positions: how many there are, and the base of their angles.

    Older converters do not find that base in a config of transformers 5, and llama.cpp then takes another.
    """
    name, base = said.get("general.architecture"), _rope(config).get("rope_theta")
    angles = {} if base is None else {f"{name}.rope.freq_base": struct.unpack("f", struct.pack("f", base))[0]}
    return {f"{name}.context_length": config.max_position_embeddings, **angles}


def _scales(reader: Any) -> bool:
    names = [*reader.fields, *(tensor.name for tensor in reader.tensors)]
    return any(".rope.scaling." in name or name.startswith("rope_f") for name in names)
