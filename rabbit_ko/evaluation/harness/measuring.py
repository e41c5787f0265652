"""A stage through suites: what is finished is kept, the rest is run, and its model is let go of."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.harness.backends import released
from rabbit_ko.evaluation.harness.evaluation import Evaluation
from rabbit_ko.evaluation.harness.suites import Suite
from rabbit_ko.evaluation.records import LIMIT, Model, Result, finished_result, has_fewer_items, model_of, read_result
from rabbit_ko.terminal import aside, say


def measure(evaluation: Evaluation, suites: Sequence[Suite], debug: bool) -> Iterator[tuple[Result, bool]]:
    """Yield the result of each suite, and whether it is new. Raises UserError, OSError.

    debug: what the harness says goes to the terminal, and not into the stage's log.
    """
    stage = evaluation.stage
    model, log = model_of(stage, evaluation.server, evaluation.backend), stage.results / "log.txt"
    known = [(suite, _finished(evaluation, suite, model)) for suite in suites]
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


def _finished(evaluation: Evaluation, suite: Suite, model: Model) -> Result | None:
    """Return the suite's result if it need not be run, and say where that has more items than are asked for.

    Raises UserError where fewer items, asked in another way, would replace those of the same model.
    """
    stage, settings = evaluation.stage, evaluation.settings(suite)
    file = stage.results / f"{suite.name}.json"
    if done := finished_result(stage, suite.name, model, settings):
        if has_fewer_items(settings, done.settings):
            say(
                f"{suite.name}: more items than asked for are finished, and stay; to ask fewer, move {file}",
                is_error=True,
            )
        return done
    old = read_result(stage.results, suite.name)
    if old and old.model.fingerprint == model.fingerprint and has_fewer_items(settings, old.settings):
        asked = f"the first {settings[LIMIT]} of each task, asked in another way, would replace them"
        raise UserError(
            f"{file}: has more items of this model; {asked}; move the file away, or set LIMIT=0 to ask all"
        )
    return None
