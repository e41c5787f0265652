"""All gates that look at one row at a time, over a batch of rows."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dataset_builders.batch import Batch
from dataset_builders.gates import shape
from dataset_builders.gates.contamination import Index, contamination
from dataset_builders.gates.refusals import refusals
from dataset_builders.gates.settings import Gate, Quality
from dataset_builders.gates.subject import subject


@dataclass
class Verdicts:
    """rejected: row -> (reason, evidence). reported: reason -> rows that are kept all the same."""

    rejected: dict[int, tuple[str, str]] = field(default_factory=dict)
    reported: Counter[str] = field(default_factory=Counter)


def run_gates(batch: Batch, is_korean: bool, quality: Quality, index: Index) -> Verdicts:
    """Ask every gate that is on; the first one that minds a row gives the reason."""
    verdicts = Verdicts()
    for reason, gate, minded in _minded(batch, is_korean, quality, index):
        if quality.action_of(gate) == "report":
            verdicts.reported[reason] += len(minded.keys() - verdicts.rejected.keys())
            continue
        for row, evidence in minded.items():
            verdicts.rejected.setdefault(row, (reason, evidence))
    return verdicts


def _minded(
    batch: Batch, is_korean: bool, quality: Quality, index: Index
) -> Iterator[tuple[str, Gate, dict[int, str]]]:
    if quality.is_on(quality.length):
        yield "length", quality.length, shape.length(batch.texts, quality.length.min, quality.length.max)
    if is_korean and quality.is_on(quality.hangul):
        yield "too little Hangul", quality.hangul, shape.hangul(batch.letters, quality.hangul.min)
    # A preference may well teach when to refuse.
    if batch.stage == "sft" and quality.is_on(quality.refusals):
        yield "refusal", quality.refusals, _refusals(batch)
    if quality.is_on(quality.repetition):
        minded = shape.repetition(batch.letters, batch.answer_letters, quality.repetition.min_distinct)
        yield "repetition", quality.repetition, minded
    if batch.stage == "dpo" and quality.is_on(quality.length_ratio):
        yield (
            "answers of unlike length",
            quality.length_ratio,
            shape.length_ratio(*batch.pair, quality.length_ratio.max),
        )
    if quality.subjects.dropped and quality.is_on(quality.subjects):
        yield "subject", quality.subjects, subject(batch.texts, frozenset(quality.subjects.dropped))
    if quality.contamination.sets and quality.is_on(quality.contamination):
        yield "in an evaluation set", quality.contamination, contamination(batch.letters, index)


def _refusals(batch: Batch) -> dict[int, str]:
    answers, rows = batch.answers
    return {int(rows[answer]): evidence for answer, evidence in refusals(answers).items()}
