"""llama.cpp's own converter, told what the file has to say and how a tokenizer splits that it does not know.

python -m rabbit_ko.export._convert LLAMA_CPP KEYS.json convert_hf_to_gguf.py MODEL --outfile FILE --outtype f32
"""

import json
import logging
import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from axolotl_plugins.checks.model_files import accept_any_width
from rabbit_ko.errors import UserError, reason
from rabbit_ko.export._llama_cpp import CONVERTER
from rabbit_ko.export._pre_tokenizers import pre_tokenizer
from rabbit_ko.terminal import say

MODULE = Path(CONVERTER).stem


def convert(llama_cpp: str, keys: str, script: str, *arguments: str) -> None:
    """Run one of llama.cpp's converters with its arguments; its file has the keys, whatever the converter says there.

    Raises UserError for a pre-tokenizer that llama.cpp does not have, and whatever the converter raises.
    """
    sys.path[:0] = [llama_cpp, f"{llama_cpp}/gguf-py"]
    converter = import_module(MODULE)
    _name_pre_tokenizers(converter)
    _add_keys(import_module("gguf").GGUFWriter, json.loads(Path(keys).read_bytes()))
    sys.argv = [script, *arguments]
    if script == CONVERTER:
        converter.main()
    else:
        runpy.run_path(f"{llama_cpp}/{script}", run_name="__main__")


def _name_pre_tokenizers(converter: Any) -> None:
    """Let this project name what it knows, and the converter's classes the rest, which older scripts hold themselves.

    The converter tells tokenizers by a hash of the ids of one text, by which Llama-3's without a BOS is Smaug's.
    """
    places = [converter, sys.modules.get("conversion.base", converter)]
    kinds = {kind for place in places for kind in vars(place).values() if isinstance(kind, type)}
    for kind in kinds:
        if "get_vocab_base_pre" in vars(kind):
            kind.get_vocab_base_pre = _named_or_known(kind.get_vocab_base_pre)  # type: ignore[attr-defined]


def _named_or_known(known: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    def get_vocab_base_pre(self: Any, tokenizer: Any) -> str:
        if name := pre_tokenizer(self.dir_model):
            return name
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            raise UserError(
                f"{self.dir_model / 'tokenizer.json'}: neither llama.cpp's converter nor this project knows by what "
                "name llama.cpp splits text as this tokenizer does, so the model cannot become a GGUF"
            ) from None

    return get_vocab_base_pre


def _add_keys(writer: Any, keys: dict[str, bool | int | float | str]) -> None:
    write = writer.write_header_to_file

    def write_header_to_file(self: Any, *arguments: Any, **options: Any) -> None:
        add = {bool: self.add_bool, int: self.add_uint32, float: self.add_float32, str: self.add_string}
        for key, value in keys.items():
            for data in self.kv_data:
                data.pop(key, None)
            add[type(value)](key, value)
        write(self, *arguments, **options)

    writer.write_header_to_file = write_header_to_file


def main() -> None:
    """Convert as the command line says; the last line that begins with `error: ` says why that failed."""
    logging.basicConfig(level=logging.INFO)
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)
    errors.setFormatter(logging.Formatter("error: %(message)s"))
    logging.getLogger().addHandler(errors)
    accept_any_width()
    try:
        convert(*sys.argv[1:])
    except UserError as error:
        say(f"error: {reason(error)}", is_error=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
