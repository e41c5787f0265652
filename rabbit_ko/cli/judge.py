"""`rabbit judge`, `score`: judged benches, and the tables of answers that are judged already."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, is_debugging
from rabbit_ko.cli.evaluate import MaxNewTokens, ModelUrl, model_server, names_in
from rabbit_ko.methods import METHODS
from rabbit_ko.terminal import say, say_json, show, silence

JudgeUrl = Annotated[str, typer.Option(help="the judge's OpenAI-compatible server")]


@app.command()
def judge(
    recipe: RecipeName = "smoke",
    stage: Annotated[
        str, typer.Option(metavar="A,B", help=f"base, or stages that are trained: {', '.join(METHODS)}")
    ] = "sft",
    bench: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="logickor, logickor-1-shot, komt, ..., or questions")
    ] = None,
    judge_url: JudgeUrl = "",
    judge_model: Annotated[str, typer.Option(metavar="A,B", help="the names of judges at that server")] = "",
    rubric: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="general, ko, en, logickor, or YAML; the bench's by default")
    ] = "",
    verdicts: Annotated[int, typer.Option(min=1, max=100, help="how many on the same answer")] = 1,
    against: Annotated[
        str, typer.Option(metavar="NAME", help="compare with this stage: which answers are better")
    ] = "",
    hub_dir: Annotated[str | None, typer.Option(help="a local folder laid out like the hub, in its place")] = None,
    model_url: ModelUrl = "",
    model_name: Annotated[
        str, typer.Option(metavar="A,B", help="the models' names at that server, as --stage and --against have them")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, help="requests at a time")] = 8,
    max_new_tokens: MaxNewTokens = 1024,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for one reply")] = 120.0,
    max_requests: Annotated[
        int | None, typer.Option(min=0, help="the most requests that may be sent; 0 tells how many it takes")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer the questions of a bench, of one turn or several, and have the answers judged by other models.

    Needs trained stages, or the base, and a judge; JUDGE_API_KEY or OPENAI_API_KEY holds the judge's key,
    MODEL_API_KEY that of the stages' server. Leaves `runs/<recipe>/eval/<stage>/<bench>@<judge>.json`, and answers
    and verdicts in `judge/<bench>/`. Answers are kept for other judges; after an interruption the same command
    resumes, and pays for nothing twice. With `--against sft` it asks which of two stages' answers are better, in both
    orders.

    Example: `rabbit judge --bench komt --stage sft,dpo --judge-url http://localhost:8000/v1 --judge-model NAME`
    """
    from rabbit_ko.evaluation.endpoint import find_endpoint
    from rabbit_ko.evaluation.eval_config import read_eval_config
    from rabbit_ko.evaluation.judge.benches import LOGICKOR, find_bench
    from rabbit_ko.evaluation.judge.evaluation import judge_all, plan_jobs
    from rabbit_ko.evaluation.judge.wanted import How
    from rabbit_ko.evaluation.stages import find_stage

    stages, names = names_in(stage), names_in(judge_model)
    if not (judge_url and names):
        raise typer.BadParameter("who judges? give --judge-url and --judge-model: http://host/v1 and a name")
    if against in stages:
        raise typer.BadParameter(f"--against {against}: a stage is not compared with itself; name two")
    needed = [*stages, *names_in(against)]
    servers = _servers(model_url, names_in(model_name), needed, concurrency, timeout)
    config = read_eval_config(recipe, bench=bench, hub_dir=hub_dir)
    found = find_bench(config.bench or LOGICKOR, config.hub_dir or "")
    judges = [find_endpoint("JUDGE", judge_url, name, concurrency, timeout) for name in names]
    silence(is_debugging())
    served = [(find_stage(recipe, name), server) for name, server in zip(needed, servers, strict=True)]
    how = How(rubric or found.rubric, verdicts)
    jobs = plan_jobs(served[: len(stages)], served[len(stages) :], found, judges, how, max_new_tokens)
    done = []
    for job, result, is_new in judge_all(jobs, max_requests):
        done.append((job, result))
        if not as_json:
            _tell(recipe, result, is_new)
    if as_json:
        say_json([result.model_dump(exclude={"harness"}) for _, result in done], indent=1)
    elif not against:
        say(*_agreements(done))


def _tell(recipe: str, result: Any, is_new: bool) -> None:
    from rabbit_ko.evaluation.judge.scores import render

    if not is_new:
        say(f"{result.stage}, {result.task}: finished before, nothing is asked again")
    beside = f" against {result.settings['against']}" if "against" in result.settings else ""
    say(f"{recipe} {result.stage}{beside}, {result.task}, judged by {result.settings['judge']}\n")
    show(render(result.scores))
    say(*(f"\nnote: {note}" for note in result.notes), "")


def _agreements(done: Sequence[tuple[Any, Any]]) -> list[str]:
    """Say how far each two judges agree on each stage."""
    from rabbit_ko.evaluation.judge.agreement import agreement
    from rabbit_ko.evaluation.judge.scores import OVERALL
    from rabbit_ko.evaluation.records import read_samples

    found = []
    for (one, result), (other, another) in combinations(done, 2):
        if result.stage == another.stage:
            values = (
                {
                    sample.item: sample.value
                    for sample in read_samples(job.answers.stage.results, job.task)
                    if sample.metric == OVERALL
                }
                for job in (one, other)
            )
            if agreed := agreement(*values):
                found.append(f"{result.stage}, {one.judge.model} and {other.judge.model}: {agreed}")
    return found


def _servers(url: str, names: Sequence[str], stages: Sequence[str], concurrency: int, timeout: float) -> list[Any]:
    """Return where each stage is served, if it is. Raises BadParameter, UserError."""
    if not names:
        return [model_server(url, "", concurrency, timeout)] * len(stages)
    if len(names) != len(stages):
        said = f"--model-name: {len(names)} for {len(stages)} stages ({', '.join(stages)})"
        raise typer.BadParameter(f"{said}; a server has each under a name of its own, so give as many")
    return [model_server(url, name, concurrency, timeout) for name in names]


@app.command()
def score(file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="judged rows")]) -> None:
    """Print the table of rows that are judged already, LogicKor's own or this project's.

    Example: `rabbit score runs/smoke/eval/sft/judge/logickor/NAME/judged.jsonl`
    """
    from rabbit_ko.evaluation.judge.scores import read_judged, render, scores

    rows, turns, of = read_judged(file)
    show(render(scores(rows, turns), of))
