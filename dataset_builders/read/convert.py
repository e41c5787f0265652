"""Files as people have them, made once into plain ones: JSON lines, CSV or parquet, in UTF-8 and not compressed."""

import codecs
import csv
import datetime
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.read.content import (
    BOM,
    DELIMITED,
    GZIP,
    HEAD_BYTES,
    JSON,
    MARKS,
    TOKEN,
    ZSTD,
    Layout,
    check_content,
    holds_columns,
    json_layout,
    wrapper,
)
from dataset_builders.read.encodings import KoreanCount
from dataset_builders.read.files import suffixes
from rabbit_ko.errors import UserError, printable, reason

ROW_BYTES = 256 << 20
_CLOSES = {b"}": b"{", b"]": b"["}
ROWS_PER_GROUP, BYTES_PER_GROUP = 10_000, 64 << 20


@dataclass(frozen=True)
class Step:
    """How a file becomes a plainer one with this suffix; `convert` writes it and returns what is to be said of it.

    what: names the step among all that are done to files of the same content. is_first: it comes before the encoding
    is looked at. is_last: what it makes is plain.
    """

    what: str
    suffix: str
    convert: Callable[[IO[bytes], IO[bytes], str], list[str]]
    is_first: bool = False
    is_last: bool = True


def next_step(path: str, name: str, head: bytes) -> Step | None:
    """Return what has to be done to a file that starts with `head`, if anything. Raises UserError for no data."""
    suffix, codec = suffixes(path)
    if codec:
        return decompress(codec if head.startswith((GZIP, ZSTD)) else "", suffix)
    for mark, encoding in MARKS if suffix in JSON or suffix in DELIMITED else ():
        if head.startswith(mark):
            return transcode(encoding, suffix)
    check_content(name, suffix, head)
    if suffix == ".arrow":
        return Step("arrow", ".parquet", arrow_to_parquet)
    if suffix == ".xlsx":
        return Step("excel", ".csv", excel_to_csv)
    return _json_step(suffix, name, head) if suffix in JSON else None


def _json_step(suffix: str, name: str, head: bytes) -> Step | None:
    layout = json_layout(head, is_all=len(head) < HEAD_BYTES)
    if holds_columns(head, layout):
        advice = 'with pandas: `to_json(path, orient="records", lines=True)`'
        raise UserError(f"{name}: one object that holds columns, not rows; save it as an object a row, {advice}")
    return None if layout == "lines" else to_lines(layout, is_odd=layout != "list" or suffix != ".json")


def decompress(codec: str, suffix: str) -> Step:
    """Return the step from a compressed file."""

    def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
        try:
            stream = pa.CompressedInputStream(pa.PythonFile(source, "r"), codec) if codec else source
            while block := stream.read(HEAD_BYTES):
                target.write(block)
        except (pa.ArrowException, OSError, zlib.error) as error:
            raise UserError(f"{name}: broken {codec} file: {reason(error)}; fetch it again") from None
        return [] if codec else ["is not compressed, whatever its name says"]

    return Step(codec or "copy", suffix, convert, is_first=True, is_last=False)


def transcode(encoding: str, suffix: str) -> Step:
    """Return the step from another encoding to UTF-8. CP949 has to be Korean, since it is guessed."""

    def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
        decoder, count = codecs.getincrementaldecoder(encoding)(), KoreanCount()
        try:
            while block := source.read(HEAD_BYTES):
                text = decoder.decode(block)
                count.add(text if encoding == "CP949" else "")
                target.write(text.encode())
            decoder.decode(b"", True)
            is_right = encoding != "CP949" or count.is_korean()
        except UnicodeError:
            is_right = False
        if not is_right:
            raise UserError(f"{name}: its encoding looks like {encoding}, but not all of it is; save it as UTF-8")
        return [f"read as {encoding}"]

    return Step(encoding, suffix, convert, is_first=True, is_last=False)


def to_lines(layout: Layout, is_odd: bool) -> Step:
    """Return the step from JSON in another layout to a value a line; is_odd: its name says otherwise."""

    def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
        values = _Values(source, name, layout)
        for value in values:
            # Outside texts both are white space, and within them neither may stand.
            target.write(value.replace(b"\n", b"\r") + b"\n")
        says = {
            "list": ["read as one JSON list"],
            "objects": ["read as JSON objects over several lines"],
            "lines": [],
        }
        return ([f"rows are under `{values.key}`"] if layout == "wrapped" else says[layout] * is_odd) + values.notes

    return Step(f"{layout} {is_odd}", ".jsonl", convert)


class NotWrapped(Exception):
    """More follows the first object, so that its lists are no lists of rows."""


class _Values:
    """The bytes of each value of a list, or of each object of several, with flat memory; they need not be valid."""

    def __init__(self, source: IO[bytes], name: str, layout: Layout) -> None:
        self.source, self.name, self.layout = source, name, layout
        self.buffer = source.read(HEAD_BYTES).removeprefix(BOM)
        self.start, self.line, self.key = 0, 1, ""
        self.notes: list[str] = []
        if layout == "list":
            self.start = self.buffer.index(b"[") + 1
        elif layout == "wrapped" and (found := wrapper(self.buffer)):
            self.start, self.key = found.end(), printable(found[1].decode(errors="replace")[1:-1])
        self.at = self.start

    def __iter__(self) -> Iterator[bytes]:
        opened: list[bytes] = []
        for token in self._tokens():
            if token[0] in b"{[":
                if not opened:
                    yield from self._between(token.start())
                    self.start = token.start()
                opened.append(token[0])
            elif token[0] in b"}]":
                if not opened:
                    yield from self._between(token.start())
                    self._check_end(token.end(), token[0])
                    return
                if _CLOSES[token[0]] != opened.pop():
                    raise self._mistake("brackets do not match")
                if not opened:
                    yield self.buffer[self.start : token.end()]
                    self.start = token.end()
        if opened:
            raise self._mistake("what opens here never closes")
        yield from self._between(len(self.buffer))
        if self.layout != "objects":
            self.notes.append("its list is not closed, so its end may be missing")

    def _tokens(self) -> Iterator[re.Match[bytes]]:
        """Yield brackets and texts; `start` tells where what is still needed starts."""
        while True:
            for token in TOKEN.finditer(self.buffer, self.at):
                if token[0] == b'"':
                    # The text goes on in the next block.
                    self.at = token.start()
                    break
                self.at = token.end()
                yield token
            self.line += self.buffer.count(b"\n", 0, self.start)
            self.buffer, self.at, self.start = self.buffer[self.start :], self.at - self.start, 0
            if len(self.buffer) > ROW_BYTES:
                raise self._mistake("what opens here does not close")
            if not (block := self.source.read(max(HEAD_BYTES, len(self.buffer)))):
                return
            self.buffer += block

    def _between(self, end: int) -> Iterator[bytes]:
        """Yield what stands between two objects, where it is more than white space and a comma."""
        if value := self.buffer[self.start : end].strip(b" \t\r\n,"):
            yield value

    def _check_end(self, end: int, bracket: bytes) -> None:
        """Raise UserError where anything follows the list, or NotWrapped where another object does."""
        self.start, depth, has_others = end, 0, False
        if self.layout == "wrapped":
            for token in self._tokens():
                depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
                has_others |= depth > 0
                self.start = token.end()
                if depth < 0:
                    break
        rest = self.buffer[self.start :] + self.source.read(HEAD_BYTES)
        if self.layout == "wrapped" and rest.strip():
            raise NotWrapped
        if has_others:
            advice = "save one list of rows in a file"
            raise UserError(f"{self.name}: an object with more than one list, the first is `{self.key}`; {advice}")
        if self.layout == "objects" or bracket != b"]":
            raise self._mistake("brackets do not match")
        if rest.strip():
            raise self._mistake("more follows the end")

    def _mistake(self, what: str) -> UserError:
        line = self.line + self.buffer.count(b"\n", 0, self.start)
        return UserError(f"{self.name}:{line}: broken JSON: {what}; mend the file, or fetch it again")


def arrow_to_parquet(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
    """Write the rows of an Arrow file or stream, as `datasets` saves them, as parquet."""
    try:
        batches = _arrow_batches(source)
        schema = next(batches)
        with pq.ParquetWriter(target, schema, compression="lz4") as writer:
            some: list[pa.RecordBatch] = []
            for batch in batches:
                some.append(batch)
                if sum(map(len, some)) >= ROWS_PER_GROUP or sum(it.nbytes for it in some) >= BYTES_PER_GROUP:
                    writer.write_table(pa.Table.from_batches(some, schema))
                    some = []
            writer.write_table(pa.Table.from_batches(some, schema))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise UserError(f"{name}: broken Arrow file: {reason(error)}; fetch or save it again") from None
    return []


def _arrow_batches(source: IO[bytes]) -> Iterator[Any]:
    """Yield the schema, and then the record batches."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if not is_file:
        with pa.ipc.open_stream(source) as stream:
            yield stream.schema
            yield from stream
        return
    with pa.ipc.open_file(source) as file:
        yield file.schema
        yield from (file.get_batch(number) for number in range(file.num_record_batches))


def excel_to_csv(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
    """Write the first visible sheet that is not empty as CSV; the names of the others are told."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(source.read()))
        sheets = [(it.name, it.visible == SheetVisibleEnum.Visible) for it in book.sheets_metadata]
        filled = [(sheet, visible) for sheet, visible in sheets if book.get_sheet_by_name(sheet).height]
        if not filled:
            return []
        chosen = next((sheet for sheet, visible in filled if visible), filled[0][0])
        text = io.TextIOWrapper(target, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        rows = [[_cell(value) for value in row] for row in book.get_sheet_by_name(chosen).to_python()]
        # Columns without a name and without a value are formatting.
        width = max((place + 1 for row in rows for place, value in enumerate(row) if value), default=0)
        writer.writerows(row[:width] for row in rows if any(row))
        text.detach()
    except (CalamineError, OSError, ValueError) as error:
        raise UserError(f"{name}: broken Excel file: {reason(error)}; save it again as .xlsx") from None
    others = [f"`{printable(sheet)}`" for sheet, _ in filled if sheet != chosen]
    return [f"sheet `{printable(chosen)}` was read, and not {', '.join(others)}"] if others else []


def _cell(value: object) -> str:
    """Return a cell as Excel would save it in CSV."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return re.sub("T00:00:00$", "", value.isoformat())
    return str(value)
