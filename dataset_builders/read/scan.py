"""One pass over a file: its size, its hash, where it may be cut, and a sample of its letters."""

import hashlib
from dataclasses import dataclass, field
from typing import IO

from dataset_builders.read.bounds import LINE_BYTES, too_long
from dataset_builders.read.content import DELIMITED, HEAD_BYTES, JSON
from dataset_builders.read.delimited import RowBreaks
from dataset_builders.read.encodings import Sample
from dataset_builders.read.unchanged import ChunkHashes


@dataclass
class Scan:
    """What one pass over a file tells: its size, its hash, where it may be cut, and a sample of its letters.

    start: its first bytes, as they were in this pass. digests: of the bytes from each bound to the next.
    """

    start: bytes = b""
    size: int = 0
    sha256: str = ""
    bounds: list[int] = field(default_factory=lambda: [0])
    digests: list[str] = field(default_factory=list)
    open_quote: int | None = None
    sample: Sample = field(default_factory=Sample)


def scan(file: IO[bytes], name: str, suffix: str | None, delimiter: str, block_bytes: int) -> Scan:
    """Read a file to its end, or up to a quote that does not close; suffix: of its format, None if it is not cut."""
    found, digest, breaks = Scan(), hashlib.sha256(), RowBreaks(delimiter)
    hashes = ChunkHashes()
    end: int | None = None
    while block := file.read(block_bytes):
        # Where a block ends the file, all of it belongs to one chunk.
        if end is not None:
            found.bounds.append(end)
            hashes.cut()
        found.start = found.start or block[:HEAD_BYTES]
        digest.update(block)
        found.sample.add(block)
        if suffix in DELIMITED:
            end = breaks.add(block)
        elif suffix in JSON:
            place = block.rfind(b"\n")
            end = found.size + place + 1 if place >= 0 else None
        hashes.add(block, end and end - found.size)
        found.size += len(block)
        if suffix in (*JSON, *DELIMITED) and found.size - (end or found.bounds[-1]) > LINE_BYTES:
            if breaks.opened is None:
                raise too_long(name)
            break
    if found.bounds[-1] < found.size:
        found.bounds.append(found.size)
        hashes.end()
    found.digests = hashes.found
    found.sha256, found.open_quote = digest.hexdigest(), breaks.opened
    return found
