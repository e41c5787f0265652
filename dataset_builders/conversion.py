"""The first step of a chunk's rows: from raw rows to rows by their source's rule, and what is noted on the way."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import xxhash

from dataset_builders.columns import Columns
from dataset_builders.ids import id_hash, told_apart
from dataset_builders.read.formats import Broken
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import Row, content_of, row_id
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import Rejected


@dataclass
class Log:
    """What a chunk's steps note beside the rows that they pass on: how many were read, and which were dropped.

    ids, contents: hashes of upstream's ids, and of what their rows say. broken: the reasons of rows that could not be
    read.
    """

    entry: SourceConfig
    read: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    reported: Counter[str] = field(default_factory=Counter)
    ids: list[int] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)

    def reject_raw(self, text: str, upstream: object, reason: str) -> None:
        """Keep a raw row that is no row of a shard."""
        # Halves of surrogate pairs can stand in no file.
        text, source = text.encode(errors="replace").decode(), self.entry.label
        key = row_id(source, [text], upstream=upstream).encode(errors="replace").decode()
        self.rejected.append({"id": key, "source": source, "reason": reason, "evidence": "", "row": text})


def convert(
    raw_rows: Iterable[RawRow | Broken],
    log: Log,
    columns: Columns | None = None,
    repeated: frozenset[int] = frozenset(),
) -> Iterator[Row]:
    """Make rows of raw ones by the rule of their source; those whose id is `repeated` get one of their own."""
    entry, rule = log.entry, SOURCES[log.entry.source].convert
    columns = columns or Columns(entry)
    for raw in raw_rows:
        log.read += 1
        if isinstance(raw, Broken):
            log.reject_raw(raw.text, None, raw.reason)
            log.broken[raw.reason] += 1
            continue
        try:
            row = rule(fields := columns.fields(raw), entry.label)
        except (Rejected, UnicodeEncodeError) as error:
            reason = str(error) if isinstance(error, Rejected) else "broken unicode"
            log.reject_raw(json.dumps(raw, ensure_ascii=False, default=str), raw.get(columns.id), reason)
            continue
        if row.notes:
            log.reported.update(row.notes)
        if fields.get(columns.key) is not None:
            row = _identified(row, log, repeated)
        yield row


def _identified(row: Row, log: Log, repeated: frozenset[int]) -> Row:
    """Note a row's id of upstream, and return the row with one of its own where several rows have that id."""
    content = content_of(row)
    log.ids.append(number := id_hash(row.id))
    log.contents.append(xxhash.xxh3_64_intdigest(content.encode()))
    return replace(row, id=told_apart(row.id, content)) if number in repeated else row
