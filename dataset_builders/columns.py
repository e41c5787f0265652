"""The columns of raw rows: which stand for a source's fields, which are only looked at, and which nothing reads."""

from collections.abc import Iterable
from typing import Any

from dataset_builders.recipe import SourceConfig
from dataset_builders.sources import SOURCES
from dataset_builders.sources._meaning import LABELS, OF_ROWS, OF_TURNS, check_row
from dataset_builders.sources._source import RawRow
from dataset_builders.sources._turns import STYLES
from rabbit_ko.errors import Rejected
from rabbit_ko.normal_form import normalize


class Columns:
    """Takes the fields of a source from raw rows, and notes the columns and keys of turns that it leaves in `unread`.

    Names compare in Unicode's composed form (NFC). wanted: the columns that may be looked at. read: those that stand
    for a field, and those that the recipe ignores.
    """

    def __init__(self, entry: SourceConfig) -> None:
        source = SOURCES[entry.source]
        named = {name: _composed(column) for name, column in entry.columns.items()}
        ignored = frozenset(map(_composed, entry.ignore_columns))
        optional = tuple(name for name in source.optional if named.get(name, name) not in ignored)
        mapped = {name: named.get(name, name) for name in source.required + optional}
        self.required = {it: column for it, column in mapped.items() if it in source.required or it in named}
        # A field that may be absent is not read from a column that stands for another field.
        taken = self.required.values()
        self.columns = {it: column for it, column in mapped.items() if column not in taken} | self.required
        # The field of upstream's id, such as `id` or `custom_id`, and its column.
        self.key = next((name for name in mapped if name == "id" or name.endswith("_id")), "id")
        self.id = named.get(self.key, self.key)
        self.numbers_are_labels = source.numbers_are_labels
        read = frozenset(self.columns.values()) | ignored
        self.wanted = read | OF_ROWS | {self.id}
        self.read = read.union(source.beside)
        self.unread = set[str]()
        # Names of which nothing more has to be asked; most rows have no others. The others are looked at once.
        self._harmless, self._seen = set(self.read), set[str]()
        self._keys_of_turns = OF_TURNS.union(*STYLES, ("tool_call_id",))

    def fields(self, row: RawRow) -> dict[str, Any]:
        """Return the source's fields. Raises Rejected where one is missing, or another changes what the row means."""
        if not self._harmless.issuperset(row):
            if not self._seen.issuperset(row):
                self.look(row)
            row = _with_composed_names(row)
            check_row(row, self.read, self.numbers_are_labels)
        fields = {name: row[column] for name, column in self.columns.items() if column in row}
        for name, column in self.required.items():
            if name not in fields:
                raise Rejected(f"no field `{column}`")
        self._look_at_turns(fields)
        return fields

    def look(self, names: Iterable[str]) -> None:
        """Note which of these names nothing reads."""
        for name in names:
            self._seen.add(name)
            composed = _composed(name)
            # Of a label that is no verdict, too, it is said that nothing reads it.
            if composed not in self.read and composed not in OF_ROWS - LABELS:
                self.unread.add(_printed(composed))
                if composed == name and name not in OF_ROWS:
                    self._harmless.add(name)

    def _look_at_turns(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            for item in value if isinstance(value, list) else (value,):
                # Most turns have two keys, and those are read.
                if isinstance(item, dict) and len(item) > 2 and not self._keys_of_turns.issuperset(item):
                    unread = item.keys() - self._keys_of_turns
                    self.unread.update(_printed(f"{self.columns[name]}.{key}") for key in unread)


def _printed(name: str) -> str:
    # Halves of surrogate pairs can stand in no file.
    return name.encode(errors="backslashreplace").decode()


def _composed(name: str) -> str:
    return name if name.isascii() else normalize("NFC", name)


def _with_composed_names(row: RawRow) -> RawRow:
    if all(map(str.isascii, row)):
        return row
    composed = {_composed(name): value for name, value in row.items()}
    if len(composed) < len(row):
        raise Rejected("two fields have the same name")
    return composed
