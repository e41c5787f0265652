"""One chunk's way from raw rows to rows that may be kept, with all that the split among all chunks' rows depends on.

It leaves `rows.arrow`, in the shards' order; `keys.arrow` and `signatures.arrow`, numbers for each of the rows;
`ids.arrow`, of all rows that could be converted; `rejected.arrow`; and last `report.json`, which says that the chunk
is done.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import xxhash

from dataset_builders.cleaning import Cleaned, clean
from dataset_builders.columns import Columns
from dataset_builders.conversion import Log, convert
from dataset_builders.gates import Quality, ask_gates
from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex, load_index
from dataset_builders.ids import load_repeated, write_ids
from dataset_builders.near_duplicates import signature_table, signatures
from dataset_builders.read.formats import read_rows
from dataset_builders.read.inputs import Chunk
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import Conversation, Labelled, Message, Row, asked, content_of, kind_of, message_lists
from dataset_builders.sampling import below, draw
from dataset_builders.schemas import TOOLS, extras_of, to_bits, to_table
from dataset_builders.sources import SOURCES
from dataset_builders.token_counts import count_tokens
from rabbit_ko.storage import read, write, write_arrow

# Rows that the gates, which need many times a row's size, look at together.
BATCH_ROWS = 2_500
ROWS_PER_RECORD_BATCH = 64
NOT_SAMPLED, OVER_MAX, OVER_SHARE = SAMPLED_OUT = ("not sampled", "over max_samples", "over share")
DUPLICATE_ID, EXACT_DUPLICATE = SAME_TEXT = ("duplicate id", "exact duplicate")

T = TypeVar("T")


class ChunkTask(NamedTuple):
    """A chunk, the place of its source in the config, and a folder, which is named after all that it depends on.

    repeated: the file of ids that stand for several contents, where they are known; see `dataset_builders.ids`.
    """

    chunk: Chunk
    source: int
    folder: str
    repeated: str = ""


@dataclass(frozen=True)
class DoneChunk:
    """A finished chunk: its folder, the place of its source in the config, and its rows: left, read and by reason.

    ids: how many rows have an id of upstream. unread: the columns that nothing reads.
    broken: those of the rejected that could not be read.
    """

    folder: str
    source: int
    rows: int
    read: int
    rejected: dict[str, int]
    reported: dict[str, int]
    ids: int
    unread: list[str]
    broken: dict[str, int]


def rejected_row(row: Row, reason: str, evidence: str = "") -> dict[str, str]:
    """Make a rejected row of a row of a shard; what sampling drops, and a text that is kept, is named alone."""
    said = message_lists(row) | ({"label": row.label} if isinstance(row, Labelled) else {})
    said |= {TOOLS: row.tools} if row.tools else {}
    text = "" if reason in SAMPLED_OUT + SAME_TEXT else json.dumps(said, ensure_ascii=False)
    return {"id": row.id, "source": row.source, "reason": reason, "evidence": evidence, "row": text}


def process(config: DataConfig, benchmarks: str, tokenizer: str, task: ChunkTask) -> DoneChunk:
    """Take a chunk's rows through all steps, and write them to its folder, or find it done. Raises UserError."""
    chunk, source, folder, repeated = task
    try:
        return DoneChunk(folder, source, **json.loads(read(f"{folder}/report.json")))
    except FileNotFoundError:
        log = Log(config.sources[source])
    columns = Columns(log.entry)
    columns.look(chunk.columns)
    converted = convert(read_rows(chunk, columns.wanted), log, columns, load_repeated(repeated))
    rows = sample(converted, config.seed, log)
    gc.disable()  # a chunk has very many objects and no cycles; to look for some would take a tenth of the time
    try:
        kept = list(pass_gates(clean_rows(rows, log), config.quality, load_index(benchmarks), log))
        if kept:
            _write_kept(kept, log.entry, config, tokenizer, folder)
        if log.rejected:
            order = pa.array(draw(config.seed, [row["id"] for row in log.rejected])["order"])
            table = to_table("rejected", log.rejected).append_column("order", order).sort_by("order")
            write_arrow(f"{folder}/rejected.arrow", table, ROWS_PER_RECORD_BATCH)
        write_ids(folder, log.ids, log.contents)
    finally:
        gc.enable()
    rejected = Counter(row["reason"] for row in log.rejected)
    report: dict[str, Any] = {"rows": len(kept), "read": log.read, "rejected": rejected, "reported": log.reported}
    report |= {"ids": len(log.ids), "unread": sorted(columns.unread), "broken": log.broken}
    write(f"{folder}/report.json", json.dumps(report).encode())
    return DoneChunk(folder, source, **report)


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
    language = "" if SOURCES[log.entry.source].any_language else log.entry.language
    for some in _batches(candidates):
        batch = Batch([candidate.row for candidate in some], language, benchmarks)
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


def _write_kept(kept: list[Cleaned], entry: SourceConfig, config: DataConfig, tokenizer: str, folder: str) -> None:
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
    extras = extras_of(rows)
    table = to_table(kind_of(rows[0]), rows, extras).append_column("order", pa.array(drawn["order"]))
    write_arrow(f"{folder}/rows.arrow", table, ROWS_PER_RECORD_BATCH)
    digests = b"".join(xxhash.xxh3_128_digest(content_of(cleaned.row).encode()) for cleaned in kept)
    high, low = np.ascontiguousarray(np.frombuffer(digests, np.uint64).reshape(-1, 2).T)
    changed = {flag: np.array([getattr(cleaned, flag) for cleaned in kept]) for flag in ("normalized", "escaped")}
    # Of two rows with one id, what they say and were decides, and not which comes first.
    tie = (high & ~np.uint64(3)) | (changed["normalized"] * 2 + changed["escaped"]).astype(np.uint64)
    keys = drawn | changed | {"content_high": high, "content_low": low, "tie": tie}
    is_multi_turn = np.array([_is_multi_turn(cleaned.row.prompt) for cleaned in kept])
    needed = np.array([to_bits(extras_of([row])) if extras else 0 for row in rows], np.uint8)
    keys |= {"with_system_prompt": is_given, "multi_turn": is_multi_turn, "extras": needed}
    questions = (asked(cleaned.row.prompt, config.system_prompt) for cleaned in kept)
    keys["prompt"] = np.array([xxhash.xxh3_64_intdigest(question.encode()) for question in questions], np.uint64)
    if labels := [cleaned.row.label for cleaned in kept if isinstance(cleaned.row, Labelled)]:
        keys["label"] = np.array(labels)
    if tokenizer:
        keys["tokens"] = count_tokens(tokenizer, rows)
    write_arrow(f"{folder}/keys.arrow", pa.table(keys))
    if found := [cleaned.signature for cleaned in kept if cleaned.signature is not None]:
        write_arrow(f"{folder}/signatures.arrow", signature_table(found))


def _is_multi_turn(prompt: list[Message]) -> bool:
    return len(prompt) > 2 and [message["role"] for message in prompt].count("user") > 1


def with_system_prompt(row: Row, content: str) -> Row:
    """Return the row with a system message in front."""
    message = [Message(role="system", content=content)]
    if isinstance(row, Conversation):
        return replace(row, messages=message + row.messages)
    return replace(row, prompt=message + row.prompt)
