"""The training methods: the rows that each learns from, axolotl's name for it, and the model that it starts from."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal, get_args

from rabbit_ko.errors import UnknownName, UserError, suggest

# The kinds of rows, which are the names of the folders of their shards.
RowKind = Literal["sft", "dpo", "kto"]
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)


@dataclass(frozen=True)
class Method:
    """A way to train, and the stage of a recipe that does it.

    name: the stage's YAML, `rabbit <name>`, and the folder `runs/<recipe>/<name>`. rows: the shards that it reads,
    conversations (sft), pairs (dpo), or labelled answers (kto), which can also be those of pairs. rl: axolotl's `rl`;
    None for supervised fine-tuning. parent: the stage whose merged model it starts from, where the recipe has that
    stage; otherwise it starts from the recipe's base.
    """

    name: str
    rows: RowKind
    rl: str | None
    parent: str | None

    @property
    def has_reference(self) -> bool:
        """Whether the model is compared with what it was before the first step."""
        return self.rl in ("dpo", "ipo", "kto")


METHODS = {
    method.name: method
    for method in (
        Method("sft", rows="sft", rl=None, parent=None),
        Method("dpo", rows="dpo", rl="dpo", parent="sft"),
        Method("ipo", rows="dpo", rl="ipo", parent="sft"),
        Method("orpo", rows="dpo", rl="orpo", parent=None),
        Method("simpo", rows="dpo", rl="simpo", parent="sft"),
        Method("kto", rows="kto", rl="kto", parent="sft"),
    )
}
# A round on pairs of answers that the stage before it gives: `dpo-1` starts from SFT, and `dpo-2` from `dpo-1`.
_ROUND = re.compile(r"([a-z]+)-([1-9][0-9]?)")


def round_of(method: str, number: int) -> str:
    """Return the stage that is a method's round, counted from 1."""
    return f"{method}-{number}"


def find_method(stage: str) -> Method | None:
    """Return the method of a stage, named after it: one of METHODS, or a round of one that has a parent."""
    found = _ROUND.fullmatch(stage)
    method = METHODS.get(found[1]) if found else None
    if found is None or method is None or method.parent is None:
        return METHODS.get(stage)
    number = int(found[2])
    return replace(method, name=stage, parent=method.parent if number == 1 else round_of(method.name, number - 1))


def stages_in(names: Iterable[str]) -> list[Method]:
    """Return the methods of those names that a stage can have: in the order of METHODS, then rounds by number."""
    found = [method for name in set(names) if (method := find_method(name))]
    return sorted(found, key=_place)


def _place(method: Method) -> tuple[bool, int, int]:
    name, is_round, number = method.name.partition("-")
    return bool(is_round), [*METHODS].index(name), int(number or 0)


def stage_method(stage: str, *others: str) -> Method:
    """Return the method of a stage. Raises UnknownName where there is none; others: what may stand there, too."""
    if method := find_method(stage):
        return method
    raise UnknownName(f"STAGE={stage}: there is no such stage{suggest(stage, (*others, *METHODS))}")


def method_of(config: Mapping[str, Any]) -> Method:
    """Return the method of a stage's config: that of its file's name where `rl` is that one's, else by its `rl`.

    Raises UserError where it is none of METHODS.
    """
    rl = config.get("rl")
    named = find_method(PurePath(str(config.get("axolotl_config_path"))).stem)
    methods = [named, *METHODS.values()] if named else [*METHODS.values()]
    found = next((method for method in methods if method.rl == rl), None)
    if found is None:
        known = ", ".join(method.rl for method in METHODS.values() if method.rl)
        raise UserError(f"rl: `{rl}` is not a method of this project; known are {known}, and SFT without `rl`")
    return found
