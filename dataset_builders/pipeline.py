"""One chunk's way from raw rows to rows that may be kept, with all that the split among all chunks' rows depends on.

A chunk leaves the files of `write.chunks` in its folder, and at last `report.json`, which says that it is done.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from dataset_builders.cleaning import Cleaned, clean
from dataset_builders.gates import Quality, ask_gates
from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex
from dataset_builders.near_duplicates import signatures
from dataset_builders.read.chunks import Chunk
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import RejectedRow, Row, message_lists, row_id
from dataset_builders.sampling import below, draw
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import RawRow
from dataset_builders.write.chunks import Kept, write_kept, write_rejected
from rabbit_ko.errors import Rejected, suggest
from rabbit_ko.storage import write_json

# Rows that the gates, which need many times a row's size, look at together.
BATCH_ROWS = 2_500
NOT_SAMPLED, OVER_MAX = SAMPLED_OUT = ("not sampled", "over max_samples")

T = TypeVar("T")


@dataclass(frozen=True)
class DoneChunk:
    """A finished chunk: its folder, the place of its source in the config, and the numbers of its rows.

    rows: those that are left. missing: a required column that no row has, where that is why none is left.
    """

    folder: str
    source: int
    rows: int
    read: int
    rejected: dict[str, int]
    reported: dict[str, int]
    missing: str


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


def process(
    chunk: Chunk, entry: SourceConfig, config: DataConfig, benchmarks: BenchmarkIndex, folder: str
) -> dict[str, Any]:
    """Take a chunk's rows through all steps, write them to `folder`, and return the report.

    Raises UserError where the chunk cannot be read, OSError where it cannot be written.
    """
    log = Log(entry)
    with _without_garbage_collection():
        rows = sample(convert(read_rows(chunk), log), config.seed, log)
        kept = list(pass_gates(clean_rows(rows, log), config.quality, benchmarks, log))
        if kept:
            write_kept(kept, entry, config, folder)
        if log.rejected:
            write_rejected(log.rejected, config.seed, folder)
    report = {
        "rows": len(kept),
        "read": log.read,
        "rejected": dict(Counter(row.reason for row in log.rejected)),
        "reported": dict(log.reported),
        "missing": "" if kept else _missing_column(log),
    }
    write_json(f"{folder}/report.json", report)
    return report


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Look for no cycles meanwhile: a chunk has very many objects and none, and it would take a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def convert(raw_rows: Iterable[RawRow | Broken], log: Log) -> Iterator[Row]:
    """Make rows of raw ones by the rule of their source."""
    entry, rule = log.entry, SOURCES[log.entry.source].convert
    required, columns = entry.required_columns, list((entry.required_columns | entry.optional_columns).items())
    for raw in raw_rows:
        log.read += 1
        if isinstance(raw, Broken):
            log.reject_raw(raw.text, None, raw.reason)
            continue
        fields = {name: raw[column] for name, column in columns if column in raw}
        try:
            if missing := [column for name, column in required.items() if name not in fields]:
                raise Rejected(f"no field `{missing[0]}`")
            row = rule(fields, entry.label)
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
) -> Iterator[Kept]:
    """Ask the gates, many rows at a time, and compute the signatures of the rows that they let pass."""
    for some in _batches(candidates):
        batch = Batch([candidate.row for candidate in some], log.entry.language, benchmarks)
        rejected, reported = ask_gates(batch, quality)
        log.reported += reported
        for row, (reason, evidence) in rejected.items():
            log.reject(batch.rows[row], reason, evidence)
        compared = signatures(batch.letters) if quality.is_on(quality.near_duplicates) else [None] * len(some)
        kept = zip(some, compared, strict=True)
        yield from (candidate for row, candidate in enumerate(kept) if row not in rejected)


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(items, BATCH_ROWS)):
        yield some


def _missing_column(log: Log) -> str:
    """Say which column none of the rows has, and what it may be called; nothing where they lack something else."""
    if not log.rejected or not all(row.reason.startswith("no field") for row in log.rejected):
        return ""
    known = dict.fromkeys(name for row in log.rejected for name in json.loads(row.row))
    for name, column in log.entry.required_columns.items():
        if column not in known:
            mended = f"name it with `columns: {{{name}: ...}}`"
            return f"`{log.entry.source}` needs a column `{column}`{suggest(column, map(str, known))}; {mended}"
    return ""
