"""Publish a folder of shards: to the hub in one commit, or to any fsspec URL with the manifest last."""

import hashlib
import re
from pathlib import Path

from dataset_builders.manifest import MANIFEST, Manifest, PromptSource, SourceSummary, read_manifest
from rabbit_ko import hub
from rabbit_ko.errors import UserError, reason
from rabbit_ko.hashing import file_digest
from rabbit_ko.methods import ROW_KINDS
from rabbit_ko.publishing.dataset_card import render_card
from rabbit_ko.secrets import hide, redact
from rabbit_ko.storage import filesystem, is_url, remove, remove_leftovers, write


def push(folder: Path, target: str, public: bool) -> str:
    """Push to a URL, or with a dataset card to the hub; return the URL of what is there. Raises UserError."""
    shown: str = redact(target)
    if is_url(target) and public:
        raise UserError(f"{shown}: PUBLIC is for the hub; who may read a URL is set where it is")
    manifest = pushable(folder)
    if not is_url(target):
        files: hub.Files = {shard.file: folder / shard.file for shard in manifest.shards}
        files["README.md"] = render_card(manifest, folder, target).encode()
        files[MANIFEST] = manifest.to_json().encode()
        return hub.commit(target, files, f"Data {manifest.fingerprint[:12]}", public)
    if re.match(r"(hf|https?)://", target):
        raise UserError(f"{shown}: cannot be written as a folder; for the hub say org/name")
    try:
        _copy(folder, manifest, target.rstrip("/"))
    except Exception as error:
        said = f"{target}: cannot be written: {reason(error)}; check the URL and its credentials"
        raise UserError(hide(str(error) if isinstance(error, UserError) else said)) from None
    return shown


def pushable(folder: Path) -> Manifest:
    """Return the manifest with the pushed shards only. Raises UserError for a license or a file that forbids it."""
    manifest = read_manifest(str(folder))
    for source in manifest.sources:
        of = f"source `{source.name}`, {source.path}"
        _check_license(source, of, "`make data`")
        for each in source.prompt_sources:
            _check_license(each, f"{of}, has prompts of `{each.name}`, {each.path}", "`make pairs` and `make data`")
    shards = [shard for kind in ROW_KINDS for shard in manifest.in_folder(kind)]
    if not shards:
        raise UserError(f"{folder}: its manifest lists no shard; run `make data` again")
    for path, digest in ((folder / shard.file, shard.sha256) for shard in shards):
        if not path.is_file() or file_digest(path) != digest:
            raise UserError(f"{path}: is missing, or not what the manifest says; run `make data` again")
    return manifest.model_copy(update={"shards": shards})


def _check_license(source: SourceSummary | PromptSource, said: str, again: str) -> None:
    license = source.license
    name = f"{license.name} (stated at {license.stated})" if license.stated else license.name
    if license.redistribution is False:
        raise UserError(
            f"{said}: its license, {name}, forbids redistribution; take it out of data.yaml to push the rest"
        )
    if license.redistribution is None and not source.license_accepted:
        accept = "give a reason where it is listed, `license_accepted: <reason>`"
        advice = f"take it out, or {accept}, and run {again} again"
        raise UserError(f"{said}: nothing allows redistribution; license: {name}; {advice}")


def _copy(folder: Path, manifest: Manifest, url: str) -> None:
    """Copy shards, then the manifest, and remove older shards; an incomplete folder has no manifest."""
    fs, root = filesystem(url)
    if "file" in fs.protocol and Path(root).resolve() == folder.resolve():
        raise UserError(f"{folder}: cannot be pushed onto itself; give another URL")
    fs.invalidate_cache()
    remove(f"{url}/{MANIFEST}")
    remove_leftovers(url)
    for shard in manifest.shards:
        content = (folder / shard.file).read_bytes()
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            raise UserError(f"{folder / shard.file}: changed during the push; let it be, and push again")
        write(f"{url}/{shard.file}", content)
    old = {name for kind in ROW_KINDS for name in fs.find(f"{root}/{kind}") if name.endswith(".parquet")}
    for name in old - {f"{root}/{shard.file}" for shard in manifest.shards}:
        fs.rm_file(name)
    write(f"{url}/{MANIFEST}", manifest.to_json().encode())
