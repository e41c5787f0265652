"""Look at the rows of a stage as they are trained.

python -m rabbit_ko.inspection.rows axolotl_configs/smoke/sft.yaml --rows 3
python -m rabbit_ko.inspection.rows axolotl_configs/smoke/sft.yaml --html rows.html
axolotl inspect axolotl_configs/smoke/sft.yaml
"""

import logging
import os
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from rabbit_ko.errors import reason

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def inspect(
    config: Annotated[Path, typer.Argument(metavar="STAGE.YAML", help="a recipe's sft.yaml or dpo.yaml")],
    rows: Annotated[int, typer.Option(min=0, help="how many rows to show")] = 10,
    row_id: Annotated[str, typer.Option("--id", help="show this row only")] = "",
    split: Annotated[Literal["train", "test"], typer.Option(help="which of the stage's splits")] = "train",
    html: Annotated[Path | None, typer.Option(help="write a page instead of printing rows")] = None,
    debug: Annotated[bool, typer.Option(help="show tracebacks")] = False,
) -> None:
    """Show rows with their mask, token by token, and count lengths, trained tokens and rows dropped."""
    try:
        _show(config, rows, row_id, split, html)
    except (OSError, ValueError, KeyError) as error:
        if debug:
            raise
        typer.echo(f"error: {config}: {reason(error)}", err=True)
        raise typer.Exit(1) from None


def _show(config: Path, count: int, row_id: str, split: str, html: Path | None) -> None:
    cfg, tokenizer = load_stage(config)
    from axolotl_plugins.stage_rows import tokenized_rows
    from rabbit_ko.inspection.rows.page import render_page
    from rabbit_ko.inspection.rows.summary import summarize
    from rabbit_ko.inspection.rows.terminal import print_row, print_summary

    console = Console()
    with console.status("tokenizing"):
        every = list(tokenized_rows(cfg, tokenizer, split))
    chosen = [row for row in every if row.id == row_id] if row_id else every[:count]
    if row_id and not chosen:
        raise ValueError(f"no row of the {split} split has the id {row_id}")
    summary = summarize(every)
    if html:
        title = f"{config.parent.name} {config.stem}, {split}"
        html.write_text(render_page(title, cfg, tokenizer, chosen, summary), encoding="utf-8")
        console.print(f"{html}: {len(chosen)} rows")
        return
    for row in chosen:
        print_row(console, tokenizer, row)
    print_summary(console, summary, cfg.sequence_len)


def load_stage(config: Path) -> tuple[Any, Any]:
    """Load a stage's config and tokenizer as axolotl does, the guard's checks of the YAML included."""
    os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer

    # As `axolotl preprocess` does, so that a GPU's options are no error where there is none.
    os.environ["AXOLOTL_IS_PREPROCESS"] = "1"
    cfg = load_cfg(str(config), is_preprocess=True)
    return cfg, load_tokenizer(cfg)


command = typer.main.get_command(app)

if __name__ == "__main__":
    app()
