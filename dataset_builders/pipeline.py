"""One chunk's way from raw rows to rows that may be kept, with all that the split among all chunks' rows depends on.

A chunk leaves the files of `write.chunks` in its folder, and at last `report.json`, which says that it is done.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from dataset_builders.cleaning import Cleaned, clean
from dataset_builders.gates import Quality, ask_gates
from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex, load_index
from dataset_builders.near_duplicates import signatures
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.read.inputs import Chunk
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import RejectedRow, Row, message_lists, row_id
from dataset_builders.sampling import below, draw
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import RawRow
from dataset_builders.write.chunks import write_kept, write_rejected
from rabbit_ko.errors import Rejected
from rabbit_ko.storage import read, write

# Rows that the gates, which need many times a row's size, look at together.
BATCH_ROWS = 1_000
NOT_SAMPLED, OVER_MAX = SAMPLED_OUT = ("not sampled", "over max_samples")

T = TypeVar("T")


@dataclass(frozen=True)
class ChunkTask:
    """A chunk to process, the place of its source in the config, and the folder for it.

    The folder is named after all that the chunk's files depend on. benchmarks: the file of the index that rows are
    compared with; empty where there is none.
    """

    chunk: Chunk
    source: int
    folder: str
    config: DataConfig
    benchmarks: str


@dataclass(frozen=True)
class DoneChunk:
    """A finished chunk: its folder, the place of its source in the config, and the numbers of its rows.

    rows: those that are left.
    """

    folder: str
    source: int
    rows: int
    read: int
    rejected: dict[str, int]
    reported: dict[str, int]


@dataclass
class Log:
    """What a chunk's steps note beside the rows that they pass on: how many were read, and which were dropped."""

    entry: SourceConfig
    read: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    reported: Counter[str] = field(default_factory=Counter)

    def reject_raw(self, text: str, upstream: object, reason: str) -> None:
        """Keep a raw row that is no row of a shard."""
        # Halves of surrogate pairs can stand in no file.
        written = text.encode(errors="replace").decode()
        key = row_id(self.entry.label, [written], upstream=upstream).encode(errors="replace").decode()
        self.rejected.append(RejectedRow(key, self.entry.label, reason, "", written))

    def reject(self, row: Row, reason: str, evidence: str = "") -> None:
        """Keep a row that a step has rejected."""
        self.rejected.append(rejected_row(row, reason, evidence))


def rejected_row(row: Row, reason: str, evidence: str) -> RejectedRow:
    """Make a rejected row of a row of a shard; what sampling drops is named, but not kept."""
    text = "" if reason in SAMPLED_OUT else json.dumps(message_lists(row), ensure_ascii=False)
    return RejectedRow(row.id, row.source, reason, evidence, text)


def process_chunk(task: ChunkTask) -> DoneChunk:
    """Process a chunk, or find it done."""
    try:
        # The data may have been moved in between.
        return DoneChunk(**json.loads(read(f"{task.folder}/report.json")) | {"folder": task.folder})
    except FileNotFoundError:
        return process(task)


def process(task: ChunkTask) -> DoneChunk:
    """Take a chunk's rows through all steps, and write them to its folder.

    Raises UserError where the chunk cannot be read, OSError where it cannot be written.
    """
    config, log = task.config, Log(task.config.sources[task.source])
    rows = sample(convert(read_rows(task.chunk), log), config.seed, log)
    gc.disable()  # a chunk has very many objects and no cycles; to look for some would take a tenth of the time
    try:
        kept = list(pass_gates(clean_rows(rows, log), config.quality, load_index(task.benchmarks), log))
    finally:
        gc.enable()
    if kept:
        write_kept(kept, log.entry, config, task.folder)
    if log.rejected:
        write_rejected(log.rejected, config.seed, task.folder)
    reasons = Counter(row.reason for row in log.rejected)
    done = DoneChunk(task.folder, task.source, len(kept), log.read, reasons, log.reported)
    write(f"{task.folder}/report.json", json.dumps(vars(done)).encode())
    return done


def convert(raw_rows: Iterable[RawRow | Broken], log: Log) -> Iterator[Row]:
    """Make rows of raw ones by the rule of their source."""
    entry, source = log.entry, SOURCES[log.entry.source]
    # A field that may be absent is not read from a column that stands for another field.
    mapped = {name: entry.columns.get(name, name) for name in source.fields}
    required = [name for name in source.fields if name in source.required or name in entry.columns]
    taken = {mapped[name] for name in required}
    columns = {name: column for name, column in mapped.items() if name in required or name not in taken}
    for raw in raw_rows:
        log.read += 1
        if isinstance(raw, Broken):
            log.reject_raw(raw.text, None, raw.reason)
            continue
        fields = {name: raw[column] for name, column in columns.items() if column in raw}
        try:
            if missing := [mapped[name] for name in required if name not in fields]:
                raise Rejected(f"no field `{missing[0]}`")
            row = source.convert(fields, entry.label)
            row.id.encode()
        except (Rejected, UnicodeEncodeError) as error:
            reason = str(error) if isinstance(error, Rejected) else "broken unicode"
            upstream = raw.get(entry.columns.get("id", "id"))
            log.reject_raw(json.dumps(raw, ensure_ascii=False, default=str), upstream, reason)
            continue
        yield row


def sample(rows: Iterator[Row], seed: int, log: Log) -> Iterator[Row]:
    """Take the source's `fraction` of the rows, by their ids."""
    if log.entry.fraction == 1:
        yield from rows
        return
    for some in _batches(rows):
        is_sampled = below(draw(seed, [row.id for row in some])["sample"], log.entry.fraction)
        for row, sampled in zip(some, is_sampled.tolist(), strict=True):
            if sampled:
                yield row
            else:
                log.reject(row, NOT_SAMPLED)


def clean_rows(rows: Iterator[Row], log: Log) -> Iterator[Cleaned]:
    """Clean the rows' texts, and reject what cannot be mended."""
    for row in rows:
        cleaned = clean(row, log.entry.prompt_injection)
        if cleaned.reason:
            log.reject(cleaned.row, cleaned.reason)
        else:
            yield cleaned


def pass_gates(
    candidates: Iterator[Cleaned], quality: Quality, benchmarks: BenchmarkIndex, log: Log
) -> Iterator[Cleaned]:
    """Ask the gates, many rows at a time, and compute the signatures of the rows that they let pass."""
    for some in _batches(candidates):
        batch = Batch([candidate.row for candidate in some], log.entry.language, benchmarks)
        rejected, reported = ask_gates(batch, quality)
        log.reported += reported
        for row, (reason, evidence) in rejected.items():
            log.reject(batch.rows[row], reason, evidence)
        if quality.is_on(quality.near_duplicates):
            for candidate, signature in zip(some, signatures(batch.letters), strict=True):
                candidate.signature = signature
        yield from (candidate for row, candidate in enumerate(some) if row not in rejected)


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(items, BATCH_ROWS)):
        yield some
