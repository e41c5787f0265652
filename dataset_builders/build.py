"""A recipe's data from start to end: chunks, the split among their rows, shards, and the manifest, which is last."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builders import fingerprint
from dataset_builders.executor import Executor, Progress, cores, run, start_early
from dataset_builders.gates import Quality
from dataset_builders.gates.benchmarks import Benchmark, index_texts, read_texts
from dataset_builders.ids import read_ids, repeated_ids, save_repeated
from dataset_builders.manifest import BenchmarkInput, Manifest, SourceSummary, fingerprint_of, read_manifest
from dataset_builders.mixing import mix
from dataset_builders.pipeline import ChunkTask, DoneChunk, process
from dataset_builders.prompt_sources import read_prompt_sources
from dataset_builders.read import inputs
from dataset_builders.read.files import find_path, shown_note
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.shards import check_out, locked, plan_shards, publish, write_shard
from dataset_builders.sources import SOURCES
from dataset_builders.split import SPLITS, STATUSES, Split, split_rows
from dataset_builders.token_counts import describe_tokenizer, save_tokenizer
from dataset_builders.verify import wrong_files
from rabbit_ko import hashing
from rabbit_ko.errors import UserError
from rabbit_ko.methods import ROW_KINDS, RowKind
from rabbit_ko.recipes import PAIRS
from rabbit_ko.secrets import redact
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
    """Build `out/{sft,dpo,kto,rejected}/*.parquet` and, last, `out/manifest.json`, or resume an interrupted build.

    workers: how many processes; None for all cores where that is faster than one.
    """
    spare_pandas()
    out = _place(out)
    check_out(out)
    with locked(out) as work:
        remove(f"{work}/shards")
        if executor == "processes" and _worth(workers, sum(map(_local_bytes, config.sources)), config.quality) > 1:
            start_early()
        found = [_find_input(entry, f"{work}/inputs") for entry in config.sources]
        workers = _worth(workers, sum(each.bytes for each in found), config.quality)
        run_all: Callable[..., list[Any]] = partial(run, workers=workers, executor=executor, progress=progress)
        index, benchmarks = _index_benchmarks(config.quality, work)
        tokenizer, counted_by = save_tokenizer(config.tokenizer, f"{work}/inputs")
        take = partial(process, config, index, tokenizer)
        tasks = _chunk_tasks(config, found, (index, tokenizer), work)
        chunks = run_all(take, tasks, what="chunks")
        if again := tell_apart(tasks, chunks, work):
            chunks = [chunk for chunk in chunks if chunk.folder not in again]
            chunks += run_all(take, list(again.values()), what="chunks with repeated ids")
        # In the order of their names, whatever the order of the files.
        chunks.sort(key=lambda chunk: chunk.folder)
        kinds = [SOURCES[entry.source].rows for entry in config.sources]
        by_kind = {kind: [it for it in chunks if kinds[it.source] == kind] for kind in ROW_KINDS}
        splits: dict[RowKind, Split] = {}
        for kind, some in by_kind.items():
            splits[kind] = mix(split_rows(some, config, splits), config)
        sources = [
            _summarize(config.sources[number], each, number, chunks, splits[kinds[number]], bool(tokenizer))
            for number, each in enumerate(found)
        ]
        planned = plan_shards(splits, chunks, f"{work}/shards", config.rows_per_shard)
        shards = sorted(run_all(write_shard, planned, what="shards"), key=lambda shard: shard.file)
        manifest = Manifest(
            fingerprint=fingerprint_of(shards),
            config=_recorded(config),
            git_commit=hashing.git_commit(),
            code=fingerprint.code(),
            versions=fingerprint.versions(),
            benchmarks=benchmarks,
            tokenizer=counted_by,
            sources=sources,
            shards=shards,
        )
        publish(manifest, f"{work}/shards", out)
    return manifest


def current(config: DataConfig, out: str | Path) -> Manifest | None:
    """Return the manifest of `out` where its data is what a build would make now: by content, and never by time.

    In object storage shards are told by their sizes, as hashing them would download them all; `rabbit verify` does.
    """
    out = _place(out)
    try:
        manifest = read_manifest(out)
        made_of = (manifest.config, manifest.code, manifest.versions)
        if made_of != (_recorded(config), fingerprint.code(), fingerprint.versions()):
            return None
        known = [(source.input_sha256, source.revision) for source in manifest.sources]
        known += [(benchmark.sha256, benchmark.revision) for benchmark in manifest.benchmarks.values()]
        wanted = zip([*config.sources, *_benchmarks(config.quality)], known, strict=True)
        is_there = _are_there(out, manifest)
        is_there &= manifest.tokenizer == (describe_tokenizer(config.tokenizer)[0] if config.tokenizer else None)
        is_there &= all(
            source.prompt_sources == read_prompt_sources(entry.source, entry.path)
            for source, entry in zip(manifest.sources, config.sources, strict=True)
        )
        return manifest if is_there and all(inputs.is_unchanged(each, *was) for each, was in wanted) else None
    except (UserError, FileNotFoundError):
        return None


def _are_there(out: str, manifest: Manifest) -> bool:
    if not is_url(out):
        return not any(wrong_files(out, manifest))
    places = [filesystem(f"{out}/{shard.file}") for shard in manifest.shards]
    return [fs.size(name) for fs, name in places] == [shard.bytes for shard in manifest.shards]


def _find_input(entry: SourceConfig, folder: str) -> inputs.Input:
    """Return what is read for a source. Raises UserError, which says what makes a file that this project makes."""
    path = Path(entry.path)
    if SOURCES[entry.source].file and not is_url(entry.path) and not Path(find_path(entry.path)).exists():
        made = path.parts[len(PAIRS.parts) : -1] if PAIRS in path.parents else ()
        what = "RECIPE={} STAGE={}".format(*made) if len(made) == 2 else "RECIPE=... STAGE=..."
        advice = f"run `make pairs {what}`, or name what is read until then, `otherwise:`"
        raise UserError(f"{entry.path}: no such file; {advice}")
    return inputs.find_input(entry, folder)


def _recorded(config: DataConfig) -> dict[str, Any]:
    """Return what the manifest says of a config: all but what URLs hold of logins."""
    recorded: dict[str, Any] = redact(config.model_dump(mode="json"))
    return recorded


def _worth(workers: int | None, size: int, quality: Quality) -> int:
    """Return how many processes are faster than fewer for so many bytes of input, and no more than asked for."""
    few = ALONE_BYTES // cores() // (1 if quality.action == "off" else 4)
    return min(workers or (cores() if size >= few else 1), 1 + size // inputs.CHUNK_BYTES)


def _local_bytes(entry: SourceConfig) -> int:
    fs, name = filesystem(entry.path)
    try:
        return int(fs.du(name)) if "file" in fs.protocol and fs.exists(name) else 0
    except OSError:  # a link to nothing, whose file need not be one of rows
        return 0


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


def _chunk_tasks(
    config: DataConfig, found: Sequence[inputs.Input], made: tuple[str, str], work: str
) -> list[ChunkTask]:
    common = (
        config.seed,
        config.system_prompt,
        config.quality.model_dump(),
        [path.rpartition("/")[2] for path in made],
    )
    tasks, seen = [], Counter[str]()
    for number, (entry, each) in enumerate(zip(config.sources, found, strict=True)):
        settings = number, entry.model_dump(exclude={"path", "max_samples", "max_rejected", "weight", "share"})
        for chunk in each.chunks:
            content = chunk.sha256, inputs.suffix_of(chunk.path), chunk.start, chunk.end
            name = fingerprint.key(content, settings, common)
            # Files with the same content have chunks of the same name; each has its rows.
            tasks.append(ChunkTask(chunk, number, f"{work}/chunks/{name}-{seen[name]}"))
            seen[name] += 1
    return tasks


def tell_apart(tasks: Sequence[ChunkTask], chunks: Sequence[DoneChunk], work: str) -> dict[str, ChunkTask]:
    """Return, by folder, the chunks that have to be made once more, since their rows share ids with other rows."""
    again = dict[str, ChunkTask]()
    with_ids = {chunk.folder for chunk in chunks if chunk.ids}
    for source in sorted({task.source for task in tasks if task.folder in with_ids}):
        own = [task for task in tasks if task.source == source and task.folder in with_ids]
        repeated = repeated_ids(task.folder for task in own)
        if len(repeated):
            path = save_repeated(work, repeated)
            touched = [task for task in own if np.isin(read_ids(task.folder, "id"), repeated).any()]
            name = path.removesuffix(".arrow").rpartition("-")[2]
            again |= {task.folder: task._replace(folder=f"{task.folder}-{name}", repeated=path) for task in touched}
    return again


def _summarize(
    entry: SourceConfig,
    found: inputs.Input,
    number: int,
    all_chunks: Sequence[DoneChunk],
    split: Split,
    is_counted: bool,
) -> SourceSummary:
    chunks = [chunk for chunk in all_chunks if chunk.source == number]
    rows = split.rows_of(number)
    statuses = Counter(split.statuses[rows].tolist())
    counts = Counter({name: statuses[place] for place, name in enumerate(STATUSES)})
    splits = {name: count for name in SPLITS if (count := counts.pop(name))}
    reported = Counter({status: count for (source, status), count in split.reported.items() if source == number})
    rejected = sum((Counter(chunk.rejected) for chunk in chunks), counts)
    reported = sum((Counter(chunk.reported) for chunk in chunks), reported)
    left = rows[split.statuses[rows] < len(SPLITS)]
    names = ("with_system_prompt", "multi_turn", "normalized", "escaped")
    flags: dict[str, Any] = {name: int(split.column(name)[left].sum()) for name in names}
    read, kept = sum(chunk.read for chunk in chunks), sum(splits.values())
    if not kept:
        hint = "; name them with `columns:`" if read and all(why.startswith("no field") for why in rejected) else ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(rejected.items()) if count)
        said = f"of {read} rows none is left; dropped: {reasons or '-'}{hint}"
        raise UserError("; ".join([f"{entry.path}: {said}", *map(shown_note, found.notes)]))
    _check_broken(entry, sum((Counter(chunk.broken) for chunk in chunks), Counter[str]()), read)
    return SourceSummary(
        **redact(entry.model_dump(include={"source", "path", "subset", "language"})),
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
        unread_columns=sorted({name for chunk in chunks for name in chunk.unread}),
        notes=found.notes,
        repeats=int((split.sources[split.repeats.rows] == number).sum()),
        tokens=_train_tokens(split, number) if is_counted else None,
        prompt_sources=read_prompt_sources(entry.source, entry.path),
        **flags,
    )


def _check_broken(entry: SourceConfig, broken: Counter[str], read: int) -> None:
    """Raise UserError where more rows could not be read than the source's `max_rejected` allows."""
    if broken.total() > entry.max_rejected * read:
        [(reason, count)] = broken.most_common(1)
        said = f"{broken.total():,} of {read:,} rows cannot be read, {count:,} of them for: {reason}"
        advice = f"mend them, or allow it with this source's `max_rejected`, which is {entry.max_rejected:g}"
        raise UserError(f"{entry.path}: {said}; {advice}")


def _train_tokens(split: Split, source: int) -> int:
    """Return the tokens of a source's train rows, repeats included."""
    again = split.repeats.rows
    tokens, rows = split.column("tokens"), [split.kept(source), again[split.sources[again] == source]]
    return int(tokens[np.concatenate(rows)].sum())
