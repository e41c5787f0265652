"""Whether a folder of shards is what its manifest says."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from dataset_builders.manifest import MANIFEST, Manifest, Shard, fingerprint_of
from dataset_builders.rows import SCHEMAS
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, read


def read_manifest(folder: str) -> Manifest:
    """Read a folder's manifest. Raises UserError where there is none, or it is one of another kind."""
    path = f"{folder}/{MANIFEST}"
    try:
        return Manifest.model_validate_json(read(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, so nothing vouches for the shards; run `make data` first") from None
    except ValidationError as error:
        raise UserError(
            f"{path}: not a manifest of this version: {reason(error)[:200]}; build the data again"
        ) from None


def verify(folder: str) -> Manifest:
    """Check every file of a folder, a path or URL, against the manifest, and the counts against the rows.

    Raises UserError with all that is wrong, one thing a line.
    """
    manifest = read_manifest(folder)
    mistakes = [*_wrong_files(folder, manifest), *_strangers(folder, manifest)]
    if not mistakes:
        mistakes = list(_wrong_counts(folder, manifest))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return manifest


def _wrong_files(folder: str, manifest: Manifest) -> Iterator[str]:
    if fingerprint_of(manifest.shards) != manifest.fingerprint:
        yield f"{folder}/{MANIFEST}: the fingerprint is not that of the shards it lists; the manifest was changed"
    for shard in manifest.shards:
        if mistake := _mistake(f"{folder}/{shard.file}", shard):
            yield f"{folder}/{shard.file}: {mistake}"


def _mistake(path: str, shard: Shard) -> str | None:
    try:
        content = read(path)
    except FileNotFoundError:
        return "missing"
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        return f"not the bytes that were built ({len(content):,} bytes, built were {shard.bytes:,})"
    schema = SCHEMAS.get(shard.file.split("/")[0])  # type: ignore[call-overload]
    found = pq.read_schema(pa.BufferReader(content))
    return None if schema is None or found.equals(schema) else "not the columns of its kind"


def _strangers(folder: str, manifest: Manifest) -> Iterator[str]:
    """Name files that the manifest does not list; training would read them."""
    fs, name = filesystem(folder)
    listed = {shard.file for shard in manifest.shards}
    for part in SCHEMAS:
        for path in sorted(fs.find(f"{name}/{part}")) if fs.exists(f"{name}/{part}") else ():
            if (stranger := path[len(name) :].lstrip("/")) not in listed:
                yield f"{folder}/{stranger}: not in the manifest"


def _wrong_counts(folder: str, manifest: Manifest) -> Iterator[str]:
    """Check that the rows of each source are as many as the manifest says, kept and dropped."""
    kept, dropped = Counter[str](), Counter[tuple[str, str]]()
    for shard in manifest.shards:
        columns = ["source", "reason"] if shard.file.startswith("rejected/") else ["source"]
        table = pq.read_table(pa.BufferReader(read(f"{folder}/{shard.file}")), columns=columns, use_threads=False)
        if len(table) != shard.rows:
            yield f"{folder}/{shard.file}: {len(table):,} rows, and {shard.rows:,} in the manifest"
        counts = table.group_by(columns).aggregate([([], "count_all")]).to_pylist()
        for row in counts:
            if len(columns) == 1:
                kept[row["source"]] += row["count_all"]
            else:
                dropped[row["source"], row["reason"]] += row["count_all"]
    has_rejected = bool(manifest.in_folder("rejected"))
    for source in manifest.sources:
        if source.read != source.kept + sum(source.rejected.values()):
            yield f"{folder}: {source.name}: of {source.read:,} rows read, some are neither kept nor dropped"
        if (found := kept[source.name]) != source.kept:
            yield f"{folder}: {source.name}: {found:,} rows in the shards, {source.kept:,} in the manifest"
        reasons = {why: count for (name, why), count in dropped.items() if name == source.name}
        if has_rejected and reasons != source.rejected:
            yield f"{folder}: {source.name}: the rejected rows are not those that the manifest counts"
