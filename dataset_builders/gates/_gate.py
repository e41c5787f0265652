"""What a gate is, and the rows that gates look at, with the columns that several of them need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BeforeValidator, Field

from dataset_builders.gates.benchmarks import NO_BENCHMARKS, BenchmarkIndex
from dataset_builders.gates.letters import Letters, fold
from dataset_builders.rows import CALLS, REASONING, Labelled, Message, Row, all_messages, contents, kind_of, spoken
from dataset_builders.strict import Strict
from rabbit_ko.methods import RowKind

# YAML reads a bare `off` as false.
Action = Annotated[
    Literal["reject", "report", "off"], BeforeValidator(lambda action: "off" if action is False else action)
]
# The roles of what is said in JSON.
_DATA = (CALLS, "tool")
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Strict):
    """`reject` drops a row, `report` only counts it; without an action, that of `quality` holds."""

    action: Action | None = None


@dataclass(frozen=True)
class Batch:
    """Some rows of one kind, their language, and the benchmarks that they are compared with."""

    rows: Sequence[Row]
    language: str = "ko"
    benchmarks: BenchmarkIndex = NO_BENCHMARKS

    @property
    def answers(self) -> tuple[pa.StringArray, list[int]]:
        """All answers, and the row that each is of."""
        messages = ((row, message) for row, some in enumerate(self._spoken) for message in some)
        found = [(row, message["content"]) for row, message in messages if message["role"] == "assistant"]
        return pa.array([answer for _, answer in found], pa.string()), [row for row, _ in found]

    @cached_property
    def texts(self) -> pa.StringArray:
        """A text for each row: its messages, one a line, without the system message that rows may share."""
        return pa.array(["\n".join(contents(messages)) for messages in self._spoken], pa.string())

    @property
    def prose(self) -> pa.StringArray:
        """The same, without calls of tools and their results, which are data."""
        said = ((each for each in messages if each["role"] not in _DATA) for messages in self._spoken)
        return pa.array(["\n".join(contents([*messages])) for messages in said], pa.string())

    @cached_property
    def letters(self) -> Letters:
        """The letters of each row's messages, without those of the system message."""
        firsts = list(accumulate(map(len, self._spoken), initial=0))
        return replace(self._message_letters, offsets=self._message_letters.offsets[firsts])

    @property
    def answer_letters(self) -> npt.NDArray[np.bool_]:
        """Which of `letters` are an answer's or its reasoning's, and not those of a rejected or bad one."""
        is_answer = self._has_role("assistant", REASONING)
        ends = np.cumsum([len(messages) for messages in self._spoken])
        for end, row in zip(ends.tolist(), self.rows, strict=True):
            if kind_of(row) == "dpo" or (isinstance(row, Labelled) and not row.label):
                is_answer[end - len(spoken(all_messages(row)[-1:])) : end] = False
        return np.repeat(is_answer, self._message_letters.lengths)

    @property
    def content_letters(self) -> npt.NDArray[np.bool_]:
        """Which of `letters` are what users and answers say, without reasoning, calls of tools and their results."""
        return np.repeat(self._has_role("user", "assistant"), self._message_letters.lengths)

    def _has_role(self, *roles: str) -> npt.NDArray[np.bool_]:
        return np.array([message["role"] in roles for messages in self._spoken for message in messages])

    @cached_property
    def _spoken(self) -> list[list[Message]]:
        rows = map(all_messages, self.rows)
        return [spoken(messages[1:] if messages[0]["role"] == "system" else messages) for messages in rows]

    @cached_property
    def _message_letters(self) -> Letters:
        return fold([message["content"] for messages in self._spoken for message in messages])


@dataclass(frozen=True)
class Gate:
    """A rule on rows of some kinds: `find` returns the rows of a batch that it finds, by index, with the evidence."""

    name: str
    reason: str
    settings: type[Settings]
    find: Callable[[Batch, Any], dict[int, str]]
    kinds: tuple[RowKind, ...] = get_args(RowKind)
