"""What a gate is, and the rows that gates look at, with the columns that several of them need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dataset_builders.gates.benchmarks import NO_BENCHMARKS, BenchmarkIndex
from dataset_builders.gates.letters import Letters, fold
from dataset_builders.rows import Row, all_messages, kind_of
from rabbit_ko.methods import RowKind

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)

# YAML reads a bare `off` as false.
Action = Annotated[
    Literal["reject", "report", "off"], BeforeValidator(lambda action: "off" if action is False else action)
]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """`reject` drops a row, `report` only counts it; without an action, that of `quality` holds."""

    model_config = STRICT

    action: Action | None = None


@dataclass(frozen=True)
class Batch:
    """Some rows of one kind, their language, and the benchmarks that they are compared with."""

    rows: Sequence[Row]
    language: str = "ko"
    benchmarks: BenchmarkIndex = NO_BENCHMARKS

    @property
    def kind(self) -> RowKind:
        return kind_of(self.rows[0])

    @cached_property
    def texts(self) -> pa.StringArray:
        """A text for each row: its messages, one a line, without the system message that rows may share."""
        return pa.array(["\n".join(texts) for texts in self._texts], pa.string())

    @cached_property
    def letters(self) -> Letters:
        """The letters of each row's messages, without those of the system message."""
        return self._message_letters.joined(list(accumulate(map(len, self._texts), initial=0)))

    @property
    def answer_letters(self) -> npt.NDArray[np.bool_]:
        """Which of `letters` are an answer's, and not a rejected one's."""
        is_answer = np.array([message["role"] == "assistant" for row in self.rows for message in _spoken(row)])
        if self.kind == "dpo":
            is_answer[np.cumsum([len(texts) for texts in self._texts]) - 1] = False
        return np.repeat(is_answer, self._message_letters.lengths)

    @cached_property
    def _texts(self) -> list[list[str]]:
        return [[message["content"] for message in _spoken(row)] for row in self.rows]

    @cached_property
    def _message_letters(self) -> Letters:
        return fold([text for texts in self._texts for text in texts])


@dataclass(frozen=True)
class Gate:
    """A rule on single rows: its key under `quality:`, the reason for which rows are rejected, and its settings.

    find: the rows of a batch that it finds, by their index, each with the evidence. kinds: the rows it looks at.
    """

    name: str
    reason: str
    settings: type[Settings]
    find: Callable[[Batch, Any], dict[int, str]]
    kinds: tuple[RowKind, ...] = get_args(RowKind)


def _spoken(row: Row) -> list[Any]:
    messages = all_messages(row)
    return messages[1:] if messages[0]["role"] == "system" else messages
