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
from rabbit_ko.documents import NotAllowed
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import versions
from rabbit_ko.recipes import RUN_FILE, Recipe
from rabbit_ko.run_record import RunRecord, check_files, read_run

# Where these have changed, a model may be served other tokens than it was trained on.
TOKENIZING = ("tokenizers", "transformers")


class State(StrEnum):
    """What there is of a stage."""

    MISSING = "missing"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    STALE = "stale"
    CHANGED = "changed"
    CURRENT = "up to date"


@dataclass(frozen=True)
class Status:
    """A stage, and what is to be known of its state: the step of an interruption, what changed, which process.

    It is stale where what it was made of has changed since, and changed where its own files have.
    """

    stage: str
    state: State
    detail: str = ""

    def __str__(self) -> str:
        between = ": " if self.state in (State.STALE, State.CHANGED) else " "
        return f"{self.state}{between}{self.detail}" if self.detail else str(self.state)


def stage_status(recipe: Recipe, stage: str, overrides: Mapping[str, Any] | None = None) -> Status:
    """Return the state of a stage, and of a stale one what has changed since.

    overrides: those that the stage is to run with; without any named, those of its last run. A stage is stale, too,
    where the stage that it starts from is, and missing where its weights are. Raises UserError where the stage's YAML
    cannot be read, and where its `run.json` may not be.
    """
    folder = recipe.run(stage)
    if process := holder(folder):
        return Status(stage, State.RUNNING, f"as {process}")
    has_model = any(folder.glob("*.safetensors"))
    try:
        run = read_run(folder)
    except NotAllowed:
        raise
    except UserError as error:
        if has_model and (folder / RUN_FILE).exists():
            return Status(stage, State.CHANGED, str(error))
    else:
        if has_model:
            return _finished(recipe, stage, run, run.overrides if overrides is None else overrides)
    for checkpoint in checkpoints(folder):
        return Status(stage, State.INTERRUPTED, f"at step {checkpoint.name.rpartition('-')[2]}")
    return Status(stage, State.MISSING)


def check_current(recipe: Recipe, stage: str, goals: str, lead: str = "") -> None:
    """Raise UserError where a stage is not up to date. goals: what to make once it is; lead: begins the line."""
    status = stage_status(recipe, stage)
    if status.state is State.CHANGED:
        raise UserError(f"{lead}{status.detail}")
    if status.state is not State.CURRENT:
        raise UserError(f"{lead}{recipe.run(stage)} is {status}; run `make {stage} {goals} RECIPE={recipe.name}`")


def _finished(recipe: Recipe, stage: str, run: RunRecord, wanted: Mapping[str, Any]) -> Status:
    parent = recipe.parent(stage)
    if parent and (start := stage_status(recipe, parent)).state is not State.CURRENT:
        return Status(stage, State.STALE, f"since {parent} is {start}")
    if (
        parent
        and (recipe.run(parent) / "merged").exists()
        and not merged_is_current(recipe.run(parent), thorough=False)
    ):
        return Status(stage, State.STALE, f"since what is merged is not {parent} as it is now")
    recorded: Identity = run.made_of
    if not recorded:
        return Status(stage, State.STALE, "since its run.json is of an earlier version of this project")
    before = {**made_of(recorded), **releases(run.versions)}
    now = {**made_of(stage_identity(recipe.config(stage), wanted)), **releases(versions(run.versions))}
    if changed := changes(before, now):
        return Status(stage, State.STALE, changed)
    try:
        check_files(recipe.run(stage), run, thorough=False)
    except UserError as error:
        return Status(stage, State.CHANGED, str(error))
    given = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return Status(stage, State.CURRENT, given and f"with {given}")


def releases(installed: Mapping[str, str]) -> dict[str, str]:
    """Return what of versions changes where a release may break something: up to the first number that is not 0."""
    matches = {name: re.match(r"(0\.)*\d+", installed[name]) for name in TOKENIZING if name in installed}
    return {f"version.{name}": match[0] for name, match in matches.items() if match}
