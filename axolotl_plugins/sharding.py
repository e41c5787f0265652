"""`guard_sharding`: a YAML that is laid over a stage's, to spread a run over GPUs without changing the recipe."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import yaml

from rabbit_ko.errors import UserError, reason


def lay_over(config: MutableMapping[str, Any]) -> None:
    """Put the keys of the file that `guard_sharding` names into a stage's config.

    Raises UserError where the file cannot be read, or where both ask for different things.
    """
    name = config.get("guard_sharding")
    if not name:
        return
    try:
        keys = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"guard_sharding: {name}: {reason(error)}") from error
    if not isinstance(keys, dict):
        raise UserError(f"guard_sharding: {name}: must hold `key: value` lines")
    for key, value in keys.items():
        if config.get(key) not in (None, value):
            raise UserError(f"guard_sharding: {name} and the stage both set `{key}`; take it away in one of them")
        config[key] = value
