"""How a trained stage is pushed: each module here is a format, with a function `export(stage) -> Exported`."""

import json
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from rabbit_ko.errors import UnknownName, UserError, reason, suggest
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.hub import Files

FORMATS = sorted(module.name for module in pkgutil.iter_modules(__path__))
PUSHED = re.compile(
    r"(adapter_model|model)(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|tokenizer\.model|merges\.txt|"
    r"((adapter_|generation_|tokenizer_)?config|tokenizer|special_tokens_map|added_tokens|vocab)\.json|"
    r"chat_template\.jinja"
)


class Exported(NamedTuple):
    """Files by name on the hub, and in the hub's words what loads them and how they relate to their base model."""

    files: Files
    library: str
    relation: str


def find_format(name: str) -> Callable[[Stage], Exported]:
    """Return the `export` function of a format. Raises UserError where there is no such format."""
    if name not in FORMATS:
        raise UnknownName(f"FORMAT={name}: there is no such format{suggest(name, FORMATS)}")
    export: Callable[[Stage], Exported] = import_module(f"{__name__}.{name}").export
    return export


def model_files(folder: Path, weights: str = "model.safetensors") -> Files:
    """Return weights and what loads them, nothing else. Raises UserError for pickles, which could run code."""
    index = folder / f"{weights}.index.json"
    names = set(json.loads(index.read_bytes())["weight_map"].values()) if index.exists() else {weights}
    for file in (folder / name for name in sorted(names)):
        if not file.exists():
            pickles = sorted(
                other.name for other in folder.iterdir() if re.search("[.](bin|pth?|pkl|ckpt)$", other.name)
            )
            there = f"there is {pickles[0]}, which may run code where it is loaded" if pickles else "nothing to push"
            raise UserError(f"{file}: is missing, and {there}; save the weights as safetensors and push again")
        try:
            with safe_open(file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: damaged or incomplete: {reason(error)}; train or merge again") from None
    return {file.name: file for file in sorted(folder.iterdir()) if PUSHED.fullmatch(file.name)}
