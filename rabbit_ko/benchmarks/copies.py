"""What the builds are compared with: a copy by pyarrow, and a row-wise script of the kind that people write.

python -m rabbit_ko.benchmarks.copies stream rows.jsonl folder
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pyarrow.json as pj
import pyarrow.parquet as pq
import typer

BLOCK = 8 << 20

app = typer.Typer(add_completion=False)


@app.command()
def stream(source: Path, out: Path) -> None:
    """Read JSON lines in blocks and write each as a row group."""
    out.mkdir(parents=True)
    blocks = pj.open_json(source, pj.ReadOptions(block_size=BLOCK))
    with blocks, pq.ParquetWriter(out / "copy.parquet", blocks.schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_batch(block)


@app.command()
def whole(source: Path, out: Path) -> None:
    """Read a whole file into memory on all cores, then write it."""
    out.mkdir(parents=True)
    table = pj.read_json(source, pj.ReadOptions(block_size=BLOCK))
    pq.write_table(table, out / "copy.parquet", compression="zstd")


@app.command(name="map")
def map_rows(source: Path, out: Path, workers: Annotated[int, typer.Option()] = 1) -> None:
    """Load the rows with `datasets`, make messages of each, and write them."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    rows = load_dataset("json", data_files=str(source), split="train", cache_dir=str(out / "cache"))
    convert: Callable[[dict[str, Any]], dict[str, Any]] = _conversation if "text" in rows.column_names else _exchange
    rows = rows.map(convert, remove_columns=rows.column_names, num_proc=workers if workers > 1 else None)
    rows.to_parquet(out / "rows.parquet")


def _exchange(row: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [_message("user", row["instruction"]), _message("assistant", row["output"])]}


def _conversation(row: dict[str, Any]) -> dict[str, Any]:
    parts = re.split(r"### (Human|Assistant):", row["text"])[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {"messages": [_message(roles[speaker], text.strip()) for speaker, text in pairs]}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


if __name__ == "__main__":
    app()
