"""A template with a tokenizer: what all of training, checks and plans encode rows with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Protocol

from prompt_strategies.chat_template import chat_template
from prompt_strategies.messages import find_order_mistake, is_plain
from prompt_strategies.native_renderer import NativeRenderer
from prompt_strategies.prompt_injection import has_fake_turn
from prompt_strategies.template import Native, Template, render_answer, render_prompt, template_for
from prompt_strategies.tokens import (
    Dropped,
    Encode,
    Example,
    Sample,
    Tokenizer,
    encode,
    encode_answers,
    encode_prompts,
    fit,
    special_ids,
    written_bos,
)


class Renderer(Protocol):
    """What encodes samples, and what can be told of all of its examples.

    chat_template: for `apply_chat_template`. responses: texts, one of which is before each answer. has_bos: whether
    each prompt begins with BOS. outside: the ids that no answer has but at its end. alone: whether an example has one
    trained span, and none of `outside` in its prompt but BOS.
    """

    @property
    def chat_template(self) -> str: ...
    @property
    def responses(self) -> tuple[str, ...]: ...
    @property
    def has_bos(self) -> bool: ...
    @property
    def outside(self) -> frozenset[int]: ...
    @property
    def alone(self) -> bool: ...
    def tokenize(
        self, samples: Sequence[Sample], sequence_len: int, encode: Encode = encode
    ) -> list[Example | Dropped]: ...


def renderer_for(kind: str, tokenizer: Tokenizer) -> Renderer:
    """Return what renders the rows of a dataset entry by its `type`. Raises UserError where that is unknown."""
    return bind(template_for(kind), tokenizer)


def bind(template: Template | Native, tokenizer: Tokenizer) -> Renderer:
    """Return what renders rows in a template for a tokenizer, whose own chat template is the native one."""
    return NativeRenderer(tokenizer) if isinstance(template, Native) else HeadingsRenderer(template, tokenizer)


@dataclass(frozen=True)
class HeadingsRenderer:
    """Prompts with headings of this project's own, in which nothing but BOS and EOS is a special token."""

    template: Template
    tokenizer: Tokenizer
    alone = True

    @property
    def chat_template(self) -> str:
        return chat_template(self.template)

    @property
    def responses(self) -> tuple[str, ...]:
        return (self.template.response,)

    @property
    def has_bos(self) -> bool:
        return self.tokenizer.bos_token_id is not None

    @property
    def outside(self) -> frozenset[int]:
        return special_ids(self.tokenizer)

    def tokenize(
        self, samples: Sequence[Sample], sequence_len: int, encode: Encode = encode
    ) -> list[Example | Dropped]:
        """Encode samples, a prompt and its answers apart; each is an example, or dropped with a reason."""
        return fit(samples, sequence_len, partial(self._encode, encode))

    def _encode(self, encode: Encode, samples: list[Sample]) -> Iterator[Example | Dropped]:
        controls, bos = self._unsplittable(), written_bos(self.tokenizer)
        texts = [tuple(map(render_answer, sample.answers)) for sample in samples]
        mistakes = [_find_mistake(sample, said, controls) for sample, said in zip(samples, texts, strict=True)]
        good = [index for index, mistake in enumerate(mistakes) if mistake is None]
        prompts = [render_prompt(self.template, samples[index].prompt) for index in good]
        answers = iter(encode_answers(self.tokenizer, [*chain.from_iterable(texts[index] for index in good)], encode))
        ids = encode_prompts(self.tokenizer, prompts, encode)
        examples = iter(
            Example(bos + prompt, texts[index], tokens, tuple(islice(answers, len(texts[index]))))
            for index, prompt, tokens in zip(good, prompts, ids, strict=True)
        )
        for mistake in mistakes:
            yield mistake or next(examples)

    def _unsplittable(self) -> tuple[str, ...]:
        """Return tokens in the form of control tokens that the tokenizer does not mark as special, as Qwen3's do."""
        added = self.tokenizer.added_tokens_decoder.values()
        return tuple(token.content for token in added if token.content.startswith("<|") and not token.special)


def _find_mistake(sample: Sample, answers: tuple[str, ...], controls: tuple[str, ...]) -> Dropped | None:
    if sample.tools or not is_plain([*sample.prompt, *sample.answers]):
        return Dropped.NOT_RENDERED
    contents = [*answers, *(message["content"] for message in sample.prompt)]
    if find_order_mistake(sample.prompt, last="user") or not all(answers) or len(set(answers)) < len(answers):
        return Dropped.MALFORMED
    # A heading is a line, so that one look at all of them finds what one at each would.
    if has_fake_turn("\n".join(contents)):
        return Dropped.FAKE_TURN
    if controls and any("<|" in content and any(map(content.__contains__, controls)) for content in contents):
        return Dropped.CONTROL
    return None
