"""A recipe's data from start to end: chunks, the split among their rows, shards, and the manifest, which is last."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from dataset_builders import fingerprint
from dataset_builders.executor import Executor, run
from dataset_builders.gates import Quality
from dataset_builders.gates.benchmarks import NO_BENCHMARKS, Benchmark, BenchmarkIndex, load_index, read_texts
from dataset_builders.manifest import BenchmarkInput, Manifest, Shard, fingerprint_of, read_manifest
from dataset_builders.pipeline import DoneChunk, process
from dataset_builders.read.chunks import CHUNK_BYTES, Chunk
from dataset_builders.read.files import Input, find_input, input_files, is_local, is_unchanged
from dataset_builders.recipe import DataConfig
from dataset_builders.sources import SOURCES
from dataset_builders.split import split_rows
from dataset_builders.summary import summarize
from dataset_builders.write.publish import check_out, locked, publish
from dataset_builders.write.shards import ShardTask, plan_shards, write_shard
from rabbit_ko import hashing
from rabbit_ko.errors import UserError
from rabbit_ko.methods import RowKind
from rabbit_ko.storage import filesystem, is_url, read_json

# What is being worked on, how many of it are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ChunkTask:
    """A chunk to process, and the folder for it, which is named after all that it depends on.

    benchmarks: the file of the index that rows are compared with; empty where there is none.
    """

    chunk: Chunk
    source: int
    folder: str
    config: DataConfig
    benchmarks: str


def build(
    config: DataConfig,
    out: str | Path,
    progress: Progress = lambda *_: None,
    workers: int = 1,
    executor: Executor = "processes",
) -> Manifest:
    """Build `out/{sft,dpo,rejected}/*.parquet` and, last, `out/manifest.json`; nothing shows before all is made.

    What an interrupted build has done is not done again. A folder whose bytes did not change keeps its files as they
    are. Raises UserError where a source cannot be read or leaves no row, or another build is at work in `out`.
    """
    out = _place(out)
    for entry in config.sources:
        if is_local(entry):
            input_files(entry.path)
    check_out(out)
    with locked(out) as work:
        inputs = [find_input(entry, f"{work}/inputs") for entry in config.sources]
        # A process takes a second to start, so a few files are read sooner in this one.
        workers = min(workers, 1 + sum(found.bytes for found in inputs) // CHUNK_BYTES)
        run_all = partial(run, workers=workers, executor=executor)
        index, benchmarks = _index_benchmarks(config.quality, work)
        chunks = _process_all(_chunk_tasks(config, inputs, index, benchmarks, work), run_all, progress)
        kinds = [SOURCES[entry.source].rows for entry in config.sources]
        splits = {
            kind: split_rows([chunk for chunk in chunks if kinds[chunk.source] == kind], config)
            for kind in get_args(RowKind)
        }
        sources = []
        for number, (entry, found) in enumerate(zip(config.sources, inputs, strict=True)):
            mine = [chunk for chunk in chunks if chunk.source == number]
            sources.append(summarize(entry, number, found, mine, splits[kinds[number]]))
        rejected = [chunk.folder for chunk in chunks if chunk.rejected]
        tasks = plan_shards(splits, rejected, f"{work}/shards", config.rows_per_shard)
        shards = _write_all(tasks, run_all, progress)
        manifest = Manifest(
            fingerprint=fingerprint_of(shards),
            config=config.model_dump(mode="json"),
            git_commit=hashing.git_commit(),
            code=fingerprint.code(),
            versions=fingerprint.versions(),
            benchmarks=benchmarks,
            sources=sources,
            shards=shards,
        )
        publish(manifest, tasks, out)
    return manifest


def current(config: DataConfig, out: str | Path) -> Manifest | None:
    """Return the manifest of `out` where its data is what a build would make now, and None otherwise.

    That is so with the same config, code and package versions, the same content of every source and benchmark, and
    all shards in place; where the hub cannot be asked for a dataset's commit, the recorded one counts.
    """
    out = _place(out)
    try:
        manifest = read_manifest(out)
        made_of = (manifest.config, manifest.code, manifest.versions)
        if made_of != (config.model_dump(mode="json"), fingerprint.code(), fingerprint.versions()):
            return None
        sources = zip(config.sources, manifest.sources, strict=True)
        is_current = (
            all(_is_there(out, shard) for shard in manifest.shards)
            and all(is_unchanged(entry, known.input_sha256, known.revision) for entry, known in sources)
            and all(
                is_unchanged(benchmark, known.sha256, known.revision)
                for benchmark in _benchmarks(config.quality)
                for known in [manifest.benchmarks[benchmark.name]]
            )
        )
    except (UserError, FileNotFoundError):
        return None
    return manifest if is_current else None


def process_chunk(task: ChunkTask) -> DoneChunk:
    """Process a chunk, or find it done."""
    report = read_json(f"{task.folder}/report.json")
    if report is None:
        benchmarks = load_index(task.benchmarks) if task.benchmarks else NO_BENCHMARKS
        report = process(task.chunk, task.config.sources[task.source], task.config, benchmarks, task.folder)
    return DoneChunk(task.folder, task.source, **report)


def _place(out: str | Path) -> str:
    out = str(out).removeprefix("file://")
    return out if is_url(out) else str(Path(out).expanduser())


def _is_there(out: str, shard: Shard) -> bool:
    fs, name = filesystem(f"{out}/{shard.file}")
    return bool(fs.size(name) == shard.bytes)


def _benchmarks(quality: Quality) -> tuple[Benchmark, ...]:
    """Return the benchmarks that rows are compared with; none where the gate is off."""
    found: tuple[Benchmark, ...] = quality.contamination.benchmarks
    return found if quality.is_on(quality.contamination) else ()


def _index_benchmarks(quality: Quality, work: str) -> tuple[str, dict[str, BenchmarkInput]]:
    """Save an index of all benchmarks for the workers; return its file, or nothing, and what went in."""
    gate, inputs = quality.contamination, dict[str, BenchmarkInput]()
    index = BenchmarkIndex.empty(gate.words, gate.letters)
    for benchmark in _benchmarks(quality):
        found = find_input(benchmark, f"{work}/inputs")
        index = index.with_benchmark(benchmark.name, read_texts(benchmark, found))
        inputs[benchmark.name] = BenchmarkInput(sha256=found.sha256, revision=found.revision)
    if not inputs:
        return "", inputs
    path = f"{work}/inputs/benchmarks-{fingerprint.key(gate.model_dump(), _hashes(inputs))}"
    index.save(path)
    return path, inputs


def _hashes(benchmarks: dict[str, BenchmarkInput]) -> dict[str, str]:
    return {name: found.sha256 for name, found in benchmarks.items()}


def _chunk_tasks(
    config: DataConfig, inputs: Sequence[Input], index: str, benchmarks: dict[str, BenchmarkInput], work: str
) -> Iterator[ChunkTask]:
    """Yield a task for each chunk, while the files are read."""
    common = config.seed, config.system_prompt, config.quality.model_dump(), _hashes(benchmarks)
    seen = Counter[str]()
    for number, (entry, found) in enumerate(zip(config.sources, inputs, strict=True)):
        settings = entry.model_dump(exclude={"path", "max_samples"})
        for chunk in found.chunks():
            rows = (chunk.start, chunk.end) if chunk.suffix == ".parquet" else (chunk.header.hex(), chunk.is_first)
            name = fingerprint.key(chunk.content, rows, number, settings, common)
            # Chunks with the same content have the same name; each has its rows.
            yield ChunkTask(chunk, number, f"{work}/chunks/{name}-{seen[name]}", config, index)
            seen[name] += 1


def _process_all(tasks: Iterator[ChunkTask], run: Any, progress: Progress) -> list[DoneChunk]:
    """Process all chunks; the result is in the order of the chunks' names, whatever the order of the files."""
    done: list[DoneChunk] = []
    listed: list[str] = []

    def noted() -> Iterator[ChunkTask]:
        for task in tasks:
            listed.append(task.folder)
            yield task

    for chunk in run(process_chunk, noted()):
        done.append(chunk)
        progress("chunks", len(done), len(listed))
    return sorted(done, key=lambda chunk: chunk.folder)


def _write_all(tasks: list[ShardTask], run: Any, progress: Progress) -> list[Shard]:
    shards: list[Shard] = []
    for shard in run(write_shard, sorted(tasks, key=lambda task: -task.rows)):
        shards.append(shard)
        progress("shards", len(shards), len(tasks))
    return sorted(shards, key=lambda shard: shard.file)
