"""One chunk's way from raw rows to rows that may be kept, with all that the split among all chunks' rows depends on.

A chunk leaves four files in its folder, the last of them `report.json`, whose presence says that the chunk is done:
`rows.arrow` (rows of one kind in the shards' order), `keys.arrow` (fixed-size columns of the same rows),
`signatures.arrow` where near duplicates are looked for, and `rejected.arrow`.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from dataset_builders.cleaning import Cleaned, clean
from dataset_builders.gates import Quality, ask_gates
from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex
from dataset_builders.near_duplicates import Signature, signatures, write_signatures
from dataset_builders.read.chunks import Chunk
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import (
    Conversation,
    Message,
    RejectedRow,
    Row,
    all_messages,
    contents,
    has_system,
    is_multi_turn,
    kind_of,
    message_lists,
    row_id,
    to_table,
)
from dataset_builders.sampling import Draws, below, draw
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import Rejected, suggest
from rabbit_ko.storage import write_arrow, write_json

# Rows that the gates, which need many times a row's size, look at together, and rows that are read again together.
BATCH_ROWS, ROWS_PER_RECORD_BATCH = 1_000, 64
NOT_SAMPLED, OVER_MAX = SAMPLED_OUT = ("not sampled", "over max_samples")

# A row that no gate has rejected, and its signature where it is long enough to have one.
Kept = tuple[Cleaned, Signature | None]
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
    """What a chunk's steps leave beside the rows that go on: rows that were read, and those that are dropped."""

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
    rows = sample(convert(read_rows(chunk), log), config.seed, log)
    gc.disable()  # a chunk has very many objects and no cycles; to look for some would take a fifth of the time
    kept = list(pass_gates(clean_rows(rows, log), config.quality, benchmarks, log))
    gc.enable()
    if kept:
        _write_kept(kept, entry, config, folder)
    if log.rejected:
        _write_rejected(log.rejected, config.seed, folder)
    report = {
        "rows": len(kept),
        "read": log.read,
        "rejected": dict(Counter(row.reason for row in log.rejected)),
        "reported": dict(log.reported),
        "missing": "" if kept else _missing_column(log),
    }
    write_json(f"{folder}/report.json", report)
    return report


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


def _write_kept(kept: list[Kept], entry: SourceConfig, config: DataConfig, folder: str) -> None:
    """Write the rows that are left, in the order of the shards, some with the system prompt in front."""
    drawn = draw(config.seed, [cleaned.row.id for cleaned, _ in kept])
    places = np.argsort(drawn["order"], kind="stable")
    kept = [kept[place] for place in places]
    drawn = {purpose: draws[places] for purpose, draws in drawn.items()}
    cleaned = [candidate for candidate, _ in kept]
    share = 1.0 if entry.probability is None else entry.probability
    is_given = below(drawn["system_prompt"], share if entry.add_system_prompt else 0.0)
    # A row's own system message stays as it is.
    is_given &= ~np.array([has_system(candidate.row) for candidate in cleaned])
    rows = [
        with_system_prompt(candidate.row, config.system_prompt) if given else candidate.row
        for candidate, given in zip(cleaned, is_given.tolist(), strict=True)
    ]
    table = to_table(kind_of(rows[0]), rows).append_column("order", pa.array(drawn["order"]))
    write_arrow(f"{folder}/rows.arrow", table, ROWS_PER_RECORD_BATCH)
    flags = {"with_system_prompt": pa.array(is_given), "multi_turn": pa.array(map(is_multi_turn, rows), pa.bool_())}
    write_arrow(f"{folder}/keys.arrow", pa.table({**_keys(cleaned, drawn), **flags}))
    if config.quality.is_on(config.quality.near_duplicates):
        write_signatures(folder, [signature for _, signature in kept])


def with_system_prompt(row: Row, content: str) -> Row:
    """Return the row with a system message in front."""
    message = Message(role="system", content=content)
    if isinstance(row, Conversation):
        return replace(row, messages=[message, *row.messages])
    return replace(row, prompt=[message, *row.prompt])


def _keys(cleaned: list[Cleaned], drawn: dict[str, Draws]) -> dict[str, npt.NDArray[Any]]:
    """Return what the split among all rows looks at, without the rows themselves."""
    digests = b"".join(
        xxhash.xxh3_128_digest("\0".join(contents(all_messages(candidate.row))).encode()) for candidate in cleaned
    )
    high, low = np.frombuffer(digests, np.uint64).reshape(-1, 2).T
    normalized, escaped = (
        np.array([getattr(candidate, flag) for candidate in cleaned]) for flag in ("normalized", "escaped")
    )
    return {
        **{purpose: drawn[purpose] for purpose in ("order", "test", "sample")},
        "content_high": np.ascontiguousarray(high),
        "content_low": np.ascontiguousarray(low),
        # Of two rows with one id, what they say and were decides, and not which comes first.
        "tie": (high & ~np.uint64(3)) | (normalized * 2 + escaped).astype(np.uint64),
        "normalized": normalized,
        "escaped": escaped,
    }


def _write_rejected(rows: list[RejectedRow], seed: int, folder: str) -> None:
    order = pa.array(draw(seed, [row.id for row in rows])["order"])
    table = to_table("rejected", rows).append_column("order", order).sort_by("order")
    write_arrow(f"{folder}/rejected.arrow", table, ROWS_PER_RECORD_BATCH)


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
