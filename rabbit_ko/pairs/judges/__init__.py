"""The judges of pairs: rules, a model at a server with a rubric, or a reward model; `judge:` of pairs.yaml says."""

from pydantic import Field, model_validator

from dataset_builders.strict import Strict
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.pairs.judges.reward_model import RewardModelConfig, RewardModelJudge
from rabbit_ko.pairs.judges.rubric_judge import RubricConfig, RubricJudge
from rabbit_ko.pairs.judges.rules import RuleConfig, make_rules
from rabbit_ko.pairs.records import Judge


class JudgeConfig(Strict):
    """`judge:` of pairs.yaml, one of the three."""

    rules: list[RuleConfig] | None = Field(default=None, min_length=1)
    rubric: RubricConfig | None = None
    reward_model: RewardModelConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "JudgeConfig":
        if len(given := [key for key in type(self).model_fields if getattr(self, key) is not None]) != 1:
            said = " and ".join(given) or "nothing"
            raise ValueError(
                f"{said} given, and one judges: `rules: [...]`, `rubric: {{}}` or `reward_model: {{...}}`"
            )
        return self

    @property
    def widest(self) -> float | None:
        """The widest margin that two scores can have; None where there is no bound that is known."""
        return {"score": 9.0, "pairwise": 1.0}[self.rubric.mode] if self.rubric else None


def make_judge(config: JudgeConfig, endpoint: Endpoint | None = None) -> Judge:
    """Return the judge that a config describes; endpoint: where the model of a rubric answers.

    Raises UserError where a rule cannot be found, a rubric has no model to judge by it, or a model has no rubric.
    """
    if endpoint and not config.rubric:
        judge = "rules" if config.rules else "reward_model"
        raise UserError(f"JUDGE_URL: pairs.yaml has `judge: {judge}:`, which asks no server; take JUDGE_URL away")
    if config.rules:
        return make_rules(config.rules)
    if config.reward_model:
        return RewardModelJudge(config.reward_model)
    if endpoint is None:
        raise UserError("judge: rubric: who judges? give JUDGE_URL=http://host/v1 and JUDGE_MODEL=name")
    return RubricJudge(endpoint, config.rubric or RubricConfig())
