"""Whether a stage is up to date: told by what its run says that it was made of, never by a file's time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from axolotl_plugins.checks.base_model import merged_is_current
from axolotl_plugins.resume.checkpoints import checkpoints
from axolotl_plugins.resume.identity import Identity, changes, made_of, stage_identity
from axolotl_plugins.run_folder import holder
from rabbit_ko import run_record
from rabbit_ko.documents import NotAllowed
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import versions
from rabbit_ko.recipes import Recipe
from rabbit_ko.run_record import RunRecord, check_files

# Where these have changed, a model may be served other tokens than it was trained on.
TOKENIZING = ("tokenizers", "transformers")


class State(StrEnum):
    """What there is of a stage."""

    MISSING = "missing"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    STALE = "stale"
    CURRENT = "up to date"


@dataclass(frozen=True)
class Status:
    """A stage, and what is to be known of its state: the step of an interruption, what changed, which process."""

    stage: str
    state: State
    detail: str = ""

    def __str__(self) -> str:
        between = ": " if self.state is State.STALE else " "
        return f"{self.state}{between}{self.detail}" if self.detail else str(self.state)


def stage_status(recipe: Recipe, stage: str, overrides: Mapping[str, Any] | None = None) -> Status:
    """Return the state of a stage, and of a stale one what has changed since.

    overrides: those that the stage is to run with; without any named, those of its last run. A stage is stale, too,
    where the stage that it starts from is, and missing where its weights are. Raises UserError where the stage's YAML
    cannot be read.
    """
    if process := holder(recipe.run(stage)):
        return Status(stage, State.RUNNING, f"as {process}")
    run = read_run(recipe, stage)
    if run is None or not any(recipe.run(stage).glob("*.safetensors")):
        for checkpoint in checkpoints(recipe.run(stage)):
            return Status(stage, State.INTERRUPTED, f"at step {checkpoint.name.rpartition('-')[2]}")
        return Status(stage, State.MISSING)
    parent = recipe.parent(stage)
    if parent and (start := stage_status(recipe, parent)).state is not State.CURRENT:
        return Status(stage, State.STALE, f"since {parent} is {start}")
    if parent and (recipe.run(parent) / "merged").exists() and not merged_is_current(recipe.run(parent), False):
        return Status(stage, State.STALE, f"since what is merged is not {parent} as it is now")
    recorded: Identity = run.made_of
    if not recorded:
        return Status(stage, State.STALE, "since its run.json is of an earlier version of this project")
    try:
        check_files(recipe.run(stage), run, thorough=False)
    except UserError as error:
        return Status(stage, State.STALE, str(error).partition(";")[0])
    wanted, installed = run.overrides if overrides is None else overrides, run.versions
    before = {**made_of(recorded), **releases(installed)}
    now = {**made_of(stage_identity(recipe.config(stage), wanted)), **releases(versions(installed))}
    if changed := changes(before, now):
        return Status(stage, State.STALE, changed)
    given = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return Status(stage, State.CURRENT, given and f"with {given}")


def releases(installed: Mapping[str, str]) -> dict[str, str]:
    """Return what of versions changes where a release may break something: up to the first number that is not 0."""
    matches = {name: re.match(r"(0\.)*\d+", installed[name]) for name in TOKENIZING if name in installed}
    return {f"version.{name}": match[0] for name, match in matches.items() if match}


def read_run(recipe: Recipe, stage: str) -> RunRecord | None:
    """Return what a stage's finished run has left in run.json; None where there is none, or it is damaged.

    Raises UserError where it may not be read.
    """
    try:
        return run_record.read_run(recipe.run(stage))
    except NotAllowed:
        raise
    except UserError:
        return None
