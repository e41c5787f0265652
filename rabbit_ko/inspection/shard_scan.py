"""A data folder's rows, read once: what all of them measure, and the same few of them to show each time."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from dataset_builders.gates.letters import fold, is_hangul
from dataset_builders.manifest import MANIFEST, Manifest
from dataset_builders.rows import SCHEMAS, Folder
from rabbit_ko.errors import UserError, reason
from rabbit_ko.inspection.pages import Array

BATCH = 10_000

Row = dict[str, Any]
# Is called with what is read, and how many rows of it.
OnRows = Callable[[str, int], None]


@dataclass(frozen=True)
class ScannedRows:
    """The rows of one kind.

    measures: `source`, `split` and what `measure` returns, of every row. shown: some rows of each source. drawn: the
    rows of each split to tokenize. wanted: the rows that were asked for, by id.
    """

    kind: Folder
    measures: pa.Table
    shown: dict[str, list[Row]]
    drawn: dict[str, pa.Table]
    wanted: dict[str, Row]


def scan_rows(
    batches: Iterable[pa.Table], kind: Folder, shown: int, drawn: int, ids: Collection[str]
) -> ScannedRows | None:
    """Measure all rows, and keep `shown` rows a source, `drawn` rows a split, and those with the `ids`.

    It holds some 50 bytes for each row, and the text of the kept ones. Returns None where there are no rows.
    """
    measures: list[pa.Table] = []
    by_source: dict[str, pa.Table] = {}
    by_split: dict[str, pa.Table] = {}
    wanted: dict[str, Row] = {}
    for batch in batches:
        measures.append(pa.table({"source": batch["source"], "split": batch["split"], **measure(batch)}))
        by_source = lowest_draws([*by_source.values(), batch], "source", shown)
        by_split = lowest_draws([*by_split.values(), batch], "split", drawn)
        found = batch.filter(pc.is_in(batch["id"], pa.array(sorted(ids), pa.string())))
        wanted |= {row["id"]: row for row in found.to_pylist()}
    if not measures:
        return None
    texts = {source: rows.to_pylist() for source, rows in by_source.items()}
    return ScannedRows(kind, pa.concat_tables(measures), texts, by_split, wanted)


def lowest_draws(tables: Iterable[pa.Table], column: str, size: int) -> dict[str, pa.Table]:
    """Return the `size` rows with the lowest draws for each value of a column."""
    rows = pa.concat_tables(tables)
    names = sorted(rows[column].unique().to_pylist()) if size else []
    return {name: rows.filter(pc.equal(rows[column], name)).sort_by("draw").slice(0, size) for name in names}


def read_shards(data: Path, manifest: Manifest, folder: Folder, on_rows: OnRows) -> Iterator[pa.Table]:
    """Yield a folder's rows with two more columns: `split`, and `draw`, a hash of the row's texts outside messages.

    Which rows have the lowest draws depends on no order of rows, batches or shards. `on_rows` is called with the
    folder and how many rows were read. Raises UserError where a shard is not what the manifest says.
    """
    for shard in manifest.in_folder(folder):
        path = data / shard.file
        try:
            with pq.ParquetFile(path) as parquet:
                if parquet.metadata.num_rows != shard.rows or parquet.schema_arrow.names != SCHEMAS[folder].names:
                    raise UserError(f"{path}: not the shard that {MANIFEST} describes; build the data again")
                for batch in filter(len, parquet.iter_batches(BATCH)):
                    split = pa.array([path.name.split("-")[0]] * len(batch))
                    rows = pa.Table.from_batches([batch])
                    yield rows.append_column("split", split).append_column("draw", pa.array(_draw(batch)))
                    on_rows(folder, len(batch))
        except FileNotFoundError:
            raise UserError(f"{path}: missing, though {MANIFEST} lists it; build the data again") from None
        except pa.ArrowException as error:
            raise UserError(f"{path}: broken parquet file: {reason(error)}") from None


def _draw(batch: pa.RecordBatch) -> Any:
    texts = [batch[field.name] for field in batch.schema if pa.types.is_string(field.type)]
    joined = pc.binary_join_element_wise(*texts, "\0", null_handling="replace").cast(pa.binary())
    return np.fromiter(map(xxhash.xxh3_64_intdigest, joined.to_pylist()), np.uint64, len(batch))


def measure(rows: pa.Table) -> dict[str, Array]:
    """Return arrays with one entry for each row, of any kind.

    characters: of all messages, in preferences of the prompt and the longer answer. exchanges: the user's turns.
    system_prompt: whether there is one. hangul: the share of Hangul among the letters, without the system message,
    which a recipe may add itself; NaN for a row without letters.
    """
    lists = [name for name in rows.schema.names if pa.types.is_list(rows.schema.field(name).type)]
    prompt, *answers = (_sums(rows[name].combine_chunks()) for name in lists)
    letters, hangul = (sum((part[key] for part in answers), prompt[key]) for key in ("letters", "hangul"))
    longest = np.max([answer["characters"] for answer in answers], axis=0) if answers else 0
    return {
        "characters": prompt["characters"] + longest,
        "exchanges": prompt["user"],
        "system_prompt": prompt["system"] > 0,
        "hangul": np.divide(hangul, letters, out=np.full(len(rows), np.nan), where=letters > 0),
    }


def _sums(column: pa.ListArray) -> dict[str, Array]:
    """Return sums over the messages of each row; letters are counted without digits and the system message."""
    turns, owners = column.flatten(), pc.list_parent_indices(column).to_numpy()
    roles, contents = turns.field("role"), turns.field("content").fill_null("")
    is_user, is_system = (pc.equal(roles, role).to_numpy(zero_copy_only=False) for role in ("user", "system"))
    text = fold(contents)
    is_letter = ~((text.codes >= ord("0")) & (text.codes <= ord("9")) | np.repeat(is_system, text.lengths))
    letter_owners = np.repeat(owners, text.lengths)

    def total(values: Array, rows: Array = owners) -> Array:
        return np.bincount(rows, values, len(column)).astype(np.int32)

    return {
        "characters": total(pc.utf8_length(contents).to_numpy()),
        "user": total(is_user),
        "system": total(is_system),
        "letters": total(is_letter, letter_owners),
        "hangul": total(is_letter & is_hangul(text.codes), letter_owners),
    }
