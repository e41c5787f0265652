"""The files of a model in safetensors that others load, and nothing else of its folder."""

import re
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError, safe_open

from axolotl_plugins.checks.model_files import PICKLE, loading
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.hub import Files

PUSHED = re.compile(
    r"(adapter_model|model)(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|tokenizer\.model|merges\.txt|"
    r"((adapter_|generation_|tokenizer_)?config|tokenizer|special_tokens_map|added_tokens|vocab)\.json|"
    r"chat_template\.jinja"
)
# How weights are stored, by llama.cpp's names.
STORED = {"F32": "f32", "BF16": "bf16", "F16": "f16"}


def model_files(folder: Path, weights: str = "model.safetensors") -> Files:
    """Return weights and what loads them, nothing else. Raises UserError for pickles, which could run code."""
    for file in (folder / name for name in _weight_files(folder / f"{weights}.index.json", weights)):
        if not file.is_file():
            pickles = sorted(other.name for other in folder.iterdir() if PICKLE.search(other.name))
            there = f"there is {pickles[0]}, which may run code where it is loaded" if pickles else "nothing to push"
            raise UserError(f"{file}: is missing, and {there}; save the weights as safetensors and push again")
        try:
            with safe_open(file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: damaged or incomplete: {reason(error)}; train or merge again") from None
    return {file.name: file for file in sorted(folder.iterdir()) if PUSHED.fullmatch(file.name)}


def _weight_files(index: Path, weights: str) -> list[str]:
    """Return the names of the files of weights. Raises UserError where the index names what is no such file."""
    if not index.exists():
        return [weights]
    try:
        names = {str(name) for name in read_object(index, "train or merge again")["weight_map"].values()}
    except (KeyError, AttributeError):
        raise UserError(f"{index}: damaged; train or merge again") from None
    if others := sorted(name for name in names if not PUSHED.fullmatch(name)):
        raise UserError(f"{index}: names `{others[0]}`, which is no file of weights; train or merge again")
    return sorted(names)


def stored_as(folder: Path, weights: str = "model*.safetensors") -> str:
    """Return how most tensors of a model or adapter are stored, by llama.cpp's name. Raises UserError."""
    found = Counter[str]()
    for file in folder.glob(weights):
        with loading(f"{file}: damaged or cut", folder), safe_open(file, "np") as content:
            names = content.keys()
            found.update(content.get_slice(name).get_dtype() for name in names)
    stored = found.most_common(1)[0][0] if found else "nothing"
    if stored not in STORED:
        raise UserError(f"{folder}: holds weights of {stored}; say QUANT={' or '.join(STORED.values())}")
    return STORED[stored]
