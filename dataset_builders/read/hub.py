"""A hub dataset as a parquet file, which is read like any other."""

import hashlib
from collections.abc import Callable
from typing import Any

from pydantic import Field

from dataset_builders.strict import Strict
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem


class Location(Strict):
    """Where rows are: a path, a URL, or the name of a dataset on the hub with the part of it that is meant."""

    path: str = Field(min_length=1)
    subset: str | None = None
    split: str = "train"
    revision: str | None = None


def download(wanted: Location, folder: str) -> tuple[str, str | None]:
    """Load a dataset once, and keep it in `folder` until the build is done; return the file and the commit.

    Raises UserError where it cannot be loaded.
    """
    commit = commit_of(wanted)
    asked = f"{wanted.path}\0{wanted.subset}\0{wanted.split}\0{commit or wanted.revision}"
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    path = f"{folder}/{wanted.path.replace('/', '--')}-{digest}.parquet"
    fs, name = filesystem(path)
    if not fs.exists(name):
        dataset = _tried(wanted, lambda: _load(wanted, commit))
        fs.makedirs(fs._parent(name), exist_ok=True)
        dataset.to_parquet(f"{path}.part")
        fs.mv(f"{name}.part", name)
    return path, commit


def commit_of(wanted: Location) -> str | None:
    """Return the commit that a revision stands for now; None where HF_HUB_OFFLINE forbids to ask.

    Raises UserError where the hub does not tell.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    commit: str | None = _tried(wanted, lambda: HfApi().dataset_info(wanted.path, revision=wanted.revision).sha)
    return commit


def _load(wanted: Location, commit: str | None) -> Any:
    from datasets import load_dataset
    from huggingface_hub.utils.logging import set_verbosity_error

    set_verbosity_error()
    return load_dataset(wanted.path, wanted.subset, split=wanted.split, revision=commit or wanted.revision)


def _tried(wanted: Location, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        raise UserError(
            f"{wanted.path}: no such local path, and the hub dataset cannot be loaded: {reason(error)}; "
            "check its name, revision and split, the network, and `hf auth login` where it is gated"
        ) from None
