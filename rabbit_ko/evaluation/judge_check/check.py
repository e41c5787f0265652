"""A judge through its check: what it is asked, what its verdicts tell, and the record of it beside the journals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.journal import digest, locked, mend
from rabbit_ko.evaluation.judge.asking import Replies
from rabbit_ko.evaluation.judge.deciding import deciding_files
from rabbit_ko.evaluation.judge.names import file_name, name_of
from rabbit_ko.evaluation.judge.servers import note_server
from rabbit_ko.evaluation.judge.verdicts import Mode
from rabbit_ko.evaluation.judge.wanted import How
from rabbit_ko.evaluation.judge_check.agreement import agreement
from rabbit_ko.evaluation.judge_check.asking import MODES, Plan, Read, announced, ask, counted, judged, make_plan
from rabbit_ko.evaluation.judge_check.examples import Example, examples
from rabbit_ko.evaluation.judge_check.items import SAMPLES, read_items
from rabbit_ko.evaluation.judge_check.measures import measure
from rabbit_ko.evaluation.judge_check.readings import Figure, Reading, figures, of_differences, readings
from rabbit_ko.evaluation.judge_check.sample_size import Variances, questions_needed, variances
from rabbit_ko.hashing import files_digest
from rabbit_ko.recipes import RUNS
from rabbit_ko.terminal import say

FOLDER, PAGE = Path(__file__).parent, "check.html.jinja"
USUAL = How(verdicts=3)
# In points between two stages, and verdicts on each answer: a single one is given at another temperature, and of it
# tells only what was asked once.
DIFFERENCES, SINGLE, VERDICTS = (0.1, 0.2, 0.5, 1.0), (1,), (3, 10)


@dataclass(frozen=True)
class Check:
    """What a judge is worth. read: what became of the verdicts that were wanted.

    temperature: at which it was asked, where it takes one. needed: questions, by the difference that is to be seen
    and by the verdicts on each answer; None where that is not known.
    """

    judge: str
    items: str
    questions: int
    answers: int
    rubric: str
    repeats: int
    temperature: float
    made_of: Mapping[str, str]
    read: Mapping[Mode, Read]
    figures: Sequence[Figure]
    readings: Sequence[Reading]
    variances: Variances | None
    needed: Mapping[float, Mapping[int, int | None]]
    examples: Sequence[Example]

    @property
    def record(self) -> dict[str, Any]:
        """The check as JSON can hold it."""
        return asdict(self) | {
            "read": {mode: read._asdict() for mode, read in self.read.items()},
            "figures": [figure._asdict() for figure in self.figures],
            "readings": [reading._asdict() for reading in self.readings],
            "examples": [example._asdict() for example in self.examples],
        }


def folder_of(judge: str) -> Path:
    """Return the folder of what a judge has said, and of its check."""
    return RUNS / "judges" / file_name(judge)


def name_of_check(file: Path | None, how: How) -> str:
    """Return the name of a check's files, which no check with other items, by another rubric or repeats has."""
    return f"check{f'+{name_of(file)}' if file else ''}{how.unlike(USUAL)}"


def check_judge(judge: Endpoint, file: Path | None, how: How, most: int | None = None) -> Check | None:
    """Ask a judge about the items of a file, or this project's own; return what it is worth, and leave the record.

    how: with the verdicts on each answer. most: requests that may be sent; with 0 it is told how many are needed, and
    where any are, nothing is returned. What was answered is not asked again.
    Raises UserError, OSError.
    """
    items, folder = read_items(file or SAMPLES), folder_of(judge.model)
    with locked(folder):
        plan = make_plan(judge, items, how, folder)
        for mode in MODES:
            mend(plan.journal(mode))
        if (work := plan.work).requests:
            if most and work.requests > most:
                advice = "raise it, or take fewer: REPEATS=1, or ITEMS=file"
                raise UserError(f"MAX_REQUESTS={most}: there may be {announced(work)}; {advice}")
            say(announced(work), is_error=True)
            if most == 0:
                return None
            check_reachable(judge)
        note_server(folder, judge)
        replies = ask(plan, most)
        found = _summary(plan, replies, file.name if file else "")
        content = json.dumps(found.record, ensure_ascii=False, indent=1) + "\n"
        storage.write(str(folder / f"{name_of_check(file, how)}.json"), content.encode())
    return found


def _summary(plan: Plan, replies: Mapping[Mode, Replies], items: str) -> Check:
    said, read = judged(plan, replies), counted(plan, replies)
    measures, people, parts = measure(said), agreement(said), variances(said)
    return Check(
        judge=plan.judge.model,
        items=items,
        questions=len(plan.items),
        answers=sum(len(item.answers) for item in plan.items),
        rubric=plan.how.rubric,
        repeats=plan.how.verdicts,
        temperature=plan.how.settings["temperature"],
        made_of=_made_of(plan),
        read=read,
        figures=[*figures(measures, people)],
        readings=[*_of_reading(read), *readings(measures, people, plan.how.verdicts), *of_differences(parts)],
        variances=parts,
        needed=_needed(parts) if parts else {},
        examples=examples(plan, said, replies),
    )


def _needed(parts: Variances) -> dict[float, dict[int, int | None]]:
    times = SINGLE if parts.within is None else VERDICTS
    return {
        difference: {verdicts: questions_needed(difference, parts, verdicts) for verdicts in times}
        for difference in DIFFERENCES
    }


def _of_reading(read: Mapping[Mode, Read]) -> list[Reading]:
    wanted, unreadable, refused = (
        sum(getattr(some, name) for some in read.values()) for name in ("wanted", "unreadable", "refused")
    )
    if not unreadable + refused:
        return []
    said = f"gave no score for {unreadable + refused:,} of {wanted:,} verdicts"
    return [Reading("verdicts", True, f"{said}: {unreadable:,} cannot be read, {refused:,} were refused")]


def _made_of(plan: Plan) -> dict[str, str]:
    words = [*deciding_files(plan.how.rubric), *FOLDER.glob("*.py")]
    return {"items": digest([item.model_dump() for item in plan.items]), "rubric and code": files_digest(words)}
