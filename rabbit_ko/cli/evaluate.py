"""`rabbit eval`, `logickor`, `score`, `results`, `chat`: measure a stage, compare the stages, talk with one."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rabbit_ko.cli.app import AsJson, RecipeName, app
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.methods import METHODS

StageName = Annotated[
    str, typer.Option("--stage", metavar="NAME", help=f"base, or a stage that is trained: {', '.join(METHODS)}")
]
ModelUrl = Annotated[str, typer.Option(help="an OpenAI-compatible server that has the stage's model")]
ModelName = Annotated[str, typer.Option(help="the model's name at that server")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="the longest answer, in tokens")]


@app.command("eval")
def evaluate(
    recipe: RecipeName = "smoke",
    stage: StageName = "sft",
    tasks: Annotated[
        str | None,
        typer.Option(help=f"separated by commas: {', '.join(SUITES)}", show_default="eval.yaml's, or all"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="only the first items of each task; 0: all", show_default="eval.yaml's, or all"),
    ] = None,
    template: Annotated[
        Literal["on", "off"] | None,
        typer.Option(help="the recipe's prompt", show_default="on for generated answers, off for likelihoods"),
    ] = None,
    backend: Annotated[Literal["hf", "vllm"], typer.Option(help="what runs the model on this machine")] = "hf",
    hub_dir: Annotated[
        str | None,
        typer.Option(help="a local folder laid out like the hub", show_default="eval.yaml's, or the hub"),
    ] = None,
    model_url: ModelUrl = "",
    model_name: ModelName = "",
    batch_size: Annotated[str, typer.Option(help="a number, or auto")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate a stage with lm-evaluation-harness on the tasks of the model cards.

    Needs a trained stage, or the base. Leaves `runs/<recipe>/eval/<stage>/<task>.json` with the figures, and
    `<task>.samples.jsonl` with the value of each item. Tasks that are finished for the same model and settings are
    not run again. Defaults come from `axolotl_configs/<recipe>/eval.yaml`. MODEL_API_KEY holds the server's key.

    Example: `rabbit eval --recipe aog-8b --stage sft --tasks kobest,gsm8k --limit 100`; on several GPUs:
    `accelerate launch -m rabbit_ko.cli eval --recipe aog-8b`
    """
    from rabbit_ko.evaluation.eval_config import read_eval_config
    from rabbit_ko.evaluation.harness import evaluation as harness
    from rabbit_ko.evaluation.harness.backends import Answerer
    from rabbit_ko.evaluation.harness.suites import find_suites
    from rabbit_ko.evaluation.records import finished_result, model_of
    from rabbit_ko.evaluation.stages import find_stage

    server = _model_server(model_url, model_name, concurrency=8, timeout=300.0)
    defaults = read_eval_config(recipe)
    suites = find_suites((tasks if tasks is not None else defaults.tasks) or ",".join(SUITES))
    place = (hub_dir if hub_dir is not None else defaults.hub_dir) or ""
    found = find_stage(recipe, stage)
    evaluation = harness.Evaluation(
        Answerer(found, backend, server, batch_size),
        limit=(limit if limit is not None else defaults.limit) or None,
        template=None if template is None else template == "on",
        hub_dir=place,
    )
    model, results = model_of(found, server, backend), []
    with harness.fresh_datasets_cache(place):
        for suite in suites:
            done = finished_result(found, suite.name, model, evaluation.settings(suite))
            if result := done or harness.evaluate(evaluation, suite, model):
                results.append(result.model_dump(exclude={"harness"}))
                if not as_json:
                    _print_result(results[-1], is_new=not done)
    if as_json and results:
        print(json.dumps(results, ensure_ascii=False, indent=1))


@app.command()
def logickor(
    recipe: RecipeName = "smoke",
    stage: StageName = "sft",
    judge_url: Annotated[str, typer.Option(help="the judge's OpenAI-compatible server")] = "",
    judge_model: Annotated[str, typer.Option(help="the judge's name at that server")] = "",
    questions: Annotated[
        str | None, typer.Option(help="a file of questions", show_default="eval.yaml's, or the hub's")
    ] = None,
    strategy: Annotated[
        Literal["default", "1-shot", "cot-1-shot"], typer.Option(help="what stands in front of a question")
    ] = "default",
    model_url: ModelUrl = "",
    model_name: ModelName = "",
    concurrency: Annotated[int, typer.Option(min=1, help="requests at a time")] = 8,
    max_new_tokens: MaxNewTokens = 1024,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for one reply")] = 120.0,
) -> None:
    """Answer LogicKor's 42 questions of two turns, and have the answers judged by another model.

    Needs a trained stage, or the base, and a judge; JUDGE_API_KEY or OPENAI_API_KEY holds the judge's key,
    MODEL_API_KEY that of the stage's server. Leaves `runs/<recipe>/eval/<stage>/logickor.json`, and the answers and
    verdicts in `logickor/`. After an interruption the same command resumes, and pays for nothing twice.

    Example: `rabbit logickor --stage dpo --judge-url https://api.openai.com/v1 --judge-model gpt-4-1106-preview`
    """
    from rabbit_ko.evaluation.endpoint import find_endpoint
    from rabbit_ko.evaluation.eval_config import read_eval_config
    from rabbit_ko.evaluation.logickor.job import Job, run_job
    from rabbit_ko.evaluation.logickor.questions import load_questions
    from rabbit_ko.evaluation.logickor.scores import render
    from rabbit_ko.evaluation.records import finished_result, model_of
    from rabbit_ko.evaluation.stages import find_stage

    if not (judge_url and judge_model):
        raise typer.BadParameter(
            "who judges? give --judge-url and --judge-model, or JUDGE_URL=http://host/v1 JUDGE_MODEL=name"
        )
    server = _model_server(model_url, model_name, concurrency, timeout)
    _quiet_libraries()
    judge = find_endpoint("JUDGE", judge_url, judge_model, concurrency, timeout)
    file = (questions if questions is not None else read_eval_config(recipe).questions) or ""
    asked, found = load_questions(file), find_stage(recipe, stage)
    job = Job(found, asked, judge, server, strategy, max_new_tokens, "file" if file else "hub")
    model = model_of(found, server)
    if result := finished_result(found, job.task, model, job.settings()):
        print(f"{found.results / job.task}.json: finished before, nothing is asked again")
    else:
        with _progress() as progress:
            result = run_job(job, model, progress)
    print(f"{recipe} {stage}, {job.task}, judged by {judge_model}\n")
    print(render(result.scores, len(asked)))
    _print_notes(result.notes)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="judged rows, upstream's or this project's")],
) -> None:
    """Print LogicKor's table of rows that are judged already.

    Example: `rabbit score runs/smoke/eval/sft/logickor/default/judged.jsonl`
    """
    from rabbit_ko.evaluation.logickor.judged_rows import read_judged
    from rabbit_ko.evaluation.logickor.scores import render, scores

    judged = read_judged(file)
    print(render(scores(judged.rows), judged.of))
    _print_notes(judged.notes)


@app.command()
def results(recipe: RecipeName = "smoke", as_json: AsJson = False) -> None:
    """Put the results of all stages side by side, and mark what differs by more than chance.

    Needs results of `rabbit eval` or `rabbit logickor`. Leaves the table, its figures and a chart in
    `runs/<recipe>/eval/` as `results.md`, `results.csv` and `results.png`.

    Example: `rabbit results --recipe aog-8b`
    """
    from rabbit_ko.errors import UserError
    from rabbit_ko.evaluation.results.report import figure_records, render, write_files
    from rabbit_ko.evaluation.results.table import make_table
    from rabbit_ko.recipes import Recipe

    table = make_table(recipe)
    if not any(table.results.values()):
        advice = f"run `make eval RECIPE={recipe} STAGE=base`, then the same for the other stages"
        raise UserError(f"{Recipe(recipe).results}: no results; {advice}")
    files = write_files(table)
    print(
        json.dumps(list(figure_records(table)), ensure_ascii=False, indent=1) if as_json else render(table).rstrip()
    )
    typer.echo(", ".join(map(str, files)), err=True)


@app.command()
def chat(
    recipe: RecipeName = "smoke",
    stage: Annotated[
        str, typer.Option(metavar="NAME", help="whom to ask", show_default="the latest that is trained")
    ] = "",
    prompt: Annotated[str, typer.Option(help="ask this and leave; without it, talk until Ctrl-D")] = "",
    system: Annotated[str, typer.Option(help="the system prompt")] = "",
    max_new_tokens: MaxNewTokens = 512,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy")] = 0.7,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
) -> None:
    """Talk with a stage of a recipe; the answers are printed as they come.

    Needs a trained stage.

    Example: `rabbit chat --recipe smoke --prompt "피보나치 수열이 뭐야?"`
    """
    from rabbit_ko.evaluation.chat import talk
    from rabbit_ko.evaluation.stages import find_stage, latest_stage

    found = find_stage(recipe, stage) if stage else latest_stage(recipe)
    typer.echo(f"[{found.model}]", err=True)
    _quiet_libraries()
    try:
        talk(found, prompt, system, max_new_tokens, temperature, seed)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _model_server(url: str, name: str, concurrency: int, timeout: float) -> Any:
    from rabbit_ko.evaluation.endpoint import find_endpoint

    if bool(url) != bool(name):
        raise typer.BadParameter("give both --model-url and --model-name, or neither")
    return find_endpoint("MODEL", url, name, concurrency, timeout) if url else None


def _quiet_libraries() -> None:
    """Silence what libraries say about themselves, which hides what is said about the run."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def _print_result(result: dict[str, Any], is_new: bool) -> None:
    head = f"{result['recipe']} {result['stage']}, {result['task']}, {result['settings']['shots']}-shot"
    print(head + (f", {result['seconds']:.0f} s" if is_new else ", finished before"))
    for score in result["scores"]:
        value = "-" if score["value"] is None else f"{score['value']:.4f}"
        error = f" ± {score['stderr']:.4f}" if score["stderr"] is not None else ""
        print(f"  {score['task']} {score['metric']}: {value}{error} ({score['items']} items)")
    for note in result["notes"]:
        print(f"  note: {note}")


def _print_notes(notes: list[str]) -> None:
    if notes:
        print()
    for note in notes:
        print(f"note: {note}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bars = {what: progress.add_task(what, total=None) for what in ("answered", "judged")}
        yield lambda what, done, total: progress.update(bars[what], completed=done, total=total)
