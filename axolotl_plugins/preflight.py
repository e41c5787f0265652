"""Look at a stage's YAML before axolotl does, which takes ten seconds to say so in a traceback.

python -m axolotl_plugins.preflight axolotl_configs/smoke/sft.yaml
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from rabbit_ko.errors import reason
from rabbit_ko.recipes import GUARD


def read_config(path: Path) -> dict[str, Any]:
    """Read a stage's YAML; raises SystemExit with one line where it is no mapping or does not name the guard."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: not valid YAML: {reason(error)}") from None
    if not isinstance(config, dict):
        raise SystemExit(f"{path}: must hold `key: value` lines")
    if GUARD not in str(config.get("plugins")):
        raise SystemExit(f"{path}: add `- {GUARD}` under `plugins:`; without it a run is not checked")
    return config


def check_base_is_reachable(path: Path, base: str) -> None:
    """Raise SystemExit with one line where a base model is neither a folder nor to be had from the hub."""
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils.logging import set_verbosity_error

    if Path(base).is_dir() or base.startswith("runs/"):
        return
    set_verbosity_error()
    try:
        if not try_to_load_from_cache(base, "config.json"):
            HfApi().model_info(base)
            hf_hub_download(base, "config.json")
    except Exception as error:
        raise SystemExit(
            f"{path}: base_model {base} cannot be loaded: {reason(error)}; check its name and the network, and "
            "where it is gated accept its license on the hub and run `hf auth login`"
        ) from None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m axolotl_plugins.preflight CONFIG.YAML")
    config_path = Path(sys.argv[1])
    check_base_is_reachable(config_path, str(read_config(config_path).get("base_model")))
