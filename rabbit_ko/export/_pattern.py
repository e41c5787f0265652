"""What a chat template writes around the contents of messages, for engines that have another template language.

It is found by rendering a few conversations; that the template does nothing else is seen on many others.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, product
from textwrap import shorten
from typing import Any, NamedTuple

from prompt_strategies.messages import Messages
from prompt_strategies.probes import (
    ANSWER,
    ANSWER_AGAIN,
    ASKED,
    ASKED_AGAIN,
    QUESTION,
    QUESTION_AGAIN,
    SAID,
    SAID_AGAIN,
    SYSTEM,
    TOLD,
)
from prompt_strategies.tokens import Tokenizer
from rabbit_ko.errors import UserError, reason

# Renders a prompt without BOS, which an engine's tokenizer adds.
Render = Callable[[Messages], str]

ROLES = ("system", "user", "assistant")
_PART = re.compile("@([a-z]+)")
_LAST = {"role": "user", "content": "qx3zq"}
_PADDED = " \n px1zp\t\n"
_SYSTEMS = (None, "짧게 답해 주세요.", "", " \n", '\u3000\n{{ .System }} "짧게"\n\n')
_USERS = ("안녕?", '\t{{ .Content }} {% if x %} """1"""  \r\n', "`\\n` 👩\u200d💻 \u1112\u1161\u11ab\n\n글\u00a0")
_ASSISTANTS = ("네.", " \n{%- endif %} '네'.\r\n\n", "<think>\n흠\n</think>\n\n네.", "\\u0041 </s> \u2028")


class Pieces(NamedTuple):
    """What a template writes before a question, by its place, before an earlier answer, and behind the last question.

    TOLD stands for the system message.
    """

    only: str
    first: str
    question: str
    last: str
    answer: str
    end: str


@dataclass(frozen=True)
class Pattern:
    """What a template does: it writes contents, and pieces around them.

    plain, told: without a system message and with one; no `told` where it refuses one. stripped: the roles whose
    contents are stripped. takes_blank: whether an empty system message is one.
    """

    plain: Pieces
    told: Pieces | None
    stripped: frozenset[str]
    takes_blank: bool

    @property
    def pieces(self) -> dict[str, tuple[str, str]]:
        """The pieces by their names, each with a system message and without one."""
        told = self.told or self.plain
        return dict(zip(Pieces._fields, zip(told, self.plain, strict=True), strict=True))

    def render(self, messages: Messages) -> str:
        """Render a prompt, without BOS."""
        said = [self._content(message["role"], message["content"]) for message in messages]
        system = said.pop(0) if messages[0]["role"] == "system" else None
        told = self.told if system or (system is not None and self.takes_blank) else None
        pieces, earlier = told or self.plain, len(said) // 2
        before = [pieces.first, *[pieces.answer, pieces.question] * earlier][:-1]
        before = [*before, pieces.last] if earlier else [pieces.only]
        around = [piece.replace(TOLD, system or "") for piece in (*before, pieces.end)]
        return "".join(map(str.__add__, around, [*said, ""]))

    def _content(self, role: str, content: str) -> str:
        return content.strip() if role in self.stripped else content


def fill(layout: str, parts: Mapping[str, str]) -> str:
    """Return a layout of a template with a pattern's part in the place of each `@name`."""
    return _PART.sub(lambda found: parts[found[1]], layout)


def find_pattern(tokenizer: Tokenizer) -> Pattern:
    """Find what a tokenizer's chat template does. Raises UserError where that is more than a pattern has."""

    def render(messages: Messages) -> str:
        text: str = tokenizer.apply_chat_template([*messages], tokenize=False, add_generation_prompt=True)
        return text.removeprefix(tokenizer.bos_token or "")

    try:
        plain, takes_system = _pieces(render), _renders(render, [SYSTEM, QUESTION])
        told = _pieces(render, SYSTEM) if takes_system else None
        roles = ["user", "assistant", *(["system"] if takes_system else [])]
        stripped = frozenset(role for role in roles if _PADDED not in render(_padded(role)))
        takes_blank = takes_system and render([{**SYSTEM, "content": ""}, QUESTION]) != render([QUESTION])
        pattern = Pattern(plain, told, stripped, takes_blank)
        samples = conversations(_control_tokens(tokenizer), with_system=takes_system)
        wrong = next((each for each in samples if render(each) != pattern.render(each)), None)
    except UserError:
        raise
    except Exception as error:  # a template raises whatever it likes
        raise UserError(f"it refuses a conversation: {reason(error)}") from None
    if wrong:
        role, content = wrong[-2:][0]["role"], shorten(json.dumps(wrong[-2:][0]["content"], ensure_ascii=False), 60)
        raise UserError(f"it does more with what is said than to write it, such as with {content} of the {role}")
    return pattern


def conversations(*answers: str, with_system: bool = True) -> Iterator[Messages]:
    """Yield prompts of one to four turns with contents that a template could change. answers: more of them."""
    questions, answers = cycle(_USERS), (*_ASSISTANTS, *answers)
    for system in _SYSTEMS if with_system else _SYSTEMS[:1]:
        for turns, last in product(range(4), range(len(answers))):
            said = [(next(questions), answers[(last - turn) % len(answers)]) for turn in range(turns)]
            yield [
                *([] if system is None else [{"role": "system", "content": system}]),
                *(
                    {"role": role, "content": content}
                    for turn in said
                    for role, content in zip(("user", "assistant"), turn, strict=True)
                ),
                {"role": "user", "content": next(questions)},
            ]


def _control_tokens(tokenizer: Tokenizer) -> str:
    """Return a text of all added tokens that the chat template names, between which it could cut something out."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values())
    return "흠".join(["", *(token for token in added if token in tokenizer.chat_template), ""])


def _renders(render: Render, messages: Messages) -> bool:
    try:
        return bool(render(messages))
    except Exception:  # a template raises whatever it likes
        return False


def _padded(role: str) -> Messages:
    messages = [SYSTEM, QUESTION] if role == "system" else [QUESTION, ANSWER, QUESTION_AGAIN]
    return [{**message, "content": _PADDED} if message["role"] == role else message for message in messages]


def _pieces(render: Render, *system: Mapping[str, Any]) -> Pieces:
    """Return what stands around marked contents. Raises UserError where that depends on more than their places."""
    only, end = _split(render([*system, QUESTION]), ASKED)
    turns = [*system, QUESTION, ANSWER, QUESTION_AGAIN, ANSWER_AGAIN, _LAST]
    contents = (ASKED, SAID, ASKED_AGAIN, SAID_AGAIN, _LAST["content"])
    first, answer, question, answer_again, last, end_again = _split(render(turns), *contents)
    if (answer, end) != (answer_again, end_again):
        raise UserError("what it writes around a turn depends on the turns before and after it")
    return Pieces(only, first, question, last, answer, end)


def _split(text: str, *contents: str) -> list[str]:
    pieces = []
    for content in contents:
        piece, found, text = text.partition(content)
        if not found:
            raise UserError("it does not write each turn once, in order")
        pieces.append(piece)
    return [*pieces, text]
