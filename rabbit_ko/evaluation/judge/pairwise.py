"""Two stages beside each other: how often the answers of one are the better ones, and whether the order decided."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rabbit_ko.evaluation.intervals import mean_of, share_among
from rabbit_ko.evaluation.judge.figures import order_figures
from rabbit_ko.evaluation.judge.questions import Question
from rabbit_ko.evaluation.judge.scores import TOTAL, tasks_of
from rabbit_ko.evaluation.judge.verdicts import Verdict, scored
from rabbit_ko.evaluation.records import Sample, Score

WIN_RATE = "win rate"


class Compared(NamedTuple):
    """A question on which two stages were compared. won: 1 where the first is better, 0 the second, 0.5 neither.

    None where the verdicts cannot be read in both orders; half of one where they came out otherwise in one of them.
    """

    id: str
    category: str
    won: float | None
    verdicts: Sequence[Verdict]


def compared(question: Question, one: Sequence[str], other: Sequence[str], verdicts: Sequence[Verdict]) -> Compared:
    """Return what the verdicts on two conversations come to; the same conversations are as good as each other."""
    texts = ["\0".join(one), "\0".join(other)]
    return Compared(question.name, question.category, scored("pairwise", texts, verdicts).scores[0], verdicts)


def win_rates(rows: Sequence[Compared]) -> list[Score]:
    """Return the share of questions that the first stage won, a tie being half of one, by category and of all.

    Its interval is that of shares among questions of two halves each, which has a width even where all were won.
    """
    tasks = tasks_of(row.category for row in rows)
    return [_win_rate(task, [row.won for row in rows if task in (row.category, TOTAL)]) for task in tasks]


def _win_rate(task: str, won: Sequence[float | None]) -> Score:
    known = [each for each in won if each is not None]
    # A tie is a half of each.
    share = share_among([[each > 0, each == 1] for each in known])
    low, high = (share.low, share.high) if known else (None, None)
    figures: dict[str, Any] = {"value": share.value, "stderr": mean_of(known).stderr, "low": low, "high": high}
    return Score(task=task, metric=WIN_RATE, items=len(won), missing=len(won) - len(known), **figures)


def win_samples(rows: Sequence[Compared]) -> list[Sample]:
    """Return what each question came to."""
    return [
        Sample(task=row.category or TOTAL, item=row.id, metric=WIN_RATE, value=row.won)
        for row in rows
        if row.won is not None
    ]


def order_notes(rows: Sequence[Compared]) -> list[str]:
    """Say how many questions were won, tied and lost, and how far the order of the answers decided."""
    won = [row.won for row in rows if row.won is not None]
    notes = [f"questions won, tied and lost: {won.count(1.0):,}, {won.count(0.5):,}, {won.count(0.0):,}"]
    found = order_figures([[(verdict.answers, verdict.score) for verdict in row.verdicts] for row in rows])
    if found and found.agreed.value is not None:
        same = found.agreed
        said = f"{same.value:.0%} ({same.low:.0%}-{same.high:.0%})"
        notes.append(f"the same verdict in both orders: {said}, else a tie")
    return notes
