"""The rows of a stage as it trains them, to look at: `rabbit inspect`, and `axolotl inspect STAGE.YAML`."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import pyarrow.dataset as ds
from rich.table import Column, Table
from rich.text import Text

from rabbit_ko.errors import UserError, printable, reason
from rabbit_ko.inspection.pages import quantile, render
from rabbit_ko.inspection.pieces import answers, count_tokens, print_pieces
from rabbit_ko.storage import write
from rabbit_ko.terminal import Terminal, say, say_json, shown, silence

if TYPE_CHECKING:
    from axolotl_plugins.checks.rows import TokenizedRow

SHOWN_DROPPED = 200


@dataclass
class SplitSummary:
    """Counts over all rows of a split.

    lengths: tokens of each row that is kept, prompt and longest answer. rows, tokens, trained: by source; a prompt's
    tokens count once for each of its answers. shortened: rows that lost their oldest exchanges to fit. dropped: (id,
    source) of the rows that the strategy drops, by reason.
    """

    lengths: list[int] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    trained: Counter[str] = field(default_factory=Counter)
    shortened: int = 0
    dropped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def summarize(rows: Iterable["TokenizedRow"]) -> SplitSummary:
    """Count the rows of a split."""
    summary = SplitSummary()
    for row in rows:
        if row.dropped:
            summary.dropped.setdefault(row.dropped.value, []).append((row.id, row.source))
            continue
        summary.lengths.append(row.length)
        summary.rows[row.source] += 1
        summary.tokens[row.source] += row.total
        summary.trained[row.source] += row.trained
        summary.shortened += row.dropped_exchanges > 0
    return summary


def load_stage(config: Path, debug: bool = False, **overrides: Any) -> tuple[Any, Any]:
    """Return a stage's config and tokenizer, loaded and checked as axolotl does it. Raises UserError."""
    os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
    silence(debug)
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer
    from datasets import disable_progress_bars

    disable_progress_bars()
    try:
        # As `axolotl preprocess` does, so that a GPU's options are no error where there is none; and the log of the
        # stage's run is not replaced.
        preprocessing = patch.dict(os.environ, AXOLOTL_IS_PREPROCESS="1")
        with preprocessing, patch("axolotl.cli.config.prepare_debug_log"):
            cfg = load_cfg(str(config), is_preprocess=True, **overrides)
        return cfg, load_tokenizer(cfg)
    except (SystemExit, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: {reason(error).removeprefix(f'{config}: ')}") from error


def inspect_stage(
    config: Path, count: int, row_id: str, split: str, html: Path | None, as_json: bool, debug: bool = False
) -> None:
    """Print a split's first rows, or the one with an id, and counts over all, or as a page. Raises UserError."""
    with Terminal(stderr=True).status("tokenizing"):
        cfg, tokenizer = load_stage(config, debug)
        from axolotl_plugins.checks.rows import tokenized_rows

        try:
            rows = list(tokenized_rows(cfg, tokenizer, split))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{config}: {reason(error)}") from error
    shown = [row for row in rows if row.id == row_id] if row_id else rows[:count]
    if row_id and not shown:
        raise UserError(f"{config}: no row of the {split} split has the id {row_id}")
    if html:
        title = f"{config.parent.name} {config.stem}, {split}"
        write(str(html), render_rows(title, cfg, tokenizer, shown, summarize(rows)).encode())
        say(f"{html}: {len(shown)} rows")
    elif as_json:
        found = {"sequence_len": cfg.sequence_len, "summary": vars(summarize(rows))}
        found["rows"] = [
            {name: getattr(row, name) for name in ("id", "source", "dropped", "dropped_exchanges")}
            | {name or "answer": list(map(asdict, pieces)) for name, pieces in answers(tokenizer, row).items()}
            for row in shown
        ]
        say_json(found, indent=1)
    else:
        for row in shown:
            print_row(Terminal(), tokenizer, row)
        print_summary(Terminal(), summarize(rows), cfg.sequence_len)


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


def print_row(console: Terminal, tokenizer: Any, row: "TokenizedRow") -> None:
    """Print a row once for each of its answers, token by token."""
    dropped = f"  dropped: {row.dropped.value}" if row.dropped else ""
    shortened = f"  {row.dropped_exchanges} oldest exchanges dropped" if row.dropped_exchanges else ""
    for name, pieces in (answers(tokenizer, row) or {dropped: []}).items():
        counts = f"  {count_tokens(pieces, trained=False)} + {count_tokens(pieces, trained=True)} tokens"
        title = f"  {printable(row.source)}  {name}{counts if pieces else ''}"
        console.print(Text.assemble((printable(row.id), "bold"), title, (shortened, "yellow")))
        print_pieces(console, pieces)


def print_summary(console: Terminal, summary: SplitSummary, sequence_len: int) -> None:
    """Print the trained share of each source, the lengths, and what the strategy drops."""
    table = Table("source", *(Column(name, justify="right") for name in ("rows", "tokens", "trained")))
    for name, tokens in sorted(summary.tokens.items()):
        share = f"{summary.trained[name] / tokens:.1%}"
        table.add_row(printable(name), f"{summary.rows[name]:,}", f"{tokens:,}", share)
    console.print(table)
    median, most, longest = (quantile(summary.lengths, share) for share in (0.5, 0.95, 1.0))
    console.print(f"tokens: median {median}, 95% up to {most}, longest {longest} of sequence_len {sequence_len}")
    console.print(f"{summary.shortened:,} rows without their oldest exchanges")
    for why, rows in summary.dropped.items():
        console.print(f"{len(rows):,} rows dropped: {why}")


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
        raise click.ClickException(shown(reason(error))) from None
