"""`quality:` in data.yaml: which gates are on, what they do with a row, and their bounds."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from dataset_builders.gates.evaluation_sets import KNOWN, EvaluationSet

# YAML reads a bare `off` as false.
Action = Annotated[
    Literal["reject", "report", "off"], BeforeValidator(lambda action: "off" if action is False else action)
]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Gate(_Strict):
    """`reject` drops a row, `report` only counts it; without an action, that of `quality` holds."""

    action: Action | None = None


class Length(Gate):
    """Characters of all messages together."""

    min: int = Field(default=4, ge=0)
    max: int = Field(default=50_000, gt=0)

    @model_validator(mode="after")
    def _leaves_room(self) -> "Length":
        if self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max, {self.max}")
        return self


class Hangul(Gate):
    """The least share of Hangul among a row's letters; only rows of Korean sources are looked at."""

    min: Share = 0.1


class Refusals(Gate):
    """Answers that refuse, or speak of themselves as a language model."""


class Repetition(Gate):
    """The least share of distinct 5-character pieces in an answer."""

    min_distinct: Share = 0.2


class LengthRatio(Gate):
    """How many times as long the longer answer of a preference may be as the shorter one."""

    max: float = Field(default=30.0, ge=1)


class Subjects(Gate):
    """The subjects whose rows are dropped: math, code."""

    dropped: tuple[Literal["math", "code"], ...] = Field(default=(), strict=False)


class Contamination(Gate):
    """Pieces that a row may not share with evaluation sets: so many words, or so many letters of Korean text."""

    words: int = Field(default=13, ge=4)
    letters: int = Field(default=30, ge=10)
    sets: tuple[EvaluationSet, ...] = ()

    @field_validator("sets", mode="before")
    @classmethod
    def _by_name(cls, sets: object) -> object:
        if not isinstance(sets, list | tuple):
            return sets
        unknown = [name for name in sets if isinstance(name, str) and name not in KNOWN]
        if unknown:
            raise ValueError(
                f"unknown evaluation set `{unknown[0]}`; known are {', '.join(KNOWN)}, or give name and path"
            )
        return tuple(entry for name in sets for entry in (KNOWN[name] if isinstance(name, str) else [name]))

    @field_validator("sets")
    @classmethod
    def _has_unique_names(cls, sets: tuple[EvaluationSet, ...]) -> tuple[EvaluationSet, ...]:
        names = [entry.name for entry in sets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two evaluation sets are called `{name}`; give each a name of its own")
        return sets


class ExactDuplicates(Gate):
    """Rows of one stage that say the same under different ids."""


class NearDuplicates(Gate):
    """The least similarity (Jaccard, of 5-letter pieces) at which a row counts as a copy of another."""

    threshold: Share = 0.8


class Quality(_Strict):
    """The gates in the order in which they look at a row; the first one that minds gives the reason."""

    action: Action = "reject"
    length: Length = Length()
    hangul: Hangul = Hangul()
    refusals: Refusals = Refusals()
    repetition: Repetition = Repetition()
    length_ratio: LengthRatio = LengthRatio()
    subjects: Subjects = Subjects()
    contamination: Contamination = Contamination()
    exact_duplicates: ExactDuplicates = ExactDuplicates()
    near_duplicates: NearDuplicates = NearDuplicates()

    def action_of(self, gate: Gate) -> Action:
        """Return what a gate does with a row that it minds."""
        return gate.action or self.action

    def is_on(self, gate: Gate) -> bool:
        """Tell whether a gate looks at rows at all."""
        return self.action_of(gate) != "off"
