"""One source's way from raw rows to the rows that are kept, with a count of all that are not."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from dataset_builders.config import DataConfig, SourceConfig, suggest
from dataset_builders.errors import Rejected, UserError
from dataset_builders.instruction import add_instruction
from dataset_builders.reading import read_rows
from dataset_builders.rows import RejectedRow, Row, Stage, has_system, is_multi_turn, map_contents, row_id
from dataset_builders.sampling import draw
from dataset_builders.sources import SOURCES
from dataset_builders.sources.fields import RawRow, WrongType
from prompt_strategies.forgery import escape, find_forgery

EVIDENCE_CHARACTERS = 4_000


@dataclass
class SourceReport:
    """What became of one source's rows: `read == kept + sum(rejected.values())`."""

    name: str
    stage: Stage
    read: int = 0
    kept: int = 0
    with_instruction: int = 0
    multi_turn: int = 0
    escaped: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)

    def reject(self, reason: str, count: int = 1) -> None:
        """Count rows that are left out."""
        self.rejected[reason] = self.rejected.get(reason, 0) + count

    @property
    def reasons(self) -> str:
        """The reasons with their counts, in one line; a dash where nothing is left out."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.rejected.items()) or "-"


def convert_source(
    entry: SourceConfig, config: DataConfig, on_row: Callable[[], None]
) -> tuple[list[Row], list[RejectedRow], SourceReport]:
    """Read, convert and sample one source; `on_row` is called for each row read.

    Returns the rows that are kept, in no order that means anything, and those that are left out for what they hold.
    Raises UserError where a row is not what its source promises.
    """
    source = SOURCES[entry.source]
    columns = {name: entry.columns.get(name, name) for name in source.fields}
    report = SourceReport(entry.label, source.stage)
    rows: dict[str, Row] = {}
    rejected: list[RejectedRow] = []
    for place, raw in read_rows(entry):
        report.read += 1
        on_row()
        try:
            row = _without_forgery(source.convert(_rename(raw, columns, entry, place), entry.label), entry, report)
            if twin := rows.get(row.id):
                report.reject("duplicate id")
                # Which of the two stays must not depend on which comes first.
                row = min(row, twin, key=repr)
            rows[row.id] = row
        except Rejected as rejection:
            report.reject(str(rejection))
            rejected.append(_rejected_row(raw, entry, str(rejection)))
        except WrongType as error:
            raise UserError(f"{place}: {error}") from None

    share = 1.0 if entry.probability is None else entry.probability
    kept = [
        add_instruction(row, config.instruction, share, config.seed) if entry.add_instruction else row
        for row in _sample(list(rows.values()), entry, config.seed, report)
    ]
    report.rejected = dict(sorted(report.rejected.items()))
    report.kept = len(kept)
    report.with_instruction = sum(map(has_system, kept))
    report.multi_turn = sum(map(is_multi_turn, kept))
    return kept, rejected, report


def _without_forgery(row: Row, entry: SourceConfig, report: SourceReport) -> Row:
    """Return the row, escaped where its source asks for that.

    Raises Rejected where text would pass for a control token or a turn.
    """
    harmless = map_contents(row, partial(_harmless, forgery=entry.forgery))
    report.escaped += harmless != row
    return harmless


def _harmless(content: str, forgery: str) -> str:
    content = escape(content) if forgery == "escape" else content
    if found := find_forgery(content):
        raise Rejected(found)
    return content


def _rejected_row(raw: RawRow, entry: SourceConfig, reason: str) -> RejectedRow:
    evidence = _writable(json.dumps(raw, ensure_ascii=False, default=str))
    key = row_id(entry.label, evidence, upstream=raw.get(entry.columns.get("id", "id")))
    return RejectedRow(_writable(key), entry.label, reason, evidence[:EVIDENCE_CHARACTERS])


def _writable(text: str) -> str:
    """Replace halves of surrogate pairs, which no file can hold."""
    return text.encode(errors="replace").decode()


def _rename(raw: RawRow, columns: dict[str, str], entry: SourceConfig, place: str) -> RawRow:
    """Return the row under the source's own field names; `columns` maps these to the row's."""
    for name, column in columns.items():
        if column not in raw and (name in SOURCES[entry.source].required or name in entry.columns):
            raise UserError(
                f"{place}: `{entry.source}` needs a column `{column}`{suggest(column, map(str, raw))}; "
                f"name it with `columns: {{{name}: ...}}`"
            )
    return {name: raw[column] for name, column in columns.items() if column in raw}


def _sample(rows: list[Row], entry: SourceConfig, seed: int, report: SourceReport) -> list[Row]:
    """Keep the share and the number of rows that the source's entry asks for, the same rows in any order."""
    chance = {row.id: draw(seed, "sample", row.id) for row in rows}
    chosen = sorted((row for row in rows if chance[row.id] < entry.fraction), key=lambda row: chance[row.id])
    limited = chosen[: entry.limit]
    for option, left_out in (("fraction", len(rows) - len(chosen)), ("limit", len(chosen) - len(limited))):
        if left_out:
            report.reject(f"beyond {option}", left_out)
    return limited
