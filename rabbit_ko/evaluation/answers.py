"""What a stage answered to a harness's items: right and wrong ones to look at, in the terminal or as a page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.intervals import Share, share_of
from rabbit_ko.evaluation.records import ANSWERS, Answer, State, read_answers
from rabbit_ko.evaluation.results.report import STALE
from rabbit_ko.evaluation.results.table import read_results
from rabbit_ko.recipes import Recipe

# Of a prompt the end is what is asked; shots and a text to read stand before it.
END = 600
PAGE = "answers.html.jinja"
FOLDER = Path(__file__).parent


@dataclass
class Answered:
    """A suite's answers: how many are right, and the first of those that are asked for, wrong ones in front.

    task: the only one of its tasks that they are of, if so.
    """

    suite: str
    task: str = ""
    is_stale: bool = False
    outcomes: list[bool] = field(default_factory=list)
    shown: list[Answer] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What they answer."""
        return f"{self.suite}, {self.task}" if self.task else self.suite

    @property
    def share(self) -> Share:
        return share_of(self.outcomes)

    @property
    def terms(self) -> str:
        """What the license of the questions asks."""
        return SUITES[self.suite].terms if self.suite in SUITES else ""

    @property
    def warning(self) -> str:
        """Whose the answers are, where they are not those of the stage's model as it is now."""
        return f"{STALE} of an earlier model of this stage; measure it again" if self.is_stale else ""


def answered(recipe: Recipe, stage: str, task: str, right: bool | None, most: int) -> list[Answered]:
    """Return the answers of a stage's suites, or of one suite or task.

    right: only right or wrong ones. most: so many of each suite and outcome. Raises UserError where there are none.
    """
    folder = recipe.results / stage
    suites = sorted(file.name.removesuffix(f".{ANSWERS}") for file in folder.glob(f"*.{ANSWERS}"))
    found = [_answered(folder, suite, task, right, most) for suite in suites]
    kept = [each for each in found if each.outcomes]
    if not kept:
        of, tasks = f"of {task} " if task else "", f" TASKS={task}" if task in SUITES else ""
        advice = f"run `make eval RECIPE={recipe.name} STAGE={stage}{tasks}`"
        if suites and task not in SUITES:
            advice = f"there are those of {', '.join(suites)}, and of their tasks"
        raise UserError(f"{folder}: no answers {of}are kept; {advice}")
    stale = {result.task for result in read_results(recipe.name, stage) if result.state is State.STALE}
    for each in kept:
        each.is_stale = each.suite in stale
    return kept


def _answered(folder: Path, suite: str, task: str, right: bool | None, most: int) -> Answered:
    found = Answered(suite, "" if task == suite else task)
    shown: dict[bool, list[Answer]] = {False: [], True: []}
    for answer in read_answers(folder, suite):
        if task in ("", suite, answer.task):
            found.outcomes.append(answer.is_right)
            if right in (None, answer.is_right) and len(shown[answer.is_right]) < most:
                shown[answer.is_right].append(answer)
    found.shown = [*shown[False], *shown[True]]
    return found


def lines(found: Answered) -> Iterator[str]:
    """Yield a suite's answers for the terminal."""
    share = found.share
    assert share.value is not None
    yield f"{found.name}: {sum(found.outcomes):,} of {share.of:,} right, {share.low:.1%} to {share.high:.1%}"
    if found.warning:
        yield found.warning
    yield found.terms
    for answer in found.shown:
        yield f"\n{'right' if answer.is_right else 'WRONG'}  {answer.task}  {answer.item[:12]}"
        yield _block("asked", end_of(answer.prompt))
        yield _block("answer", answer.answer)
        yield from (_block(f"read, {name}", text) for name, text in answer.read.items())
        yield _block("wanted", answer.target)
        yield from (_block("choice", f"{value:10.3f}  {text.strip()}") for text, value in answer.choices)


def end_of(prompt: str) -> str:
    """Return the end of a prompt, from the beginning of a line where there is one."""
    if len(prompt) <= END:
        return prompt.strip()
    _, line, rest = prompt[-END:].partition("\n")
    return f"… {(rest if line else prompt[-END:]).strip()}"


def _block(name: str, text: str) -> str:
    first, *others = text.strip().splitlines() or [""]
    return "\n".join([f"  {name + ':':10} {first}", *(f"{'':13}{line}" for line in others)])
