"""What a file is, told by its first bytes and not by its name alone."""

import csv
import re
import sys
from typing import Literal

import orjson

from rabbit_ko.errors import UserError, printable

HEAD_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# UTF-32 comes first, since its mark starts with that of UTF-16.
MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
JSON, DELIMITED = (".jsonl", ".ndjson", ".json"), {".csv": ",", ".tsv": "\t"}
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
Layout = Literal["lines", "list", "objects", "wrapped"]

_OTHERS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (GZIP, "compressed with gzip", "let its name end in `.gz`"),
    (ZSTD, "compressed with zstd", "let its name end in `.zst`"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or let its name end in `.xlsx`"),
    (b"PAR1", "a parquet file", "let its name end in `.parquet`"),
    (b"ARROW1", "an Arrow file", "let its name end in `.arrow`"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "let its name end in `.arrow`"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file, or one with a password", "save it as .xlsx without a password"),
    (b"BZh", "compressed with bzip2", "unpack it"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a rar archive", "unpack it"),
    (b"%PDF", "a PDF", "take the file away"),
    (b"\x89PNG", "an image", "take the file away"),
    (b"\xff\xd8\xff", "an image", "take the file away"),
    (b"SQLite format 3", "an SQLite database", "export its rows as JSON lines"),
    (b"\x89HDF", "an HDF5 file", "export its rows as JSON lines"),
    (b"\x93NUMPY", "a NumPy array", "export its rows as JSON lines"),
)
_OWN = {".parquet": (b"PAR1",), ".arrow": (b"ARROW1", b"\xff\xff\xff\xff"), ".xlsx": (b"PK\x03\x04",)}
_MARKUP = re.compile(rb"<(!doctype|html|head|body|meta|script|\?xml|error|!--)", re.IGNORECASE)
_STRING, _SCALAR = rb'"(?:[^"\\\n]|\\.)*+"', rb"(?:[-+.\w]++)"
_KEY = re.compile(rb"(" + _STRING + rb")\s*:\s*(\[(?=\s*[^\s\]])(?=\s*({?)))?")
WRAPPER_KEYS = {b'"data"', b'"rows"', b'"train"', b'"test"', b'"items"', b'"examples"', b'"samples"', b'"records"'}
# Fields of one row: an object that has any of them is no wrapper of rows.
ROW_KEYS = frozenset(
    b'"%b"' % name.encode()
    for name in (
        *("instruction", "question", "prompt", "input", "output", "response", "answer", "completion", "chosen"),
        *("rejected", "messages", "conversations", "history", "text", "tools", "functions"),
    )
)
_FIRST_OF_TURNS = re.compile(
    rb'\s*{\s*"(?:role|from|content|value|speaker|text)"|\s*{[^{}]*"(?:role|from|speaker)"\s*:'
)
_COLUMNS = re.compile(rb"\s*{\s*" + _STRING + rb"\s*:\s*(\[\s*(" + _STRING + rb"|" + _SCALAR + rb')|{\s*"0"\s*:)')


def check_content(name: str, suffix: str, head: bytes) -> None:
    """Raise UserError, which names what it is, where a file cannot be what its suffix says."""
    for magic, what, advice in _OTHERS:
        if head.startswith(magic) and magic not in _OWN.get(suffix, ()):
            raise UserError(f"{name}: no {suffix} file, but {what}; {advice}")
    if re.match(rb"\x80[\x02-\x05]", head):
        raise UserError(f"{name}: no {suffix} file, but a pickle, which may run code; save its rows as JSON lines")
    start = head.removeprefix(BOM).lstrip()
    if _MARKUP.match(start):
        raise UserError(f"{name}: no {suffix} file, but a page of HTML or XML; fetch the file itself")
    if (suffix in JSON or suffix in DELIMITED) and 5 * head.count(0) > len(head):
        raise UserError(f"{name}: no {suffix} file, but binary, or UTF-16 without a mark; save it as UTF-8")
    if suffix in JSON and start[:1] not in (b"{", b"[", b"") and not any(map(_is_json, _first_lines(start))):
        shown = printable(start[:40].decode(errors="replace"))
        raise UserError(f"{name}: no {suffix} file: it starts with `{shown}`; fetch or export it again")


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _first_lines(start: bytes, count: int = 20) -> list[bytes]:
    lines = start.split(b"\n", count)[:count]
    return [line for line in lines if line.strip()]


def json_layout(head: bytes, is_all: bool) -> Layout:
    """Tell how a JSON file is laid out; is_all: the head is all of it.

    lines: a value a line. list: in brackets. objects: one after the other, over several lines. wrapped: in a list
    that is a value of the only object.
    """
    start = head.removeprefix(BOM).lstrip()
    lines = _first_lines(start, 3)
    if not start.startswith((b"{", b"[")):
        return "lines"
    if start.startswith(b"["):
        is_line = _is_json(lines[0]) and len(lines) > 1 and lines[1].startswith(b"[")
        return "lines" if is_line else "list"
    if _is_json(lines[0]) and len(lines) > 1:
        is_indented = lines[1].strip() == b"{" and lines[2:] and lines[2].lstrip().startswith(b'"')
        return "objects" if is_indented else "lines"
    if wrapper(start):
        return "wrapped"
    if _is_json(lines[0]):
        return "lines"
    some = _first_lines(start)
    if 2 * sum(line.startswith(b"{") and _is_json(line) for line in some) >= len(some):
        return "lines"
    end = _end_of_first(start)
    if end is None:
        return "lines" if is_all else "objects"
    is_line = b"\n" not in start[:end] and start[end:].lstrip(b" \t\r")[:1] in (b"\n", b"")
    return "lines" if is_line else "objects"


def wrapper(start: bytes) -> re.Match[bytes] | None:
    """Match the key and the bracket of a list of rows that is a value of an object; the lists of one row are none.

    Beside it may stand single values, objects and empty lists under a key such as `data`, and nothing under others.
    """
    start, depth, is_first = start.removeprefix(BOM), 0, True
    for token in TOKEN.finditer(start):
        if depth == 1 and (key := _KEY.match(start, token.start())):
            name = key[1].lower()
            if name in ROW_KEYS:
                return None
            if key[2]:
                is_named = name in WRAPPER_KEYS or (is_first and not _FIRST_OF_TURNS.match(start, key.end()))
                return key if key[3] and is_named else None
            is_first = False
        depth += DEPTH.get(token[0], 0)
        if not depth:
            return None
    return None


def holds_columns(head: bytes, layout: Layout) -> bool:
    """Tell columns, {"output": ["a", "b"]} or {"output": {"0": "a"}}, as the only object of a file, from rows."""
    start = head.removeprefix(BOM).strip()
    if layout == "list" or not _COLUMNS.match(start):
        return False
    try:
        only = orjson.loads(start)
    except orjson.JSONDecodeError:
        return False
    values = list(only.values())
    kinds, sizes = (
        {type(value) for value in values},
        {len(value) for value in values if isinstance(value, list | dict)},
    )
    return len(values) > 1 and kinds in ({list}, {dict}) and len(sizes) == 1


# A bracket, or a text, which ends where its line does; it has a group where the end of what is looked at cuts it.
TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|(\\?+\Z))|[\[\]{}]', re.DOTALL)
DEPTH = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def _end_of_first(start: bytes) -> int | None:
    depth = 0
    for token in TOKEN.finditer(start):
        depth += DEPTH.get(token[0], 0)
        if not depth:
            return token.end()
    return None


def find_delimiter(head: bytes, suffix: str) -> str:
    """Return what parts the fields: the suffix's own where the first line has it, else another with one count."""
    own = DELIMITED[suffix]
    csv.field_size_limit(sys.maxsize)
    # All delimiters are ASCII, so the encoding makes no difference.
    lines = re.split("\r\n|\n|\r", head.decode("latin-1"))[:20]
    for delimiter in (own, *(other for other in DELIMITER_NAMES if other != own)):
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row][:3]
        if rows and len(rows[0]) > 1 and (delimiter == own or len({len(row) for row in rows[:2]}) == 1):
            return delimiter
    return own
