"""Rows that hold one exchange in columns of text: a question and its answer, or the two answers of a preference.

The rule stands in `convert`. Columns of text in which every row is as it should be take the same way as columns, some
ten times as fast; a test holds the two against each other.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.batch import ASSISTANT, SYSTEM, USER, Batch, byte_strings, flat, new_batch
from dataset_builders.rows import Row, assistant, content_hash, conversation, preference, row_id, system, user
from dataset_builders.sources.fields import RawRow, text

_BREAK = "\n\n"
# What Python's str.strip would leave something of.
_INK = r"[^\s\x0b\x1c-\x1f\x{85}\p{Z}]"


@dataclass(frozen=True)
class Exchange:
    """The columns of the question, of one answer or two (chosen and rejected), and of what may stand beside them.

    `context` comes behind the question, after a blank line; `system` is the instruction; `key` is the upstream id.
    """

    user: str
    answers: tuple[str, ...]
    system: str = ""
    context: str = ""
    key: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns that hold text."""
        return [name for name in (self.user, *self.answers, self.system, self.context, self.key) if name]

    def convert(self, row: RawRow, source: str) -> Row:
        """Make a row; a blank context or instruction is none."""
        question, context = text(row, self.user), text(row, self.context)
        prompt = [
            *system(text(row, self.system)),
            user(f"{question}{_BREAK}{context}" if context.strip() else question),
        ]
        answers = [text(row, name) for name in self.answers]
        key = row_id(source, [turn["content"] for turn in prompt] + answers, upstream=row.get(self.key))
        if len(answers) == 1:
            return conversation(key, source, [*prompt, assistant(answers[0])])
        return preference(key, source, prompt, *answers)

    def is_plain(self, raw: pa.Table) -> pa.BooleanArray:
        """Tell for which rows `to_batch` does what `convert` does: nothing is blank, and two answers differ."""
        filled = [_is_filled(raw[name]) for name in (self.user, *self.answers)]
        if self.key in raw.column_names:
            filled.append(_is_filled(raw[self.key]))
        if len(self.answers) == 2:
            chosen, rejected = (pc.utf8_trim_whitespace(raw[name]) for name in self.answers)
            filled.append(pc.not_equal(chosen, rejected))
        plain = filled[0]
        for condition in filled[1:]:
            plain = pc.and_(plain, condition)
        return flat(pc.fill_null(plain, False))

    def to_batch(self, raw: pa.Table, source: str) -> Batch:
        """Make a batch of rows that are all plain. raw: columns of text by the names above."""
        question = raw[self.user]
        if self.context in raw.column_names:
            behind = pc.binary_join_element_wise(question, raw[self.context], _BREAK)
            question = pc.if_else(_is_filled(raw[self.context]), behind, question)
        fields = [question, *(raw[name] for name in self.answers)]
        roles = [USER, *[ASSISTANT] * len(self.answers)]
        present = np.ones((raw.num_rows, len(fields) + 1), np.bool_)
        if self.system in raw.column_names:
            fields.insert(0, raw[self.system])
            present[:, 0] = _is_filled(raw[self.system]).to_numpy()
        else:
            fields.insert(0, pa.nulls(raw.num_rows, pa.string()))
            present[:, 0] = False
        places = (np.arange(len(fields)) * raw.num_rows + np.arange(raw.num_rows)[:, None])[present]
        batch = new_batch(
            "sft" if len(self.answers) == 1 else "dpo",
            pa.nulls(raw.num_rows, pa.string()),
            np.concatenate(([0], np.cumsum(present.sum(axis=1)))),
            np.tile(np.array([SYSTEM, *roles], np.uint8), (raw.num_rows, 1))[present],
            pa.concat_arrays([flat(field) for field in fields]).take(pa.array(places)),
        )
        return batch.with_ids(self._ids(raw, batch, source))

    def _ids(self, raw: pa.Table, batch: Batch, source: str) -> pa.StringArray:
        if self.key in raw.column_names:
            return flat(pc.binary_join_element_wise(f"{source}/", raw[self.key], ""))
        # As `row_id` does it.
        return pa.array([f"{source}/{content_hash(text)}" for text in byte_strings(batch.joined("\0"))], pa.string())


def _is_filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.match_substring_regex(column, _INK), False)
