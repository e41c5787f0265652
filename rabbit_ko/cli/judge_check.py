"""`rabbit judge-check`: what a judge's word is worth."""

from pathlib import Path
from typing import Annotated

import typer

from rabbit_ko.cli.app import AsJson, app, is_debugging
from rabbit_ko.terminal import Terminal, say, say_json, silence


@app.command("judge-check")
def judge_check(
    judge_url: Annotated[str, typer.Option(help="the judge's OpenAI-compatible server")] = "",
    judge_model: Annotated[str, typer.Option(help="the judge's name at that server")] = "",
    items: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="questions with answers; without it, the project's own")
    ] = None,
    rubric: Annotated[str, typer.Option(metavar="NAME|FILE", help="general, ko, en, logickor, or YAML")] = "general",
    repeats: Annotated[int, typer.Option(min=1, max=100, help="verdicts on each answer")] = 3,
    max_requests: Annotated[
        int | None, typer.Option(min=0, help="the most requests that may be sent; 0 tells how many it takes")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="requests at a time")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds to wait for one reply")] = 120.0,
    html: Annotated[Path | None, typer.Option(help="the page; beside the verdicts if not given")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a judge is worth, before its verdicts on a stage are believed.

    It scores the same answer again and again, with padding, praise of itself and demands to it, and in English,
    and finds the better one of two in both orders. Says how far its scores move, what it falls for, how many answers
    of known quality it ranks right, how it agrees with people where the items have `human` scores, and how many
    questions it takes to see a difference between two stages. Leaves the verdicts, `check.json` and `check.html` in
    `runs/judges/<judge>/`, with other items, another rubric or other repeats in their names; after an interruption
    the same command resumes, and pays for nothing twice. JUDGE_API_KEY or OPENAI_API_KEY holds the judge's key.

    Example: `rabbit judge-check --judge-url http://localhost:8000/v1 --judge-model NAME --repeats 5`
    """
    from rabbit_ko.evaluation.endpoint import find_endpoint
    from rabbit_ko.evaluation.judge.wanted import How
    from rabbit_ko.evaluation.judge_check.check import FOLDER, PAGE, check_judge, folder_of, name_of_check
    from rabbit_ko.evaluation.judge_check.table import drawn
    from rabbit_ko.inspection.pages import render
    from rabbit_ko.storage import write

    if not (judge_url and judge_model):
        raise typer.BadParameter("who judges? give --judge-url and --judge-model: http://host/v1 and a name")
    silence(is_debugging())
    judge = find_endpoint("JUDGE", judge_url, judge_model, concurrency, timeout)
    how = How(rubric, repeats)
    check = check_judge(judge, items, how, max_requests)
    if check is None:
        return
    page = html or folder_of(judge_model) / f"{name_of_check(items, how)}.html"
    write(str(page), render(PAGE, folder=FOLDER, check=check).encode())
    if as_json:
        say_json(check.record, indent=1)
    else:
        terminal = Terminal()
        for part in drawn(check):
            terminal.print(part)
    say(page, is_error=True)
