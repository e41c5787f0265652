"""Calls of tools within a row: whether each has its result, and the texts that their JSON is made of."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prompt_strategies.messages import calls_of
from rabbit_ko.errors import Rejected

NO_CALL, NO_RESULT = "a tool's result without its call", "a call without its result"
OTHER_ID, SAME_ID = "`tool_call_id` names no call of the answer before", "two calls of an answer have the same `id`"


def find_call_mistake(messages: Sequence[Mapping[str, Any]], last: str) -> str | None:
    """Return what is wrong with calls and results, or None where each call has its own.

    Calls of the last turn need none where that is to be an answer: `last` is `assistant`, and not `user`. A result
    without an id is that of the first call that has none so far.
    """
    waiting: list[str | None] = []
    for message in messages:
        if message["role"] == "tool":
            if not waiting:
                return NO_CALL
            called = message.get("tool_call_id") or waiting[0]
            if called not in waiting:
                return OTHER_ID
            waiting.remove(called)
            continue
        if waiting:
            return NO_RESULT
        waiting = [call.get("id") for call in calls_of(message)]
        named = [name for name in waiting if name is not None]
        if len(set(named)) < len(named):
            return SAME_ID
    is_open = waiting and (last == "user" or messages[-1]["role"] == "tool")
    return NO_RESULT if is_open else None


def by_calls(messages: Sequence[Any]) -> list[Any]:
    """Return messages of which `find_call_mistake` finds none, with results in the order of their calls.

    Few templates render ids: to their models, the first result is that of the first call.
    """
    places, turn, waiting = list[tuple[int, int]](), 0, list[tuple[int, str | None]]()
    for message in messages:
        place = -1
        if message["role"] == "tool":
            place = next(at for at, name in waiting if message.get("tool_call_id") in (None, name))
            waiting = [call for call in waiting if call[0] != place]
        else:
            turn, waiting = turn + 1, list(enumerate(call.get("id") for call in calls_of(message)))
        places.append((turn, place))
    return [messages[at] for at in sorted(range(len(messages)), key=places.__getitem__)]


def to_json(value: Any) -> str:
    """Return a value as JSON in a shard."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def change_texts(text: str, change: Callable[[str], str]) -> str:
    """Return JSON with each text in it, keys included, changed. Raises Rejected where that makes one key of two."""
    return to_json(_changed(json.loads(text), change))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        changed = {change(name): _changed(item, change) for name, item in value.items()}
        if len(changed) < len(value):
            raise Rejected("two keys of an object have the same name")
        return changed
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
