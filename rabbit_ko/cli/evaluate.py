"""`rabbit eval`, `results`, `gate`, `chat`: measure stages, compare them, talk with one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, both_or_neither, is_debugging
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import GROUPS, SUITES
from rabbit_ko.methods import METHODS
from rabbit_ko.terminal import fitted, say, say_json, silence

if TYPE_CHECKING:
    from rabbit_ko.evaluation.records import Result

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
    stage: Annotated[
        str,
        typer.Option(metavar="A,B", help=f"base, or what is trained: {', '.join(METHODS)}"),
    ] = "sft",
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
    """Evaluate stages with lm-evaluation-harness on the tasks of the model cards.

    Needs a trained stage, or the base; several share what is built and read for them. Leaves
    `runs/<recipe>/eval/<stage>/<task>.json` with the figures, `<task>.samples.jsonl` with the value of each item, and
    `<task>.answers.jsonl.gz` with what was asked and answered, which `rabbit report eval` shows. Tasks that are
    finished for the same model and settings are not run again. Defaults come from
    `axolotl_configs/<recipe>/eval.yaml`. MODEL_API_KEY holds the server's key.

    Example: `rabbit eval --recipe aog-8b --stage base,sft --tasks kobest,gsm8k --limit 100`; on several GPUs:
    `accelerate launch -m rabbit_ko.cli eval --recipe aog-8b`
    """
    from rabbit_ko.evaluation.eval_config import read_eval_config
    from rabbit_ko.evaluation.harness.evaluation import Evaluation
    from rabbit_ko.evaluation.harness.measuring import measure
    from rabbit_ko.evaluation.harness.suites import find_suites
    from rabbit_ko.evaluation.stages import find_stage

    silence(is_debugging())
    config = read_eval_config(recipe, tasks=tasks, limit=limit, hub_dir=hub_dir)
    suites, names = find_suites(config.tasks or "cards"), names_in(stage) or ("",)
    if len(names) > 1 and (model_url or backend == "vllm"):
        raise typer.BadParameter("name one stage: a server has one model, and vLLM gives no memory back")
    stages = [find_stage(recipe, name) for name in names]
    server, use_template = model_server(model_url, model_name, 8, 300.0), template and template == "on"
    asked = (config.limit, use_template, config.hub_dir or "", backend, server, batch_size)
    results: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="rabbit-ko-datasets-") as cache:
        if config.hub_dir:
            # What `datasets` has cached of a local folder it knows by name and not by content.
            os.environ["HF_DATASETS_CACHE"] = cache
        for found in stages:
            with _named(found.name) if len(stages) > 1 else nullcontext():
                for result, is_new in measure(Evaluation(found, *asked), suites, is_debugging()):
                    results.append(result.model_dump(exclude={"harness"}))
                    if not as_json:
                        say(*_figures_of(result, is_new))
    if as_json and results:
        say_json(results, indent=1)


def _figures_of(result: "Result", is_new: bool) -> list[str]:
    from rabbit_ko.evaluation.results.report import describe, measured

    took = f"{result.seconds:.0f} s" if is_new else "finished before"
    figures = [f"  {row.task} {row.metric}: {measured(row)} ({row.items} items)" for row in result.scores]
    notes = [f"  note: {note}" for note in result.notes]
    return [f"{result.recipe} {result.stage}, {result.task}, {describe(result)}, {took}", *figures, *notes]


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """Name the stage in the mistake that ends its turn."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{stage}: {error}") from error


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
    from rabbit_ko.evaluation.results.report import figure_records, write_files
    from rabbit_ko.evaluation.results.screen import as_text
    from rabbit_ko.evaluation.results.table import make_table

    silence(is_debugging())
    table = make_table(recipe, names_in(stages))
    if not any(table.results.values()):
        raise UserError(
            f"runs/{recipe}/eval: no results; run `make eval RECIPE={recipe} STAGE=base`, then for other stages"
        )
    if as_json:
        say_json([*figure_records(table)], indent=1)
    else:
        say(as_text(table))
    if not stages:
        say(*write_files(table), is_error=True)


@app.command()
def gate(
    recipe: RecipeName = "smoke",
    candidate: Annotated[str, typer.Option(metavar="NAME", help="by default the latest that is trained")] = "",
    baseline: Annotated[str, typer.Option(metavar="NAME", help="by default what the candidate starts from")] = "",
    margin: Annotated[float, typer.Option(help="the loss that is borne, as a share of a figure's scale")] = 0.01,
    tasks: Annotated[
        str, typer.Option(help="results or groups, separated by commas; by default all that both have")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Tell whether a stage is worse than another by more than a margin in any suite: for the CI of a model.

    Needs results of both, measured in the same way. Compares each suite's main figure item by item, for all suites at
    once. `fail`, exit code 1: a suite is worse by more than the margin, and chance makes that of what is not so in
    5 % of gates at most. `pass`: no suite can be worse by more than the margin, with the same certainty, whatever
    verdicts that are missing would have been. In between there are not enough items to tell, which fails nothing: the
    exit code is 0, and `--json` has the verdict.

    Example: `rabbit gate --recipe aog-8b --candidate dpo --baseline sft --margin 0.02`
    """
    if not 0 < margin < 1:
        raise typer.BadParameter("a share above 0 and below 1, such as 0.01", param_hint="--margin")
    from rabbit_ko.evaluation.results import gate as gates
    from rabbit_ko.evaluation.stages import BASE, find_stage
    from rabbit_ko.methods import stage_method
    from rabbit_ko.recipes import Recipe

    silence(is_debugging())
    candidate = candidate or find_stage(recipe).name
    baseline = baseline or (candidate != BASE and Recipe(recipe).parent(candidate)) or BASE
    for name in {candidate, baseline} - {BASE}:
        stage_method(name, BASE)
    if candidate == baseline:
        raise typer.BadParameter(
            f"{candidate} against itself says nothing; name another stage", param_hint="--baseline"
        )
    pairs, unpaired = gates.pair(recipe, candidate, baseline, names_in(tasks))
    suites = gates.compare_all(pairs, margin)
    outcome = gates.outcome_of(suites)
    if as_json:
        asked = {"recipe": recipe, "candidate": candidate, "baseline": baseline, "margin": margin}
        found = {"verdict": outcome, "suites": [asdict(suite) for suite in suites], "not_compared": unpaired}
        say_json(asked | found, indent=1)
    else:
        said = gates.describe(suites, candidate, baseline, margin, unpaired)
        say(fitted(gates.as_table(suites, candidate, baseline), *said))
    if outcome is gates.Outcome.FAIL:
        raise typer.Exit(1)


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


def names_in(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list, each once."""
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))


def model_server(url: str, name: str, concurrency: int, timeout: float) -> Any:
    """Return the endpoint of a stage's server; None where none is given. Raises BadParameter, UserError."""
    from rabbit_ko.evaluation.endpoint import find_endpoint

    both_or_neither(model_url=url, model_name=name)
    return find_endpoint("MODEL", url, name, concurrency, timeout) if url else None
