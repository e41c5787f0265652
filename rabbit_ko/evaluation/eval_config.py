"""`axolotl_configs/<recipe>/eval.yaml`: a recipe's defaults for its evaluation, which options override."""

from typing import Any

from pydantic import BaseModel, PositiveInt

from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.records import validated
from rabbit_ko.recipes import Recipe


class EvalConfig(BaseModel, extra="forbid", strict=True, frozen=True):
    """The keys of eval.yaml, none of which is needed; they are called as the options are."""

    tasks: str | None = None
    limit: PositiveInt | None = None
    hub_dir: str | None = None
    bench: str | None = None


def read_eval_config(recipe: str, **options: Any) -> EvalConfig:
    """Read a recipe's eval.yaml, if it has one, under the options that were given. Raises UserError."""
    file = Recipe(recipe).config("eval")
    config = (read_yaml(file) if file.exists() else None) or {}
    if isinstance(config, dict) and "questions" in config:
        raise UserError(f"{file}: questions: is called `bench` now, and may name a bench, too; rename it")
    given = {key: value for key, value in options.items() if value is not None}
    return validated(EvalConfig, config, str(file)).model_copy(update=given)
