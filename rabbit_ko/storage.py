"""Files by path or URL, on this machine or in object storage; a file is there complete, or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rabbit_ko.errors import UserError, reason


def is_url(path: str) -> bool:
    """Tell `s3://bucket/key` from a path on this machine."""
    return "://" in path


def filesystem(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path within it.

    Raises UserError where the URL's kind is unknown, or its package is not installed.
    """
    if not is_url(path):
        return fsspec.filesystem("file"), str(Path(path).expanduser().absolute())
    try:
        # Other processes write there, too.
        fs, name = fsspec.core.url_to_fs(path, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UserError(f"{path}: {reason(error)}") from None
    return fs, name


@contextmanager
def writing(path: str) -> Iterator[pa.NativeFile]:
    """Give a file to write to, which shows under its name when the block has ended well. Raises OSError."""
    fs, name = filesystem(path)
    if "file" not in fs.protocol:
        sink = pa.BufferOutputStream()
        yield sink
        fs.pipe_file(name, sink.getvalue().to_pybytes())
        return
    target = Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        with pa.OSFile(temporary, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and not error.filename:
            error.filename = path
        raise


def write(path: str, content: bytes | memoryview | pa.Buffer) -> None:
    """Write a file, as `writing` does."""
    with writing(path) as file:
        file.write(content)


def write_json(path: str, value: Any) -> None:
    """Write a value as JSON."""
    write(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def read(path: str) -> bytes:
    """Return a file's content. Raises FileNotFoundError."""
    fs, name = filesystem(path)
    content: bytes = fs.cat_file(name)
    return content


def read_json(path: str) -> Any:
    """Return what a JSON file holds, or None where there is no such file."""
    try:
        return json.loads(read(path))
    except FileNotFoundError:
        return None


def files_below(folder: str) -> list[str]:
    """Return the names of all files below a folder, relative to it and sorted; none where there is no such folder."""
    fs, name = filesystem(folder)
    return [path[len(name) :].lstrip("/") for path in sorted(fs.find(name))] if fs.exists(name) else []


def remove(path: str) -> None:
    """Remove a file or a folder, if it is there."""
    fs, name = filesystem(path)
    if fs.exists(name):
        fs.rm(name, recursive=True)


def write_arrow(path: str, table: pa.Table, rows_per_batch: int | None = None) -> None:
    """Write a table as an Arrow file whose batches can be read one by one."""
    # Otherwise a batch would end where a chunk ends.
    table = table.combine_chunks()
    with writing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)


def read_arrow(path: str, columns: list[str] | None = None) -> pa.Table:
    """Read an Arrow file, or some of its columns, into memory."""
    with _reading(path) as file:
        fields = None if columns is None else [pa.ipc.open_file(file).schema.get_field_index(key) for key in columns]
        table = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields)).read_all()
    return table if columns is None else table.select(columns)


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
