"""Put a recipe's stages side by side, as a table and a chart in runs/<recipe>/eval/.

python -m rabbit_ko.evaluation.results smoke
"""

from typing import Annotated

import typer

from rabbit_ko.command_line import told
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.results.files import write_files
from rabbit_ko.evaluation.results.markdown import render
from rabbit_ko.evaluation.results.table import Table, make_table
from rabbit_ko.evaluation.stages import results_folder


def results(
    recipe: Annotated[str, typer.Argument(help="a folder under axolotl_configs/")],
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Print the results of base, sft and dpo in one table, and write them as Markdown, CSV and PNG."""
    with told(debug):
        table = make_table(recipe)
        _check(table)
        files = write_files(table)
        typer.echo(render(table), nl=False)
        typer.echo(", ".join(map(str, files)), err=True)


def _check(table: Table) -> None:
    if not any(table.results.values()):
        raise UserError(
            f"{results_folder(table.recipe)}: no results; run `make eval RECIPE={table.recipe} STAGE=base`, "
            "then the same for sft and dpo"
        )


if __name__ == "__main__":
    typer.run(results)
