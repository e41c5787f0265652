"""The pairs of own answers that a stage learns from: those that its YAML names, and those that come by data.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_builders.recipe import SourceConfig, load_config
from rabbit_ko.pairs.output import pairs_state
from rabbit_ko.recipes import Recipe, built_rows
from rabbit_ko.training.status import State


@dataclass(frozen=True)
class Needs:
    """Stages of the recipe by whose answers a stage learns.

    named: whose pairs its YAML reads. taken: whose pairs are a source of the data that it reads. awaited: whose pairs
    data.yaml lists, and has another source in their place, since they are not there.
    """

    named: list[str]
    taken: list[str] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)

    def states(self, recipe: Recipe) -> dict[str, str]:
        """Return the state of all pairs that are read, by stage. Raises UserError where a record is damaged."""
        return {of: pairs_state(recipe, of) for of in (*self.named, *self.taken)}

    def lacking(self, recipe: Recipe, stage: str) -> str:
        """Return what is wrong with the pairs that a stage reads, and the command for it; empty where nothing is."""
        for of, state in self.states(recipe).items():
            if state != State.CURRENT:
                goals = f"pairs {stage}" if of in self.named else f"pairs data {stage}"
                command = f"make {goals} RECIPE={recipe.name} STAGE={of}"
                return f"{stage} learns from {recipe.pairs(of)}, which is {state}; run `{command}`"
        return ""


def find_needs(recipe: Recipe, config: Mapping[str, Any]) -> Needs:
    """Return what a stage of this config learns from. Raises UserError where data.yaml has a mistake."""
    rows = built_rows(config)
    named = _stages(recipe, {path.parent for path in rows})
    if recipe.data / "dpo" not in rows or not recipe.data_config.exists():
        return Needs(named)
    entries = load_config(recipe.data_config).sources
    taken = {_folder(entry) for entry in entries if entry.source == "own_pairs"}
    others = {_folder(it.other) for it in entries if it.other and it.other.source == "own_pairs"}
    return Needs(named, _stages(recipe, taken), _stages(recipe, others - taken))


def _folder(entry: SourceConfig) -> Path:
    return Path(entry.path).parent


def _stages(recipe: Recipe, folders: set[Path]) -> list[str]:
    return sorted(folder.name for folder in folders if folder == recipe.pairs(folder.name))
