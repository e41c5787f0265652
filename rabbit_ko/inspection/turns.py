"""What messages say, for people: contents, reasoning and calls of tools, in no template."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_builders.calls import to_json
from prompt_strategies.messages import calls_of


def parts(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts of a message, each under its role, and behind that what it is where it is no content."""
    role, content, calls = message["role"], message["content"], calls_of(message)
    if reasoning := message.get("reasoning_content"):
        yield f"{role}, reasoning", reasoning
    if content or not calls:
        yield role, content
    for function in (call["function"] for call in calls):
        yield f"{role}, call", f"{function['name']} {to_json(function['arguments'])}"


def names_of(tools: str) -> str:
    """Return the names of a row's tools."""
    return ", ".join(tool["function"]["name"] for tool in json.loads(tools))
