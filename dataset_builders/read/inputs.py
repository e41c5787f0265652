"""The files that a path, a URL or a hub dataset stands for, cut into chunks: the units of work, done only once."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from dataset_builders.read.bounds import LINE_BYTES
from dataset_builders.read.content import BOM, DELIMITED, DELIMITER_NAMES, HEAD_BYTES, JSON, find_delimiter
from dataset_builders.read.convert import Step, made_by, next_step, to_lines, transcode
from dataset_builders.read.delimited import read_header
from dataset_builders.read.encodings import Sample
from dataset_builders.read.files import find_files, find_path, is_data, line_at, reached, summarized
from dataset_builders.read.hub import commit_of, download
from dataset_builders.read.json_values import NotWrapped
from dataset_builders.read.location import Chunk as Chunk
from dataset_builders.read.location import Location as Location
from dataset_builders.read.location import suffix_of as suffix_of
from dataset_builders.read.scan import Scan, scan
from dataset_builders.read.tables import read_arrow_shape, read_shape
from dataset_builders.read.unchanged import changed, check_unchanged, sha256_of, state_of
from dataset_builders.read.web import fetch, is_web, save
from rabbit_ko.errors import UserError, printable
from rabbit_ko.storage import filesystem, is_url
from rabbit_ko.web import shown_bytes

CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Input:
    """What is read for a source or a benchmark; `sha256` covers the content of all its files, in any order.

    notes: what people should know of the files: encodings, layouts, and those that were not read.
    """

    chunks: list[Chunk]
    files: int
    bytes: int
    sha256: str
    revision: str | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """A file's chunks, its size and hash, and what people should know of it."""

    chunks: list[Chunk]
    bytes: int
    sha256: str
    notes: list[str]


def find_input(wanted: Location, folder: str) -> Input:
    """Read a location's files once; `folder` is for what comes from the hub, and for files that have to be converted.

    Raises UserError where there is none, or one is no file of rows.
    """
    with reached(wanted.path):
        return _find_input(wanted, folder)


def _find_input(wanted: Location, folder: str) -> Input:
    revision, notes = None, list[str]()
    url = wanted.path if is_web(wanted.path) else ""
    if not is_local(wanted):
        paths, revision = download(wanted, folder)
    elif url:
        paths = [save(url, folder)]
    else:
        paths, notes = find_files(wanted.path)
    found = [prepare(path, folder, url) for path in paths]
    root = f"{wanted.path if is_url(wanted.path) else find_path(wanted.path)}/"
    names = [path.removeprefix(root) if len(paths) > 1 else PurePosixPath(url or path).name for path in paths]
    said = {name: each.notes for name, each in zip(names, found, strict=True)}
    joint, size = _joint([each.sha256 for each in found]), sum(each.bytes for each in found)
    return Input(_bundled(found), len(paths), size, joint, revision, [*summarized(said), *notes])


def _bundled(found: Sequence[Prepared]) -> list[Chunk]:
    """Return all chunks; small files share one, since each chunk takes milliseconds."""
    chunks, some, size = list[Chunk](), list[Chunk](), 0
    for each in found:
        own = max(each.bytes, *(chunk.end for chunk in each.chunks), 0)
        if len(each.chunks) != 1 or own > CHUNK_BYTES // 32:
            chunks += each.chunks
            continue
        if size + own > CHUNK_BYTES:
            chunks, some, size = [*chunks, _bundle(some, size)], [], 0
        some, size = [*some, *each.chunks], size + own
    return [*chunks, _bundle(some, size)] if some else chunks


def _bundle(parts: Sequence[Chunk], size: int) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    columns = dict.fromkeys(column for part in parts for column in part.columns)
    digest = _joint(f"{part.sha256} {suffix_of(part.path)}" for part in parts)
    return Chunk(parts[0].path, digest, 0, size, tuple(columns), parts=tuple(parts))


def _joint(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def is_unchanged(wanted: Location, sha256: str, revision: str | None) -> bool:
    """Tell whether an input has the same content, or on the hub the same commit, as far as the hub can be asked."""
    if is_web(wanted.path):
        return _joint([fetch(wanted.path)]) == sha256
    if is_local(wanted):
        with reached(wanted.path):
            return revision is None and _joint(map(sha256_of, find_files(wanted.path)[0])) == sha256
    try:
        return commit_of(wanted) in (None, revision)
    except UserError:
        return True


def is_local(wanted: Location) -> bool:
    """Tell a path or URL from the name of a hub dataset. Raises UserError where it is neither."""
    path = wanted.path
    if is_url(path) or Path(find_path(path)).exists():
        if wanted.revision or wanted.subset:
            raise UserError(f"{path}: a local path has no `revision` and no `subset`; take them away")
        return True
    if not may_be_on_hub(path):
        raise UserError(f"{path}: no such file or folder")
    return False


def may_be_on_hub(path: str) -> bool:
    """Tell whether a path where nothing is can be the name of a dataset on the hub."""
    return not path.startswith((".", "/", "~")) and path.count("/") == 1 and not is_data(path)


def prepare(path: str, folder: str, name: str = "") -> Prepared:
    """Read a file once, and make a plain one of it in `folder` where it is none. Raises UserError."""
    return _prepare(path, printable(name or path), folder)


def _prepare(path: str, name: str, folder: str, is_plain: bool = False) -> Prepared:
    fs, place = filesystem(path)
    suffix, state = suffix_of(path), state_of(path)
    with fs.open(place, "rb") as file:
        head = file.read(HEAD_BYTES)
        if not head:
            return Prepared([], 0, hashlib.sha256().hexdigest(), ["is empty"])
        file.seek(0)
        step = None if is_plain else next_step(path, name, head)
        delimiter = find_delimiter(head, suffix) if suffix in DELIMITED else ","
        scanned = scan(file, name, None if step else suffix, delimiter, CHUNK_BYTES)
        if not scanned.start.startswith(head[: len(scanned.start)]):
            raise changed(name)
        if not is_plain and not (step and step.is_first) and (suffix in JSON or suffix in DELIMITED):
            step = _recode(scanned.sample, suffix, name) or step
        if not step:
            whole = Chunk(path, scanned.sha256, 0, 0, (), delimiter, name, state=state)
            chunks = _chunks(whole, file, head, scanned)
            return Prepared(chunks, scanned.size, scanned.sha256, _notes(suffix, head, delimiter))
    check = partial(check_unchanged, path, name, scanned.sha256, state)
    try:
        made, notes = made_by(step.followed_by(check), path, name, folder, scanned.sha256)
    except NotWrapped:
        step = to_lines("objects", is_odd=True)
        made, notes = made_by(step.followed_by(check), path, name, folder, scanned.sha256)
    inner = _prepare(made, name, folder, is_plain=step.is_last)
    chunks = [replace(chunk, sha256=scanned.sha256) for chunk in inner.chunks]
    return Prepared(chunks, scanned.size, scanned.sha256, notes + (inner.notes if inner.chunks else []))


def _recode(sample: Sample, suffix: str, name: str) -> Step | None:
    """Return the step from another encoding, if it is one. Raises UserError where nobody can tell which."""
    if (encoding := sample.encoding()) is None:
        raise UserError(f"{name}: its encoding is neither UTF-8 nor, for certain, CP949; save it as UTF-8")
    return None if encoding == "UTF-8" else transcode(encoding, suffix)


def _chunks(whole: Chunk, file: IO[bytes], head: bytes, scanned: Scan) -> list[Chunk]:
    """Return the chunks of a plain file. Raises UserError where it has no usable header, or a quote is not closed."""
    suffix, bounds, digests, columns = suffix_of(whole.path), scanned.bounds, scanned.digests, whole.columns
    if suffix in DELIMITED:
        if scanned.open_quote is not None:
            line = line_at(whole.path, scanned.open_quote)
            is_far = scanned.size - scanned.open_quote > LINE_BYTES
            never = f"does not close within {shown_bytes(LINE_BYTES)}" if is_far else "never closes"
            raise UserError(f"{whole.shown}:{line}: broken CSV: the quote that opens here {never}; close it")
        columns = read_header(head, whole.delimiter, whole.shown)
    elif suffix not in JSON:
        file.seek(0)
        is_arrow = suffix == ".arrow"
        bounds, columns = (read_arrow_shape if is_arrow else read_shape)(file, whole.shown, CHUNK_ROWS)
        digests = [whole.sha256] * (len(bounds) - 1)
    return [
        replace(whole, start=start, end=end, columns=columns, digest=digest)
        for (start, end), digest in zip(pairwise(bounds), digests, strict=True)
    ]


def _notes(suffix: str, head: bytes, delimiter: str) -> list[str]:
    notes = ["read as UTF-8 with a byte order mark"] if head.startswith(BOM) else []
    notes += ["read as JSON lines"] if suffix == ".json" else []
    if suffix in DELIMITED and delimiter != DELIMITED[suffix]:
        notes.append(f"its fields are parted by {DELIMITER_NAMES[delimiter]}")
    return notes
