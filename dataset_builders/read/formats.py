"""The raw rows of a chunk, one by one; a row that cannot be read is a `Broken` one."""

import csv
from collections.abc import Collection, Iterator
from itertools import chain

from dataset_builders.read.broken import Broken as Broken
from dataset_builders.read.content import BOM, DELIMITED, JSON
from dataset_builders.read.delimited import read_delimited
from dataset_builders.read.files import line_at, reached
from dataset_builders.read.json_lines import read_json_lines
from dataset_builders.read.location import Chunk, suffix_of
from dataset_builders.read.tables import read_table
from dataset_builders.read.unchanged import read_bytes
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, printable


def read_rows(chunk: Chunk, wanted: Collection[str] | None = None) -> Iterator[RawRow | Broken]:
    """Yield each row; of formats that have columns, with the wanted ones alone, or with all where None is given.

    Raises UserError where the file as a whole is broken.
    """
    if chunk.parts:
        yield from chain.from_iterable(read_rows(part, wanted) for part in chunk.parts)
        return
    suffix = suffix_of(chunk.path)
    with reached(chunk.path):
        if suffix in JSON:
            yield from _read_lines(chunk)
        else:
            yield from _read_csv(chunk, wanted) if suffix in DELIMITED else read_table(chunk, wanted)


def _read_lines(chunk: Chunk) -> Iterator[RawRow | Broken]:
    content = read_bytes(chunk)
    return read_json_lines(content if chunk.start else content.removeprefix(BOM))


def _read_csv(chunk: Chunk, wanted: Collection[str] | None) -> Iterator[RawRow | Broken]:
    content = read_bytes(chunk)
    try:
        yield from read_delimited(content, chunk.columns, chunk.delimiter, not chunk.start, wanted)
    except csv.Error as error:
        said, line = error.args
        line += line_at(chunk.path, chunk.start) - 1
        advice = "quote fields that hold quotes"
        raise UserError(f"{printable(chunk.shown)}:{line}: broken CSV: {said}; {advice}") from None
