"""A stage through suites: what is finished is kept, the rest is run, and its model is let go of."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.harness.backends import released
from rabbit_ko.evaluation.harness.evaluation import Evaluation
from rabbit_ko.evaluation.harness.suites import Suite
from rabbit_ko.evaluation.records import Result, finished_result, model_of
from rabbit_ko.terminal import aside, say


def measure(evaluation: Evaluation, suites: Sequence[Suite], debug: bool) -> Iterator[tuple[Result, bool]]:
    """Yield the result of each suite, and whether it is new. Raises UserError, OSError.

    debug: what the harness says goes to the terminal, and not into the stage's log.
    """
    stage = evaluation.stage
    model, log = model_of(stage, evaluation.server, evaluation.backend), stage.results / "log.txt"
    known = [(suite, finished_result(stage, suite.name, model, evaluation.settings(suite))) for suite in suites]
    is_finished = all(done for _, done in known)
    if not (is_finished or debug):
        say(f"evaluating {stage.name}; its log is {log}", is_error=True)
    with nullcontext() if is_finished else released():
        for suite, done in known:
            if done:
                yield done, False
                continue
            say(suite.terms, is_error=True)
            with aside(log, f"{stage.name}, {suite.name}", debug):
                result = harness.evaluate(evaluation, suite, model)
            if result:
                yield result, True
