"""Who takes part in `make bench WHAT=data`, with the commands that each runs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

PLAIN, GATES = "plain", "gates"
CORES = max(2, os.cpu_count() or 2)
SLOW = 100_000  # rows; beyond them, what takes minutes is dropped
NGRAM, SIMILARITY = "13", "0.8"
INSTALL = "pip install 'convmerge[quality]'"


@dataclass(frozen=True)
class Corpus:
    """Raw rows to build from, and the evaluation set that some of them overlap with."""

    source: str
    rows: int
    file: Path
    evaluation: Path


Steps = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Contender:
    """One way to build: its steps in order, each a command that works in the given folder.

    Contenders of one name are variants, of which the fastest counts.
    """

    name: str
    variant: str
    steps: Callable[[Corpus, Path], Steps]
    most_rows: int | None = None
    modules: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name}, {self.variant}" if self.variant else self.name

    @property
    def missing(self) -> bool:
        return not all(map(find_spec, self.modules))


def _build(quality: Callable[[Corpus], dict[str, Any]]) -> Callable[[Corpus, Path], Steps]:
    def steps(corpus: Corpus, folder: Path) -> Steps:
        source = {"source": corpus.source, "path": str(corpus.file), "add_system_prompt": True, "probability": 0.8}
        config = folder / "data.yaml"
        config.write_text(yaml.safe_dump({"sources": [source], "quality": quality(corpus)}), encoding="utf-8")
        return {"build": _python("dataset_builders", "build", config, "--out", folder / "out")}

    return steps


def _gates(corpus: Corpus) -> dict[str, Any]:
    return {"contamination": {"sets": [{"name": "planted", "path": str(corpus.evaluation)}]}}


def _copy(way: str, *options: str) -> Callable[[Corpus, Path], Steps]:
    return lambda corpus, folder: {
        way: _python("rabbit_ko.benchmarks.copies", way, corpus.file, folder / "out", *options)
    }


def _convert(workers: int) -> Callable[[Corpus, Path], Steps]:
    def steps(corpus: Corpus, folder: Path) -> Steps:
        adapter = ("--from", {"koalpaca": "alpaca"}.get(corpus.source, "auto"))
        return {"convert": _convmerge("convert", corpus.file, folder / "out.jsonl", workers, *adapter)}

    return steps


def _convert_and_check(workers: int) -> Callable[[Corpus, Path], Steps]:
    """Chain convmerge's steps, the slowest last, on what the ones before have left."""

    def steps(corpus: Corpus, folder: Path) -> Steps:
        converted, exact, filtered, clean, final = (folder / name for name in ("1", "2", "3", "4", "out.jsonl"))
        adapter = ("--from", {"koalpaca": "alpaca"}.get(corpus.source, "auto"))
        rules = ("--min-script", "hangul=0.1", "--min-chars", "4", "--max-chars", "50000")
        against = ("--against", corpus.evaluation, "--ngram", NGRAM, "--check", "all")
        near = ("--near", "--threshold", SIMILARITY)
        return {
            "convert": _convmerge("convert", corpus.file, converted, workers, *adapter),
            "dedupe": _convmerge("dedupe", converted, exact, None),
            "filter": _convmerge("filter", exact, filtered, workers, *rules),
            "decontam": _convmerge("decontam", filtered, clean, None, *against),
            "dedupe --near": _convmerge("dedupe", clean, final, workers, *near),
        }

    return steps


def _convmerge(command: str, source: Path, out: Path, workers: int | None, *options: object) -> tuple[str, ...]:
    parallel = () if workers is None else ("--workers", workers)
    return _python("convmerge", command, "--input", source, "--output", out, *options, *parallel)


def _python(module: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *map(str, arguments))


CONTENDERS = (
    Contender(PLAIN, "", _build(lambda _: {"action": "off"})),
    Contender(GATES, "", _build(_gates)),
    Contender("pyarrow copy", "in blocks", _copy("stream")),
    Contender("pyarrow copy", "whole file in memory", _copy("whole")),
    Contender("datasets.map", "1 process", _copy("map")),
    Contender("datasets.map", f"{CORES} processes", _copy("map", "--workers", str(CORES))),
    Contender("convmerge convert", "1 process", _convert(1), modules=("convmerge",)),
    Contender("convmerge convert", f"{CORES} processes", _convert(CORES), modules=("convmerge",)),
    Contender("convmerge, all steps", "1 process", _convert_and_check(1), SLOW, ("convmerge", "datasketch")),
    Contender(
        "convmerge, all steps", f"{CORES} processes", _convert_and_check(CORES), SLOW, ("convmerge", "datasketch")
    ),
)


def rows_out(folder: Path) -> int:
    """Count the rows that a contender has left; those that it rejected are not among them."""
    shards = [file for file in folder.rglob("*.parquet") if file.parent.name != "rejected"]
    lines = folder / "out.jsonl"
    if lines.exists():
        with lines.open("rb") as file:
            return sum(1 for _ in file)
    return sum(pq.read_metadata(shard).num_rows for shard in shards)
