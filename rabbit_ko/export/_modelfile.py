"""What Ollama needs beside a GGUF: a Modelfile for `ollama create`, and for `ollama run hf.co/...` its parts.

The hub reads the files `template` and `params`: https://huggingface.co/docs/hub/ollama
"""

import json
from pathlib import Path
from typing import Any

from prompt_strategies.tokens import Tokenizer
from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import context_of
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export._go_template import go_template
from rabbit_ko.export._keys import ends_of
from rabbit_ko.export._pattern import find_pattern

# The first version that renders with the GGUF's own Jinja template where there is none in Go.
_RENDERS_JINJA = "0.30.0"


def write_modelfile(folder: Path, weights: str, stage: Stage, model: Path, tokenizer: Tokenizer) -> str:
    """Write what Ollama needs for a stage's GGUF, a file in the same folder; return why it has no Go template, if so.

    Such a Modelfile leaves the prompt to the Jinja template in the GGUF, and asks for an Ollama that can do that.
    model: the folder of the complete model.
    """
    try:
        template, why = go_template(find_pattern(tokenizer)), ""
    except UserError as error:
        template, why = "", f"no Go template for Ollama before {_RENDERS_JINJA}: of the chat template, {error}"
    params = _params(stage, model, tokenizer)
    prompt = f'TEMPLATE """{template}"""' if template else f"REQUIRES {_RENDERS_JINJA}"
    lines = [f"FROM ./{weights}", prompt, *_parameters(params)]
    _write(folder / "Modelfile", "\n".join(lines) + "\n")
    _write(folder / "params", json.dumps(params, ensure_ascii=False, indent=1) + "\n")
    if template:
        _write(folder / "template", template + "\n")
    return why


def _params(stage: Stage, model: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what stops an answer, how much the model can read, and that nothing else is drawn than was trained.

    Ollama's own penalty for repetition was 1.1 for years.
    """
    stop = tokenizer.convert_ids_to_tokens(ends_of(stage, model, tokenizer))
    return {"stop": stop, "num_ctx": context_of(stage), "repeat_penalty": 1.0}


def _parameters(params: dict[str, Any]) -> list[str]:
    listed = [
        (name, each) for name, value in params.items() for each in (value if isinstance(value, list) else [value])
    ]
    return [f"PARAMETER {name} {_quoted(each) if isinstance(each, str) else each}" for name, each in listed]


def _quoted(text: str) -> str:
    """Return a text as a Modelfile has it, where nothing is escaped."""
    return f'"""{text}"""' if '"' in text else f'"{text}"'


def _write(file: Path, text: str) -> None:
    storage.write(str(file), text.encode())
