"""Rows in the terminal: prompt tokens dim, trained ones green, special ones boxed."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from axolotl_plugins.stage_rows import TokenizedRow
from rabbit_ko.inspection.inspect_stage import InspectedStage
from rabbit_ko.inspection.pages import quantile
from rabbit_ko.inspection.token_pieces import Piece, SplitSummary, answers

CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
CONTROL_PICTURES |= {0x7F: "␡", 0x9B: "␛"}


def printable(text: str) -> str:
    """Return text that cannot steer the terminal: an escape character is shown as ␛."""
    return text.translate(CONTROL_PICTURES)


def print_stage(stage: InspectedStage) -> None:
    """Print the shown rows of a stage, and the counts over all of them."""
    console = Console()
    for row in stage.shown:
        print_row(console, stage.tokenizer, row)
    print_summary(console, stage.summary, stage.cfg.sequence_len)


def print_row(console: Console, tokenizer: Any, row: TokenizedRow) -> None:
    """Print a row with each of its answers, or why the strategy drops it."""
    name = (printable(row.id), "bold")
    source = printable(row.source)
    if row.dropped:
        console.print(Text.assemble(name, f"  {source}  dropped: {row.dropped.value}"))
    shortened = f"  {row.dropped_exchanges} oldest exchanges dropped" if row.dropped_exchanges else ""
    for (side, pieces), answer in zip(answers(tokenizer, row).items(), row.answers, strict=True):
        title = f"  {source}{side and f'  {side}'}  {len(row.prompt)} + {len(answer)} tokens"
        console.print(Text.assemble(name, title, (shortened, "yellow")))
        console.print(Text.assemble(*map(_styled, pieces)), soft_wrap=True)
        console.print()


def print_summary(console: Console, summary: SplitSummary, sequence_len: int) -> None:
    """Print the trained share of each source, the lengths, and what the strategy drops."""
    table = Table("source", "rows", "tokens", "trained")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, tokens in sorted(summary.tokens.items()):
        share = f"{summary.trained[name] / tokens:.1%}"
        table.add_row(Text(printable(name)), f"{summary.rows[name]:,}", f"{tokens:,}", share)
    console.print(table)
    median, most, longest = (quantile(summary.lengths, share) for share in (0.5, 0.95, 1.0))
    console.print(f"tokens: median {median}, 95% up to {most}, longest {longest} of sequence_len {sequence_len}")
    console.print(f"{summary.shortened:,} rows without their oldest exchanges")
    for reason, rows in summary.dropped.items():
        console.print(f"{len(rows):,} rows dropped: {reason}")


def _styled(piece: Piece) -> tuple[str, str]:
    if piece.special:
        return f"⟦{piece.text}⟧", "bold reverse green" if piece.trained else "reverse"
    return printable(piece.text), "green" if piece.trained else "dim"
