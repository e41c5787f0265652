"""`rabbit inspect`, `report`, `curves`: rows, data and runs to look at."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, is_debugging
from rabbit_ko.cli.data import build_recipe, data_app
from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.methods import stage_method, stages_in
from rabbit_ko.recipes import Recipe, find_recipe
from rabbit_ko.terminal import Terminal, say


@app.command()
def inspect(
    recipe: RecipeName = "smoke",
    stage: Annotated[str, typer.Option(help="sft, dpo, or another stage that the recipe has a YAML for")] = "sft",
    n: Annotated[int, typer.Option("--n", min=0, help="how many rows to show")] = 10,
    row_id: Annotated[str, typer.Option("--id", help="show this row only")] = "",
    split: Annotated[Literal["train", "test"], typer.Option(help="which of the stage's splits")] = "train",
    html: Annotated[Path | None, typer.Option(help="write a page instead of printing rows")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the rows of a stage as it trains them.

    Token by token: what is prompt, what is trained, and how many oldest exchanges were dropped to fit `sequence_len`;
    then counts over all rows. Builds the data first where they are not up to date; needs the base's tokenizer, no
    GPU. Leaves a page with `--html`.

    Example: `rabbit inspect --recipe smoke --stage dpo --html rows.html`
    """
    from rabbit_ko.inspection.inspect_stage import inspect_stage

    found = find_recipe(recipe)
    stages = [method.name for method in found.methods]
    if stage not in stages:
        raise UnknownName(f"STAGE={stage}: recipe {recipe} has no such stage{suggest(stage, stages)}")
    _prepare(found)
    inspect_stage(found.config(stage), n, row_id, split, html, as_json, is_debugging())


@app.command()
def report(
    what: Annotated[
        Literal["data", "pairs", "eval"],
        typer.Argument(metavar="[WHAT]", help="data, pairs of a stage's own answers, or its answers in evaluation"),
    ] = "data",
    recipe: RecipeName = "smoke",
    stage: Annotated[str, typer.Option(help="of pairs and eval: the stage whose answers they are")] = "sft",
    task: Annotated[str, typer.Option(help="of eval: only this suite, or this task of the harness")] = "",
    right: Annotated[bool | None, typer.Option("--right/--wrong", help="of eval: only right or wrong ones")] = None,
    html: Annotated[Path | None, typer.Option(help="the page; report.html beside the rows if not given")] = None,
    rows: Annotated[int, typer.Option(min=0, help="tokenize at most so many rows of each split; 0: none")] = 20_000,
    samples: Annotated[int, typer.Option(min=0, help="rows to show of each source, reason or outcome")] = 3,
) -> None:
    """Write a page about a recipe's data, before any training, or about pairs of a stage's own answers.

    Of data it shows licenses, rows read and kept, lengths, exchanges, Hangul, packing, duplicates beside what was
    kept, and samples. Builds them first where they are not up to date; needs the base's tokenizer for tokens, no GPU.
    Of pairs it shows what the judge said, whether order or length decided it, and the widest and narrowest pairs.
    Of eval it shows what was asked, answered and wanted, and prints that where no page is named. Leaves one
    self-contained HTML file.

    Example: `rabbit report --recipe smoke --html page.html`, `rabbit report pairs --recipe smoke --stage sft`, or
    `rabbit report eval --stage sft --task kobest_copa --wrong`
    """
    from rabbit_ko.evaluation.stages import BASE
    from rabbit_ko.storage import write

    found = find_recipe(recipe)
    if what != "data" and stage != BASE:
        stage_method(stage, BASE)
    page = html or (found.pairs(stage) if what == "pairs" else found.data) / "report.html"
    if what == "eval":
        from rabbit_ko.evaluation.answers import FOLDER, PAGE, answered, end_of, lines
        from rabbit_ko.inspection.pages import render

        suites = answered(found, stage, task, right, samples)
        if html is None:
            say(*(line for suite in suites for line in (*lines(suite), "")))
            return
        text = render(PAGE, folder=FOLDER, recipe=found.name, stage=stage, suites=suites, end_of=end_of)
    elif what == "pairs":
        from rabbit_ko.pairs.report import render_pairs_report

        text = render_pairs_report(found, stage)
    else:
        from rabbit_ko.inspection.data_report import render_report

        _prepare(found)
        with Terminal(stderr=True).status("reading the shards, then tokenizing"):
            text = render_report(found, rows, samples)
    write(str(page), text.encode())
    say(f"{page}: {page.stat().st_size:,} bytes")


@app.command()
def curves(recipe: RecipeName = "smoke") -> None:
    """Draw a recipe's runs: loss, learning rate, gradient norm, margins, tokens per second.

    A run can be drawn from its first checkpoint on, also while it trains. Leaves runs/RECIPE/STAGE/curves.png.

    Example: `rabbit curves --recipe smoke`
    """
    from rabbit_ko.inspection.curves import draw_run

    found = find_recipe(recipe)
    runs = [found.run(method.name) for method in stages_in(folder.name for folder in found.runs.glob("*/"))]
    if not runs:
        raise UserError(f"{found.runs}: no run in it; run `make sft RECIPE={recipe}` first")
    failed = 0
    for run in runs:
        try:
            say(draw_run(run))
        except UserError as error:
            failed += 1
            say(f"error: {error}", is_error=True)
    raise typer.Exit(failed == len(runs))


def _prepare(recipe: Recipe) -> None:
    """Build the data, and the base that the recipe makes itself, where they are not up to date."""
    from rabbit_ko.training.run import make_base

    with redirect_stdout(sys.stderr):  # --json is all that goes to stdout
        build_recipe(recipe)
        make_base(recipe)


@data_app.command()
def look(
    file: Annotated[str, typer.Argument(metavar="FILE", help="a file, folder, URL, or the name of a hub dataset")],
    subset: Annotated[str, typer.Option(help="of a hub dataset")] = "",
    split: Annotated[str, typer.Option(help="of a hub dataset")] = "train",
    template: Annotated[str, typer.Option(help="the prompt that rows are shown in")] = "qir",
    n: Annotated[int, typer.Option("--n", min=0, help="how many rows to show")] = 3,
) -> None:
    """Guess what a file would be in a data.yaml, and show some of its rows as they would be trained.

    Looks at the first 500 rows: which source reads them, which columns stand for its fields, what would be rejected
    and why. Ends with the entry to paste into a data.yaml. Builds nothing; a hub dataset needs the network.

    Example: `rabbit data look my-answers.xlsx`
    """
    from dataset_builders.look import look as look_at
    from prompt_strategies.template import TEMPLATES, Native
    from rabbit_ko.inspection.look import print_look

    if template not in TEMPLATES:
        raise UnknownName(f"--template: unknown template `{template}`{suggest(template, TEMPLATES)}")
    if isinstance(chosen := TEMPLATES[template], Native):
        raise UnknownName(
            f"--template: `{template}` is that of a base's tokenizer, and a file has none; look in another here, and "
            "with `rabbit inspect` at the rows of a recipe that has it"
        )
    print_look(Terminal(soft_wrap=True), look_at(file, subset or None, split), chosen, n)
