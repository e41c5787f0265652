"""`rabbit export`: a trained stage in the form that others run it in."""

from typing import Annotated

import typer

from rabbit_ko.cli.app import LastStage, RecipeName, app, is_debugging
from rabbit_ko.terminal import silence


@app.command()
def export(
    recipe: RecipeName = "smoke",
    stage: LastStage = "",
    format: Annotated[str, typer.Option(metavar="NAME", help="adapter, merged, gguf, gguf-lora or fp8")] = "gguf",
    quant: Annotated[
        str, typer.Option(metavar="NAME", help="of a GGUF: f32, bf16, f16, q8_0, ...; by default as it is stored")
    ] = "",
    llama_cpp: Annotated[str, typer.Option(metavar="DIR", help="a checkout of llama.cpp, for its package")] = "",
) -> None:
    """Export a stage's model to where others run it: as a GGUF for llama.cpp and Ollama, or as it is.

    **gguf** is the merged model in one file, with its chat template, EOS, BOS rule and context length, written by
    llama.cpp's own converter, which `EXTRAS=export` brings. q6_k, q5_k_m and q4_k_m also need `llama-quantize`.
    **gguf-lora** is the adapter alone. **fp8** is the merged model with weights in FP8 for vLLM, by llm-compressor,
    which has to be installed in an environment without axolotl. Leaves `runs/<recipe>/<stage>/export/`. What is up to
    date, by its model, prompt and tools, is not made again.

    Example: `rabbit export --recipe aog-8b --stage dpo --format gguf --quant q8_0`
    """
    from rabbit_ko.export import find_format
    from rabbit_ko.publishing.model_facts import find_trained
    from rabbit_ko.recipes import find_recipe

    silence(is_debugging())
    found = find_format(format)
    found.make(find_trained(find_recipe(recipe), stage), quant, llama_cpp)
