"""One self-contained HTML page: rows with token boundaries and ids, lengths, shares, and what is dropped."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from axolotl_plugins.stage_rows import TokenizedRow as InspectedRow
from rabbit_ko.inspection.rows.rows import pieces
from rabbit_ko.inspection.rows.summary import Summary
from rabbit_ko.inspection.rows.terminal import answer_names

SHOWN_DROPPED = 200


def render_page(title: str, cfg: Any, tokenizer: Any, rows: Sequence[InspectedRow], summary: Summary) -> str:
    """Render the page; it needs no network and no other file."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = [
        {"row": row, "name": name, "answer": row.answers[index], "pieces": pieces(tokenizer, row, index)}
        for row in rows
        if not row.dropped
        for index, name in enumerate(answer_names(row))
    ]
    bins = summary.histogram()
    return environment.get_template("page.html.jinja").render(
        title=title,
        sequence_len=cfg.sequence_len,
        tokenizer=tokenizer.name_or_path,
        shown=shown,
        summary=summary,
        bins=bins,
        tallest=max((count for _, _, count in bins), default=1),
        dropped=summary.dropped_rows[:SHOWN_DROPPED],
        rejected=list(islice(rejected_rows(cfg), SHOWN_DROPPED)),
    )


def rejected_rows(cfg: Any) -> Iterator[dict[str, str]]:
    """Yield the rows that the builders rejected, from beside the stage's shards; all stages' are in one folder."""
    for folder in sorted({Path(entry.path).parent / "rejected" for entry in cfg.datasets}):
        for file in sorted(folder.glob("*.parquet")):
            for batch in pq.ParquetFile(file).iter_batches(SHOWN_DROPPED):
                yield from batch.to_pylist()
