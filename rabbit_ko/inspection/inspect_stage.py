"""The rows of a stage as it trains them, to look at: `rabbit inspect`, and `axolotl inspect STAGE.YAML`."""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import pyarrow.parquet as pq
from rich.console import Console

from rabbit_ko.errors import UserError, reason
from rabbit_ko.inspection.pages import render
from rabbit_ko.inspection.token_pieces import SplitSummary, answers, print_row, print_summary, summarize

if TYPE_CHECKING:
    from axolotl_plugins.checks.rows import TokenizedRow

SHOWN_DROPPED = 200


@dataclass(frozen=True)
class InspectedStage:
    """A split of a stage: counts over all of its rows, and the rows to show."""

    title: str
    cfg: Any
    tokenizer: Any
    shown: list["TokenizedRow"]
    summary: SplitSummary


def load_stage(config: Path, **overrides: Any) -> tuple[Any, Any]:
    """Return a stage's config and tokenizer, loaded as axolotl does, with the guard's checks of the YAML.

    Raises UserError where the guard refuses the config, or the base's tokenizer cannot be loaded.
    """
    os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
    # As `axolotl preprocess` does, so that a GPU's options are no error where there is none.
    os.environ["AXOLOTL_IS_PREPROCESS"] = "1"
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer
    from datasets import disable_progress_bars

    disable_progress_bars()
    try:
        # Otherwise it would replace the log of the stage's run.
        with patch("axolotl.cli.config.prepare_debug_log"):
            cfg = load_cfg(str(config), is_preprocess=True, **overrides)
        return cfg, load_tokenizer(cfg)
    except (SystemExit, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: {reason(error).removeprefix(f'{config}: ')}") from error


def inspect_stage(config: Path, count: int = 10, row_id: str = "", split: str = "train") -> InspectedStage:
    """Tokenize a split of a stage, and choose its first `count` rows to show, or the row with an id.

    Raises UserError where the stage or its rows cannot be loaded, and where no row has the id.
    """
    cfg, tokenizer = load_stage(config)
    from axolotl_plugins.checks.rows import tokenized_rows

    try:
        rows = list(tokenized_rows(cfg, tokenizer, split))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{config}: {reason(error)}") from error
    shown = [row for row in rows if row.id == row_id] if row_id else rows[:count]
    if row_id and not shown:
        raise UserError(f"{config}: no row of the {split} split has the id {row_id}")
    return InspectedStage(f"{config.parent.name} {config.stem}, {split}", cfg, tokenizer, shown, summarize(rows))


def show(stage: InspectedStage, html: Path | None, as_json: bool) -> None:
    """Print the shown rows and the counts over all, for people or as JSON; or write them as a page instead."""
    if html:
        html.write_text(render_rows(stage), encoding="utf-8")
        print(f"{html}: {len(stage.shown)} rows")
    elif as_json:
        print(to_json(stage))
    else:
        console = Console()
        for row in stage.shown:
            print_row(console, stage.tokenizer, row)
        print_summary(console, stage.summary, stage.cfg.sequence_len)


def to_json(stage: InspectedStage) -> str:
    """Return the counts and the shown rows, with each answer as pieces of text and their token ids."""
    rows = [
        {name: getattr(row, name) for name in ("id", "source", "dropped", "dropped_exchanges")}
        | {name or "answer": list(map(asdict, pieces)) for name, pieces in answers(stage.tokenizer, row).items()}
        for row in stage.shown
    ]
    found = {"sequence_len": stage.cfg.sequence_len, "summary": vars(stage.summary), "rows": rows}
    return json.dumps(found, ensure_ascii=False, indent=1)


def render_rows(stage: InspectedStage) -> str:
    """Return a page: rows with token boundaries and ids, lengths, trained shares, and what is dropped."""
    shown = [(row, answers(stage.tokenizer, row)) for row in stage.shown if not row.dropped]
    rejected = list(islice(rejected_rows(stage.cfg), SHOWN_DROPPED))
    return render("rows_page.html.jinja", stage=stage, shown=shown, rejected=rejected, shown_dropped=SHOWN_DROPPED)


def rejected_rows(cfg: Any) -> Iterator[dict[str, str]]:
    """Yield the rows that the builders rejected, from beside the stage's shards; those of all kinds are together."""
    folders = {Path(entry.path).parent / "rejected" for entry in cfg.datasets}
    for file in sorted(file for folder in folders for file in folder.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(SHOWN_DROPPED):
            yield from batch.to_pylist()


@click.command()
@click.argument("config", metavar="STAGE.YAML", type=click.Path(path_type=Path))
@click.option("--n", "--rows", "count", type=click.IntRange(0), default=10, help="how many rows to show")
@click.option("--id", "row_id", default="", help="show this row only")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", help="which of the stage's splits")
@click.option("--html", type=click.Path(path_type=Path), help="write a page instead of printing rows")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(config: Path, count: int, row_id: str, split: str, html: Path | None, as_json: bool) -> None:
    """Show rows with their mask, token by token, and count lengths, trained tokens and rows dropped."""
    try:
        show(inspect_stage(config, count, row_id, split), html, as_json)
    except (UserError, OSError) as error:
        raise click.ClickException(reason(error)) from None
