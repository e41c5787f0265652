"""Whether a folder of shards is what its manifest says, and what changed from one build to another."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.manifest import MANIFEST, Manifest, Shard, fingerprint_of, read_manifest
from dataset_builders.schemas import SCHEMAS, is_schema_of
from rabbit_ko.errors import UserError
from rabbit_ko.storage import files_below, read


def verify(folder: str) -> Manifest:
    """Check every file of a folder, a path or URL, against the manifest. Raises UserError, one mistake a line."""
    manifest = read_manifest(folder)
    mistakes = [f"{folder}/{said}" for said in wrong_files(folder, manifest)]
    if mistakes := mistakes or [f"{folder}: {said}" for said in _wrong_counts(folder, manifest)]:
        raise UserError("\n".join([*mistakes, f"{folder}: run `make data` again"]))
    return manifest


def wrong_files(folder: str, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the files of a folder, which begins with the file; all of them are read."""
    if fingerprint_of(manifest.shards) != manifest.fingerprint:
        yield f"{MANIFEST}: the fingerprint is not that of the shards it lists; the manifest was changed"
    for shard in manifest.shards:
        try:
            content = read(f"{folder}/{shard.file}")
        except (FileNotFoundError, IsADirectoryError):
            yield f"{shard.file}: missing"
            continue
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            yield f"{shard.file}: not the bytes that were built ({len(content):,} bytes, built were {shard.bytes:,})"
        elif not is_schema_of(shard.file.split("/")[0], pq.read_schema(pa.BufferReader(content))):  # type: ignore[arg-type]
            yield f"{shard.file}: not the columns of its kind"
    # Training would read files that are not listed, too.
    listed = {shard.file for shard in manifest.shards}
    found = (f"{kind}/{name}" for kind in SCHEMAS for name in files_below(f"{folder}/{kind}"))
    yield from (f"{file}: not in the manifest" for file in found if file not in listed)


def _wrong_counts(folder: str, manifest: Manifest) -> Iterator[str]:
    counts = Counter[tuple[str, str]]()
    for shard in manifest.shards:
        table = _read_shard(folder, shard)
        if len(table) != shard.rows:
            yield f"{shard.file}: {len(table):,} rows, and {shard.rows:,} in the manifest"
        sources = table["source"].to_pylist()
        reasons = table["reason"].to_pylist() if "reason" in table.column_names else [""] * len(table)
        counts.update(zip(sources, reasons, strict=True))
    for source in manifest.sources:
        if source.read != source.kept + sum(source.rejected.values()):
            yield f"{source.name}: of {source.read:,} rows read, some are neither kept nor dropped"
        found = {reason: count for (name, reason), count in counts.items() if name == source.name}
        if (kept := found.pop("", 0)) != source.kept + source.repeats:
            yield f"{source.name}: {kept:,} rows in the shards, {source.kept + source.repeats:,} in the manifest"
        # What was pushed to the hub has no rejected rows.
        if manifest.in_folder("rejected") and found != source.rejected:
            yield f"{source.name}: the rejected rows are not those that the manifest counts"


def diff(before: str, after: str) -> dict[str, list[str]]:
    """Return the ids of rows by what happened to them: `+ sft/train`, `sft/train -> near duplicate`, ..."""
    old, new = _statuses(before), _statuses(after)
    changes = defaultdict[str, list[str]](list)
    for key in sorted(old.keys() | new.keys()):
        (was, old_hash), (now, new_hash) = old.get(key, ("", 0)), new.get(key, ("", 0))
        if was != now:
            changes[f"{was} -> {now}" if was and now else f"+ {now}" if now else f"- {was}"].append(key[0])
        elif old_hash != new_hash:
            changes["says something else"].append(key[0])
    return dict(sorted(changes.items()))


def _statuses(folder: str) -> dict[tuple[str, int], tuple[str, int]]:
    """Return (status, hash of the row) for each row by its id, and a number where an id stands more than once."""
    statuses: dict[tuple[str, int], tuple[str, int]] = {}
    seen = Counter[str]()
    for shard in read_manifest(folder).shards:
        split = shard.file.rsplit("-", 3)[0]
        for row in _read_shard(folder, shard).to_pylist():
            statuses[row["id"], seen[row["id"]]] = (row.get("reason", split), hash(repr(row)))
            seen[row["id"]] += 1
    return statuses


def _read_shard(folder: str, shard: Shard) -> pa.Table:
    return pq.read_table(pa.BufferReader(read(f"{folder}/{shard.file}")), use_threads=False)
