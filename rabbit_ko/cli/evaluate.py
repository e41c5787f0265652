"""`rabbit eval`, `results`, `chat`: measure a stage, compare the stages, talk with one."""

import os
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, both_or_neither, is_debugging
from rabbit_ko.evaluation.harness.suites import GROUPS, SUITES
from rabbit_ko.methods import METHODS
from rabbit_ko.terminal import aside, say, say_json, show, silence

StageName = Annotated[
    str, typer.Option("--stage", metavar="NAME", help=f"base, or a stage that is trained: {', '.join(METHODS)}")
]
TASKS = f"suites: {', '.join(SUITES)}; groups of suites: {', '.join(GROUPS)}; cards, if none is named"
ModelUrl = Annotated[str, typer.Option(help="an OpenAI-compatible server that has the stage's model")]
ModelName = Annotated[str, typer.Option(help="the model's name at that server")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="the longest answer, in tokens")]


@app.command("eval")
def evaluate(
    recipe: RecipeName = "smoke",
    stage: StageName = "sft",
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help=TASKS)] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="only the first items of each task; 0: all")] = None,
    template: Annotated[Literal["on", "off"] | None, typer.Option(help="the recipe's prompt, or bare text")] = None,
    backend: Annotated[Literal["hf", "vllm"], typer.Option(help="what runs the model on this machine")] = "hf",
    hub_dir: Annotated[str | None, typer.Option(help="a local folder laid out like the hub, in its place")] = None,
    model_url: ModelUrl = "",
    model_name: ModelName = "",
    batch_size: Annotated[str, typer.Option(help="a number, or auto")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate a stage with lm-evaluation-harness on the tasks of the model cards.

    Needs a trained stage, or the base. Leaves `runs/<recipe>/eval/<stage>/<task>.json` with the figures,
    `<task>.samples.jsonl` with the value of each item, and `<task>.answers.jsonl.gz` with what was asked and
    answered, which `rabbit report eval` shows. Tasks that are finished for the same model and settings are not run
    again. Defaults come from `axolotl_configs/<recipe>/eval.yaml`. MODEL_API_KEY holds the server's key.

    Example: `rabbit eval --recipe aog-8b --stage sft --tasks kobest,gsm8k --limit 100`; on several GPUs:
    `accelerate launch -m rabbit_ko.cli eval --recipe aog-8b`
    """
    from rabbit_ko.evaluation.eval_config import read_eval_config
    from rabbit_ko.evaluation.harness import evaluation as harness
    from rabbit_ko.evaluation.harness.suites import find_suites
    from rabbit_ko.evaluation.records import finished_result, model_of
    from rabbit_ko.evaluation.results.report import describe, measured
    from rabbit_ko.evaluation.stages import find_stage

    config = read_eval_config(recipe, tasks=tasks, limit=limit, hub_dir=hub_dir)
    suites, found = find_suites(config.tasks or "cards"), find_stage(recipe, stage)
    server, use_template = model_server(model_url, model_name, 8, 300.0), template and template == "on"
    asked = (config.limit, use_template, config.hub_dir or "")
    evaluation = harness.Evaluation(found, *asked, backend, server, batch_size)
    model, log = model_of(found, server, backend), found.results / "log.txt"
    results: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="rabbit-ko-datasets-") as cache:
        if config.hub_dir:
            # What `datasets` has cached of a local folder it knows by name and not by content.
            os.environ["HF_DATASETS_CACHE"] = cache
        for suite in suites:
            result = done = finished_result(found, suite.name, model, evaluation.settings(suite))
            if result is None:
                if not (results or is_debugging()):
                    say(f"evaluating; its log is {log}", is_error=True)
                say(suite.terms, is_error=True)
                with aside(log, f"{stage}, {suite.name}", is_debugging()):
                    result = harness.evaluate(evaluation, suite, model)
            if result:
                results.append(result.model_dump(exclude={"harness"}))
                took = "finished before" if done else f"{result.seconds:.0f} s"
                lines = [
                    f"  {row.task} {row.metric}: {measured(suite.name, row)} ({row.items} items)"
                    for row in result.scores
                ]
                lines += [f"  note: {note}" for note in result.notes]
                if not as_json:
                    say(f"{recipe} {stage}, {suite.name}, {describe(result)}, {took}", *lines)
    if as_json and results:
        say_json(results, indent=1)


@app.command()
def results(
    recipe: RecipeName = "smoke",
    stages: Annotated[str, typer.Option(metavar="A,B", help="only these, each beside the one it started from")] = "",
    as_json: AsJson = False,
) -> None:
    """Put the results of all stages side by side, and mark what differs by more than chance.

    Needs results of `rabbit eval` or `rabbit judge`. Leaves the table, its figures and a chart in
    `runs/<recipe>/eval/` as `results.md`, `results.csv` and `results.png`. With `--stages` it only prints: a stage
    whose start is not among those is compared with the first, so `--stages ipo,dpo-2` puts any two side by side.

    Example: `rabbit results --recipe aog-8b`
    """
    from rabbit_ko.errors import UserError
    from rabbit_ko.evaluation.results.report import figure_records, render, write_files
    from rabbit_ko.evaluation.results.table import make_table

    table = make_table(recipe, tuple(dict.fromkeys(filter(None, (name.strip() for name in stages.split(","))))))
    if not any(table.results.values()):
        raise UserError(
            f"runs/{recipe}/eval: no results; run `make eval RECIPE={recipe} STAGE=base`, then for other stages"
        )
    if as_json:
        say_json([*figure_records(table)], indent=1)
    else:
        show(render(table).rstrip())
    if not stages:
        say(", ".join(map(str, write_files(table))), is_error=True)


@app.command()
def chat(
    recipe: RecipeName = "smoke",
    stage: Annotated[str, typer.Option(metavar="NAME", help="by default the latest that is trained")] = "",
    prompt: Annotated[str, typer.Option(help="ask this and leave; without it, talk until Ctrl-D")] = "",
    system: Annotated[str, typer.Option(help="the system prompt")] = "",
    max_new_tokens: MaxNewTokens = 512,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy")] = 0.7,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
) -> None:
    """Talk with a stage of a recipe, which needs to be trained; the answers are printed as they come.

    Enter asks, and Alt-Enter breaks a line; what is pasted is one question. The arrow keys bring back earlier
    questions, which no file keeps. Ctrl-C clears the line or stops the answer, Ctrl-D leaves. Each line of a pipe or
    file is a question.

    Example: `rabbit chat --recipe smoke --prompt "피보나치 수열이 뭐야?"`
    """
    from rabbit_ko.evaluation.chat import talk
    from rabbit_ko.evaluation.stages import find_stage

    found = find_stage(recipe, stage)
    say(f"[{found.model}]", is_error=True)
    silence(is_debugging())
    talk(found, prompt, system, max_new_tokens, temperature, seed)


def model_server(url: str, name: str, concurrency: int, timeout: float) -> Any:
    """Return the endpoint of a stage's server; None where none is given. Raises BadParameter, UserError."""
    from rabbit_ko.evaluation.endpoint import find_endpoint

    both_or_neither(model_url=url, model_name=name)
    return find_endpoint("MODEL", url, name, concurrency, timeout) if url else None
