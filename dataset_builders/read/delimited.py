"""Files of delimited fields (CSV): where their rows part, and what the rows are."""

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dataset_builders.read.bounds import ROW_BYTES, SHOWN_LETTERS, TOO_LARGE
from dataset_builders.read.broken import Broken
from dataset_builders.read.content import BOM
from rabbit_ko.errors import UserError, printable
from rabbit_ko.normal_form import normalize

# Two quotes are one that does not close; where the second is in the next block, the field opens there again.
_UP_TO_QUOTE = re.compile(rb'[^"]*+(?:""[^"]*+)*+"')


class RowBreaks:
    """The last place in each block of a file at which a row ends: a line break that is not between quotes."""

    def __init__(self, delimiter: str) -> None:
        self.field_starts = f"{delimiter}\n\r".encode()
        self.read = 0
        self.before = b""
        self.opened: int | None = None
        self.closed = -2

    def add(self, block: bytes) -> int | None:
        """Return the place in the file after the last line break in its next block, if there is any."""
        quoted = self._find_quoted(block)
        place, end = self._last_break(block, len(block)), len(block)
        for start, stop in reversed(quoted):
            if place >= stop:
                break
            if place >= start:
                place = self._last_break(block, start)
        end = self.read + place + 1
        self.read += len(block)
        self.before = block[-1:]
        return end if place >= 0 else None

    def _find_quoted(self, block: bytes) -> list[tuple[int, int]]:
        """Return where quoted fields start and end; in a field that does not start with one, a quote is a letter."""
        found = list[tuple[int, int]]()
        at = 0 if self.opened is None else self._close(block, 0, 0, found)
        while (at := block.find(b'"', at)) >= 0:
            place, before = self.read + at, block[at - 1 : at] if at else self.before
            is_first = place == 0 or (place == len(BOM) and block.startswith(BOM))
            if is_first or place - 1 == self.closed or before in self.field_starts:
                self.opened = place
                at = self._close(block, at, at + 1, found)
            else:
                at += 1
        return found

    def _close(self, block: bytes, start: int, at: int, found: list[tuple[int, int]]) -> int:
        """Note a field that starts at `start`, and return where to look on; its quote may close in a later block."""
        if closing := _UP_TO_QUOTE.match(block, at):
            self.opened, self.closed = None, self.read + closing.end() - 1
        end = closing.end() if closing else len(block)
        found.append((start, end))
        return end

    def _last_break(self, block: bytes, end: int) -> int:
        return max(block.rfind(b"\n", 0, end), block.rfind(b"\r", 0, end))


def read_header(head: bytes, delimiter: str, name: str) -> tuple[str, ...]:
    """Return the names of a file's columns. Raises UserError where two are the same, or they cannot be read."""
    try:
        text = io.StringIO(head.decode("utf-8-sig", errors="surrogateescape"), newline="")
        header: list[str] = next((row for row in _reader(text, delimiter) if row), [])
        return unique_names(header, name)
    except (csv.Error, UnicodeEncodeError) as error:
        raise UserError(
            f"{name}:1: broken header: {error}; save the file as UTF-8, and quote names that hold quotes"
        ) from None


def unique_names(names: Sequence[str], name: str) -> tuple[str, ...]:
    """Return names of columns in NFC, or numbers for empty ones. Raises UserError where two are the same."""
    composed = [_composed(column) for column in names]
    for column in composed:
        column.encode()
    if twice := next((column for column, count in Counter(composed).items() if column and count > 1), None):
        raise UserError(f"{name}: two columns are called `{printable(twice)}`; rename one")
    return tuple(column or f"column {number}" for number, column in enumerate(composed, start=1))


def read_delimited(
    content: bytes, columns: Sequence[str], delimiter: str, is_first: bool, wanted: Collection[str] | None
) -> Iterator[dict[str, Any] | Broken]:
    """Yield the rows of a part of a file. Raises csv.Error, with the number of the line within the part."""
    try:
        text, is_broken = content.decode("utf-8-sig" if is_first else "utf-8"), False
    except UnicodeDecodeError:
        text, is_broken = content.decode("utf-8-sig" if is_first else "utf-8", errors="surrogateescape"), True
    reader = _reader(io.StringIO(text, newline=""), delimiter)
    places = [(place, column) for place, column in enumerate(columns) if wanted is None or column in wanted]
    rows = filter(None, _numbered(reader))
    if is_first:
        next(rows, None)
    has_large = len(content) > ROW_BYTES
    for row in rows:
        if has_large and sum(map(len, row)) > ROW_BYTES:
            yield Broken(TOO_LARGE, "".join(cell[:SHOWN_LETTERS] for cell in row)[:SHOWN_LETTERS])
        elif is_broken and not _is_unicode(row):
            yield Broken(
                "broken unicode",
                json.dumps(row, ensure_ascii=False).encode(errors="surrogateescape").decode(errors="replace"),
            )
        elif len(row) != len(columns):
            yield Broken("not as many fields as the header has", json.dumps(row, ensure_ascii=False))
        elif _is_header(row, columns):
            yield Broken("the header again", json.dumps(row, ensure_ascii=False))
        else:
            yield {column: row[place] for place, column in places}


def _is_header(row: Sequence[str], columns: Sequence[str]) -> bool:
    """Tell whether a row repeats the names of the columns, as where files were put one behind the other."""
    # Decomposed Hangul is three times as long at most, and there may be a byte order mark.
    return all(
        len(cell) <= 3 * len(column) + 1 and (_composed(cell.removeprefix("\ufeff")) or f"column {number}") == column
        for number, (cell, column) in enumerate(zip(row, columns, strict=True), start=1)
    )


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _reader(text: io.StringIO, delimiter: str) -> Any:
    csv.field_size_limit(sys.maxsize)
    return csv.reader(text, delimiter=delimiter, strict=True)


def _numbered(reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise csv.Error(str(error), reader.line_num) from None


def _is_unicode(row: Sequence[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True
