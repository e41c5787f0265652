"""Where rows are, and the units of work that they are cut into."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import Field

from dataset_builders.strict import Strict


class Location(Strict):
    """Where rows are: a path, a URL, or the name of a dataset on the hub with the part of it that is meant."""

    path: str = Field(min_length=1)
    subset: str | None = None
    split: str = "train"
    revision: str | None = None


@dataclass(frozen=True)
class Chunk:
    """Whole rows of a file by their bytes [start, end), rows of a parquet file, or batches of an Arrow file.

    sha256: of the file that the user has. path: that file, or the plain one made of it. name: what to call it.
    digest: of the bytes, or the SHA-256 of the file at `path` where rows or batches are counted; then state is the
    file's as it was hashed.
    columns: the names of all columns, composed (NFC), where the format has a header. parts: small files that make one
    chunk together; then the bytes are those of all.
    """

    path: str
    sha256: str
    start: int
    end: int
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    name: str = ""
    parts: tuple["Chunk", ...] = ()
    digest: str = ""
    state: str = ""

    @property
    def shown(self) -> str:
        """What to call the file in a line for people."""
        return self.name or self.path


def suffix_of(path: str) -> str:
    """Return the ending of a file's name in lower case: `.jsonl`."""
    return PurePosixPath(path).suffix.lower()
