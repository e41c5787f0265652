"""How a judge at a server is asked: as much of what makes its verdict clear as its server takes, learnt once."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from prompt_strategies.messages import Messages
from rabbit_ko.evaluation.endpoint import CUT, Ask, Failed, Refused, Reply
from rabbit_ko.evaluation.judge.own_lines import own_lines
from rabbit_ko.evaluation.judge.verdicts import Language, Mode

# Of several verdicts on the same, each is drawn by itself; a single one is not drawn, unless nothing else is left.
TEMPERATURE = 0.7
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

    The first request finds out, and all others wait for it. So nothing is refused more than once, and what is known
    holds for a copy, too. known: `first` and `again` where all is learnt that such an attempt can show;
    `cut` and `untold` where a reply was cut, or nothing was said of why there is none, which happens once.
    """

    mode: Mode
    settings: dict[str, Any]
    refused: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    _first: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def ask(self, ask: Ask, messages: Messages, language: Language, attempt: int) -> Reply:
        """Return what the judge says. attempt: after so many verdicts that could not be read, from 0.

        A verdict is asked for as JSON of a schema where the server takes one and the judge keeps to it, and the first
        time only: one that was cut in a string without an end would be cut again. What has failed twice is drawn the
        third time. Raises Refused, UserError.
        """
        kind = "again" if attempt else "first"
        wanted = self.settings | ({"temperature": TEMPERATURE} if attempt > 1 else {})
        if not attempt:
            wanted["response_format"] = schema(self.mode, language)
        if self.known.isdisjoint({"first", kind}):
            async with self._first:
                if self.known.isdisjoint({"first", kind}):
                    reply = await self._ask_first(ask, messages, wanted)
                    self._learn(kind, reply)
                    return reply
        return await self._ask(ask, messages, wanted)

    async def _ask_first(self, ask: Ask, messages: Messages, wanted: dict[str, Any]) -> Reply:
        """Ask, and once more without a schema where a server does not say what it fails at: it is told by that."""
        try:
            return await self._ask(ask, messages, wanted)
        except (Refused, Failed):
            if "response_format" not in wanted.keys() - self.refused or "untold" in self.known:
                raise
            self.known.add("untold")
            others = {name: value for name, value in wanted.items() if name != "response_format"}
            reply = await self._ask(ask, messages, others)
            self.refused.add("response_format")
            return reply

    async def _ask(self, ask: Ask, messages: Messages, wanted: dict[str, Any]) -> Reply:
        while True:
            settings = {name: value for name, value in wanted.items() if name not in self.refused}
            asked = without_system(messages) if "system" in self.refused else messages
            try:
                return await ask(asked, **settings)
            except Refused as refused:
                if not refused.setting:
                    raise
                self.refused.add(refused.setting)

    def _learn(self, kind: str, reply: Reply) -> None:
        """See by the first whole reply whether the judge keeps to the schema, or by two that are cut or empty."""
        if kind == "first" and "response_format" not in self.refused:
            is_cut = reply.finish in CUT or not reply
            if not is_whole(reply) and not (is_cut and "cut" in self.known):
                self.known |= {"cut"} if is_cut else set()
                return
            if not _is_object(reply):
                self.refused.add("response_format")
        self.known.add(kind)


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


def is_whole(reply: Reply) -> bool:
    """Tell whether a judge has ended its reply; an object in JSON shows its end where a server does not."""
    return reply.ended or (not reply.finish and _is_object(reply))


def _is_object(text: str) -> bool:
    lines = own_lines(text)
    try:
        return lines is not None and isinstance(json.loads("\n".join(lines)), dict)
    except (ValueError, RecursionError):
        return False
