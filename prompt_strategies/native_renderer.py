"""Prompts in a base's own format: whatever the tokenizer's chat template renders, encoded as those who serve it do.

Nothing about a family of models stands here. What ends a turn is the tokenizer's EOS; what begins one, which tokens
are control tokens, and whether BOS is written, is found by rendering a conversation.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prompt_strategies.messages import Messages, calls_of, find_order_mistake
from prompt_strategies.probes import (
    ANSWER,
    CALL,
    CONTENTS,
    QUESTION,
    QUESTION_AGAIN,
    RESULT,
    SYSTEM,
    THINKING,
    TOOL_RESULT,
    TOOLS,
)
from prompt_strategies.said import as_given, call_texts, find_place, is_answer, leaves, texts_of
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
        """The generation prompts as they are decoded: what stands between a question, or a result, and an answer.

        Some control tokens swallow white space beside them, which no decoding brings back.
        """
        behind_question, has_tools = self._response([QUESTION]), RESULT in self._frame([QUESTION, CALL, TOOL_RESULT])
        return behind_question, *([self._response([QUESTION, CALL, TOOL_RESULT])] if has_tools else [])

    def _response(self, prompt: Messages) -> str:
        with_it, without = (self._frame(prompt, is_prompt=is_prompt) for is_prompt in (True, False))
        [ids] = encode_rendered(
            self.tokenizer, [with_it.removeprefix(without) if with_it.startswith(without) else ""]
        )
        return str(self.tokenizer.decode(ids))

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
    def controls(self) -> tuple[str, ...]:
        """The texts that would be read as control tokens: special ones, and others of the template."""
        probes = ([QUESTION, CALL, TOOL_RESULT, ANSWER], [QUESTION, THINKING], [QUESTION, ANSWER, QUESTION_AGAIN])
        text = "".join((*map(self._frame, probes), self.chat_template))
        names = {token.content: token.special for token in self.tokenizer.added_tokens_decoder.values()}
        return tuple(
            name
            for name, is_special in names.items()
            if is_special or (name.strip() and (name in text or (name[:2], name[-2:]) == ("<|", "|>")))
        )

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(control[0] for control in self.controls)

    def find_control(self, text: str) -> str | None:
        """Return a control token that stands in a text, or None."""
        if not any(map(text.__contains__, self._beginnings)):  # nearly always, and soon told
            return None
        return next(filter(text.__contains__, self.controls), None)

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """The plain texts that begin a turn where no control token does: none of them may stand in a message."""
        bos = self.tokenizer.bos_token or ""
        texts = map(self._frame, ([SYSTEM, QUESTION], [QUESTION, ANSWER, QUESTION_AGAIN]))
        frames = [each for text in texts for each in CONTENTS.split(text.removeprefix(bos))]
        plain = (marker.strip() for marker in frames if not self.find_control(marker))
        return tuple(dict.fromkeys(marker.casefold() for marker in plain if marker))

    def _frame(self, messages: Messages, *, is_prompt: bool = True) -> str:
        has_calls = any(message.get("tool_calls") for message in messages)
        return self._attempt(messages, TOOLS if has_calls else None, is_prompt=is_prompt)

    def _attempt(self, messages: Messages, tools: str | None, *, is_prompt: bool = True) -> str:
        try:
            return self.render(messages, tools, is_prompt=is_prompt)
        except Exception:  # a template raises whatever it likes
            return ""

    def render(self, messages: Messages, tools: str | None = None, *, is_prompt: bool = True) -> str:
        """Render messages, up to the answer that follows where they are a prompt. Raises what the template does."""
        rendered: str = self.tokenizer.apply_chat_template(
            [as_given(message) for message in messages],
            tools=json.loads(tools) if tools else None,
            tokenize=False,
            add_generation_prompt=is_prompt,
        )
        return rendered

    def tokenize(
        self, samples: Sequence[Sample], sequence_len: int, encode: Encode = encode
    ) -> list[Example | Dropped]:
        """Encode samples, a prompt with each of its answers; each is an example, or dropped with a reason.

        encode: encodes plain texts, of which there are none here.
        """
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
        bos = self.tokenizer.bos_token_id
        if bos != self.tokenizer.eos_token_id and any(bos in ids[1:] for ids in both):
            return Dropped.BOS_INSIDE
        answers = tuple(ids[len(prompt) :] for ids in both)
        if any(ids[-1] != self.tokenizer.eos_token_id for ids in answers):
            return Dropped.NO_END
        if any(not self.outside.isdisjoint(ids[:-1]) for ids in answers):
            return Dropped.TURN_INSIDE
        return Example(self._for_trl(text), answer_texts, prompt, answers)

    def _for_trl(self, prompt: str) -> str:
        return prompt.removeprefix(self.tokenizer.bos_token) if adds_bos(self.tokenizer) else prompt

    def _find_mistake(self, sample: Sample) -> Dropped | None:
        if find_order_mistake(sample.prompt, last="user") or not all(map(is_answer, sample.answers)):
            return Dropped.MALFORMED
        said = [text for message in (*sample.prompt, *sample.answers) for text in texts_of(message)]
        whole = "\n".join([*said, *leaves(json.loads(sample.tools or "[]"))])
        if any(self.find_control(text) for text in (whole, self._normalized(whole))):
            return Dropped.CONTROL
        if self.markers and any(marker in whole.casefold() for marker in self.markers):
            return Dropped.FAKE_TURN
        return None

    def _normalized(self, text: str) -> str:
        """Return a text as it is searched for added tokens, where that is after the normalizer; else nothing."""
        return self._normalizer.normalize_str(text) if self._normalizer else ""

    @cached_property
    def _normalizer(self) -> Any:
        is_behind = any(token.normalized for token in self.tokenizer.added_tokens_decoder.values())
        return self.tokenizer.backend_tokenizer.normalizer if is_behind and self.tokenizer.is_fast else None

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
        if not self._has_tools_in(sample, prompt):
            return Dropped.NOT_RENDERED
        at = 0
        for message in sample.prompt:
            content = message["content"].strip()
            if message["role"] == "system":
                if content not in prompt:
                    return Dropped.CHANGED
                continue
            place = find_place(content, prompt, at)
            if place < 0:
                return Dropped.NOT_RENDERED if message["role"] == "tool" else Dropped.CHANGED
            at = place + len(content)
            if not all(find_place(part, prompt, at) >= 0 for part in call_texts(calls_of(message))):
                return Dropped.NOT_RENDERED
        for answer, text in zip(sample.answers, answers, strict=True):
            parts = [(answer.get("reasoning_content") or "").strip(), *call_texts(calls_of(answer))]
            if not all(find_place(part, text, 0) >= 0 for part in parts):
                return Dropped.NOT_RENDERED
            if answer["content"].strip() not in text:
                return Dropped.CHANGED
        return None

    def _has_tools_in(self, sample: Sample, prompt: str) -> bool:
        """Tell whether tools and calls make a prompt another one, and the names of all tools stand in it."""
        tools = json.loads(sample.tools or "[]")
        names = [str(each.get("function", each)["name"]) for each in tools]
        plain = [{**message, "tool_calls": None} for message in sample.prompt]
        without = [self._attempt(sample.prompt, None)] if tools else []
        without += [self._attempt(plain, sample.tools)] if any(map(calls_of, sample.prompt)) else []
        return prompt not in without and all(name in prompt for name in names)
