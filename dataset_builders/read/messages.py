"""The record batches of an Arrow file as it is stored, which say how large they are once they are unfolded."""

import struct
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa


def batch_bytes(source: IO[bytes], start: int) -> Iterator[int]:
    """Yield what each batch and dictionary from a place on says that it unfolds to, as far as they can be read.

    Format: Message.fbs of Apache Arrow; a compressed buffer begins with its size in 64 bits, -1 where it is plain.
    """
    source.seek(start)
    try:
        for message in pa.ipc.MessageReader.open_stream(source):
            header = _Table.root(message.metadata.to_pybytes()).table(2)
            if message.type == "dictionary":
                header = header.table(1)
            if message.type in ("dictionary", "record batch") and header.place(3):
                yield sum(_unfolded(message.body, *buffer) for buffer in header.pairs(2))
    except (pa.ArrowException, OSError, EOFError, struct.error):
        return  # reading the file itself tells what is broken


def _unfolded(body: Any, offset: int, length: int) -> int:
    content = memoryview(body)[offset : offset + 8]
    return max(length, *struct.unpack("<q", content)) if len(content) == 8 else 0


class _Table:
    """A table in the bytes of FlatBuffers, whose fields are told by their numbers."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    @classmethod
    def root(cls, content: bytes) -> "_Table":
        return cls(content, *struct.unpack_from("<I", content))

    def place(self, field: int) -> int:
        """Return where a field stands; 0 where it is not set."""
        names = self.at - struct.unpack_from("<i", self.content, self.at)[0]
        size = struct.unpack_from("<H", self.content, names)[0]
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self.content, names + entry)[0] if entry < size else 0
        return self.at + int(offset) if offset else 0

    def table(self, field: int) -> "_Table":
        """Return the table that a field points to."""
        return _Table(self.content, self._target(field))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs of 64 bits in the vector that a field points to."""
        at = self._target(field)
        [count] = struct.unpack_from("<I", self.content, at)
        yield from struct.iter_unpack("<qq", self.content[at + 4 : at + 4 + 16 * count])

    def _target(self, field: int) -> int:
        place = self.place(field)
        return place + int(struct.unpack_from("<I", self.content, place)[0])
