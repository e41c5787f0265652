"""Evaluate a stage of a recipe on the tasks of the model cards.

python -m rabbit_ko.evaluation.harness smoke sft --tasks kobest,gsm8k --limit 8
accelerate launch -m rabbit_ko.evaluation.harness aog-8b sft
"""

from typing import Annotated, Literal

import typer

from rabbit_ko.command_line import told
from rabbit_ko.evaluation.harness import data
from rabbit_ko.evaluation.harness.backends import Answerer, Backend
from rabbit_ko.evaluation.harness.run import Evaluation, finished, run
from rabbit_ko.evaluation.harness.suites import SUITES, find_suites
from rabbit_ko.evaluation.records import Result
from rabbit_ko.evaluation.stages import STAGES, find_stage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    recipe: Annotated[str, typer.Argument(help="a folder under axolotl_configs/")],
    stage: Annotated[str, typer.Argument(help=", ".join(STAGES))],
    tasks: Annotated[str, typer.Option(help="separated by commas")] = ",".join(SUITES),
    limit: Annotated[int | None, typer.Option(min=1, help="only the first items of each task")] = None,
    template: Annotated[
        Literal["on", "off"] | None,
        typer.Option(help="the recipe's prompt; without it, on for generated answers only"),
    ] = None,
    backend: Annotated[Backend, typer.Option(help="what runs the model here")] = "hf",
    model_url: Annotated[str, typer.Option(help="an OpenAI-compatible server, such as http://host:8000/v1")] = "",
    model_name: Annotated[str, typer.Option(help="the model's name at that server")] = "",
    hub_dir: Annotated[str, typer.Option(help="a local folder laid out like the hub, in its place")] = "",
    batch_size: Annotated[str, typer.Option(help="a number, or auto")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Evaluate a stage; tasks that are finished for the same model and settings are not run again."""
    if bool(model_url) != bool(model_name):
        raise typer.BadParameter("give both --model-url and --model-name, or neither")
    with told(debug):
        cache = data.use_fresh_cache(hub_dir)
        suites = find_suites(tasks)
        answerer = Answerer(find_stage(recipe, stage), backend, model_url, model_name, batch_size)
        evaluation = Evaluation(answerer, limit, None if template is None else template == "on", hub_dir)
        model = answerer.model()
        for suite in suites:
            done = finished(evaluation, suite, model)
            result = done or run(evaluation, suite, model)
            if result:
                _show(result, is_new=not done)
        if cache:
            cache.cleanup()


def _show(result: Result, is_new: bool) -> None:
    print(f"{result.recipe} {result.stage}, {result.task}, {result.settings['shots']}-shot", end="")
    print(f", {result.seconds:.0f} s" if is_new else ", finished before")
    for score in result.scores:
        value = "-" if score.value is None else f"{score.value:.4f}"
        error = f" ± {score.stderr:.4f}" if score.stderr is not None else ""
        print(f"  {score.task} {score.metric}: {value}{error} ({score.items} items)")
    for note in result.notes:
        print(f"  note: {note}")


if __name__ == "__main__":
    app()
