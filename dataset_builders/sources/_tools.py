"""Tools, calls of them and reasoning, in the forms that people write: OpenAI's, and those of ShareGPT.

JSON text is read as it stands. In what is given as an object, a null is a key that is absent: a table's column of
objects has one for each key that any row has.
"""

from collections.abc import Mapping
from typing import Any

from dataset_builders.calls import to_json
from dataset_builders.read.json_lines import check_depth, load_json
from dataset_builders.rows import Message
from dataset_builders.sources._meaning import CALLS, REASONING, TOOLS
from dataset_builders.sources._text import is_empty, is_missing, shown, text
from rabbit_ko.errors import Rejected

_OPEN, _CLOSE = "<think>", "</think>"


def tools(row: Mapping[str, Any]) -> str | None:
    """Return JSON of the tools of a row, or None where it has none. Raises Rejected where they are no functions."""
    found = [_definitions(row[field], field) for field in TOOLS if not is_empty(row.get(field))]
    if found[1:] and found[0] != found[1]:
        raise Rejected(f"`{TOOLS[0]}` and `{TOOLS[1]}` differ")
    return found[0] if found else None


def _definitions(value: Any, field: str) -> str:
    items = _read(value, field)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Rejected(f"`{field}` is no list of functions")
    return _dump([{"type": "function", "function": _function(item, field)} for item in items], field)


def _function(item: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return the function of a tool or of a call, which may stand in it or be it."""
    if item.get("type", "function") != "function":
        raise Rejected(f"`{field}` has a `{shown(item['type'])}`, which is no function")
    function = item.get("function") or {name: value for name, value in item.items() if name != "type"}
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise Rejected(f"`{field}` has a function without a name")
    return function


def calls(value: Any, field: str) -> str:
    """Return JSON of the calls in a value: one, or a list of them. Raises Rejected where they are none."""
    found = _read(value, field)
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in items):
        raise Rejected(f"`{field}` is no list of calls")
    return _dump([_call(item, field) for item in items], field)


def _call(item: Mapping[str, Any], field: str) -> dict[str, Any]:
    function = _function(item, field)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _load(arguments, "arguments") if arguments.strip() else {}
    if not isinstance(arguments, dict | None):
        raise Rejected("`arguments` of a call are no JSON object")
    named = {"id": name} if (name := call_id(item, "id")) else {}
    return {"type": "function", **named, "function": {"name": function["name"], "arguments": arguments or {}}}


def call_id(item: Mapping[str, Any], field: str) -> str:
    """Return the id of a call; a missing one is empty. Raises Rejected where it is no text or number."""
    value = item.get(field)
    return str(value) if type(value) is int else text(item, field).strip()


def answer(content: str, item: Mapping[str, Any], called: str = "", is_off: bool = False) -> Message:
    """Return an answer with its weight, and the reasoning and calls of its turn. Raises Rejected."""
    thought, content = _split(content)
    reasoning = {said for field in REASONING if (said := _reasoning(item, field))} | ({thought} - {""})
    if len(reasoning) > 1:
        raise Rejected("an answer with two different reasonings")
    message = Message(role="assistant", content=content)
    if is_off:
        message["weight"] = 0
    if reasoning:
        [message["reasoning_content"]] = reasoning
    if called := called or _called(item):
        message["tool_calls"] = called
    elif reasoning and not content.strip():
        raise Rejected("an answer of reasoning alone")
    return message


def _reasoning(item: Mapping[str, Any], field: str) -> str:
    return "" if is_empty(item.get(field)) else text(item, field).strip()


def _called(item: Mapping[str, Any]) -> str:
    given = [field for field in CALLS if not is_empty(item.get(field))]
    if len(given) > 1:
        raise Rejected(f"both `{given[0]}` and `{given[1]}`")
    return calls(item[given[0]], given[0]) if given else ""


def _split(content: str) -> tuple[str, str]:
    """Return the reasoning that a text begins with, empty where there is none, and what follows it.

    Some models are given the beginning by their prompt, so that their answers have the end alone, on a line.
    """
    begun = content.lstrip()
    thought, closed, said = begun.partition(f"\n{_CLOSE}\n")
    if closed and _OPEN not in thought:
        return thought.strip(), said.lstrip()
    if not begun.startswith(_OPEN):
        return "", content
    thought, closed, said = begun.removeprefix(_OPEN).partition(_CLOSE)
    if not closed:
        raise Rejected(f"an answer that begins with `{_OPEN}` and has no `{_CLOSE}`")
    return thought.strip(), said.lstrip()


def _read(value: Any, field: str) -> Any:
    if isinstance(value, str):
        return _load(value, field)
    check_depth(value)
    return _without_nulls(value)


def _load(value: str, field: str) -> Any:
    try:
        return load_json(value)
    except ValueError:
        raise Rejected(f"`{field}` is no JSON") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if not is_missing(item)}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _dump(value: Any, field: str) -> str:
    try:
        said = to_json(value)
        said.encode()
    except UnicodeEncodeError:
        raise Rejected("broken unicode") from None
    except (TypeError, ValueError):
        raise Rejected(f"`{field}` is no JSON") from None
    return said
