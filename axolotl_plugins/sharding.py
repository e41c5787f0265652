"""`guard_sharding`: a YAML that is laid over a stage's, to spread a run over GPUs without changing the recipe."""

from pathlib import Path
from typing import Any

import yaml

from rabbit_ko.errors import reason


def lay_over(cfg: Any) -> None:
    """Put the keys of the file that `guard_sharding` names into a stage's config.

    Raises ValueError with one line where the file cannot be read, or where both ask for different things.
    """
    name = cfg.get("guard_sharding")
    if not name:
        return
    try:
        keys = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"guard_sharding: {name}: {reason(error)}") from error
    if not isinstance(keys, dict):
        raise ValueError(f"guard_sharding: {name}: must hold `key: value` lines")
    for key, value in keys.items():
        if cfg.get(key) not in (None, value):
            raise ValueError(f"guard_sharding: {name} and the stage both set `{key}`; take it away in one of them")
        cfg[key] = value
