"""Datasets on the hub, loaded once and kept as parquet."""

import hashlib
from collections.abc import Callable
from typing import Any

from dataset_builders.read.location import Location
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem


def download(wanted: Location, folder: str) -> tuple[list[str], str | None]:
    """Load a dataset once, and keep it in `folder`; return the file and the commit. Raises UserError."""
    commit = commit_of(wanted)
    asked = {"path": wanted.path, "name": wanted.subset, "split": wanted.split, "revision": commit or wanted.revision}
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    path = f"{folder}/{wanted.path.replace('/', '--')}-{digest}.parquet"
    fs, name = filesystem(path)
    if not fs.exists(name):
        from datasets import load_dataset
        from huggingface_hub.utils.logging import set_verbosity_error

        set_verbosity_error()
        dataset = _ask_hub(wanted, lambda: load_dataset(**asked))
        fs.makedirs(fs._parent(name), exist_ok=True)
        dataset.to_parquet(f"{path}.part")
        fs.mv(f"{name}.part", name)
    return [path], commit


def commit_of(wanted: Location) -> str | None:
    """Return the commit that a revision stands for now; None where HF_HUB_OFFLINE forbids to ask."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    commit: str | None = _ask_hub(wanted, lambda: HfApi().dataset_info(wanted.path, revision=wanted.revision).sha)
    return commit


def _ask_hub(wanted: Location, action: Callable[[], Any]) -> Any:
    from rabbit_ko import hub  # noqa: F401  whose import bounds what the hub may send

    try:
        return action()
    except Exception as error:
        said = f"{wanted.path}: no such local path, and the hub dataset cannot be loaded: {reason(error)}"
        advice = "check its name, revision and split, the network, and `hf auth login` where it is gated"
        raise UserError(f"{said}; {advice}") from None
