"""One pass over a file: its size, its hash, where it may be cut, and a sample of its letters."""

import hashlib
from dataclasses import dataclass, field
from typing import IO

from dataset_builders.read.bounds import LINE_BYTES, too_long
from dataset_builders.read.content import DELIMITED, JSON
from dataset_builders.read.delimited import RowBreaks
from dataset_builders.read.encodings import Sample


@dataclass
class Scan:
    """What one pass over a file tells: its size, its hash, where it may be cut, and a sample of its letters."""

    size: int = 0
    sha256: str = ""
    bounds: list[int] = field(default_factory=lambda: [0])
    open_quote: int | None = None
    sample: Sample = field(default_factory=Sample)


def scan(file: IO[bytes], name: str, suffix: str | None, delimiter: str, block_bytes: int) -> Scan:
    """Read a file to its end, or up to a quote that does not close; suffix: of its format, None if it is not cut."""
    found, digest, breaks = Scan(), hashlib.sha256(), RowBreaks(delimiter)
    end: int | None = None
    while block := file.read(block_bytes):
        # Where a block ends the file, all of it belongs to one chunk.
        found.bounds += [end] if end is not None else []
        digest.update(block)
        found.sample.add(block)
        if suffix in DELIMITED:
            end = breaks.add(block)
        elif suffix in JSON:
            place = block.rfind(b"\n")
            end = found.size + place + 1 if place >= 0 else None
        found.size += len(block)
        if suffix in (*JSON, *DELIMITED) and found.size - (end or found.bounds[-1]) > LINE_BYTES:
            if breaks.opened is None:
                raise too_long(name)
            break
    found.bounds += [found.size] if found.bounds[-1] < found.size else []
    found.sha256, found.open_quote = digest.hexdigest(), breaks.opened
    return found
