"""How a judge at a server is asked: as much of what makes its verdict clear as its server takes, learnt once."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from prompt_strategies.messages import Messages
from rabbit_ko.evaluation.endpoint import Ask, Refused, Reply
from rabbit_ko.evaluation.judge.verdicts import Language, Mode

# The names of what a rubric asks for, the reasons first, and the choices.
_KEYS: dict[tuple[Language, Mode], tuple[str, str]] = {
    ("ko", "score"): ("평가", "점수"),
    ("ko", "pairwise"): ("평가", "더 나은 답변"),
    ("en", "score"): ("assessment", "score"),
    ("en", "pairwise"): ("assessment", "better"),
}
_CHOICES: dict[Language, list[str]] = {"ko": ["A", "B", "무승부"], "en": ["A", "B", "tie"]}


@dataclass
class Manner:
    """What a judge's server takes: `temperature` and what other settings have, `response_format`, and `system`.

    The first request finds out, and all others wait for it. So nothing is refused more than once.
    """

    mode: Mode
    settings: dict[str, Any]
    refused: set[str] = field(default_factory=set)
    is_known: bool = False
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, ask: Ask, messages: Messages, language: Language, again: bool) -> Reply:
        """Return what the judge says. again: after a verdict that could not be read. Raises Refused, UserError.

        A verdict is asked for as JSON of a schema where the server takes one and the judge keeps to it, and the first
        time only: one that was cut in a string without an end would be cut again.
        """
        if not self.is_known:
            async with self._first:
                if not self.is_known:
                    reply = await self._ask(ask, messages, language, again)
                    if not _is_object(reply):
                        self.refused.add("response_format")
                    self.is_known = True
                    return reply
        return await self._ask(ask, messages, language, again)

    async def _ask(self, ask: Ask, messages: Messages, language: Language, again: bool) -> Reply:
        while True:
            settings = self.settings | ({} if again else {"response_format": schema(self.mode, language)})
            settings = {name: value for name, value in settings.items() if name not in self.refused}
            asked = without_system(messages) if "system" in self.refused else messages
            try:
                return await ask(asked, **settings)
            except Refused as refused:
                if not refused.setting:
                    raise
                self.refused.add(refused.setting)


def schema(mode: Mode, language: Language) -> dict[str, Any]:
    """Return the `response_format` of a verdict: the reasons before what follows from them."""
    reasons, verdict = _KEYS[language, mode]
    value = {"type": "number"} if mode == "score" else {"type": "string", "enum": _CHOICES[language]}
    keys = {reasons: {"type": "string"}, verdict: value}
    rules = {"type": "object", "properties": keys, "required": [*keys], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": rules}}


def without_system(messages: Messages) -> Messages:
    """Return the same messages, in which what the system says stands at the head of what the user says."""
    said = [message["content"] for message in messages if message["role"] == "system"]
    first, *others = [message for message in messages if message["role"] != "system"]
    return [{**first, "content": "\n\n".join([*said, first["content"]])}, *others]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
