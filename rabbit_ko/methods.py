"""The training methods: the rows that each learns from, axolotl's name for it, and the model that it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, get_args

from rabbit_ko.errors import UserError

# The kinds of rows, which are the names of the folders of their shards.
RowKind = Literal["sft", "dpo", "kto"]
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)


@dataclass(frozen=True)
class Method:
    """A way to train, and the stage of a recipe that does it.

    name: the stage's YAML, `rabbit <name>`, and the folder `runs/<recipe>/<name>`. rows: the shards that it reads,
    conversations (sft) or preferences (dpo). rl: axolotl's `rl`; None for supervised fine-tuning. parent: the stage
    whose merged model it starts from, where the recipe has that stage; otherwise it starts from the recipe's base.
    """

    name: str
    rows: RowKind
    rl: str | None
    parent: str | None


METHODS = {
    method.name: method
    for method in (
        Method("sft", rows="sft", rl=None, parent=None),
        Method("dpo", rows="dpo", rl="dpo", parent="sft"),
        Method("ipo", rows="dpo", rl="ipo", parent="sft"),
    )
}


def method_of(config: Mapping[str, Any]) -> Method:
    """Return the method of a stage's config: that of its file's name where `rl` is that one's, else by its `rl`.

    Raises UserError where it is none of METHODS.
    """
    rl = config.get("rl")
    named = METHODS.get(PurePath(str(config.get("axolotl_config_path"))).stem)
    methods = [named, *METHODS.values()] if named else [*METHODS.values()]
    found = next((method for method in methods if method.rl == rl), None)
    if found is None:
        known = ", ".join(method.rl for method in METHODS.values() if method.rl)
        raise UserError(f"rl: `{rl}` is not a method of this project; known are {known}, and SFT without `rl`")
    return found
