"""Rows as columns: what the sources make of raw rows, and what cleaning and the gates work on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates.letters import Letters, fold
from dataset_builders.rows import SCHEMAS, Conversation, Row, Stage

ROLES = ("system", "user", "assistant")
SYSTEM, USER, ASSISTANT = range(3)
_ROLE_NAMES = pa.array(ROLES)

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """n rows of one stage; the messages of row i are those from `offsets[i]` up to `offsets[i + 1]`.

    ids: n strings. offsets: n + 1 numbers. roles: a code of ROLES for each message. contents: their texts.
    normalized, escaped: which of the n rows had their text changed. The last two messages of a preference are its
    chosen and its rejected answer.
    """

    stage: Stage
    ids: pa.StringArray
    offsets: Indices
    roles: npt.NDArray[np.uint8]
    contents: pa.StringArray
    normalized: Mask
    escaped: Mask

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Indices:
        """The number of messages of each row."""
        return np.diff(self.offsets)

    @property
    def has_system(self) -> Mask:
        """Which rows start with a system message."""
        return np.asarray(self.roles[self.offsets[:-1]] == SYSTEM)

    @property
    def is_multi_turn(self) -> Mask:
        """Which rows have an exchange before their question."""
        one_exchange = 2 if self.stage == "sft" else 3
        return np.asarray(self.lengths - self.has_system > one_exchange)

    @property
    def answers(self) -> tuple[pa.StringArray, Indices]:
        """Every answer of each conversation, and the row that it is of."""
        places = np.flatnonzero(self.roles == ASSISTANT)
        return self.contents.take(pa.array(places)), self.rows_of(places)

    @property
    def pair(self) -> tuple[pa.StringArray, pa.StringArray]:
        """The chosen and the rejected answer of each preference."""
        chosen, rejected = (self.contents.take(pa.array(self.offsets[1:] - back)) for back in (2, 1))
        return chosen, rejected

    @cached_property
    def letters(self) -> Letters:
        """The letters of each row's messages, without those of the instruction that rows may have in common."""
        return self._message_letters.of(_offsets(self.roles != SYSTEM)[self.offsets])

    @property
    def answer_letters(self) -> Mask:
        """Which of `letters` are an answer's, and not a rejected one's."""
        is_answer = self.roles == ASSISTANT
        if self.stage == "dpo":
            is_answer[self.offsets[1:] - 1] = False
        return np.repeat(is_answer[self.roles != SYSTEM], self._message_letters.lengths)

    @cached_property
    def _message_letters(self) -> Letters:
        return fold(self.contents.filter(pa.array(self.roles != SYSTEM)))

    @cached_property
    def texts(self) -> pa.StringArray:
        """A text for each row: its messages, one a line, without the instruction that rows may have in common."""
        wanted = self.roles != SYSTEM
        return _joined(self.contents.filter(pa.array(wanted)), _offsets(wanted)[self.offsets], "\n")

    def joined(self, separator: str) -> pa.StringArray:
        """Return a text for each row: its messages with the separator between them."""
        return _joined(self.contents, self.offsets, separator)

    def rows_of(self, messages: Indices) -> Indices:
        """Return the row that each of these messages belongs to."""
        return np.searchsorted(self.offsets, messages, side="right") - 1

    def with_ids(self, ids: pa.StringArray) -> "Batch":
        """Return the batch with other ids."""
        return replace(self, ids=ids)

    def with_contents(self, contents: pa.StringArray, normalized: Mask, escaped: Mask) -> "Batch":
        """Return the batch with other texts for its messages."""
        return replace(self, contents=contents, normalized=normalized, escaped=escaped)

    def take(self, rows: Indices, system: str = "", is_given: Mask | None = None) -> "Batch":
        """Return these rows, in this order, those that are given it with a system message in front.

        is_given: for each of all rows.
        """
        given = np.zeros(len(rows), np.int64) if is_given is None else is_given[rows].astype(np.int64)
        lengths = self.lengths[rows] + given
        offsets = _offsets(lengths)
        # The message that is added stands behind all others.
        messages = _ranges(self.offsets[rows] - given, lengths)
        messages[offsets[:-1][given > 0]] = len(self.contents)
        contents = self.contents
        if given.any():
            contents = pa.concat_arrays([contents, pa.array([system], pa.string())])
        return Batch(
            self.stage,
            self.ids.take(pa.array(rows)),
            offsets,
            np.append(self.roles, np.uint8(SYSTEM))[messages],
            contents.take(pa.array(messages)),
            self.normalized[rows],
            self.escaped[rows],
        )

    def without(self, rows: Collection[int]) -> "Batch":
        """Return the batch without these rows."""
        return self.take(self.others(rows)) if rows else self

    def others(self, rows: Collection[int]) -> Indices:
        """Return all rows but these."""
        is_left = np.ones(len(self), np.bool_)
        is_left[list(rows)] = False
        return np.flatnonzero(is_left)

    def to_table(self, source: str) -> pa.Table:
        """Return the rows in the schema of the stage's shards."""
        names = pa.DictionaryArray.from_arrays(pa.array(self.roles, pa.int8()), _ROLE_NAMES).cast(pa.string())
        messages = pa.StructArray.from_arrays([names, self.contents], ["role", "content"])
        sources = pa.repeat(source, len(self))
        if self.stage == "sft":
            columns = [_lists(self.offsets, messages)]
        else:
            ends = self.offsets[1:]
            prompt = _ranges(self.offsets[:-1], self.lengths - 2)
            starts = _offsets(self.lengths - 2)
            single = np.arange(len(self) + 1)
            columns = [
                _lists(starts, messages.take(pa.array(prompt))),
                _lists(single, messages.take(pa.array(ends - 2))),
                _lists(single, messages.take(pa.array(ends - 1))),
            ]
        return pa.Table.from_arrays([self.ids, sources, *columns], schema=SCHEMAS[self.stage])


def new_batch(
    stage: Stage, ids: pa.StringArray, offsets: Indices, roles: npt.NDArray[np.uint8], contents: pa.StringArray
) -> Batch:
    """Make a batch of rows as their source has them."""
    unchanged = np.zeros(len(ids), np.bool_)
    return Batch(stage, ids, offsets, roles, contents, unchanged, unchanged)


def concat(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches of one stage."""
    return Batch(
        batches[0].stage,
        pa.concat_arrays([batch.ids for batch in batches]),
        _offsets(np.concatenate([batch.lengths for batch in batches])),
        np.concatenate([batch.roles for batch in batches]),
        pa.concat_arrays([batch.contents for batch in batches]),
        np.concatenate([batch.normalized for batch in batches]),
        np.concatenate([batch.escaped for batch in batches]),
    )


def from_rows(stage: Stage, rows: Sequence[Row]) -> Batch:
    """Make a batch of rows of one stage."""
    messages = [
        row.messages if isinstance(row, Conversation) else [*row.prompt, *row.chosen, *row.rejected] for row in rows
    ]
    codes = {name: code for code, name in enumerate(ROLES)}
    return new_batch(
        stage,
        pa.array([row.id for row in rows], pa.string()),
        _offsets(np.array([len(turns) for turns in messages], np.int64)),
        np.array([codes[turn["role"]] for turns in messages for turn in turns], np.uint8),
        pa.array([turn["content"] for turns in messages for turn in turns], pa.string()),
    )


def byte_strings(texts: pa.StringArray) -> list[memoryview]:
    """Return the bytes of each text where they stand, without a copy."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    data = memoryview(texts.buffers()[2] or b"")
    return [data[start:end] for start, end in pairwise(offsets)]


def flat(array: Any) -> pa.Array:
    """Return a column as one array."""
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _lists(offsets: Indices, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _joined(texts: pa.StringArray, offsets: Indices, separator: str) -> pa.StringArray:
    return pc.binary_join(_lists(offsets, texts), separator)


def _offsets(counts: npt.NDArray[Any]) -> Indices:
    """Return where each of several runs starts, and where the last one ends."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))


def _ranges(starts: Indices, lengths: Indices) -> Indices:
    """Return start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths))
