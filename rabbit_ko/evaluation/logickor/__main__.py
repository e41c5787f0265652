"""Evaluate a stage on LogicKor, or make the table of rows that are judged already.

python -m rabbit_ko.evaluation.logickor run smoke sft --judge-url http://127.0.0.1:8001/v1 --judge-model judge \\
    --questions rabbit_ko/evaluation/samples/logickor.jsonl
python -m rabbit_ko.evaluation.logickor score FILE.jsonl
"""

import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rabbit_ko.command_line import told
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.evaluation.logickor.judged import read_judged
from rabbit_ko.evaluation.logickor.questions import load_questions
from rabbit_ko.evaluation.logickor.run import Job, finished
from rabbit_ko.evaluation.logickor.run import run as run_job
from rabbit_ko.evaluation.logickor.score import scores
from rabbit_ko.evaluation.logickor.strategies import Strategy
from rabbit_ko.evaluation.logickor.table import render
from rabbit_ko.evaluation.records import result_file
from rabbit_ko.evaluation.stages import STAGES, find_stage

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]


@app.callback()
def main() -> None:
    """Evaluate on LogicKor: 42 Korean questions of two turns, judged by another model."""


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="a folder under axolotl_configs/")],
    stage: Annotated[str, typer.Argument(help=", ".join(STAGES))],
    judge_url: Annotated[str, typer.Option(envvar="JUDGE_URL", help="an OpenAI-compatible server")],
    judge_model: Annotated[str, typer.Option(envvar="JUDGE_MODEL", help="the judge's name at that server")],
    questions: Annotated[
        str, typer.Option(envvar="QUESTIONS", help="a file of questions", show_default="from the hub")
    ] = "",
    strategy: Annotated[Strategy, typer.Option(help="what stands in front of a question")] = "default",
    model_url: Annotated[
        str, typer.Option(envvar="MODEL_URL", help="an OpenAI-compatible server that has the stage's model")
    ] = "",
    model_name: Annotated[str, typer.Option(envvar="MODEL_NAME", help="the model's name at that server")] = "",
    concurrency: Annotated[int, typer.Option(min=1, help="requests at a time")] = 8,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="the longest answer")] = 1024,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for one reply")] = 120.0,
    debug: Debug = False,
) -> None:
    """Answer, judge and score; the same command goes on where it was. JUDGE_API_KEY holds the judge's key."""
    if not (judge_url and judge_model):
        raise typer.BadParameter("who judges? give --judge-url and --judge-model")
    if bool(model_url) != bool(model_name):
        raise typer.BadParameter("give both --model-url and --model-name, or neither")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not debug:
        # What libraries say about themselves hides what is said about the run.
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
    with told(debug, f"runs/{recipe}/eval/{stage}/logickor"):
        judge = find_endpoint("JUDGE", judge_url, judge_model, concurrency, timeout)
        server = find_endpoint("MODEL", model_url, model_name, concurrency, timeout) if model_url else None
        asked, data = load_questions(questions), "file" if questions else "hub"
        job = Job(find_stage(recipe, stage), asked, judge, server, strategy, max_new_tokens, data)
        model = job.model()
        if result := finished(job, model):
            print(f"{result_file(job.stage.results, job.task)}: finished before, nothing is asked again")
        else:
            with _progress() as progress:
                result = run_job(job, model, progress)
        print(f"{recipe} {stage}, {job.task}, judged by {judge_model}\n")
        print(render(result.scores, len(job.questions)))
        _print_notes(result.notes)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="judged rows, upstream's or this project's")],
    debug: Debug = False,
) -> None:
    """Print the table of judged rows."""
    with told(debug):
        judged = read_judged(file)
        print(render(scores(judged.rows), judged.of))
        _print_notes(judged.notes)


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
        tasks = {what: progress.add_task(what, total=None) for what in ("answered", "judged")}
        yield lambda what, done, total: progress.update(tasks[what], completed=done, total=total)


if __name__ == "__main__":
    app()
