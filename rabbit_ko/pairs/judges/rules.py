"""A judge that is rules alone: Python functions named in pairs.yaml, whose weighted sum is the score."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from rabbit_ko.errors import UserError, reason, suggest
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Judgement, Verdict
from rabbit_ko.hashing import file_digest
from rabbit_ko.pairs.records import Answer, Case, Prompt

Score = Callable[..., float]


class RuleConfig(BaseModel, extra="allow", strict=True, frozen=True):
    """`rule: module.function`, its weight in the sum, and beside them the arguments that the function takes."""

    rule: str
    weight: float = Field(default=1.0, allow_inf_nan=False)

    @property
    def arguments(self) -> dict[str, Any]:
        return self.model_extra or {}


@dataclass(frozen=True)
class RulesJudge:
    """A judge by rules, each with its function. The score of an answer is the weighted sum of theirs."""

    rules: tuple[tuple[RuleConfig, Score], ...]

    @property
    def name(self) -> str:
        return " + ".join(config.rule.removeprefix("rabbit_ko.pairs.rules.") for config, _ in self.rules)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the rules' arguments and of the files in which they stand, not of what those import."""
        return digest(
            [
                [config.model_dump(), file_digest(Path(inspect.unwrap(score).__code__.co_filename))]
                for config, score in self.rules
            ]
        )

    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        """Return no work: rules ask nobody."""
        return Work()

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt; nothing is written, since the same comes out again at no cost.

        Raises UserError where a rule fails.
        """
        return [self._judge(prompt, answers) for prompt, answers in cases]

    def _judge(self, prompt: Prompt, answers: Sequence[Answer]) -> Judgement:
        verdicts = []
        for place, answer in enumerate(answers):
            scores = [(config, _apply(config, score, prompt, answer)) for config, score in self.rules]
            total = math.fsum(config.weight * score for config, score in scores)
            said = ", ".join(f"{config.rule} {score:g}" for config, score in scores)
            verdicts.append(Verdict((place,), total, said))
        return Judgement(tuple(verdict.score for verdict in verdicts), tuple(verdicts))


def make_rules(configs: Sequence[RuleConfig]) -> RulesJudge:
    """Find the functions that a config names. Raises UserError where there is none, or it takes other arguments."""
    return RulesJudge(tuple((config, _find(config)) for config in configs))


def _find(config: RuleConfig) -> Score:
    place = f"rule: {config.rule}"
    module_name, _, name = config.rule.rpartition(".")
    if not module_name:
        raise UserError(
            f"{place}: names no function in a module; write `rabbit_ko.pairs.rules.ends`, or `my_rules.mine`"
        )
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        said = f"{module_name} cannot be imported: {type(error).__name__}: {reason(error)[:200]}"
        raise UserError(f"{place}: {said}; put {module_name.partition('.')[0]}.py beside the Makefile") from None
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        functions = [known for known, value in vars(module).items() if inspect.isfunction(value) and known[0] != "_"]
        raise UserError(f"{place}: {module_name} has no function of this name{suggest(name, functions)}")
    try:
        inspect.signature(function).bind(None, None, **config.arguments)
    except TypeError as error:
        raise UserError(f"{place}: {reason(error)}; it takes {inspect.signature(function)}") from None
    return function


def _apply(config: RuleConfig, score: Score, prompt: Prompt, answer: Answer) -> float:
    place = f"rule: {config.rule}: {prompt.id}"
    try:
        value: Any = score(prompt, answer, **config.arguments)
        value = float(value) if isinstance(value, Real) else value
    except (Exception, SystemExit) as error:
        raise UserError(f"{place}: raised {type(error).__name__}: {reason(error)[:200]}; mend the rule") from None
    if not isinstance(value, float) or not math.isfinite(value):
        raise UserError(
            f"{place}: returned {reason(ValueError(repr(value)))[:100]}, which is no score; mend the rule"
        )
    return value
