"""The columns of a source's raw rows: which stand for its fields, which are only looked at, and which nothing reads."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from dataset_builders.recipe import SourceConfig
from dataset_builders.sources import SOURCES
from dataset_builders.sources._meaning import LABELS, OF_ROWS, check_row
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import Rejected


class Columns:
    """Takes the fields of a source from raw rows, and notes the columns that it leaves, in `unread`.

    Names compare in Unicode's composed form (NFC). wanted: the columns that may be looked at.
    """

    def __init__(self, entry: SourceConfig) -> None:
        source = SOURCES[entry.source]
        named = {name: _composed(column) for name, column in entry.columns.items()}
        mapped = {name: named.get(name, name) for name in source.required + source.optional}
        self.required = {it: column for it, column in mapped.items() if it in source.required or it in named}
        # A field that may be absent is not read from a column that stands for another field.
        taken = self.required.values()
        self.columns = {it: column for it, column in mapped.items() if column not in taken} | self.required
        self.id = named.get("id", "id")
        self.numbers_are_labels = source.numbers_are_labels
        self.read = frozenset(self.columns.values())
        self.wanted = self.read | OF_ROWS | {self.id}
        self.unread = set[str]()
        # Of a label that is no verdict, too, it is said that nothing reads it.
        self._known: set[str] = set(self.read | OF_ROWS - LABELS)
        self._other_names = dict[str, str]()

    def composed(self, raw: RawRow) -> RawRow:
        """Return a raw row with composed names. Raises Rejected where two of them are the same then."""
        if not self._known.issuperset(raw):
            self.look(raw)
        if not self._other_names or self._other_names.keys().isdisjoint(raw):
            return raw
        row = {self._other_names.get(name, name): value for name, value in raw.items()}
        if len(row) < len(raw):
            raise Rejected("two fields have the same name")
        return row

    def look(self, names: Iterable[str]) -> None:
        """Note which of these names nothing reads."""
        for name in names:
            if name not in self._known:
                self._known.add(name)
                if (composed := _composed(name)) != name:
                    self._other_names[name] = composed
                if composed not in self.read and composed not in OF_ROWS - LABELS:
                    self.unread.add(composed.encode(errors="backslashreplace").decode())

    def fields(self, row: RawRow) -> dict[str, Any]:
        """Return the source's fields. Raises Rejected where one is missing, or another changes what the row means."""
        if not OF_ROWS.isdisjoint(row):
            check_row(row, self.read, self.numbers_are_labels)
        for name, column in self.required.items():
            if column not in row:
                raise Rejected(f"no field `{column}`")
        return {name: row[column] for name, column in self.columns.items() if column in row}


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)
