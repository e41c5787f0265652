"""`rabbit pairs`: pairs of answers from a stage's own model."""

from typing import Annotated, Any

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, both_or_neither, is_debugging
from rabbit_ko.cli.evaluate import ModelName, ModelUrl, StageName, model_server
from rabbit_ko.cli.train import train_stage
from rabbit_ko.methods import Method, round_of, stage_method
from rabbit_ko.recipes import Recipe
from rabbit_ko.terminal import say, say_json, silence


@app.command()
def pairs(
    recipe: RecipeName = "smoke",
    stage: StageName = "sft",
    judge_url: Annotated[str, typer.Option(help="the judge's OpenAI-compatible server")] = "",
    judge_model: Annotated[str, typer.Option(help="the judge's name at that server")] = "",
    model_url: ModelUrl = "",
    model_name: ModelName = "",
    concurrency: Annotated[int, typer.Option(min=1, help="requests at a time")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for one reply")] = 120.0,
    max_requests: Annotated[
        int | None, typer.Option(min=0, help="the most requests that may be sent a round")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=99, help="make pairs and train on them by turns, so many times")
    ] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="of rounds: what trains on the pairs; dpo")] = "",
    as_json: AsJson = False,
) -> None:
    """Answer prompts several times with a stage's model, judge the answers, and make pairs of the best and the worst.

    Needs a trained stage and `axolotl_configs/<recipe>/pairs.yaml`, which names prompts, sampling, judge and margins.
    Leaves `data/pairs/<recipe>/<stage>`, which data.yaml takes as a source: `source: own_pairs`. Every answer and
    verdict is kept as it arrives: after an interruption the same command resumes, and pays for nothing twice.
    With `--rounds 2` it makes the pairs of sft, trains dpo-1 on them, makes the pairs of dpo-1, and trains dpo-2.
    JUDGE_API_KEY or OPENAI_API_KEY holds the judge's key, MODEL_API_KEY that of the stage's server.

    Example: `rabbit pairs --recipe rabbit-ko-3b --judge-url http://localhost:8000/v1 --judge-model NAME`
    """
    from rabbit_ko.evaluation.endpoint import find_endpoint
    from rabbit_ko.pairs.making import Options
    from rabbit_ko.training.run import Launch

    both_or_neither(judge_url=judge_url, judge_model=judge_model)
    if rounds and as_json:
        raise typer.BadParameter("--json is for the pairs of one stage; ask for it without --rounds, stage by stage")
    if method and not rounds:
        raise typer.BadParameter("--method is what trains in rounds; say how many with --rounds, or take it away")
    if rounds and rounds > 1 and model_url:
        raise typer.BadParameter("a server has the model of one stage, and each round makes another; no --model-url")
    judge = find_endpoint("JUDGE", judge_url, judge_model, concurrency, timeout) if judge_url else None
    server = model_server(model_url, model_name, concurrency, timeout)
    options, found = Options(judge, server, max_requests), Recipe(recipe)
    if rounds is None:
        _make(found, stage, options, as_json)
        return
    launch = Launch(debug=is_debugging())
    for each in _rounds(found, stage, method or "dpo", rounds, launch):
        _make(found, str(each.parent), options, as_json)
        train_stage(found, each.name, launch)


def _make(recipe: Recipe, stage: str, options: Any, as_json: bool) -> None:
    from rabbit_ko.pairs.making import make_pairs

    silence(is_debugging())
    record, is_new = make_pairs(recipe.name, stage, options)
    if as_json:
        say_json(record.model_dump(), indent=1)
    else:
        say(*_summary(record) if is_new else [], f"{recipe.pairs(record.stage)}: {_state(is_new)}")


def _rounds(recipe: Recipe, stage: str, method: str, number: int, launch: Any) -> list[Method]:
    """Return the first rounds of a method. Raises UserError where one of them could not be trained as it stands."""
    from rabbit_ko.training.run import check_config

    found = [stage_method(round_of(method, place)) for place in range(1, number + 1)]
    if stage != found[0].parent:
        raise typer.BadParameter(f"rounds of {method} start from {found[0].parent}; say nothing else with --stage")
    for each in found:
        check_config(recipe, each.name, launch)
    return found


def _state(is_new: bool) -> str:
    return "made" if is_new else "up to date"


def _summary(record: Any) -> list[str]:
    counted = {
        f"{record.prompts:,} prompts": record.outcomes,
        f"{sum(record.answers.values()):,} answers": record.answers,
        f"{sum(record.rows.values()):,} rows without a prompt": record.rows,
        f"{sum(record.shards.values()):,} pairs": record.shards,
    }
    return [
        f"{what}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"
        for what, counts in counted.items()
        if counts
    ]
