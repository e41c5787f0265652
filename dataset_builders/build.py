"""A recipe's data from start to end: chunks, the split among their rows, shards, and the manifest, which is last."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builders import fingerprint
from dataset_builders.executor import Executor, run
from dataset_builders.gates import Quality
from dataset_builders.gates.benchmarks import Benchmark, index_texts, read_texts
from dataset_builders.manifest import BenchmarkInput, Manifest, SourceSummary, fingerprint_of, read_manifest
from dataset_builders.pipeline import ChunkTask, DoneChunk, process_chunk
from dataset_builders.read.inputs import (
    CHUNK_BYTES,
    Input,
    find_input,
    input_files,
    is_local,
    is_unchanged,
    suffix_of,
)
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.sources import SOURCES
from dataset_builders.split import SPLITS, STATUSES, Split, split_rows
from dataset_builders.write.publish import check_out, locked, publish
from dataset_builders.write.shards import plan_shards, write_shard
from rabbit_ko import hashing
from rabbit_ko.errors import UserError
from rabbit_ko.methods import ROW_KINDS
from rabbit_ko.storage import filesystem, is_url, remove

# What is being worked on, how many of it are done, and of how many.
Progress = Callable[[str, int, int], None]


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
        remove(f"{work}/shards")
        inputs = [find_input(entry, f"{work}/inputs") for entry in config.sources]
        # A process takes a second to start, so a few files are read sooner in this one.
        workers = min(workers, 1 + sum(found.bytes for found in inputs) // CHUNK_BYTES)
        run_all = partial(_run_all, progress, workers, executor)
        index, benchmarks = _index_benchmarks(config.quality, work)
        chunks = run_all("chunks", process_chunk, list(_chunk_tasks(config, inputs, index, benchmarks, work)))
        # In the order of their names, whatever the order of the files.
        chunks.sort(key=lambda chunk: chunk.folder)
        kinds = [SOURCES[entry.source].rows for entry in config.sources]
        splits = {
            kind: split_rows([chunk for chunk in chunks if kinds[chunk.source] == kind], config) for kind in ROW_KINDS
        }
        sources = [
            _summarize(config.sources[number], number, found, chunks, splits[kinds[number]])
            for number, found in enumerate(inputs)
        ]
        tasks = plan_shards(splits, chunks, f"{work}/shards", config.rows_per_shard)
        shards = sorted(run_all("shards", write_shard, tasks), key=lambda shard: shard.file)
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
        publish(manifest, f"{work}/shards", out)
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
        sizes = [fs.size(name) for fs, name in (filesystem(f"{out}/{shard.file}") for shard in manifest.shards)]
        known = [(source.input_sha256, source.revision) for source in manifest.sources]
        known += [(benchmark.sha256, benchmark.revision) for benchmark in manifest.benchmarks.values()]
        wanted = zip([*config.sources, *_benchmarks(config.quality)], known, strict=True)
        is_current = sizes == [shard.bytes for shard in manifest.shards] and all(
            is_unchanged(location, *was) for location, was in wanted
        )
    except (UserError, FileNotFoundError):
        return None
    return manifest if is_current else None


def _place(out: str | Path) -> str:
    out = str(out).removeprefix("file://")
    return out if is_url(out) else str(Path(out).expanduser())


def _run_all(
    progress: Progress, workers: int, executor: Executor, what: str, function: Callable[[Any], Any], tasks: list[Any]
) -> list[Any]:
    results = []
    for result in run(function, tasks, workers, executor):
        results.append(result)
        progress(what, len(results), len(tasks))
    return results


def _benchmarks(quality: Quality) -> tuple[Benchmark, ...]:
    """Return the benchmarks that rows are compared with; none where the gate is off."""
    found: tuple[Benchmark, ...] = quality.contamination.benchmarks
    return found if quality.is_on(quality.contamination) else ()


def _index_benchmarks(quality: Quality, work: str) -> tuple[str, dict[str, BenchmarkInput]]:
    """Save an index of all benchmarks for the workers; return its file, or nothing, and what went in."""
    gate, inputs, texts = quality.contamination, dict[str, BenchmarkInput](), dict[str, list[str]]()
    for benchmark in _benchmarks(quality):
        found = find_input(benchmark, f"{work}/inputs")
        texts[benchmark.name] = read_texts(benchmark, found.chunks)
        inputs[benchmark.name] = BenchmarkInput(sha256=found.sha256, revision=found.revision)
    if not inputs:
        return "", inputs
    hashes = {name: found.sha256 for name, found in inputs.items()}
    path = f"{work}/inputs/benchmarks-{fingerprint.key(gate.model_dump(), hashes)}.arrow"
    index_texts(texts, gate.words, gate.letters).save(path)
    return path, inputs


def _chunk_tasks(
    config: DataConfig, inputs: Sequence[Input], index: str, benchmarks: dict[str, BenchmarkInput], work: str
) -> Iterator[ChunkTask]:
    hashes = {name: found.sha256 for name, found in benchmarks.items()}
    common = config.seed, config.system_prompt, config.quality.model_dump(), hashes
    seen = Counter[str]()
    for number, (entry, found) in enumerate(zip(config.sources, inputs, strict=True)):
        settings = entry.model_dump(exclude={"path", "max_samples"})
        for chunk in found.chunks:
            content = chunk.sha256, suffix_of(chunk.path), chunk.start, chunk.end
            name = fingerprint.key(content, number, settings, common)
            # Files with the same content have chunks of the same name; each has its rows.
            yield ChunkTask(chunk, number, f"{work}/chunks/{name}-{seen[name]}", config, index)
            seen[name] += 1


def _summarize(
    entry: SourceConfig, number: int, found: Input, all_chunks: Sequence[DoneChunk], split: Split
) -> SourceSummary:
    """Count what became of the rows of the `number`th source. Raises UserError where none is left."""
    chunks = [chunk for chunk in all_chunks if chunk.source == number]
    statuses = np.bincount(split.statuses[split.sources == number], minlength=len(STATUSES)).tolist()
    counts = dict(zip(STATUSES, statuses, strict=True))
    splits = {name: count for name in SPLITS if (count := counts.pop(name))}
    reported = {status: count for (source, status), count in split.reported.items() if source == number}
    is_kept = (split.sources == number) & (split.statuses < len(SPLITS))
    flags = ("with_system_prompt", "multi_turn", "normalized", "escaped")
    summary = SourceSummary(
        name=entry.label,
        source=entry.source,
        stage=SOURCES[entry.source].rows,
        path=entry.path,
        subset=entry.subset,
        revision=found.revision,
        language=entry.language,
        license=entry.stated_license,
        license_accepted=entry.license_accepted or None,
        input_files=found.files,
        input_bytes=found.bytes,
        input_sha256=found.sha256,
        read=sum(chunk.read for chunk in chunks),
        kept=sum(splits.values()),
        splits=splits,
        rejected=_total([counts, *(chunk.rejected for chunk in chunks)]),
        reported=_total([reported, *(chunk.reported for chunk in chunks)]),
        **{name: int(split.column(name)[is_kept].sum()) for name in flags},
    )
    if not summary.kept:
        hint = "; name them with `columns:`" if all(why.startswith("no field") for why in summary.rejected) else ""
        raise UserError(f"{entry.path}: of {summary.read} rows none is left; dropped: {summary.reasons}{hint}")
    return summary


def _total(reports: Sequence[dict[str, int]]) -> dict[str, int]:
    counts = sum(map(Counter, reports), Counter[str]())
    return dict(sorted(counts.items()))
