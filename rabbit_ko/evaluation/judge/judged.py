"""What the verdicts of a judge come to: figures, samples, what is kept of each question, and what is said of all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any, NamedTuple

from rabbit_ko.evaluation.judge.answers import Answers
from rabbit_ko.evaluation.judge.asking import Replies, Statement, verdict_of
from rabbit_ko.evaluation.judge.pairwise import compared, order_notes, win_rates, win_samples
from rabbit_ko.evaluation.judge.scores import QUERY, Row, samples, scores, turn_names
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.judge.wanted import ORDERS, Wanted
from rabbit_ko.evaluation.records import Sample, Score

# Of questions without a verdict, by name.
SHOWN = 20

Said = Mapping[tuple[str, tuple[int, ...]], Sequence[Statement]]


class Found(NamedTuple):
    """What verdicts come to. rows: what is kept of each question."""

    scores: list[Score]
    samples: list[Sample]
    rows: list[dict[str, Any]]
    notes: list[str]


def said_of(wanted: Sequence[Wanted], replies: Replies) -> Said:
    """Return what the judge said, by question and answers."""
    said: dict[tuple[str, tuple[int, ...]], list[Statement]] = defaultdict(list)
    for each in wanted:
        said[each.id, each.places].append(verdict_of(replies[each.request.key]))
    return said


def on_each_answer(answers: Answers, said: Said) -> Found:
    """Return the scores, with rows in LogicKor's schema, in which each turn has a name."""
    rows, kept, missing = list[Row](), list[dict[str, Any]](), list[str]()
    for question in answers.questions:
        own = [_mean(said[question.name, (turn,)]) for turn in range(len(question.turns))]
        rows.append(Row(question.name, question.category, tuple(own)))
    turns = list(answers.bench.turns) or turn_names(rows)
    for question, row in zip(answers.questions, rows, strict=True):
        shared = {"questions": question.turns, "outputs": answers.of(question), "references": question.references}
        own_turns = list(zip(turns, row.scores, strict=False))
        queries = {
            f"{QUERY}{name}": _query(said[row.id, (turn,)], score) for turn, (name, score) in enumerate(own_turns)
        }
        kept.append({"id": question.id, "category": row.category, **shared, **queries, "of": len(rows)})
        missing += [f"{row.id} {name}" for name, score in own_turns if score is None]
    return Found(scores(rows, turns), samples(rows, turns), kept, [*_spread(said), *_missing(missing)])


def on_two_stages(answers: Answers, against: Answers, said: Said) -> Found:
    """Return how often a stage is better than another, by verdicts on both."""
    rows, kept, missing = [], list[dict[str, Any]](), list[str]()
    for question in answers.questions:
        verdicts = [
            Verdict(order, each.score, each.text) for order in ORDERS for each in said.get((question.name, order), ())
        ]
        rows.append(row := compared(question, answers.of(question), against.of(question), verdicts))
        shown = [vars(verdict) for verdict in verdicts]
        kept.append({"id": question.id, "category": row.category, "won": row.won, "verdicts": shown})
        missing += [row.id] if row.won is None else []
    return Found(win_rates(rows), win_samples(rows), kept, [*order_notes(rows), *_missing(missing)])


def _mean(statements: Sequence[Statement]) -> float | None:
    known = [statement.score for statement in statements if statement.score is not None]
    return fmean(known) if known else None


def _query(statements: Sequence[Statement], score: float | None) -> dict[str, Any]:
    """Return what LogicKor's files say of an answer, and each verdict where there are several."""
    query: dict[str, Any] = {"judge_message": statements[0].text, "judge_score": score}
    if len(statements) > 1:
        query["verdicts"] = [{"message": each.text, "score": each.score} for each in statements]
    return query


def _spread(said: Said) -> list[str]:
    """Say how far several verdicts on the same answer are apart."""
    known = ([each.score for each in statements if each.score is not None] for statements in said.values())
    spreads = [variance(values) for values in known if len(values) > 1]
    if not spreads:
        return []
    return [f"verdicts on the same answer have a standard deviation of {fmean(spreads) ** 0.5:.2f} points"]


def _missing(names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return [f"no readable verdict on {', '.join(names[:SHOWN])}{more}; they are in no mean"] if names else []
