"""What rows measure, without a loop over their characters: numbers of characters, exchanges, and Hangul letters."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates.letters import fold, is_hangul

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Measures:
    """Arrays with one entry a row.

    `characters` counts those of all messages, in DPO of the prompt and the longer answer; `exchanges` counts the
    user's turns; `instruction` tells of a system message. `hangul` is the share of Hangul letters among all letters,
    without the system message, which a recipe may add itself; NaN for a row without letters.
    """

    characters: Array
    exchanges: Array
    instruction: Array
    hangul: Array

    def __len__(self) -> int:
        return len(self.characters)

    def where(self, mask: Array) -> "Measures":
        """Return the rows at which the mask is true."""
        return Measures(*(getattr(self, field.name)[mask] for field in fields(self)))


def join(parts: Sequence[Measures]) -> Measures:
    """Put rows after one another."""
    empty = Measures(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.bool_, np.float32)))
    return Measures(
        *(np.concatenate([getattr(part, field.name) for part in (empty, *parts)]) for field in fields(empty))
    )


@dataclass(frozen=True)
class _Turns:
    """A column of messages: per row, sums over its turns."""

    characters: Array
    users: Array
    systems: Array
    letters: Array
    hangul: Array


def measure(batch: pa.RecordBatch) -> Measures:
    """Measure a batch of rows of either stage."""
    if "messages" in batch.schema.names:
        prompt = _turns(batch.column("messages"))
        characters, total, hangul = prompt.characters, prompt.letters, prompt.hangul
    else:
        prompt, chosen, rejected = (_turns(batch.column(name)) for name in ("prompt", "chosen", "rejected"))
        characters = prompt.characters + np.maximum(chosen.characters, rejected.characters)
        total = prompt.letters + chosen.letters + rejected.letters
        hangul = prompt.hangul + chosen.hangul + rejected.hangul
    share = np.divide(hangul, total, out=np.full(len(total), np.nan), where=total > 0)
    return Measures(
        characters.astype(np.int32), prompt.users.astype(np.int32), prompt.systems > 0, share.astype(np.float32)
    )


def _turns(column: pa.ListArray) -> _Turns:
    turns = column.flatten()
    roles, contents = turns.field("role"), turns.field("content").fill_null("")
    ends = _ends(pc.list_value_length(column))
    is_system = pc.equal(roles, "system").to_numpy(zero_copy_only=False)
    total, hangul = _letters(contents)
    return _Turns(
        characters=_sums(pc.utf8_length(contents).to_numpy(), ends),
        users=_sums(pc.equal(roles, "user").to_numpy(zero_copy_only=False), ends),
        systems=_sums(is_system, ends),
        letters=_sums(np.where(is_system, 0, total), ends),
        hangul=_sums(np.where(is_system, 0, hangul), ends),
    )


def _letters(contents: pa.StringArray) -> tuple[Array, Array]:
    """Count the letters, without digits, and the Hangul letters of each text."""
    text = fold(contents)
    is_digit = (text.codes >= ord("0")) & (text.codes <= ord("9"))
    return _sums(~is_digit, text.offsets), _sums(is_hangul(text.codes), text.offsets)


def _ends(lengths: pa.Array) -> Array:
    return np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])


def _sums(values: Array, ends: Array) -> Array:
    """Sum the values between each two of the n + 1 `ends`; returns n sums."""
    totals = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: Array = totals[ends[1:]] - totals[ends[:-1]]
    return sums
