"""`rabbit serve`: a stage behind an OpenAI-compatible server."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rabbit_ko.cli.app import LastStage, RecipeName, app, is_debugging
from rabbit_ko.terminal import say

# A large model from a slow disk takes its time, and Ctrl-C ends that.
START_SECONDS = 3600


@app.command()
def serve(
    recipe: RecipeName = "smoke",
    stage: LastStage = "",
    backend: Annotated[str, typer.Option(metavar="NAME", help="transformers, vllm or llamacpp")] = "transformers",
    quant: Annotated[
        str, typer.Option(metavar="NAME", help="which GGUF; by default the only one, or that of weights as trained")
    ] = "",
    host: Annotated[str, typer.Option(help="the address to listen at; 0.0.0.0 lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="the port to listen at")] = 8000,
    context: Annotated[int, typer.Option(min=0, help="tokens of a conversation; by default all the model can")] = 0,
    args: Annotated[str, typer.Option("--args", metavar='"..."', help="more options, of the server's own")] = "",
    llama_cpp: Annotated[str, typer.Option(metavar="DIR", help="a built checkout of llama.cpp")] = "",
) -> None:
    """Serve a stage by transformers, vLLM or llama.cpp until Ctrl-C, and print a `curl` that asks it something.

    Needs `rabbit merge`, for llamacpp `rabbit export --format gguf`, and the server. It renders the stage's own chat
    template, and ends where the stage ends an answer. What the server says goes to `runs/<recipe>/<stage>/serve.log`.

    Example: `rabbit serve --recipe aog-8b --backend vllm --context 8192 --args "--tensor-parallel-size 2"`
    """
    from rabbit_ko.publishing.model_facts import find_trained
    from rabbit_ko.recipes import find_recipe
    from rabbit_ko.serving.backends import Place, curl, find_server
    from rabbit_ko.serving.process import running, url_of

    try:
        arguments = shlex.split(args)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--args") from None
    found = find_trained(find_recipe(recipe), stage)
    command, model = find_server(found, backend, Place(host, port, context, quant, llama_cpp), arguments)
    url, log = url_of(host, port), Path(found.model) / "serve.log"
    say(f"starting {backend} for {recipe} {found.name}; its log is {log}", is_error=True)
    try:
        with running(command, url, log, START_SECONDS, debug=is_debugging()) as server:
            say(f"{url}/v1 has {model} until Ctrl-C; to ask it:", is_error=True)
            say(curl(url, model))
            server.wait()
    except KeyboardInterrupt:
        say("ended", is_error=True)
        raise typer.Exit(130) from None
