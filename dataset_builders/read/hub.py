"""A hub dataset as a parquet file, which is read like any other."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, read_json, write_json


class Location(BaseModel):
    """Where rows are: a path, a URL, or the name of a dataset on the hub with the part of it that is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str = Field(min_length=1)
    subset: str | None = None
    split: str = "train"
    revision: str | None = None


def download(wanted: Location, folder: str) -> tuple[list[str], str | None]:
    """Load a dataset once, and keep it in `folder` until the build is done; return the file and the commit.

    Raises UserError where it cannot be loaded.
    """
    revision = commit_of(wanted)
    asked = f"{wanted.path}\0{wanted.subset}\0{wanted.split}\0{revision or wanted.revision}"
    name = f"{folder}/{wanted.path.replace('/', '--')}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    if read_json(f"{name}.json") is None:
        dataset = _tried(wanted, lambda: _load(wanted, revision))
        fs, _ = filesystem(folder)
        if "file" in fs.protocol:
            Path(folder).mkdir(parents=True, exist_ok=True)
        dataset.to_parquet(f"{name}.parquet")
        write_json(f"{name}.json", {"rows": len(dataset)})
    return [f"{name}.parquet"], revision


def commit_of(wanted: Location) -> str | None:
    """Return the commit that a revision stands for now; None where HF_HUB_OFFLINE forbids to ask.

    Raises UserError where the hub does not tell.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    commit: str | None = _tried(wanted, lambda: HfApi().dataset_info(wanted.path, revision=wanted.revision).sha)
    return commit


def _load(wanted: Location, revision: str | None) -> Any:
    from datasets import load_dataset
    from huggingface_hub.utils.logging import set_verbosity_error

    set_verbosity_error()
    return load_dataset(wanted.path, wanted.subset, split=wanted.split, revision=revision or wanted.revision)


def _tried(wanted: Location, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        raise UserError(
            f"{wanted.path}: no such local path, and the hub dataset cannot be loaded: {reason(error)}; "
            "check its name, revision and split, the network, and `hf auth login` where it is gated"
        ) from None
