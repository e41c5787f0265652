"""`axolotl_configs/<recipe>/pairs.yaml`: which prompts are answered how, who judges, and what becomes a pair."""

from typing import Annotated

from pydantic import Field, ValidationInfo, model_validator

from dataset_builders.recipe import Sources, check_sources, load_config
from dataset_builders.strict import Strict, read_strict
from rabbit_ko.errors import UserError
from rabbit_ko.pairs.judges import JudgeConfig
from rabbit_ko.recipes import Recipe

Stop = Annotated[str, Field(min_length=1)]


class PromptsConfig(Strict):
    """Prompts are those of the recipe's own conversations, or of sources, which are entries as in data.yaml.

    max_prompts: so many of them, drawn by the seed of data.yaml and their ids; without it, all.
    """

    max_prompts: int | None = Field(default=None, gt=0)
    sources: Sources = Field(default_factory=list)

    @model_validator(mode="after")
    def _may_be_used(self, info: ValidationInfo) -> "PromptsConfig":
        check_sources(self.sources, (info.context or {}).get("license_policy", "any"))
        return self


class SamplingConfig(Strict):
    """How answers are drawn: n to each prompt. batch_size: answers that this machine draws at a time."""

    n: int = Field(default=4, ge=2)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    max_new_tokens: int = Field(default=512, gt=0)
    stop: list[Stop] = Field(default_factory=list)
    batch_size: int = Field(default=32, gt=0)


class PairingConfig(Strict):
    """Which two answers may be a pair.

    margin: the least difference of their scores. max_length_ratio: how many times as long the longer one may be.
    max_length_bias: a judge that is a model makes no pairs where the correlation of its scores with the lengths of
    answers is beyond doubt above it; 1 lets any.
    """

    margin: float = Field(default=1.0, ge=0)
    max_length_ratio: float = Field(default=2.0, ge=1)
    max_length_bias: float = Field(default=0.5, ge=0, le=1)


class PairsConfig(Strict):
    """How a recipe's pairs are made."""

    prompts: PromptsConfig = PromptsConfig()
    sampling: SamplingConfig = SamplingConfig()
    judge: JudgeConfig
    pairing: PairingConfig = PairingConfig()

    @model_validator(mode="after")
    def _has_a_margin_that_there_can_be(self) -> "PairsConfig":
        if (widest := self.judge.widest) is not None and self.pairing.margin > widest:
            said = "are shares of wins, from 0 to 1" if widest == 1.0 else "are from 1 to 10"
            raise ValueError(f"pairing.margin: the judge's scores {said}; make it {widest:g} at most")
        return self


def read_pairs_config(recipe: Recipe) -> PairsConfig:
    """Read a recipe's pairs.yaml, whose sources are under the license policy of its data.yaml.

    Raises UserError where one of them is missing, or has a mistake.
    """
    file = recipe.config("pairs")
    if not file.exists():
        raise UserError(f"{file}: no such file; docs/preferences.md says what stands in it")
    policy = load_config(recipe.data_config).license_policy
    return read_strict(PairsConfig, file, recipe=recipe.name, license_policy=policy)
