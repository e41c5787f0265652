"""Whether a folder of shards is what its manifest says, and what changed from one build to another."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.manifest import MANIFEST, Manifest, Shard, fingerprint_of
from dataset_builders.manifest import read_manifest as read_manifest
from dataset_builders.rows import SCHEMAS
from rabbit_ko.errors import UserError
from rabbit_ko.storage import files_below, read


def verify(folder: str) -> Manifest:
    """Check every file of a folder, a path or URL, against the manifest, and the counts against the rows.

    Raises UserError with all that is wrong, one thing a line.
    """
    manifest = read_manifest(folder)
    mistakes = [*_wrong_files(folder, manifest), *_unlisted_files(folder, manifest)]
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


def _unlisted_files(folder: str, manifest: Manifest) -> Iterator[str]:
    """Name files that the manifest does not list; training would read them."""
    listed = {shard.file for shard in manifest.shards}
    for kind in SCHEMAS:
        for name in files_below(f"{folder}/{kind}"):
            if f"{kind}/{name}" not in listed:
                yield f"{folder}/{kind}/{name}: not in the manifest"


def _wrong_counts(folder: str, manifest: Manifest) -> Iterator[str]:
    """Check that the rows of each source are as many as the manifest says, kept and dropped."""
    kept, dropped = Counter[str](), Counter[tuple[str, str]]()
    for shard in manifest.shards:
        columns = ["source", "reason"] if shard.file.startswith("rejected/") else ["source"]
        table = pq.read_table(pa.BufferReader(read(f"{folder}/{shard.file}")), columns=columns, use_threads=False)
        if len(table) != shard.rows:
            yield f"{folder}/{shard.file}: {len(table):,} rows, and {shard.rows:,} in the manifest"
        for row in table.group_by(columns).aggregate([([], "count_all")]).to_pylist():
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


def diff(before: str, after: str) -> dict[str, list[str]]:
    """Compare the rows of two folders, paths or URLs, by id.

    Returns the ids by what happened to them: `+ sft/train`, `- sft/train`, `sft/train -> near duplicate`, or `says
    something else`. Raises UserError where one has no manifest.
    """
    old, new = _statuses(before), _statuses(after)
    changes: dict[str, list[str]] = {}
    for key in sorted(old.keys() | new.keys()):
        (was, old_digest), (now, new_digest) = old.get(key, ("", b"")), new.get(key, ("", b""))
        if was != now:
            what = f"+ {now}" if not was else f"- {was}" if not now else f"{was} -> {now}"
        elif old_digest != new_digest:
            what = "says something else"
        else:
            continue
        changes.setdefault(what, []).append(key[0])
    return dict(sorted(changes.items()))


def _statuses(folder: str) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Return (status, hash of the row) for each row by its id, and a number where an id stands more than once."""
    statuses: dict[tuple[str, int], tuple[str, bytes]] = {}
    seen = Counter[str]()
    for shard in read_manifest(folder).shards:
        split = shard.file.rsplit("-", 3)[0]
        for row in pq.read_table(pa.BufferReader(read(f"{folder}/{shard.file}")), use_threads=False).to_pylist():
            digest = hashlib.blake2b(repr(row).encode(), digest_size=8).digest()
            statuses[row["id"], seen[row["id"]]] = (row.get("reason", split), digest)
            seen[row["id"]] += 1
    return statuses
