"""The manifest of a recipe's data: what went in, what became of it, and what every file holds. It is written last."""

import hashlib
import json
from math import nan
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from dataset_builders.licenses import License
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import RowKind
from rabbit_ko.storage import check_inside, filesystem, read

MANIFEST = "manifest.json"
# The key under which the file has the checksum of all else that is in it.
CHECKSUM = "manifest_sha256"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Model):
    """One file, relative to the folder; `sha256` is that of its bytes."""

    # As builds name them: what is read and pushed cannot be elsewhere.
    file: str = Field(pattern=r"^(sft|dpo|kto|rejected)/(train|test)-[0-9]{5,9}-of-[0-9]{5,9}\.parquet$")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class BenchmarkInput(_Model):
    """What a benchmark was: the hash of its files, and the hub commit, where there is one."""

    sha256: str
    revision: str | None


class TokenizerInput(_Model):
    """What counted the tokens: the hash of its `tokenizer.json`, and the version of `tokenizers`."""

    sha256: str
    version: str


class PromptSource(_Model):
    """What the prompts of pairs of one's own are from, and its license."""

    name: str
    path: str
    license: License
    license_accepted: str | None


class SourceSummary(_Model):
    """What became of one source: `read == kept + sum(rejected.values())`, `kept == sum(splits.values())`.

    repeats: rows of the train shards that stand there again, beside those that are kept. tokens: those of the train
    rows, repeats included; None where no tokenizer counted them. prompt_sources: of pairs of one's own.
    """

    name: str
    source: str
    stage: RowKind
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
    unread_columns: list[str] = []
    notes: list[str] = []
    repeats: int = 0
    tokens: int | None = None
    prompt_sources: list[PromptSource] = []

    @property
    def train_rows(self) -> int:
        """The rows in the train shards."""
        return self.splits.get("train", 0) + self.repeats


class Manifest(_Model):
    """A recipe's data; docs/data.md has the fields."""

    schema_version: Literal[4] = 4
    fingerprint: str
    config: dict[str, Any]
    git_commit: str | None
    code: str = ""
    versions: dict[str, str]
    benchmarks: dict[str, BenchmarkInput] = {}
    tokenizer: TokenizerInput | None = None
    sources: list[SourceSummary]
    shards: list[Shard]

    @field_validator("shards")
    @classmethod
    def _each_once(cls, shards: list[Shard]) -> list[Shard]:
        if len({shard.file for shard in shards}) < len(shards):
            raise ValueError("a shard is listed twice")
        return shards

    def in_folder(self, folder: str) -> list[Shard]:
        """Return the shards of `sft`, `dpo`, `kto` or `rejected`."""
        return [shard for shard in self.shards if shard.file.startswith(f"{folder}/")]

    def share(self, source: SourceSummary, amount: Literal["train_rows", "tokens"] = "train_rows") -> float:
        """Return a source's share of the train rows or tokens of its kind; NaN where there are none."""
        total = sum(getattr(other, amount) for other in self.sources if other.stage == source.stage)
        return getattr(source, amount) / total if total else nan

    def to_json(self) -> str:
        """Return the text of `manifest.json`, with its checksum."""
        fields = from_json(self.model_dump_json())
        return json.dumps({**fields, CHECKSUM: _checksum(fields)}, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: str) -> Manifest:
    """Read a folder's manifest, which has to be as it was written.

    Raises UserError where there is none, where it is one of another kind or was edited, and where a shard that it
    lists is a link to a file elsewhere.
    """
    path = f"{folder}/{MANIFEST}"
    try:
        manifest = parse_manifest(read(path), path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, so nothing vouches for the shards; run `make data` first") from None
    except ValueError as error:
        said = reason(error)[:200]
        raise UserError(f"{path}: not a manifest of this version: {said}; build the data again") from None
    fs, place = filesystem(folder)
    for shard in manifest.shards if "file" in fs.protocol else ():
        check_inside(Path(place, shard.file), Path(place))
    return manifest


def parse_manifest(content: bytes, path: str) -> Manifest:
    """Return the manifest of a file's content. Raises ValueError, and UserError where it is older or was edited."""
    fields = from_json(content)
    checksum = fields.pop(CHECKSUM, "") if isinstance(fields, dict) else ""
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version < Manifest.model_fields["schema_version"].default:
        raise UserError(f"{path}: of an earlier version; build the data again")
    manifest = Manifest.model_validate(fields)
    if checksum != _checksum(fields):
        said = "not as the build wrote it, since its checksum is that of another content"
        raise UserError(f"{path}: {said}; build the data again")
    return manifest


def _checksum(fields: Any) -> str:
    """Return a hash of JSON values, however they are written."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def fingerprint_of(shards: list[Shard]) -> str:
    """Return a hash of what can be trained on: the names and hashes of the shards, without those of rejected rows."""
    lines = sorted(f"{shard.sha256}  {shard.file}\n" for shard in shards if not shard.file.startswith("rejected/"))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
