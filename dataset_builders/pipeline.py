"""One chunk's way from raw rows to rows that may be kept, with all that the split among all chunks' rows depends on.

It leaves `rows.arrow`, in the shards' order; `keys.arrow` and `signatures.arrow`, numbers for each of the rows;
`rejected.arrow`; and last `report.json`, which says that the chunk is done.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TypeVar

import numpy as np
import pyarrow as pa
import xxhash

from dataset_builders.cleaning import Cleaned, clean
from dataset_builders.gates import Quality, ask_gates
from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex, load_index
from dataset_builders.near_duplicates import signature_table, signatures
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.read.inputs import Chunk
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import Conversation, Message, Row, all_messages, kind_of, message_lists, row_id, to_table
from dataset_builders.sampling import below, draw
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import Rejected
from rabbit_ko.storage import read, write, write_arrow

# Rows that the gates, which need many times a row's size, look at together.
BATCH_ROWS = 2_500
ROWS_PER_RECORD_BATCH = 64
NOT_SAMPLED, OVER_MAX = SAMPLED_OUT = ("not sampled", "over max_samples")

T = TypeVar("T")
# Chunks, the place of their source in the config, and the folder, which is named after all that it depends on.
ChunkTask = tuple[tuple[Chunk, ...], int, str]


@dataclass(frozen=True)
class DoneChunk:
    """Chunks that are done: their folder, the place of their source, and their rows: left, read and by reason."""

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
    rejected: list[dict[str, str]] = field(default_factory=list)
    reported: Counter[str] = field(default_factory=Counter)

    def reject_raw(self, text: str, upstream: object, reason: str) -> None:
        """Keep a raw row that is no row of a shard."""
        # Halves of surrogate pairs can stand in no file.
        text, source = text.encode(errors="replace").decode(), self.entry.label
        key = row_id(source, [text], upstream=upstream).encode(errors="replace").decode()
        self.rejected.append({"id": key, "source": source, "reason": reason, "evidence": "", "row": text})


def rejected_row(row: Row, reason: str, evidence: str = "") -> dict[str, str]:
    """Make a rejected row of a row of a shard; what sampling drops is named, but not kept."""
    text = "" if reason in SAMPLED_OUT else json.dumps(message_lists(row), ensure_ascii=False)
    return {"id": row.id, "source": row.source, "reason": reason, "evidence": evidence, "row": text}


def process(config: DataConfig, benchmarks: str, task: ChunkTask) -> DoneChunk:
    """Take the chunks' rows through all steps, and write them to its folder, or find it done. Raises UserError."""
    chunks, source, folder = task
    try:
        return DoneChunk(folder, source, **json.loads(read(f"{folder}/report.json")))
    except FileNotFoundError:
        log = Log(config.sources[source])
    raw_rows = chain.from_iterable(map(read_rows, chunks))
    rows = sample(convert(raw_rows, log), config.seed, log)
    gc.disable()  # a chunk has very many objects and no cycles; to look for some would take a tenth of the time
    try:
        kept = list(pass_gates(clean_rows(rows, log), config.quality, load_index(benchmarks), log))
        if kept:
            _write_kept(kept, log.entry, config, folder)
        if log.rejected:
            order = pa.array(draw(config.seed, [row["id"] for row in log.rejected])["order"])
            table = to_table("rejected", log.rejected).append_column("order", order).sort_by("order")
            write_arrow(f"{folder}/rejected.arrow", table, ROWS_PER_RECORD_BATCH)
    finally:
        gc.enable()
    rejected = Counter(row["reason"] for row in log.rejected)
    report = {"rows": len(kept), "read": log.read, "rejected": rejected, "reported": log.reported}
    write(f"{folder}/report.json", json.dumps(report).encode())
    return DoneChunk(folder, source, len(kept), log.read, rejected, log.reported)


def convert(raw_rows: Iterable[RawRow | Broken], log: Log) -> Iterator[Row]:
    """Make rows of raw ones by the rule of their source."""
    entry, source = log.entry, SOURCES[log.entry.source]
    mapped = {name: entry.columns.get(name, name) for name in source.required + source.optional}
    required = {name: column for name, column in mapped.items() if name in source.required or name in entry.columns}
    # A field that may be absent is not read from a column that stands for another field.
    columns = {name: column for name, column in mapped.items() if column not in required.values()} | required
    for raw in raw_rows:
        log.read += 1
        if isinstance(raw, Broken):
            log.reject_raw(raw.text, None, raw.reason)
            continue
        fields = {name: raw[column] for name, column in columns.items() if column in raw}
        try:
            if missing := [column for name, column in required.items() if name not in fields]:
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
    for some in _batches(rows):
        is_sampled = [True] * len(some)
        if log.entry.fraction < 1:
            is_sampled = below(draw(seed, [row.id for row in some])["sample"], log.entry.fraction).tolist()
        yield from (row for row, sampled in zip(some, is_sampled, strict=True) if sampled)
        dropped = (row for row, sampled in zip(some, is_sampled, strict=True) if not sampled)
        log.rejected += (rejected_row(row, NOT_SAMPLED) for row in dropped)


def clean_rows(rows: Iterator[Row], log: Log) -> Iterator[Cleaned]:
    """Clean the rows' texts, and reject what cannot be mended."""
    for row in rows:
        cleaned = clean(row, log.entry.prompt_injection)
        if cleaned.reason:
            log.rejected.append(rejected_row(cleaned.row, cleaned.reason))
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
        log.rejected += (rejected_row(batch.rows[row], *why) for row, why in rejected.items())
        if quality.is_on(quality.near_duplicates):
            for candidate, signature in zip(some, signatures(batch.letters), strict=True):
                candidate.signature = signature
        yield from (candidate for row, candidate in enumerate(some) if row not in rejected)


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(items, BATCH_ROWS)):
        yield some


def _write_kept(kept: list[Cleaned], entry: SourceConfig, config: DataConfig, folder: str) -> None:
    drawn = draw(config.seed, [cleaned.row.id for cleaned in kept])
    places = np.argsort(drawn["order"], kind="stable")
    kept = [kept[place] for place in places]
    drawn = {purpose: draws[places] for purpose, draws in drawn.items()}
    share = (1.0 if entry.probability is None else entry.probability) if entry.add_system_prompt else 0.0
    # A row's own system message stays as it is.
    has_none = np.array([cleaned.row.prompt[0]["role"] != "system" for cleaned in kept])
    is_given = below(drawn["system_prompt"], share) & has_none
    given = zip(kept, is_given.tolist(), strict=True)
    rows = [with_system_prompt(one.row, config.system_prompt) if added else one.row for one, added in given]
    table = to_table(kind_of(rows[0]), rows).append_column("order", pa.array(drawn["order"]))
    write_arrow(f"{folder}/rows.arrow", table, ROWS_PER_RECORD_BATCH)
    texts = ("\0".join(message["content"] for message in all_messages(cleaned.row)) for cleaned in kept)
    digests = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
    high, low = np.ascontiguousarray(np.frombuffer(digests, np.uint64).reshape(-1, 2).T)
    changed = {flag: np.array([getattr(cleaned, flag) for cleaned in kept]) for flag in ("normalized", "escaped")}
    # Of two rows with one id, what they say and were decides, and not which comes first.
    tie = (high & ~np.uint64(3)) | (changed["normalized"] * 2 + changed["escaped"]).astype(np.uint64)
    keys = drawn | changed | {"content_high": high, "content_low": low, "tie": tie}
    is_multi_turn = np.array([len(cleaned.row.prompt) for cleaned in kept]) + has_none > 2
    keys |= {"with_system_prompt": is_given, "multi_turn": is_multi_turn}
    write_arrow(f"{folder}/keys.arrow", pa.table(keys))
    if found := [cleaned.signature for cleaned in kept if cleaned.signature is not None]:
        write_arrow(f"{folder}/signatures.arrow", signature_table(found))


def with_system_prompt(row: Row, content: str) -> Row:
    """Return the row with a system message in front."""
    message = [Message(role="system", content=content)]
    if isinstance(row, Conversation):
        return replace(row, messages=message + row.messages)
    return replace(row, prompt=message + row.prompt)
