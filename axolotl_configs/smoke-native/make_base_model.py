"""Make the smoke-native recipe's base: a tiny Llama as the smoke recipe's, but with Llama-3.2's own format.

    python axolotl_configs/smoke-native/make_base_model.py runs/smoke-native/base

As Llama-3.2-Instruct has it, its tokenizer brings a chat template, which writes the day's date and renders tools, its
EOS ends a turn, and it stops at that and at the end of a text.
"""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

from axolotl.utils.chat_templates import get_chat_template

END_OF_TURN = "<|eot_id|>"


def main(folder: Path) -> None:
    """Make the base and write it into a folder."""
    smoke = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "smoke" / "make_base_model.py")))
    tokenizer = smoke.make_tokenizer()
    tokenizer.eos_token = END_OF_TURN
    tokenizer.chat_template = get_chat_template("llama3_2_vision")
    model = smoke.make_model(tokenizer)
    stops = tokenizer.convert_tokens_to_ids([smoke.EOS, END_OF_TURN])
    model.config.eos_token_id = model.generation_config.eos_token_id = stops
    smoke.save(tokenizer, model, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
