"""Rows per second and memory of a build, with its quality gates and without, beside what else one could use.

The rows are generated once and kept. Every contender is a process of its own; they take turns, round by round, and
ratios are the medians of each round's.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any

import psutil
import pyarrow.json as pj
import pyarrow.parquet as pq
import yaml

from rabbit_ko.benchmarks import corpus
from rabbit_ko.benchmarks.goals import Results, build_goals, exponent_of
from rabbit_ko.benchmarks.report import DASH, describe_machine, markdown_table, ratio, speeds
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.hashing import files_digest
from rabbit_ko.recipes import RUNS
from rabbit_ko.terminal import say

FOLDER = RUNS / "bench"
CORES = max(2, os.cpu_count() or 2)
READ = pj.ReadOptions(block_size=8 << 20)
# By name, the arguments of `python` for each step; words are formatted one by one, so that a path may hold spaces.
CONTENDERS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("contenders.yaml").read_bytes())
LEGEND = (
    "Memory is PSS of a contender's process tree, read every 0.1 s, with the pages of files that it maps.\n"
    "`plain` is this project's build with its quality gates off. `gates` has those that are on by default and a "
    "benchmark to decontaminate from; convmerge's steps together do the same. Exponents are against the smaller file."
)
SPEED = ("rows/s", "fastest and slowest", "exponent of time in rows", "peak memory", "rows out")
HEADINGS = ("", "`plain` against it", "`gates` against it", *SPEED)


def bench_builds(sizes: Sequence[int], conversations: int, rounds: int, only: Sequence[str]) -> None:
    """Time all or some contenders on so many rows of two kinds; print tables. Raises UserError for an unknown one."""
    for name in only:
        if name not in CONTENDERS:
            raise UserError(f"--only: there is no contender `{name}`{suggest(name, CONTENDERS)}")
    machine = describe_machine("pyarrow", "datasets", "rensa", "convmerge", "datasketch")
    say(f"{machine}\nRounds: {rounds}. {LEGEND}")
    # Named after what makes the rows, since other code makes other rows.
    code = Path(corpus.__file__)
    folder = FOLDER / files_digest([code, code.with_suffix(".json")])[:8]
    smaller: dict[str, tuple[int, Results]] = {}
    measured: dict[int, Results] = {}
    for source, rows in [*(("koalpaca", size) for size in sorted(set(sizes))), ("guanaco_ko", conversations)]:
        if not rows:
            continue
        file = folder / f"{source}-{rows}.jsonl"
        if not file.exists():
            corpus.write((corpus.koalpaca if source == "koalpaca" else corpus.guanaco)(rows), file)
        results = _take_turns(only or [*CONTENDERS], source, rows, file, rounds)
        table = build_table(rows, results, *smaller.get(source, (0, {})))
        say(f"\n{source}, {rows:,} rows, {file.stat().st_size / 1e6:,.0f} MB:\n\n{table}")
        smaller[source] = rows, results
        measured |= {rows: results} if source == "koalpaca" else {}
    if measured:
        say(f"\nGoals:\n\n{build_goals(measured)}")


def _take_turns(names: Sequence[str], source: str, rows: int, file: Path, rounds: int) -> Results:
    benchmark = corpus.write(corpus.questions(), file.with_name("questions.jsonl"))
    results: Results = {name: ([], 0, 0) for name in names}
    folder = FOLDER / "built"
    for number in range(1, rounds + 1):
        for name in (name for name in names if not unable(name, rows)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            steps = [measure(command) for command in commands(name, source, file, benchmark, folder)]
            seconds, peak = sum(step[0] for step in steps), max(step[1] for step in steps)
            results[name] = [*results[name][0], seconds], max(results[name][1], peak), rows_out(folder)
            say(f"{file.name}, round {number}: {name}: {seconds:.1f} s", is_error=True)
    shutil.rmtree(folder, ignore_errors=True)
    return results


def unable(name: str, rows: int) -> str:
    """Return why a contender cannot take part; empty where it can."""
    if name.startswith("convmerge") and not (find_spec("convmerge") and find_spec("datasketch")):
        return "`pip install 'convmerge[quality]'`"
    return "not run beyond 100,000 rows" if name == "convmerge all steps" and rows > 100_000 else ""


def commands(name: str, source: str, file: Path, benchmark: Path, folder: Path) -> list[list[str]]:
    """Return the command of each step of a contender, which works in the folder; writes what builds read there."""
    entry = {"source": source, "path": str(file), "add_system_prompt": True, "probability": 0.8}
    planted = {"contamination": {"benchmarks": [{"name": "planted", "path": str(benchmark)}]}}
    for config, quality in (("plain", {"action": "off"}), ("gates", planted)):
        text = yaml.safe_dump({"sources": [entry], "quality": quality})
        (folder / f"{config}.yaml").write_text(text, encoding="utf-8")
    kind = "alpaca" if source == "koalpaca" else "auto"
    values = {"folder": folder, "file": file, "benchmark": benchmark, "format": kind, "cores": CORES}
    return [[sys.executable, *(word.format(**values) for word in step.split())] for step in CONTENDERS[name]]


def measure(command: Sequence[str]) -> tuple[float, int]:
    """Run a command; return its seconds, and the most bytes that it and all it started held.

    Raises RuntimeError with the end of its output where it fails. Whatever happens, its process group is gone then.
    """
    peak, code = 0, None
    with TemporaryFile() as log:
        start = perf_counter()
        process = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while code is None:
                with suppress(psutil.TimeoutExpired):
                    code = process.wait(timeout=0.1)
                    seconds = perf_counter() - start
                with suppress(psutil.Error):
                    tree = (process, *process.children(recursive=True))
                    peak = max(peak, sum(one.memory_full_info().pss for one in tree))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if code:
            log.seek(max(log.tell() - 2_000, 0))
            raise RuntimeError(f"{' '.join(command)}: exit {code}\n{log.read().decode(errors='replace')}")
    return seconds, peak


def rows_out(folder: Path) -> int:
    """Return how many rows a contender has left; those that it rejected are not among them."""
    if (lines := folder / "out.jsonl").exists():
        with lines.open("rb") as file:
            return sum(1 for _ in file)
    shards = (file for file in folder.rglob("*.parquet") if file.parent.name != "rejected")
    return sum(pq.read_metadata(shard).num_rows for shard in shards)


def build_table(rows: int, results: Results, fewer: int = 0, smaller: Results | None = None) -> str:
    """Compare the contenders on one file; `smaller` has the results for `fewer` rows of its kind."""
    ours = [results[name][0] if name in results else [] for name in ("plain", "gates")]
    lines = []
    for name, (seconds, peak, left) in results.items():
        if not seconds:
            lines.append([name, DASH, DASH, unable(name, rows), *[DASH] * 4])
            continue
        before = (smaller or {}).get(name, ([], 0, 0))[0]
        exponent = f"{exponent_of(rows, seconds, fewer, before):.2f}" if before else DASH
        ratios = [ratio(seconds, build) if build else DASH for build in ours]
        lines.append([name, *ratios, *speeds(rows, seconds), exponent, f"{peak / 1e6:,.0f} MB", f"{left:,}"])
    return markdown_table(HEADINGS, lines)


def in_blocks(source: str, out: str) -> None:
    """Read JSON lines in blocks and write each as a row group."""
    blocks = pj.open_json(source, READ)
    with blocks, pq.ParquetWriter(f"{out}/copy.parquet", blocks.schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_batch(block)


def in_memory(source: str, out: str) -> None:
    """Read a whole file into memory on all cores, then write it."""
    pq.write_table(pj.read_json(source, READ), f"{out}/copy.parquet", compression="zstd")


def row_wise(source: str, out: str) -> None:
    """Load the rows with `datasets`, make messages of each, and write them, as people's own scripts do."""
    from datasets import load_dataset

    rows = load_dataset("json", data_files=source, split="train", cache_dir=f"{out}/cache")
    rows.map(_messages, remove_columns=rows.column_names, num_proc=CORES).to_parquet(f"{out}/rows.parquet")


def _messages(row: dict[str, Any]) -> dict[str, Any]:
    said: list[Any] = ["Human", row.get("instruction"), "Assistant", row.get("output")]
    if "text" in row:
        said = re.split(r"### (Human|Assistant):", row["text"])[1:]
    roles, turns = {"Human": "user", "Assistant": "assistant"}, zip(said[::2], said[1::2], strict=True)
    return {"messages": [{"role": roles[who], "content": text.strip()} for who, text in turns]}


if __name__ == "__main__":
    {"in_blocks": in_blocks, "in_memory": in_memory, "row_wise": row_wise}[sys.argv[1]](*sys.argv[2:])
