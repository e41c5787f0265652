"""The manifest of a recipe's data: what went in, what became of it, and what every file holds.

It is written last, so that a folder with a manifest is whole. It holds nothing that changes from run to run: the same
inputs, code and package versions give the same bytes.
"""

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dataset_builders.licenses import License
from dataset_builders.rows import Stage

MANIFEST = "manifest.json"
SCHEMA_VERSION = 2


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Model):
    """One file, relative to the folder; `sha256` is that of its bytes."""

    file: str
    rows: int
    bytes: int
    sha256: str


class SourceSummary(_Model):
    """What became of one source: `read == kept + sum(rejected.values())`, `kept == sum(splits.values())`.

    `reported` counts rows that a gate would have rejected but only reports. `input_sha256` covers the content of all
    input files, in any order; `revision` is the hub commit, where there is one.
    """

    name: str
    source: str
    stage: Stage
    path: str
    subset: str | None
    revision: str | None
    language: str
    license: License
    license_accepted: str | None
    input_files: int
    input_bytes: int
    input_sha256: str
    read: int
    kept: int
    splits: dict[str, int]
    with_system_prompt: int
    multi_turn: int
    normalized: int
    escaped: int
    rejected: dict[str, int]
    reported: dict[str, int]

    @property
    def reasons(self) -> str:
        """The reasons with their counts, in one line; a dash where nothing is dropped."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.rejected.items()) or "-"


class Manifest(_Model):
    """A recipe's data.

    `fingerprint` depends on the rows' files alone, not on how they were made. `evaluation_sets` has the hash of the
    files of each set that the rows were compared with.
    """

    schema_version: Literal[2] = 2
    fingerprint: str
    config: dict[str, Any]
    git_commit: str | None
    versions: dict[str, str]
    evaluation_sets: dict[str, str] = {}
    sources: list[SourceSummary]
    shards: list[Shard]

    def in_folder(self, folder: str) -> list[Shard]:
        """Return the shards of `sft`, `dpo` or `rejected`."""
        return [shard for shard in self.shards if shard.file.startswith(f"{folder}/")]

    def to_json(self) -> str:
        """Return the text of `manifest.json`."""
        return self.model_dump_json(indent=2) + "\n"


def fingerprint_of(shards: list[Shard]) -> str:
    """Return a hash of what can be trained on: the names and hashes of the shards, without those of rejected rows."""
    lines = sorted(f"{shard.sha256}  {shard.file}\n" for shard in shards if not shard.file.startswith("rejected/"))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
