"""A data folder's shards, read in small batches: what all rows measure, and the same few of them each time."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from dataset_builders.gates.letters import is_hangul
from dataset_builders.manifest import MANIFEST, Manifest
from dataset_builders.rows import CALLS, REASONING
from dataset_builders.schemas import Folder, is_schema_of
from rabbit_ko.errors import UserError, reason
from rabbit_ko.inspection.pages import Array

BATCH = 1_000


def scan_shards(
    data: Path,
    manifest: Manifest,
    folder: Folder,
    measure: Callable[[pa.Table], dict[str, Any]],
    sizes: dict[str, int],
) -> tuple[pa.Table, dict[str, dict[str, pa.Table]]]:
    """Return what is measured of every row of a folder, and a few rows, by a column and its values.

    measure: returns columns, with an entry for each row. sizes: how many rows of each value to return, by column;
    which ones depends on no order of rows, batches or shards, and of other rows no text is held. Raises UserError
    where a shard is not what the manifest says.
    """
    shards = partial(read_shards, data, manifest, folder)
    measured = [pa.table({**measure(rows), "draw": _draw(rows)}) for rows in shards()]
    if not measured:
        return pa.table({}), {column: {} for column in sizes}
    measures = pa.concat_tables(measured)
    found = {column: lowest_draws(measures, column, size) for column, size in sizes.items()}
    places = np.unique(np.concatenate([[], *(some for values in found.values() for some in values.values())]))
    start, taken = 0, []
    for rows in shards():
        taken.append(rows.take(places[(places >= start) & (places < start + len(rows))].astype(np.int64) - start))
        start += len(rows)
    chosen = pa.concat_tables(taken)
    return measures, {
        column: {value: chosen.take(np.searchsorted(places, some)) for value, some in values.items()}
        for column, values in found.items()
    }


def lowest_draws(measures: pa.Table, column: str, size: int) -> dict[str, Array]:
    """Return where the `size` rows with the lowest draws are, for each value of a column."""
    order = pc.sort_indices(measures["draw"])
    ordered, places = measures[column].take(order), order.to_numpy()
    values = sorted(ordered.unique().drop_null().to_pylist())
    return {
        value: places[pc.fill_null(pc.equal(ordered, value), False).to_numpy()][:size] for value in values if size
    }


def read_shards(data: Path, manifest: Manifest, folder: Folder) -> Iterator[pa.Table]:
    """Yield a folder's rows with one more column, `split`. Raises UserError where a shard is not the manifest's."""
    for shard in manifest.in_folder(folder):
        path = data / shard.file
        try:
            # An error of Python's own names the file.
            with path.open("rb") as file, pq.ParquetFile(file) as parquet:
                if parquet.metadata.num_rows != shard.rows or not is_schema_of(folder, parquet.schema_arrow):
                    raise UserError(f"{path}: not the shard that {MANIFEST} describes; build the data again")
                for batch in parquet.iter_batches(BATCH):
                    split = pa.array([path.name.split("-")[0]] * len(batch), pa.string())
                    yield pa.Table.from_batches([batch]).append_column("split", split)
        except FileNotFoundError:
            raise UserError(f"{path}: missing, though {MANIFEST} lists it; build the data again") from None
        except pa.ArrowException as error:
            raise UserError(f"{path}: broken parquet file: {reason(error)}") from None


def _draw(rows: pa.Table) -> Array:
    """Return a hash of each row's texts outside messages."""
    texts = [rows[field.name] for field in rows.schema if pa.types.is_string(field.type)]
    joined = pc.binary_join_element_wise(*texts, "\0", null_handling="replace").cast(pa.binary())
    return np.fromiter(map(xxhash.xxh3_64_intdigest, joined.to_pylist()), np.uint64, len(rows))


def measure_messages(rows: pa.Table) -> dict[str, Array]:
    """Return arrays with one entry for each row, of any kind.

    characters: of all messages with reasoning and calls, in preferences of the prompt and the longer answer.
    exchanges: the user's turns. system_prompt: whether there is one. hangul: the share of Hangul among the letters of
    questions and answers, without the system message, which a recipe may add itself; NaN for a row without letters.
    """
    lists = [field.name for field in rows.schema if pa.types.is_list(field.type)]
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
    """Return sums over the messages of each row; letters are those of users and answers, without digits."""
    turns, owners = column.flatten(), pc.list_parent_indices(column).to_numpy()
    contents = turns.field("content").fill_null("")
    is_user, is_system, is_result = (
        pc.equal(turns.field("role"), role).to_numpy(False) for role in ("user", "system", "tool")
    )
    lengths = pc.utf8_length(contents).to_numpy()
    others = (turns.field(name) for name in (REASONING, CALLS) if turns.type.get_field_index(name) >= 0)
    all_lengths = sum((pc.utf8_length(texts.fill_null("")).to_numpy() for texts in others), lengths)
    codes = np.frombuffer("".join(contents.to_pylist()).encode("utf-32-le"), np.uint32)
    kinds, ends = _letter_kinds()[np.minimum(codes, 0xFFFF)], np.cumsum(lengths)
    sums = {"characters": all_lengths, "user": is_user, "system": is_system}
    for least, name in enumerate(("letters", "hangul"), start=1):
        up_to = np.concatenate(([0], np.cumsum(kinds >= least, dtype=np.int32)))
        sums[name] = (up_to[ends] - up_to[ends - lengths]) * ~(is_system | is_result)
    return {name: np.bincount(owners, values, len(column)).astype(np.int32) for name, values in sums.items()}


@cache
def _letter_kinds() -> Array:
    """Return 2 for each code point of the basic plane that is Hangul, 1 for other letters, 0 for what is none."""
    letters = np.array([chr(code).isalnum() and not "0" <= chr(code) <= "9" for code in range(1 << 16)])
    return letters.astype(np.uint8) + is_hangul(np.arange(1 << 16, dtype=np.uint16))
