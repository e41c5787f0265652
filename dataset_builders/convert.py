"""From raw rows to a stage's rows: as columns where a whole part allows it, and row by row otherwise."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from dataset_builders.batch import Batch, from_rows
from dataset_builders.parts import Part
from dataset_builders.reading import BATCH, BATCH_BYTES, Broken, read_columns, read_rows
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import RejectedRow, Row, row_id
from dataset_builders.sources import SOURCES
from dataset_builders.sources.exchange import Exchange
from dataset_builders.sources.fields import RawRow, WrongType
from rabbit_ko.errors import Rejected, suggest


@dataclass
class Converted:
    """Some raw rows, as rows of the stage or rejected: `read == len(batch) + len(rejected)`."""

    batch: Batch
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def read(self) -> int:
        return len(self.batch) + len(self.rejected)


def convert_part(part: Part, entry: SourceConfig) -> Iterator[Converted]:
    """Yield the part's rows, some at a time.

    Raises UserError where the file as a whole is broken.
    """
    rule = SOURCES[entry.source].rule
    table = _read_as_columns(part, entry, rule) if isinstance(rule, Exchange) else None
    if table is not None and isinstance(rule, Exchange):
        step = _rows_at_a_time(part, table.num_rows)
        for start in range(0, table.num_rows, step):
            yield from _convert_columns(table.slice(start, step), entry, rule)
        return
    rows = list(read_rows(part))
    step = _rows_at_a_time(part, len(rows))
    for start in range(0, len(rows), step):
        yield _convert_rows(rows[start : start + step], entry)


def _rows_at_a_time(part: Part, rows: int) -> int:
    """Return how many rows the gates, which need many times a row's size, look at together."""
    return BATCH if part.suffix == ".parquet" else max(1, min(BATCH, rows * BATCH_BYTES // (part.end - part.start)))


def missing_column(rejected: Sequence[RejectedRow], entry: SourceConfig) -> str:
    """Say which column none of these rows has, and what it may be called; nothing where they lack something else."""
    if not rejected or not all(row.reason.startswith("no field") for row in rejected):
        return ""
    known = dict.fromkeys(name for row in rejected for name in json.loads(row.row))
    for name, column in _columns(entry).items():
        if column not in known:
            mended = f"name it with `columns: {{{name}: ...}}`"
            return f"`{entry.source}` needs a column `{column}`{suggest(column, map(str, known))}; {mended}"
    return ""


def _columns(entry: SourceConfig) -> dict[str, str]:
    """Return the columns that must be there, by the source's own names for them."""
    source = SOURCES[entry.source]
    names = [name for name in source.fields if name in source.required or name in entry.columns]
    return {name: entry.columns.get(name, name) for name in names}


def _read_as_columns(part: Part, entry: SourceConfig, rule: Exchange) -> pa.Table | None:
    required = {name: column for name, column in _columns(entry).items() if name in rule.columns}
    optional = [name for name in rule.columns if name not in required and name not in required.values()]
    table = read_columns(part, list(required.values()), optional)
    if table is None:
        return None
    names = {column: name for name, column in required.items()}
    return table.rename_columns([names.get(column, column) for column in table.column_names])


def _convert_columns(raw: pa.Table, entry: SourceConfig, rule: Exchange) -> Iterator[Converted]:
    is_plain = rule.is_plain(raw).to_numpy(zero_copy_only=False)
    if is_plain.any():
        plain = raw if is_plain.all() else raw.filter(pa.array(is_plain))
        yield Converted(rule.to_batch(plain, entry.label))
    if not is_plain.all():
        odd = raw.filter(pa.array(~is_plain)).to_pylist()
        yield _convert_rows([{entry.columns.get(name, name): row[name] for name in row} for row in odd], entry)


def _convert_rows(raw_rows: list[RawRow | Broken], entry: SourceConfig) -> Converted:
    source = SOURCES[entry.source]
    rows: list[Row] = []
    rejected = []
    for raw in raw_rows:
        if isinstance(raw, Broken):
            rejected.append(_rejected(raw.text, None, entry, raw.reason))
            continue
        try:
            rows.append(source.convert(_rename(raw, entry), entry.label))
        except (Rejected, WrongType) as error:
            upstream = raw.get(entry.columns.get("id", "id"))
            rejected.append(_rejected(json.dumps(raw, ensure_ascii=False, default=str), upstream, entry, str(error)))
    return Converted(from_rows(source.stage, rows), rejected)


def _rejected(text: str, upstream: object, entry: SourceConfig, reason: str) -> RejectedRow:
    # Halves of surrogate pairs can stand in no file.
    written = text.encode(errors="replace").decode()
    key = row_id(entry.label, [written], upstream=upstream).encode(errors="replace").decode()
    return RejectedRow(key, entry.label, reason, "", written)


def _rename(raw: RawRow, entry: SourceConfig) -> RawRow:
    """Return the row under the source's own field names; raises Rejected where one is missing."""
    columns = _columns(entry)
    for column in columns.values():
        if column not in raw:
            raise Rejected(f"no field `{column}`")
    taken = set(columns.values())
    optional = {name: name for name in SOURCES[entry.source].fields if name not in columns and name not in taken}
    return {name: raw[column] for name, column in (columns | optional).items() if column in raw}
