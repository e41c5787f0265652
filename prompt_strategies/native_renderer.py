"""Prompts in a base's own format: whatever the tokenizer's chat template renders, encoded as those who serve it do.

Nothing about a family of models stands here. What ends a turn is the tokenizer's EOS; what begins one, which tokens
are control tokens, and whether BOS is written, is found by rendering a conversation.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prompt_strategies.messages import Messages, find_order_mistake
from prompt_strategies.tokens import (
    Dropped,
    Encode,
    Example,
    Ids,
    Sample,
    Tokenizer,
    adds_bos,
    encode,
    encode_rendered,
    fit,
)

_KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id")

# Words that no template writes, for the contents of probes.
ASKED, SAID, ASKED_AGAIN, SAID_AGAIN, TOLD = "qx1zq", "ax1za", "qx2zq", "ax2za", "sx1zs"
THOUGHT, TOOL, RESULT = "tx1zt", "fx1zf", "rx1zr"
QUESTION = {"role": "user", "content": ASKED}
ANSWER = {"role": "assistant", "content": SAID}
QUESTION_AGAIN = {"role": "user", "content": ASKED_AGAIN}
ANSWER_AGAIN = {"role": "assistant", "content": SAID_AGAIN}
THINKING = {**ANSWER, "reasoning_content": THOUGHT}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": json.dumps([{"id": "call00001", "type": "function", "function": {"name": TOOL, "arguments": {}}}]),
}
TOOL_RESULT = {"role": "tool", "content": RESULT, "tool_call_id": "call00001"}
_DEFINITION = {"name": TOOL, "description": TOOL, "parameters": {"type": "object", "properties": {}}}
TOOLS = json.dumps([{"type": "function", "function": _DEFINITION}])


@dataclass(frozen=True)
class NativeRenderer:
    """Prompts and answers that the tokenizer's chat template renders."""

    tokenizer: Tokenizer
    alone = False

    @property
    def chat_template(self) -> str:
        return str(self.tokenizer.get_chat_template())

    @cached_property
    def responses(self) -> tuple[str, ...]:
        """The generation prompts: what the template writes between a question, or a tool's result, and an answer."""
        behind_question, has_tools = self._response([QUESTION]), RESULT in self._frame([QUESTION, CALL, TOOL_RESULT])
        return behind_question, *([self._response([QUESTION, CALL, TOOL_RESULT])] if has_tools else [])

    def _response(self, prompt: Messages) -> str:
        with_it, without = (self._frame(prompt, is_prompt=is_prompt) for is_prompt in (True, False))
        return with_it.removeprefix(without) if with_it.startswith(without) else ""

    @cached_property
    def has_bos(self) -> bool:
        bos = self.tokenizer.bos_token
        return bos is not None and self.render([QUESTION]).startswith(bos)

    @cached_property
    def outside(self) -> frozenset[int]:
        """The ids that begin and end turns; not those that stand beside each answer, as around Command A's."""
        prompt, turns = self._frame([QUESTION]), self._frame([QUESTION, ANSWER, QUESTION_AGAIN])
        answer = self._frame([QUESTION, ANSWER]).removeprefix(prompt).partition(self.tokenizer.eos_token)[0]
        beside, ids = encode_rendered(self.tokenizer, [answer if self.responses[0] else "", turns])
        added = {token for token, it in self.tokenizer.added_tokens_decoder.items() if it.content.strip()}
        return frozenset(added.intersection(ids).difference(beside)) | {self.tokenizer.eos_token_id}

    @cached_property
    def controls(self) -> re.Pattern[str]:
        """What finds texts that would be read as control tokens: special ones, and others that stand in turns."""
        probes = ([QUESTION, CALL, TOOL_RESULT, ANSWER], [QUESTION, THINKING], [QUESTION, ANSWER, QUESTION_AGAIN])
        text = "".join(map(self._frame, probes))
        tokens = self.tokenizer.added_tokens_decoder.values()
        shaped = re.compile(r"<\|.*\|>", re.DOTALL).fullmatch
        found = (
            re.escape(token.content)
            for token in tokens
            if token.special or (token.content.strip() and (token.content in text or shaped(token.content)))
        )
        return re.compile("|".join(found) or "(?!)")

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """The plain texts that begin a turn where no control token does: none of them may stand in a message."""
        text = self._frame([QUESTION, ANSWER, QUESTION_AGAIN])
        frames = re.split("|".join((ASKED, SAID, ASKED_AGAIN)), text)
        plain = (marker.strip() for marker in frames if not self.controls.search(marker))
        return tuple(dict.fromkeys(marker.casefold() for marker in plain if marker))

    def _frame(self, messages: Messages, *, is_prompt: bool = True) -> str:
        tools = TOOLS if any(message.get("tool_calls") for message in messages) else None
        try:
            return self.render(messages, tools, is_prompt=is_prompt)
        except Exception:  # a template raises whatever it likes
            return ""

    def render(self, messages: Messages, tools: str | None = None, *, is_prompt: bool = True) -> str:
        """Render messages, up to the answer that follows where they are a prompt. Raises what the template does."""
        rendered: str = self.tokenizer.apply_chat_template(
            [_as_given(message) for message in messages],
            tools=json.loads(tools) if tools else None,
            tokenize=False,
            add_generation_prompt=is_prompt,
        )
        return rendered

    def tokenize(self, samples: Sequence[Sample], sequence_len: int, _: Encode = encode) -> list[Example | Dropped]:
        """Encode samples, a prompt with each of its answers; each is an example, or dropped with a reason."""
        return fit(samples, sequence_len, self._encode)

    def _encode(self, samples: list[Sample]) -> Iterator[Example | Dropped]:
        texts = [self._find_mistake(sample) or self.texts(sample) for sample in samples]
        wanted = [text for text in texts if not isinstance(text, Dropped)]
        prompts = iter(encode_rendered(self.tokenizer, [prompt for prompt, _ in wanted]))
        joint = [prompt + answer for prompt, answers in wanted for answer in answers]
        both = iter(encode_rendered(self.tokenizer, joint))
        for text in texts:
            yield (
                text
                if isinstance(text, Dropped)
                else self._example(*text, next(prompts), [next(both) for _ in text[1]])
            )

    def _example(self, text: str, answer_texts: tuple[str, ...], prompt: Ids, both: list[Ids]) -> Example | Dropped:
        if any(ids[: len(prompt)] != prompt for ids in both):
            return Dropped.MERGED
        answers = tuple(ids[len(prompt) :] for ids in both)
        if any(ids[-1] != self.tokenizer.eos_token_id for ids in answers):
            return Dropped.NO_END
        if any(not self.outside.isdisjoint(ids[:-1]) for ids in answers):
            return Dropped.TURN_INSIDE
        return Example(self._for_trl(text), answer_texts, prompt, answers)

    def _for_trl(self, prompt: str) -> str:
        return prompt.removeprefix(self.tokenizer.bos_token) if adds_bos(self.tokenizer) else prompt

    def _find_mistake(self, sample: Sample) -> Dropped | None:
        if find_order_mistake(sample.prompt, last="user") or not all(map(_is_answer, sample.answers)):
            return Dropped.MALFORMED
        said = [text for message in (*sample.prompt, *sample.answers) for text in _texts(message)]
        whole = "\n".join([*said, sample.tools or ""])
        if self.controls.search(whole):
            return Dropped.CONTROL
        if self.markers and any(marker in whole.casefold() for marker in self.markers):
            return Dropped.FAKE_TURN
        return None

    def texts(self, sample: Sample) -> tuple[str, tuple[str, ...]] | Dropped:
        """Return a prompt's text and its answers', each up to the end of its turn, or why there are none."""
        stripped = [{**answer, "content": answer["content"].strip()} for answer in sample.answers]
        try:
            prompt = self.render(sample.prompt, sample.tools)
            full = [self.render([*sample.prompt, answer], sample.tools, is_prompt=False) for answer in stripped]
        except Exception:  # a template raises whatever it likes
            return Dropped.REFUSED
        if not all(text.startswith(prompt) for text in full):
            return Dropped.NOT_CONTINUED
        eos = self.tokenizer.eos_token
        answers = tuple(text[len(prompt) : text.find(eos, len(prompt)) + len(eos)] for text in full)
        if not all(text.endswith(eos) for text in answers):
            return Dropped.NO_END
        if len(set(answers)) < len(answers):
            return Dropped.MALFORMED
        return self._find_loss(sample, prompt, answers) or (prompt, answers)

    def _find_loss(self, sample: Sample, prompt: str, answers: tuple[str, ...]) -> Dropped | None:
        """Return why not all that a sample says stands in its texts, in order but for the system prompt."""
        names = _names(json.loads(sample.tools or "[]"))
        if not all(name in prompt for name in names):
            return Dropped.NOT_RENDERED
        at = 0
        for message in sample.prompt:
            content = message["content"].strip()
            if message["role"] == "system":
                if content not in prompt:
                    return Dropped.CHANGED
                continue
            place = _place(content, prompt, at)
            if place < 0:
                return Dropped.NOT_RENDERED if message["role"] == "tool" else Dropped.CHANGED
            at = place + len(content)
            if not all(name in prompt[at:] for name in _names(_calls(message))):
                return Dropped.NOT_RENDERED
        for answer, text in zip(sample.answers, answers, strict=True):
            parts = [(answer.get("reasoning_content") or "").strip(), *_names(_calls(answer))]
            if not all(part in text for part in parts):
                return Dropped.NOT_RENDERED
            if answer["content"].strip() not in text:
                return Dropped.CHANGED
        return None


def _place(content: str, text: str, start: int) -> int:
    """Return where a content stands in a text from `start` on, as it is or as in JSON; -1 where it does not."""
    place = text.find(content, start)
    return place if place >= 0 else text.find(json.dumps(content, ensure_ascii=False)[1:-1], start)


def _as_given(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as a client gives it: without what it has not, and its calls as objects."""
    given = {"content": "", **{key: message[key] for key in _KEYS if message.get(key) is not None}}
    if calls := _calls(message):
        given["tool_calls"] = calls
    return given


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return json.loads(calls) if isinstance(calls, str) and calls else calls or []


def _names(functions: list[dict[str, Any]]) -> list[str]:
    return [str(each.get("function", each)["name"]) for each in functions]


def _texts(message: Mapping[str, Any]) -> list[str]:
    """Return all that a message says."""
    calls = json.dumps(_calls(message), ensure_ascii=False) if message.get("tool_calls") else ""
    return [message["content"], message.get("reasoning_content") or "", calls]


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message["content"].strip() or message.get("tool_calls"))
