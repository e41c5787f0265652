"""llm-compressor's FP8 of a model without data, in a process of its own.

python -m rabbit_ko.export._compress MODEL FOLDER trusted|plain
"""

import logging
import shutil
import sys
from pathlib import Path

from axolotl_plugins.checks.model_files import accept_any_width
from rabbit_ko.export._safetensors import model_files


def compress(model: Path, folder: Path, trusted: bool) -> None:
    """Write a model with the weights of linear layers in FP8, scaled by channel; activations get a scale by token.

    What is beside weights and config stays byte for byte what it is.
    """
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM

    safe = {"trust_remote_code": trusted, "use_safetensors": True}
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto", **safe)
    modifier = QuantizationModifier(targets="Linear", scheme="FP8_DYNAMIC", ignore=["lm_head"])
    oneshot(model=loaded, recipe=modifier, log_dir=None)
    loaded.save_pretrained(folder, save_compressed=True)
    (folder / "recipe.yaml").unlink(missing_ok=True)
    for name in model_files(model):
        if name != "config.json" and not name.startswith("model"):
            shutil.copyfile(model / name, folder / name)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    accept_any_width()
    compress(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "trusted")
