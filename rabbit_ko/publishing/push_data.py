"""Publish a recipe's data: to the hub in one commit, or to any fsspec URL with the manifest last.

Before anything is sent, each source's license must allow it, and each shard must be what the manifest says. Rejected
rows are never sent.
"""

import hashlib
import re
from pathlib import Path

from dataset_builders.manifest import MANIFEST, Manifest, Shard, SourceSummary
from dataset_builders.verify import read_manifest
from rabbit_ko import hub
from rabbit_ko.errors import UserError, reason
from rabbit_ko.publishing.dataset_card import render_card
from rabbit_ko.storage import filesystem, is_url, remove, write

PUSHED = ("sft", "dpo")


def push(folder: Path, target: str, public: bool) -> str:
    """Push to a URL, or else to the hub dataset `org/name`; return the URL of what is there now.

    Raises UserError.
    """
    if not is_url(target):
        return push_to_hub(folder, target, public)
    if public:
        raise UserError(f"{_without_password(target)}: PUBLIC is for the hub; who may read a URL is set where it is")
    push_to_url(folder, target)
    return _without_password(target)


def push_to_hub(folder: Path, repo: str, public: bool) -> str:
    """Push shards, card and manifest to the hub dataset `org/name` in one commit; return the commit's URL.

    Raises UserError where the data may not be pushed, and as `hub.commit` does.
    """
    manifest = pushable(folder)
    files: hub.Files = {shard.file: folder / shard.file for shard in manifest.shards}
    files["README.md"] = render_card(manifest, folder, repo).encode()
    files[MANIFEST] = manifest.to_json().encode()
    return hub.commit(repo, files, f"Data {manifest.fingerprint[:12]}", public)


def push_to_url(folder: Path, url: str) -> None:
    """Copy shards and manifest to an fsspec URL, such as `s3://bucket/folder`.

    The manifest goes first and comes back last, so that a folder with a manifest is whole; shards of an earlier push
    go. Raises UserError where the data may not be pushed or the URL cannot be written.
    """
    manifest = pushable(folder)
    if re.match(r"(hf|https?)://", url):
        raise UserError(f"{_without_password(url)}: cannot be written as a folder; for the hub say org/name")
    try:
        _copy(folder, manifest, url.rstrip("/"))
    except UserError:
        raise
    except Exception as error:
        line = f"{url}: cannot be written: {reason(error)}; check the URL and its credentials"
        raise UserError(_without_password(line)) from None


def pushable(folder: Path) -> Manifest:
    """Return the manifest with the pushed shards only, after all that it says about licenses and bytes is checked.

    Raises UserError where a license does not allow to push, or a file is not what the manifest says.
    """
    manifest = read_manifest(str(folder))
    for source in manifest.sources:
        _check_license(source)
    shards = [shard for stage in PUSHED for shard in manifest.in_folder(stage)]
    if not shards:
        raise UserError(f"{folder}: its manifest lists no shard; run `make data` again")
    for shard in shards:
        _check_shard(folder, shard)
    return manifest.model_copy(update={"shards": shards})


def _check_license(source: SourceSummary) -> None:
    license = source.license
    stated = f" (stated at {license.stated})" if license.stated else ""
    if license.redistribution is False:
        raise UserError(
            f"source `{source.name}`, {source.path}: its license, {license.name}{stated}, forbids redistribution; "
            "take it out of data.yaml to push the rest"
        )
    if license.redistribution is None and not source.license_accepted:
        raise UserError(
            f"source `{source.name}`, {source.path}: nothing allows redistribution; license: {license.name}{stated}; "
            "take it out, or give a reason in data.yaml, `license_accepted: <reason>`, and run `make data` again"
        )


def _check_shard(folder: Path, shard: Shard) -> None:
    path = folder / shard.file
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path}: is missing, but the manifest lists it; run `make data` again") from None
    if digest != shard.sha256:
        raise UserError(f"{path}: is not what the manifest says; run `make data` again")


def _copy(folder: Path, manifest: Manifest, url: str) -> None:
    fs, root = filesystem(url)
    if "file" in fs.protocol and Path(root).resolve() == folder.resolve():
        raise UserError(f"{folder}: cannot be pushed onto itself; give another URL")
    fs.invalidate_cache()
    remove(f"{url}/{MANIFEST}")
    for shard in manifest.shards:
        write(f"{url}/{shard.file}", (folder / shard.file).read_bytes())
    names = {f"{root}/{shard.file}" for shard in manifest.shards}
    for stage in PUSHED:
        for name in set(fs.find(f"{root}/{stage}")) - names:
            if name.endswith(".parquet"):
                fs.rm_file(name)
    write(f"{url}/{MANIFEST}", manifest.to_json().encode())


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
