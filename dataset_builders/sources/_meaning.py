"""Fields that change what a row or a turn means: what does not use them rejects the row, and names the field."""

from collections.abc import Mapping
from typing import Any

from dataset_builders.sources._text import is_empty, is_missing
from rabbit_ko.errors import Rejected

TOOLS = ("tools", "functions")
CALLS = ("tool_calls", "function_call")
REASONING = ("reasoning_content", "reasoning", "thinking")
MEDIA = ("images", "image", "audios", "audio", "videos", "video")
# Of a turn, and of a row, for which none of them is read by its source.
UNSUPPORTED = frozenset((*TOOLS, *MEDIA, "train_detail"))
OF_ANSWERS = frozenset((*CALLS, *REASONING))
# With a 0 or false, a row or an answer is not to be trained; a loss of 0.0 is a figure.
LOSS = "loss"
SWITCHES = frozenset(("train", "training", LOSS))
WEIGHT = "weight"
LABELS = frozenset(("label", "kto_tag"))
HISTORY = "history"
OF_TURNS = UNSUPPORTED | OF_ANSWERS | SWITCHES | {WEIGHT}
OF_ROWS = OF_TURNS | LABELS | {HISTORY}

_TRUE, _FALSE = ("true", "1", "1.0", "+1"), ("false", "0", "0.0", "-1", "-1.0")


def check_supported(item: Mapping[str, Any], names: frozenset[str] = UNSUPPORTED) -> None:
    """Raise Rejected where a row or turn has one of these fields, and more than an empty one."""
    if named := sorted(name for name in names & item.keys() if not is_empty(item[name])):
        raise Rejected(f"`{named[0]}` is not supported")


def has_meaning(item: Mapping[str, Any]) -> bool:
    """Tell whether a turn has a field, and more than an empty one, that changes what it means."""
    return not all(_is_nothing(item[name]) for name in OF_TURNS.intersection(item))


def switch_off(item: Mapping[str, Any]) -> str | None:
    """Return the name of the field that says not to train a row or turn. Raises Rejected where one says neither."""
    weight = item.get(WEIGHT)
    if not is_missing(weight) and weight != "":
        if str(weight).strip().lower() in ("0", "0.0", "false"):
            return WEIGHT
        if str(weight).strip().lower() not in ("1", "1.0", "true"):
            raise Rejected("`weight` must be 0 or 1")
    return next((name for name in sorted(SWITCHES & item.keys()) if _is_off(name, item[name])), None)


def _is_off(name: str, value: Any) -> bool:
    if name == LOSS:
        return str(value).strip().lower() in ("false", "0")
    if is_empty(value):
        return value is False
    if (found := read_label(value)) is None:
        raise Rejected(f"`{name}` must be true or false")
    return not found


def check_row(row: Mapping[str, Any], read: frozenset[str], numbers_are_labels: bool) -> None:
    """Raise Rejected for a row with a field, beside those that are `read`, without which it means another thing.

    numbers_are_labels: whether 0, 1 and -1 under `label` are taken for a verdict; beside an instruction they are as
    often a class.
    """
    there = [name for name in OF_ROWS.intersection(row) if name not in read and not _is_nothing(row[name])]
    if not there:
        return
    if named := sorted(name for name in there if name in LABELS and _is_label(row[name], numbers_are_labels)):
        columns = "" if named[0] == "label" else f" with `columns: {{label: {named[0]}}}`"
        advice = f"need the source `labelled`{columns}, or `ignore_columns: [{named[0]}]`"
        raise Rejected(f"`{named[0]}`: rows with a label {advice}")
    fields = {name: row[name] for name in there}
    check_supported(fields, UNSUPPORTED | OF_ANSWERS)
    if not is_empty(fields.get(HISTORY)):
        raise Rejected(f"`{HISTORY}` is not supported by this source")
    if name := switch_off(fields):
        raise Rejected(f"`{name}` is {'0' if name == WEIGHT else 'false'}, so the row is not to be trained")


def _is_nothing(value: Any) -> bool:
    # What most fields hold where a table has columns for a few rows.
    return value is None or value == [] or value == ""


def _is_label(value: Any, numbers_too: bool) -> bool:
    if isinstance(value, bool) or str(value).strip().lower() in ("true", "false"):
        return True
    return numbers_too and read_label(value) is not None


def read_label(value: Any) -> bool | None:
    """Return what a label says: true and 1, or false, 0 and -1, also as texts; None where it says neither."""
    said = str(value).strip().lower()
    return True if said in _TRUE else False if said in _FALSE else None


def label(row: Mapping[str, Any], field: str) -> bool:
    """Return a row's label. Raises Rejected where there is none, or it is neither good nor bad."""
    value = row.get(field)
    if is_empty(value) and value is not False:
        raise Rejected(f"no `{field}`")
    if (found := read_label(value)) is None:
        raise Rejected(f"`{field}` must be true or false")
    return found
