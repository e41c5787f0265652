"""The gates: rules on one row at a time; a new one is a module with a constant `GATE`, and an entry in `GATES`."""

from collections import Counter
from typing import Any

from pydantic import create_model

from dataset_builders.gates import contamination, hangul, length, length_ratio, refusals, repetition, subjects
from dataset_builders.gates._gate import Action, Batch, Gate, Settings, Share
from dataset_builders.rows import kind_of
from dataset_builders.strict import Strict

# In the order in which they are asked: the first one that rejects a row gives the reason.
GATES: tuple[Gate, ...] = (
    length.GATE,
    hangul.GATE,
    refusals.GATE,
    repetition.GATE,
    length_ratio.GATE,
    subjects.GATE,
    contamination.GATE,
)


class ExactDuplicates(Settings):
    """Rows of one kind that say the same under different ids."""


class NearDuplicates(Settings):
    """The least similarity (Jaccard, of 5-grams of letters) at which a row counts as a duplicate of another."""

    threshold: Share = 0.8


_Quality: Any = create_model(
    "_Quality",
    __base__=Strict,
    action=(Action, "reject"),
    **{gate.name: (gate.settings, gate.settings()) for gate in GATES},  # type: ignore[call-overload]
    exact_duplicates=(ExactDuplicates, ExactDuplicates()),
    near_duplicates=(NearDuplicates, NearDuplicates()),
)


class Quality(_Quality):
    """`quality:` in data.yaml: which gates are on, what they do with a row, and their bounds."""

    def action_of(self, gate: Settings) -> Action:
        """Return what a gate does with a row that it finds."""
        action: Action = gate.action or self.action
        return action

    def is_on(self, gate: Settings) -> bool:
        """Tell whether a gate looks at rows at all."""
        return self.action_of(gate) != "off"


def ask_gates(batch: Batch, quality: Quality) -> tuple[dict[int, tuple[str, str]], Counter[str]]:
    """Return row -> (reason, evidence) of rejected rows of a batch, and reason -> rows that are only reported."""
    rejected: dict[int, tuple[str, str]] = {}
    reported = Counter[str]()
    for gate in GATES:
        settings = getattr(quality, gate.name)
        if not quality.is_on(settings) or kind_of(batch.rows[0]) not in gate.kinds:
            continue
        found = gate.find(batch, settings)
        if quality.action_of(settings) == "report":
            reported[gate.reason] += len(found.keys() - rejected.keys())
        else:
            rejected = {row: (gate.reason, evidence) for row, evidence in found.items()} | rejected
    return rejected, reported
