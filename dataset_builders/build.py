"""A recipe's data from start to end: chunks, the split among their rows, shards, and the manifest, which is last."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builders import fingerprint
from dataset_builders.executor import Executor, Progress, cores, run, start_early
from dataset_builders.gates import Quality
from dataset_builders.gates.benchmarks import Benchmark, index_texts, read_texts
from dataset_builders.manifest import BenchmarkInput, Manifest, SourceSummary, fingerprint_of, read_manifest
from dataset_builders.pipeline import ChunkTask, DoneChunk, process
from dataset_builders.read import inputs
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.shards import check_out, locked, plan_shards, publish, write_shard
from dataset_builders.sources import SOURCES
from dataset_builders.split import SPLITS, STATUSES, Split, split_rows
from rabbit_ko import hashing
from rabbit_ko.errors import UserError
from rabbit_ko.methods import ROW_KINDS
from rabbit_ko.storage import filesystem, is_url, remove, spare_pandas

# Below its share for a core, one process is faster than several with their start; gates take four times as long.
ALONE_BYTES = 1_000_000_000


def build(
    config: DataConfig,
    out: str | Path,
    progress: Progress = lambda *_: None,
    workers: int | None = 1,
    executor: Executor = "processes",
) -> Manifest:
    """Build `out/{sft,dpo,rejected}/*.parquet` and, last, `out/manifest.json`, or resume an interrupted build.

    workers: how many processes; None for all cores where that is faster than one.
    """
    spare_pandas()
    out = _place(out)
    check_out(out)
    with locked(out) as work:
        remove(f"{work}/shards")
        if executor == "processes" and _worth(workers, sum(map(_local_bytes, config.sources)), config.quality) > 1:
            start_early()
        found = [inputs.find_input(entry, f"{work}/inputs") for entry in config.sources]
        workers = _worth(workers, sum(each.bytes for each in found), config.quality)
        run_all: Callable[..., list[Any]] = partial(run, workers=workers, executor=executor, progress=progress)
        index, benchmarks = _index_benchmarks(config.quality, work)
        chunks = run_all(partial(process, config, index), _chunk_tasks(config, found, index, work), what="chunks")
        # In the order of their names, whatever the order of the files.
        chunks.sort(key=lambda chunk: chunk.folder)
        kinds = [SOURCES[entry.source].rows for entry in config.sources]
        splits = {kind: split_rows((it for it in chunks if kinds[it.source] == kind), config) for kind in ROW_KINDS}
        sources = [
            _summarize(config.sources[number], each, number, chunks, splits[kinds[number]])
            for number, each in enumerate(found)
        ]
        planned = plan_shards(splits, chunks, f"{work}/shards", config.rows_per_shard)
        shards = sorted(run_all(write_shard, planned, what="shards"), key=lambda shard: shard.file)
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
    """Return the manifest of `out` where its data is what a build would make now: by content, and never by time."""
    out = _place(out)
    try:
        manifest = read_manifest(out)
        made_of = (manifest.config, manifest.code, manifest.versions)
        if made_of != (config.model_dump(mode="json"), fingerprint.code(), fingerprint.versions()):
            return None
        places = [filesystem(f"{out}/{shard.file}") for shard in manifest.shards]
        known = [(source.input_sha256, source.revision) for source in manifest.sources]
        known += [(benchmark.sha256, benchmark.revision) for benchmark in manifest.benchmarks.values()]
        wanted = zip([*config.sources, *_benchmarks(config.quality)], known, strict=True)
        is_there = [fs.size(name) for fs, name in places] == [shard.bytes for shard in manifest.shards]
        return manifest if is_there and all(inputs.is_unchanged(each, *was) for each, was in wanted) else None
    except (UserError, FileNotFoundError):
        return None


def _worth(workers: int | None, size: int, quality: Quality) -> int:
    """Return how many processes are faster than fewer for so many bytes of input, and no more than asked for."""
    few = ALONE_BYTES // cores() // (1 if quality.action == "off" else 4)
    return min(workers or (cores() if size >= few else 1), 1 + size // inputs.CHUNK_BYTES)


def _local_bytes(entry: SourceConfig) -> int:
    fs, name = filesystem(entry.path)
    return int(fs.du(name)) if "file" in fs.protocol and fs.exists(name) else 0


def _place(out: str | Path) -> str:
    out = str(out).removeprefix("file://")
    return out if is_url(out) else str(Path(out).expanduser())


def _benchmarks(quality: Quality) -> tuple[Benchmark, ...]:
    found: tuple[Benchmark, ...] = quality.contamination.benchmarks
    return found if quality.is_on(quality.contamination) else ()


def _index_benchmarks(quality: Quality, work: str) -> tuple[str, dict[str, BenchmarkInput]]:
    """Save an index of all benchmarks for the workers; return its file, or nothing, and what went in."""
    gate, known, texts = quality.contamination, dict[str, BenchmarkInput](), dict[str, list[str]]()
    for benchmark in _benchmarks(quality):
        found = inputs.find_input(benchmark, f"{work}/inputs")
        texts[benchmark.name] = read_texts(benchmark, found.chunks)
        known[benchmark.name] = BenchmarkInput(sha256=found.sha256, revision=found.revision)
    if not texts:
        return "", known
    hashes = {name: found.sha256 for name, found in known.items()}
    path = f"{work}/inputs/benchmarks-{fingerprint.key(gate.model_dump(), hashes)}.arrow"
    index_texts(texts, gate.words, gate.letters).save(path)
    return path, known


def _chunk_tasks(config: DataConfig, found: Sequence[inputs.Input], index: str, work: str) -> list[ChunkTask]:
    common = config.seed, config.system_prompt, config.quality.model_dump(), index.rpartition("/")[2]
    tasks, seen = [], Counter[str]()
    for number, (entry, each) in enumerate(zip(config.sources, found, strict=True)):
        settings = number, entry.model_dump(exclude={"path", "max_samples"})
        for chunks in _grouped(each.chunks):
            content = [(it.sha256, inputs.suffix_of(it.path), it.start, it.end) for it in chunks]
            name = fingerprint.key(content, settings, common)
            # Files with the same content have chunks of the same name; each has its rows.
            tasks.append((chunks, number, f"{work}/chunks/{name}-{seen[name]}"))
            seen[name] += 1
    return tasks


def _grouped(chunks: Sequence[inputs.Chunk]) -> Iterator[tuple[inputs.Chunk, ...]]:
    """Put small chunks together, up to the size of one: what is done of each is a folder of files."""
    group, filled = list[inputs.Chunk](), 0.0
    for chunk in chunks:
        # Bytes of lines, or else rows.
        full = inputs.CHUNK_BYTES if inputs.suffix_of(chunk.path) in (".jsonl", ".csv") else inputs.CHUNK_ROWS
        share = (chunk.end - chunk.start) / full
        if group and filled + share > 1:
            yield tuple(group)
            group, filled = [], 0.0
        group.append(chunk)
        filled += share
    if group:
        yield tuple(group)


def _summarize(
    entry: SourceConfig, found: inputs.Input, number: int, all_chunks: Sequence[DoneChunk], split: Split
) -> SourceSummary:
    chunks = [chunk for chunk in all_chunks if chunk.source == number]
    statuses = Counter(split.statuses[split.rows_of(number)].tolist())
    counts = Counter({name: statuses[place] for place, name in enumerate(STATUSES)})
    splits = {name: count for name in SPLITS if (count := counts.pop(name))}
    reported = Counter({status: count for (source, status), count in split.reported.items() if source == number})
    rejected = sum((Counter(chunk.rejected) for chunk in chunks), counts)
    reported = sum((Counter(chunk.reported) for chunk in chunks), reported)
    rows = split.rows_of(number)
    left = rows[split.statuses[rows] < len(SPLITS)]
    names = ("with_system_prompt", "multi_turn", "normalized", "escaped")
    flags: dict[str, Any] = {name: int(split.column(name)[left].sum()) for name in names}
    read, kept = sum(chunk.read for chunk in chunks), sum(splits.values())
    if not kept:
        hint = "; name them with `columns:`" if all(why.startswith("no field") for why in rejected) else ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(rejected.items()))
        raise UserError(f"{entry.path}: of {read} rows none is left; dropped: {reasons or '-'}{hint}")
    return SourceSummary(
        **entry.model_dump(include={"source", "path", "subset", "language"}),
        name=entry.label,
        stage=SOURCES[entry.source].rows,
        revision=found.revision,
        license=entry.stated_license,
        license_accepted=entry.license_accepted or None,
        input_files=found.files,
        input_bytes=found.bytes,
        input_sha256=found.sha256,
        read=read,
        kept=kept,
        splits=splits,
        rejected=dict(sorted(rejected.items())),
        reported=dict(sorted(reported.items())),
        **flags,
    )
