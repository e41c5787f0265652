"""`axolotl_configs/<recipe>/eval.yaml`: a recipe's defaults for its evaluation, which options override."""

from typing import Annotated

import yaml
from pydantic import BaseModel, Field

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.records import validated
from rabbit_ko.recipes import Recipe


class EvalConfig(BaseModel, extra="forbid", strict=True, frozen=True):
    """The keys of eval.yaml, none of which is needed.

    tasks: suites, separated by commas. limit: only the first items of each task. hub_dir: a local folder laid out
    like the hub, in its place. questions: a file of LogicKor's questions.
    """

    tasks: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    hub_dir: str | None = None
    questions: str | None = None


def read_eval_config(recipe: str) -> EvalConfig:
    """Read a recipe's eval.yaml; nothing is set where it has none. Raises UserError where it is not valid."""
    file = Recipe(recipe).config("eval")
    if not file.exists():
        return EvalConfig()
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not valid YAML: {reason(error)}") from None
    return validated(EvalConfig, config, str(file))
