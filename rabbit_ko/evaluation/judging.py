"""What all judges at a server have in common: how often they are asked, with which settings, and what they read."""

from collections.abc import Sequence
from typing import Any

from prompt_strategies.messages import Messages
from rabbit_ko.evaluation.endpoint import Ask, Refused, Reply
from rabbit_ko.evaluation.journal import digest

# A verdict that cannot be read is asked for again, so often in all.
ATTEMPTS = 3


def marked(parts: Sequence[tuple[str, str | None]], empty: str) -> tuple[str, str]:
    """Return a mark, and the parts that are there, each between `<name mark>` and `</name mark>`.

    The mark is a hash of all parts that stands in none, so that no text can close its own part and pose as another.
    empty: stands where a part is blank.
    """
    mark = digest(parts)[:8]
    while any(mark in (text or "") for _, text in parts):
        mark = digest([mark, parts])[:8]
    present = [(name, text.strip() or empty) for name, text in parts if text is not None]
    return mark, "\n\n".join(f"<{name} {mark}>\n{text}\n</{name} {mark}>" for name, text in present)


async def ask_as_allowed(ask: Ask, messages: Messages, settings: dict[str, Any]) -> Reply:
    """Ask with these settings; where the model refuses their temperature without any, and they stay empty then.

    Models that think before they answer have a temperature of their own. Raises Refused, UserError.
    """
    try:
        return await ask(messages, **settings)
    except Refused as refused:
        if "temperature" not in str(refused):
            raise
        settings.clear()
        return await ask(messages)
