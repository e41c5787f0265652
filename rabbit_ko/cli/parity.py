"""`rabbit parity`: whether a stage answers elsewhere as it does here."""

from typing import Annotated, Literal

import typer

from rabbit_ko.cli.app import AsJson, LastStage, RecipeName, app, is_debugging
from rabbit_ko.cli.evaluate import MaxNewTokens, ModelName
from rabbit_ko.terminal import Terminal, say, say_json, silence


@app.command()
def parity(
    recipe: RecipeName = "smoke",
    stage: LastStage = "",
    against: Annotated[
        str,
        typer.Option(metavar="NAME|PATH|URL", help="a format that is exported, a model's folder or GGUF, a server"),
    ] = "merged",
    quant: Annotated[
        str, typer.Option(metavar="NAME", help="how the weights of the GGUF, or at the server, are stored")
    ] = "",
    rows: Annotated[int, typer.Option(min=0, help="of the recipe's rows, test rows first")] = 200,
    max_new_tokens: MaxNewTokens = 64,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="what the stage itself is computed in")
    ] = "float32",
    model_name: ModelName = "",
    llama_cpp: Annotated[str, typer.Option(metavar="DIR", help="a built checkout of llama.cpp")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask a stage and what serves it the same conversations, and compare prompts, tokens, probabilities and ends.

    The stage is transformers with the adapter beside its base. `--against` is `adapter`, `merged`, `gguf`,
    `gguf-lora`, `fp8`, a folder, a .gguf file, or the URL of an OpenAI-compatible server: vLLM, llama.cpp, Ollama,
    `transformers serve`. Needs the recipe's data, and an export for what is exported. Says same, numerically near,
    or different with the first place that differs, and exits with 1 for that. Leaves `runs/<recipe>/<stage>/parity`,
    which the card is written from, but for what is not the stage's own, in `elsewhere` there. Differences are of
    log-probabilities, in nats. MODEL_API_KEY holds a server's key.

    Example: `rabbit parity --recipe aog-8b --stage dpo --against gguf --quant q8_0`
    """
    from rabbit_ko.evaluation.models import load_tokenizer
    from rabbit_ko.parity.doors.server import find_server
    from rabbit_ko.parity.report import as_table, check, describe
    from rabbit_ko.parity.run import Comparison, check_parity
    from rabbit_ko.publishing.model_facts import find_trained
    from rabbit_ko.recipes import find_recipe

    silence(is_debugging())
    found = find_trained(find_recipe(recipe), stage)
    server = find_server(against, model_name) if "://" in against else None
    record, outcomes = check_parity(found, Comparison(against, server, quant, llama_cpp, rows, max_new_tokens, dtype))
    if as_json:
        say_json(record.model_dump(mode="json"), indent=1)
    else:
        asked = ", ".join(f"{count} {kind}" for kind, count in record.asked.items())
        skipped = f"; {record.skipped} do not fit" if record.skipped else ""
        say(f"{found.model}: asked {asked} conversations, {max_new_tokens} tokens each{skipped}")
        Terminal().print(as_table(record))
        tokenizer = load_tokenizer(found)
        say(*(line for outcome in outcomes for line in describe(outcome, tokenizer)))
    check(record)
