"""A look at a stage's base model before axolotl is loaded, which takes ten seconds to fail in a traceback."""

from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils.logging import set_verbosity_error

from rabbit_ko.errors import UserError, reason
from rabbit_ko.recipes import RUNS


def check_base_is_reachable(path: Path, base: str) -> None:
    """Raise UserError where the base model of the stage in `path` is neither a folder nor to be had from the hub."""
    if Path(base).is_dir() or Path(base).is_relative_to(RUNS):
        return
    set_verbosity_error()
    try:
        if not try_to_load_from_cache(base, "config.json"):
            HfApi().model_info(base)
            hf_hub_download(base, "config.json")
    except Exception as error:  # the network's, the hub's or a bad name's
        raise UserError(
            f"{path}: base_model {base} cannot be loaded: {reason(error)}; check its name and the network, and "
            "where it is gated accept its license on the hub and run `hf auth login`"
        ) from None
