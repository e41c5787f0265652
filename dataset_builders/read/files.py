"""The files that a path stands for: each is read, or named as one that is not."""

import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dataset_builders.read.content import DELIMITED, JSON
from dataset_builders.read.location import suffix_of
from rabbit_ko.documents import regular
from rabbit_ko.errors import UserError, printable, reason
from rabbit_ko.storage import files_below, filesystem, is_url

SUFFIXES = (*JSON, *DELIMITED, ".parquet", ".arrow", ".xlsx")
CODECS = {".gz": "gzip", ".zst": "zstd"}
# Both, for people.
KINDS = f"{', '.join(SUFFIXES)}, each as .gz or .zst"
# What `datasets` writes beside the rows.
_METADATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
NAMES_SHOWN = 3
# Of what a cloud says.
SAID_LETTERS = 200
_NOT_READ = "not read: "


def suffixes(path: str) -> tuple[str, str]:
    """Return the format's suffix, and how the file is compressed: `.jsonl` and `gzip` of `a.jsonl.gz`."""
    last = suffix_of(path)
    return (suffix_of(path[: -len(last)]), CODECS[last]) if last in CODECS else (last, "")


def is_data(path: str) -> bool:
    """Tell whether a file's name is one of rows."""
    return suffixes(path)[0] in SUFFIXES


def find_path(path: str) -> str:
    """Return a path of this machine as it is on the disk, where names may be composed or not (NFC, NFD)."""
    root = Path(path).expanduser()
    if root.exists() or str(root).isascii():
        return str(root)
    found = Path(root.anchor)
    for part in root.relative_to(root.anchor).parts:
        composed, step = unicodedata.normalize("NFC", part), found / part
        if not step.exists() and found.is_dir():
            same = (it for it in sorted(found.iterdir()) if unicodedata.normalize("NFC", it.name) == composed)
            step = next(same, step)
        found = step
    return str(found if found.exists() else root)


def find_files(path: str) -> tuple[list[str], list[str]]:
    """Return the readable files of a path or URL, sorted, and a line that names all that are not read.

    Raises UserError where there is nothing to read, or a file that cannot be.
    """
    root = path.rstrip("/") if is_url(path) else find_path(path)
    fs, name = filesystem(root)
    if not fs.exists(name):
        raise UserError(f"{printable(path)}: no such file or folder{', or no such bucket' * is_url(root)}")
    if not fs.isdir(name):
        _check_file(path, root)
        return [root], []
    below = files_below(root)
    visible = [file for file in below if not f"/{file}".count("/.") and not file.startswith("__MACOSX/")]
    saved = {file.rpartition("/")[0] for file in visible if file.rpartition("/")[2] == "state.json"}
    wanted = (file for file in visible if is_data(file) and not _is_metadata(file, saved))
    files = [file for file in wanted if _is_regular(f"{root}/{file}")]
    if not files:
        raise _nothing(path)
    skipped = map(printable, sorted(set(visible) - set(files)))
    note = ", ".join(skipped)
    return [f"{root}/{file}" for file in files], [_NOT_READ + note] if note else []


def _nothing(path: str) -> UserError:
    return UserError(f"{printable(path)}: nothing to read; a file, or a folder of files, must be {KINDS}")


def _check_file(path: str, root: str) -> None:
    if not is_data(root):
        raise _nothing(path)
    if not is_url(root):
        regular(Path(root))


def _is_regular(path: str) -> bool:
    if is_url(path):
        return True
    if not (file := Path(path)).exists():
        raise UserError(f"{printable(path)}: a link to a file that is not there; mend it, or take it away")
    return file.is_file()


def _is_metadata(file: str, saved: Container[str]) -> bool:
    folder, _, name = file.rpartition("/")
    return name in _METADATA or (folder in saved and name.startswith("cache-") and name.endswith(".arrow"))


@contextmanager
def reached(path: str) -> Iterator[None]:
    """Raise UserError, which names the URL, for what a cloud's client raises: its errors share no class."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if not is_url(path):
            raise
        advice = "check the URL, the credentials, what they may read, and the network"
        raise UserError(f"{printable(path)}: cannot be read: {reason(error)[:SAID_LETTERS]}; {advice}") from None


def line_at(path: str, place: int) -> int:
    """Return the number of the line in which the byte at a place of a file stands, from 1."""
    fs, name = filesystem(path)
    lines, before = 1, b""
    with fs.open(name, "rb") as file:
        while block := file.read(min(place, 1 << 20)):
            lines += block.count(b"\n") + block.count(b"\r") - (before + block).count(b"\r\n")
            place, before = place - len(block), block[-1:]
    return lines


def listed(names: Iterable[str], most: int = NAMES_SHOWN) -> str:
    """Return names for people, of many only the first."""
    shown = [printable(name) for name in names]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def summarized(notes: Mapping[str, list[str]]) -> list[str]:
    """Return lines on files by name, in which files of which the same is to be said share one."""
    names: dict[str, list[str]] = {}
    for name, said in notes.items():
        for note in said:
            names.setdefault(note, []).append(name)
    return [f"{listed(of)}: {note}" for note, of in names.items()]


def shown_note(note: str) -> str:
    """Return a note on files for people: of many that were not read only the first."""
    is_list = note.startswith(_NOT_READ)
    return _NOT_READ + listed(note.removeprefix(_NOT_READ).split(", ")) if is_list else printable(note)
