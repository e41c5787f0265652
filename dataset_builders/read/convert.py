"""Files as people have them, made once into plain ones: JSON lines, CSV, parquet or Arrow, UTF-8, not compressed."""

import codecs
import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO

import pyarrow as pa

from dataset_builders import fingerprint
from dataset_builders.read.bounds import check_unfolded
from dataset_builders.read.content import (
    DELIMITED,
    GZIP,
    HEAD_BYTES,
    JSON,
    MARKS,
    ZSTD,
    Layout,
    check_content,
    holds_columns,
    json_layout,
)
from dataset_builders.read.encodings import KoreanCount
from dataset_builders.read.files import suffixes
from dataset_builders.read.foreign import arrow_to_batches, excel_to_csv
from dataset_builders.read.json_values import Values
from dataset_builders.read.location import suffix_of
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, read, remove, write

# Of each block, so many letters at both ends tell whether it is Korean.
COUNTED = 20_000
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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

    def followed_by(self, check: Callable[[], None]) -> "Step":
        """Return the step with a check of what was read, whose error comes before the step's own."""

        def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
            try:
                return self.convert(source, target, name)
            finally:
                check()

        return replace(self, convert=convert)


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
        return Step("batches", ".arrow", arrow_to_batches)
    if suffix == ".xlsx":
        return Step("excel", ".csv", excel_to_csv)
    return _json_step(suffix, name, head) if suffix in JSON else None


def made_by(step: Step, path: str, name: str, folder: str, sha256: str) -> tuple[str, list[str]]:
    """Return the file that a step makes, and what is to be said of it; the report beside it, written last, knows."""
    made = f"{folder}/{fingerprint.key(sha256, suffix_of(path), step.what, step.suffix)}"
    try:
        notes: list[str] = json.loads(read(f"{made}.report"))
    except FileNotFoundError:
        (source_fs, source), (fs, target) = filesystem(path), filesystem(f"{made}{step.suffix}")
        fs.makedirs(fs._parent(target), exist_ok=True)
        try:
            with source_fs.open(source, "rb") as opened, fs.open(target, "wb") as written:
                notes = step.convert(opened, written, name)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                error.filename = error.filename or target
            remove(f"{made}{step.suffix}")
            raise
        write(f"{made}.report", json.dumps(notes).encode())
    return f"{made}{step.suffix}", notes


def _json_step(suffix: str, name: str, head: bytes) -> Step | None:
    layout = json_layout(head, is_all=len(head) < HEAD_BYTES)
    if holds_columns(head, layout):
        advice = 'with pandas: `to_json(path, orient="records", lines=True)`'
        raise UserError(f"{name}: one object that holds columns, not rows; save it as an object a row, {advice}")
    return None if layout == "lines" else to_lines(layout, is_odd=layout != "list" or suffix != ".json")


def decompress(codec: str, suffix: str) -> Step:
    """Return the step from a compressed file."""

    def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        stream = pa.CompressedInputStream(pa.PythonFile(source, "r"), codec) if codec else source
        while True:
            try:
                block = stream.read(HEAD_BYTES)
            except (pa.ArrowException, OSError) as error:
                raise UserError(f"{name}: broken {codec} file: {reason(error)}; fetch it again") from None
            if not block:
                break
            target.write(block)
            check_unfolded(target.tell(), size, name)
        return [] if codec else ["is not compressed, whatever its name says"]

    return Step(codec or "copy", suffix, convert, is_first=True, is_last=False)


def transcode(encoding: str, suffix: str) -> Step:
    """Return the step from another encoding to UTF-8. CP949 has to be Korean, since it is guessed."""

    def convert(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
        decoder, count = codecs.getincrementaldecoder(encoding)(), KoreanCount()
        try:
            while block := source.read(HEAD_BYTES):
                text = decoder.decode(block)
                count.add(text[:COUNTED] + text[-COUNTED:] if encoding == "CP949" else "")
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
        values = Values(source, name, layout)
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
