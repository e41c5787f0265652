"""`judge:` of pairs.yaml: one of three, each of which becomes its judge."""

from typing import Any

import pytest
from pydantic import ValidationError

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.pairs.config import PairsConfig
from rabbit_ko.pairs.judges import JudgeConfig, make_judge
from rabbit_ko.pairs.judges.reward_model import RewardModelJudge
from rabbit_ko.pairs.judges.rubric_judge import RubricJudge
from rabbit_ko.pairs.judges.rules import RulesJudge

SERVER = Endpoint("JUDGE", "http://127.0.0.1:1/v1", "judge", 1, 1.0)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"rules": [{"rule": "rabbit_ko.pairs.rules.ends"}]}, RulesJudge),
        ({"rubric": {}}, RubricJudge),
        ({"rubric": {"mode": "pairwise", "verdicts": 3}}, RubricJudge),
        ({"reward_model": {"model": "models/reward", "batch_size": 4, "max_length": 512}}, RewardModelJudge),
    ],
)
def test_each_kind_becomes_its_judge(config: dict[str, Any], kind: type) -> None:
    server = SERVER if "rubric" in config else None
    assert isinstance(make_judge(JudgeConfig.model_validate(config), server), kind)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "nothing given, and one judges"),
        ({"rubric": {}, "rules": [{"rule": "a.b"}]}, "rules and rubric given, and one judges"),
        ({"rules": []}, "at least 1 item"),
        ({"rules": [{"weight": 1}]}, "rule"),
        ({"rules": [{"rule": "a.b", "weight": float("nan")}]}, "finite"),
        ({"rubric": {"mode": "best"}}, "'score' or 'pairwise'"),
        ({"rubric": {"verdicts": 0}}, "greater than or equal to 1"),
        ({"rubrik": {}}, "did you mean `rubric`"),
        ({"reward_model": {"model": ""}}, "at least 1 character"),
        ({"reward_model": {"modle": "x"}}, "did you mean `model`"),
    ],
)
def test_a_mistake_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        JudgeConfig.model_validate(config)


@pytest.mark.parametrize(("mode", "widest"), [("score", 9.0), ("pairwise", 1.0)])
def test_a_margin_that_no_two_scores_have_is_refused_before_anything_is_asked(mode: str, widest: float) -> None:
    def config(margin: float) -> PairsConfig:
        judge = {"rubric": {"mode": mode}}
        return PairsConfig.model_validate({"judge": judge, "pairing": {"margin": margin}})

    assert config(widest).pairing.margin == widest
    with pytest.raises(ValidationError, match=f"pairing.margin: .*; make it {widest:g} at most"):
        config(widest + 0.1)


def test_a_rubric_without_a_server_says_what_to_give() -> None:
    with pytest.raises(UserError, match="judge: rubric: who judges"):
        make_judge(JudgeConfig.model_validate({"rubric": {}}))
