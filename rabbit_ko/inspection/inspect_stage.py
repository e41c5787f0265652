"""The rows of a stage as it trains them, to look at: `rabbit inspect`, and `axolotl inspect STAGE.YAML`."""

import json
import logging
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from rabbit_ko.errors import UserError, reason
from rabbit_ko.inspection.pages import quantile, render
from rabbit_ko.inspection.token_pieces import Piece, SplitSummary, answers, summarize

if TYPE_CHECKING:
    from axolotl_plugins.stage_rows import TokenizedRow

SHOWN_DROPPED = 200
# A row must not steer the terminal: an escape character is shown as ␛.
CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
CONTROL_PICTURES |= {0x7F: "␡", 0x9B: "␛"}


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


def inspect_stage(config: Path, count: int, row_id: str, split: str, html: Path | None, as_json: bool) -> None:
    """Print a split's first `count` rows, or the row with an id, and counts over all; or write them as a page.

    Raises UserError where the stage or its rows cannot be loaded, and where no row has the id.
    """
    with Console(stderr=True).status("tokenizing"):
        cfg, tokenizer = load_stage(config)
        from axolotl_plugins.stage_rows import tokenized_rows

        try:
            rows = list(tokenized_rows(cfg, tokenizer, split))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{config}: {reason(error)}") from error
    shown = [row for row in rows if row.id == row_id] if row_id else rows[:count]
    if row_id and not shown:
        raise UserError(f"{config}: no row of the {split} split has the id {row_id}")
    if html:
        title = f"{config.parent.name} {config.stem}, {split}"
        html.write_text(render_rows(title, cfg, tokenizer, shown, summarize(rows)), encoding="utf-8")
        print(f"{html}: {len(shown)} rows")
    elif as_json:
        print(to_json(cfg, tokenizer, shown, summarize(rows)))
    else:
        for row in shown:
            print_row(Console(), tokenizer, row)
        print_summary(Console(), summarize(rows), cfg.sequence_len)


def to_json(cfg: Any, tokenizer: Any, shown: list["TokenizedRow"], summary: SplitSummary) -> str:
    """Return the counts and the shown rows, with each answer as pieces of text and their token ids."""
    rows = [
        {name: getattr(row, name) for name in ("id", "source", "dropped", "dropped_exchanges")}
        | {name or "answer": list(map(asdict, pieces)) for name, pieces in answers(tokenizer, row).items()}
        for row in shown
    ]
    found = {"sequence_len": cfg.sequence_len, "summary": vars(summary), "rows": rows}
    return json.dumps(found, ensure_ascii=False, indent=1)


def render_rows(title: str, cfg: Any, tokenizer: Any, shown: list["TokenizedRow"], summary: SplitSummary) -> str:
    """Return a page: rows with token boundaries and ids, lengths, trained shares, and what is dropped."""
    folders = {Path(entry.path).parent / "rejected" for entry in cfg.datasets}
    files = sorted(str(file) for folder in folders for file in folder.glob("*.parquet"))
    return render(
        "rows_page.html.jinja",
        title=title,
        cfg=cfg,
        tokenizer=tokenizer,
        summary=summary,
        shown=[(row, answers(tokenizer, row)) for row in shown],
        rejected=ds.dataset(files).head(SHOWN_DROPPED).to_pylist() if files else [],
        shown_dropped=SHOWN_DROPPED,
    )


def print_row(console: Console, tokenizer: Any, row: "TokenizedRow") -> None:
    """Print a row with each of its answers: prompt tokens dim, trained ones green, special ones boxed."""
    dropped = f"  dropped: {row.dropped.value}" if row.dropped else ""
    shortened = f"  {row.dropped_exchanges} oldest exchanges dropped" if row.dropped_exchanges else ""
    for name, pieces in (answers(tokenizer, row) or {dropped: []}).items():
        counts = f"  {len(row.prompt)} + {sum(len(piece.ids) for piece in pieces if piece.trained)} tokens"
        title = f"  {printable(row.source)}  {name}{counts if pieces else ''}"
        console.print(Text.assemble((printable(row.id), "bold"), title, (shortened, "yellow")))
        console.print(Text.assemble(*map(_styled, pieces), "\n"), soft_wrap=True)


def _styled(piece: Piece) -> tuple[str, str]:
    if piece.special:
        return f"⟦{piece.text}⟧", "bold reverse green" if piece.trained else "reverse"
    return printable(piece.text), "green" if piece.trained else "dim"


def print_summary(console: Console, summary: SplitSummary, sequence_len: int) -> None:
    """Print the trained share of each source, the lengths, and what the strategy drops."""
    table = Table("source", *(Column(name, justify="right") for name in ("rows", "tokens", "trained")))
    for name, tokens in sorted(summary.tokens.items()):
        share = f"{summary.trained[name] / tokens:.1%}"
        table.add_row(Text(printable(name)), f"{summary.rows[name]:,}", f"{tokens:,}", share)
    console.print(table)
    median, most, longest = (quantile(summary.lengths, share) for share in (0.5, 0.95, 1.0))
    console.print(f"tokens: median {median}, 95% up to {most}, longest {longest} of sequence_len {sequence_len}")
    console.print(f"{summary.shortened:,} rows without their oldest exchanges")
    for why, rows in summary.dropped.items():
        console.print(f"{len(rows):,} rows dropped: {why}")


def printable(text: str) -> str:
    """Return text that cannot steer the terminal."""
    return text.translate(CONTROL_PICTURES)


@click.command()
@click.argument("config", metavar="STAGE.YAML", type=click.Path(path_type=Path))
@click.option("--n", "count", type=click.IntRange(0), default=10, help="how many rows to show")
@click.option("--id", "row_id", default="", help="show this row only")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", help="which of the stage's splits")
@click.option("--html", type=click.Path(path_type=Path), help="write a page instead of printing rows")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(**options: Any) -> None:
    """Show rows with their mask, token by token, and count lengths, trained tokens and rows dropped."""
    try:
        inspect_stage(**options)
    except (UserError, OSError) as error:
        raise click.ClickException(reason(error)) from None
