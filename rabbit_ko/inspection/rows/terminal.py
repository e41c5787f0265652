"""Rows in the terminal: prompt tokens dim, trained ones green, special ones boxed."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from axolotl_plugins.stage_rows import TokenizedRow as InspectedRow
from rabbit_ko.inspection.rows.rows import Piece, pieces
from rabbit_ko.inspection.rows.summary import Summary

# A row must not steer the terminal: an escape character is shown as ␛.
CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {
    0x7F: "␡",
    0x9B: "␛",
}


def print_row(console: Console, tokenizer: Any, row: InspectedRow) -> None:
    """Print a row with each of its answers."""
    if row.dropped:
        console.print(Text.assemble((row.id, "bold"), f"  {row.source}  dropped: {row.dropped.value}"))
        return
    for index, name in enumerate(answer_names(row)):
        answer = row.answers[index]
        title = f"  {row.source}{name and f'  {name}'}  {len(row.prompt)} + {len(answer)} tokens"
        dropped = f"  {row.dropped_exchanges} oldest exchanges dropped" if row.dropped_exchanges else ""
        console.print(Text.assemble((row.id, "bold"), title, (dropped, "yellow")))
        console.print(Text.assemble(*map(_styled, pieces(tokenizer, row, index))), soft_wrap=True)
        console.print()


def answer_names(row: InspectedRow) -> tuple[str, ...]:
    """Return what the answers of a row are called; SFT's only one has no name."""
    return ("chosen", "rejected") if len(row.answers) == 2 else ("",)


def print_summary(console: Console, summary: Summary, sequence_len: int) -> None:
    """Print the trained share of each source, the lengths, and what is dropped."""
    table = Table("source", "rows", "tokens", "trained", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, source in sorted(summary.sources.items()):
        table.add_row(name, f"{source.rows:,}", f"{source.tokens:,}", f"{source.share:.1%}")
    console.print(table)
    median, most, longest = (summary.quantile(share) for share in (0.5, 0.95, 1.0))
    console.print(f"tokens: median {median}, 95% up to {most}, longest {longest} of sequence_len {sequence_len}")
    console.print(f"{summary.shortened:,} rows without their oldest exchanges")
    for reason, count in summary.dropped.most_common():
        console.print(f"{count:,} rows dropped: {reason}")


def _styled(piece: Piece) -> tuple[str, str]:
    if piece.special:
        return f"⟦{piece.text}⟧", "bold reverse green" if piece.trained else "reverse"
    return piece.text.translate(CONTROL_PICTURES), "green" if piece.trained else "dim"
