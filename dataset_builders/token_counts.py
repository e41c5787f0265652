"""How many tokens rows have, for the mix: those of all their messages' texts, without the prompt's headings."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_builders.manifest import TokenizerInput
from dataset_builders.rows import Row, all_messages, contents, spoken
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import read, write

FILE = "tokenizer.json"
TEXTS = 2_000


def save_tokenizer(name: str, folder: str) -> tuple[str, TokenizerInput | None]:
    """Save a tokenizer for the workers; return its file, or nothing, and what it is. Raises UserError."""
    if not name:
        return "", None
    known, content = describe_tokenizer(name)
    path = f"{folder}/tokenizer-{known.sha256[:24]}-{known.version}.json"
    write(path, content)
    return path, known


def describe_tokenizer(name: str) -> tuple[TokenizerInput, bytes]:
    """Return what the tokenizer of a file, a folder or a hub model is, and its `tokenizer.json`. Raises UserError."""
    try:
        known = version("tokenizers")
    except ModuleNotFoundError:
        raise UserError("tokenizer: `tokenizers` is not installed; run `make setup EXTRAS=train`") from None
    content = _find(name).read_bytes()
    try:
        _load_text(content.decode())
    except Exception as error:  # the library raises bare exceptions
        raise UserError(f"tokenizer: {name}: not a `{FILE}`: {reason(error)}") from None
    return TokenizerInput(sha256=hashlib.sha256(content).hexdigest(), version=known), content


def _find(name: str) -> Path:
    from rabbit_ko.hub import hub_id

    path = Path(name).expanduser()
    file = path / FILE if path.is_dir() else path
    if file.is_file():
        return file
    if path.exists() or name.startswith((".", "/", "~")) or not hub_id(name):
        raise UserError(f"tokenizer: {file}: no such file; name a folder with a `{FILE}`, or a model on the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, FILE))
    except Exception as error:  # the network's, the hub's or a bad name's
        said = f"tokenizer: {name}: no such folder, and the hub gives no `{FILE}`: {reason(error)}"
        raise UserError(f"{said}; check its name, the network, and `hf auth login` where it is gated") from None


def count_tokens(path: str, rows: Sequence[Row]) -> npt.NDArray[np.uint32]:
    """Return the tokens of each row's messages and tools, as plain text; of a pair, with both of its answers."""
    tokenizer, messages = _load(path), [_texts(row) for row in rows]
    texts = list(chain.from_iterable(messages))
    parts = (texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS))
    encoded = (tokenizer.encode_batch_fast(some, add_special_tokens=False) for some in parts)
    lengths = [len(text) for some in encoded for text in some]
    starts = list(accumulate(map(len, messages), initial=0))[:-1]
    return np.add.reduceat(np.array(lengths, np.uint32), starts)


def _texts(row: Row) -> list[str]:
    said = contents(spoken(all_messages(row)))
    return [*said, row.tools] if row.tools else said


@cache
def _load(path: str) -> Any:
    if not path.endswith(f"-{version('tokenizers')}.json"):
        raise UserError("tokenizer: install the same version of `tokenizers` on all machines")
    return _load_text(read(path).decode())


def _load_text(text: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # No text becomes a control token.
    tokenizer.encode_special_tokens = True
    return tokenizer
