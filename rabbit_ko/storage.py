"""Files by path or URL, on this machine or in object storage; a file is there complete, or not at all."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rabbit_ko.errors import UserError, reason
from rabbit_ko.secrets import remember_url


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas by itself, which takes as long as a small build; it still can when asked.

    In such a process, pyarrow does not know pandas' own value for what is missing, `pd.NA`.
    """
    if "pandas" not in sys.modules:
        sys.modules["pandas"] = None  # type: ignore[assignment]
        # Its Cython and its C++ look for pandas once each, with the first arrays.
        for _ in range(2):
            with suppress(ImportError, AttributeError):
                pa.array([""])
        del sys.modules["pandas"]


def is_url(path: str) -> bool:
    """Tell `s3://bucket/key` from a path on this machine."""
    return "://" in path


def filesystem(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path within it. Raises UserError."""
    if not is_url(path):
        return fsspec.filesystem("file"), str(Path(path).expanduser().absolute())
    remember_url(path)
    try:
        if "::" in path and not path.lower().startswith(("http://[", "https://[")):  # or a host as IPv6 has it
            raise UserError(f"{path}: a URL within a URL is not read; download the file by hand and give its path")
        # Other processes write there, too.
        fs, name = fsspec.core.url_to_fs(path, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UserError(f"{path}: {reason(error)}") from None
    return fs, name


def write(path: str, content: bytes | memoryview | pa.Buffer) -> None:
    """Write a file, which shows under its name when all of it is there. Raises OSError."""
    fs, name = filesystem(path)
    if "file" not in fs.protocol:
        fs.pipe_file(name, bytes(memoryview(content)))
        return
    target = Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}-{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        error.filename = path
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str) -> None:
    """Remove what `write` left below a folder of this machine where it was killed."""
    fs, name = filesystem(folder)
    for file in Path(name).rglob(f".*-{'[0-9a-f]' * 32}") if "file" in fs.protocol else ():
        if file.is_file():
            file.unlink()


def check_inside(file: Path, folder: Path) -> None:
    """Raise UserError where a path leads out of a folder by a link, so that other files would be read or sent."""
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
        raise UserError(f"{file}: a link that leads out of {folder}; put the file itself in its place")


def make_readable(folder: Path) -> None:
    """Give weights below a folder the mode of this process's other files: safetensors lets only their owner read."""
    umask = os.umask(0)
    os.umask(umask)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o666 & ~umask)


def read(path: str, start: int | None = None, end: int | None = None) -> bytes:
    """Return a file's content, or its bytes [start, end). Raises FileNotFoundError."""
    fs, name = filesystem(path)
    content: bytes = fs.cat_file(name, start=start, end=end)
    return content


def files_below(folder: str) -> list[str]:
    """Return the names of all files below a folder, relative to it and sorted; none where it is not there.

    Raises OSError where one of its folders may not be read.
    """
    fs, name = filesystem(folder)
    if not fs.exists(name):
        return []
    if "file" in fs.protocol and fs.isdir(name):
        # fsspec passes over a folder that may not be read, as if it were empty.
        for _ in os.walk(name, onerror=_fail):
            pass
    return [path[len(name) :].lstrip("/") for path in sorted(fs.find(name))]


def _fail(error: OSError) -> None:
    raise error


def remove(path: str) -> None:
    """Remove a file or a folder, if it is there."""
    fs, name = filesystem(path)
    if fs.exists(name):
        fs.rm(name, recursive=True)


def write_arrow(path: str, table: pa.Table, rows_per_batch: int | None = None) -> None:
    """Write a table as an Arrow file whose batches can be read one by one."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        # Combined, or else a batch would end where a chunk ends.
        writer.write_table(table.combine_chunks(), max_chunksize=rows_per_batch)
    write(path, sink.getvalue())


def read_arrow(path: str, columns: Sequence[str] = ()) -> pa.Table:
    """Read an Arrow file, or some columns of it, into memory."""
    with _reading(path) as file:
        reader = pa.ipc.open_file(file)
        if not columns:
            return reader.read_all()
        fields = [reader.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        return pa.ipc.open_file(file, options=options).read_all().select(list(columns))


def read_arrow_rows(path: str, rows: npt.NDArray[np.int64], rows_per_batch: int) -> pa.Table:
    """Read these rows of an Arrow file, in ascending order, and no more batches than hold them."""
    wanted, places = np.unique(rows // rows_per_batch, return_inverse=True)
    with _reading(path) as file:
        reader = pa.ipc.open_file(file)
        table = pa.Table.from_batches([reader.get_batch(int(batch)) for batch in wanted], reader.schema)
    return table.take(pa.array(places * rows_per_batch + rows % rows_per_batch))


def _reading(path: str) -> Any:
    fs, name = filesystem(path)
    return pa.OSFile(name, "rb") if "file" in fs.protocol else fs.open(name, "rb")
