"""Who takes part in `make bench WHAT=data`: this project's builds, copies, a row-wise script, and convmerge."""

import os
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.json as pj
import pyarrow.parquet as pq
import yaml

PLAIN, GATES = "plain", "gates"
CORES = max(2, os.cpu_count() or 2)
SLOW = 100_000  # rows; beyond them, what takes minutes does not run
BLOCK = 8 << 20
CONVMERGE = "pip install 'convmerge[quality]'"
# Arguments of `python`; each word is formatted by itself, so that a path may hold spaces.
BUILD = "-m dataset_builders build {folder}/%s.yaml --out {folder}/out"
COPY = "-m rabbit_ko.benchmarks.contenders %s {file} {folder}"
CONVERT = "-m convmerge convert --input {file} --output {folder}/%s --from {format} --workers {cores}"
# Convmerge's steps, the slowest last, on what the ones before have left.
CHAIN = (
    CONVERT % "1",
    "-m convmerge dedupe --input {folder}/1 --output {folder}/2",
    "-m convmerge filter --input {folder}/2 --output {folder}/3 --min-script hangul=0.1 --min-chars 4 "
    "--max-chars 50000 --workers {cores}",
    "-m convmerge decontam --input {folder}/3 --output {folder}/4 --against {benchmark} --ngram 13 --check all",
    "-m convmerge dedupe --input {folder}/4 --output {folder}/out.jsonl --near --threshold 0.8 --workers {cores}",
)
# The key of the list of benchmarks in a data.yaml.
BENCHMARKS = "sets"


@dataclass(frozen=True)
class Input:
    """A file of raw rows to build from, and the benchmark that some of them overlap with."""

    source: str
    rows: int
    file: Path
    benchmark: Path


@dataclass(frozen=True)
class Contender:
    """One way to build, on all cores: the commands of its steps, in order."""

    name: str
    steps: tuple[str, ...]
    most_rows: int | None = None
    modules: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        return not all(map(find_spec, self.modules))

    def commands(self, given: Input, folder: Path) -> list[tuple[str, ...]]:
        """Return the command of each step, which works in the given folder; writes what they read there."""
        source = {"source": given.source, "path": str(given.file), "add_system_prompt": True, "probability": 0.8}
        contamination = {BENCHMARKS: [{"name": "planted", "path": str(given.benchmark)}]}
        for name, quality in ((PLAIN, {"action": "off"}), (GATES, {"contamination": contamination})):
            config = yaml.safe_dump({"sources": [source], "quality": quality})
            (folder / f"{name}.yaml").write_text(config, encoding="utf-8")
        values = {
            "folder": folder,
            "file": given.file,
            "benchmark": given.benchmark,
            "format": {"koalpaca": "alpaca"}.get(given.source, "auto"),
            "cores": CORES,
        }
        return [(sys.executable, *(word.format(**values) for word in step.split())) for step in self.steps]


CONTENDERS = (
    Contender(PLAIN, (BUILD % PLAIN,)),
    Contender(GATES, (BUILD % GATES,)),
    Contender("pyarrow copy in blocks", (COPY % "in_blocks",)),
    Contender("pyarrow copy in memory", (COPY % "in_memory",)),
    Contender("datasets.map", (COPY % "row_wise",)),
    Contender("convmerge convert", (CONVERT % "out.jsonl",), modules=("convmerge",)),
    Contender("convmerge all steps", CHAIN, SLOW, ("convmerge", "datasketch")),
)


def rows_out(folder: Path) -> int:
    """Return how many rows a contender has left; those that it rejected are not among them."""
    lines = folder / "out.jsonl"
    if lines.exists():
        with lines.open("rb") as file:
            return sum(1 for _ in file)
    shards = (file for file in folder.rglob("*.parquet") if file.parent.name != "rejected")
    return sum(pq.read_metadata(shard).num_rows for shard in shards)


def in_blocks(source: str, out: str) -> None:
    """Read JSON lines in blocks and write each as a row group."""
    blocks = pj.open_json(source, pj.ReadOptions(block_size=BLOCK))
    with blocks, pq.ParquetWriter(f"{out}/copy.parquet", blocks.schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_batch(block)


def in_memory(source: str, out: str) -> None:
    """Read a whole file into memory on all cores, then write it."""
    table = pj.read_json(source, pj.ReadOptions(block_size=BLOCK))
    pq.write_table(table, f"{out}/copy.parquet", compression="zstd")


def row_wise(source: str, out: str) -> None:
    """Load the rows with `datasets`, make messages of each, and write them, as people's own scripts do."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    rows = load_dataset("json", data_files=source, split="train", cache_dir=f"{out}/cache")
    rows = rows.map(_messages, remove_columns=rows.column_names, num_proc=CORES)
    rows.to_parquet(f"{out}/rows.parquet")


def _messages(row: dict[str, Any]) -> dict[str, Any]:
    if "text" in row:
        _, *parts = re.split(r"### (Human|Assistant):", row["text"])
        said = [
            ({"Human": "user"}.get(who, "assistant"), text) for who, text in zip(parts[::2], parts[1::2], strict=True)
        ]
    else:
        said = [("user", row["instruction"]), ("assistant", row["output"])]
    return {"messages": [{"role": role, "content": content.strip()} for role, content in said]}


if __name__ == "__main__":
    {"in_blocks": in_blocks, "in_memory": in_memory, "row_wise": row_wise}[sys.argv[1]](*sys.argv[2:])
