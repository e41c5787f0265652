"""Talk with a stage's model, whose answers are printed as they come."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prompt_strategies.messages import Messages, without_oldest_exchange
from rabbit_ko.errors import UserError, printable
from rabbit_ko.evaluation.line_editor import is_typed, questions, whole_characters
from rabbit_ko.evaluation.models import encode_chat, load_stage, stops
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.terminal import BREAKS, say


class TooLong(UserError):
    """A question that does not fit into the model's context, even without all that was said before."""


def talk(stage: Stage, prompt: str, system: str, max_new_tokens: int, temperature: float, seed: int) -> None:
    """Answer the prompt, or without one what is asked until there is no more.

    Raises UserError; where it is not the prompt that is too long, that is said and the conversation stays as it was.
    Where nobody types, it is raised at the end that questions have no answer.
    """
    from transformers import set_seed

    model, tokenizer = load_stage(stage)
    set_seed(seed)
    messages: Messages = [{"role": "system", "content": whole_characters(system)}] if system else []
    unanswered = 0
    for question in [whole_characters(prompt)] if prompt else questions():
        asked = [*messages, {"role": "user", "content": question}]
        try:
            fitting = fit(model, tokenizer, asked, max_new_tokens)
        except TooLong as error:
            if prompt:
                raise
            say(f"[{error}]", is_error=True)
            unanswered += 1
            continue
        if dropped := _questions_in(asked) - _questions_in(fitting):
            say(f"[earlier exchanges that no longer fit, and are dropped: {dropped}]", is_error=True)
        text = _answered(
            model, tokenizer, fitting, max_new_tokens, temperature, is_stoppable=not prompt and is_typed()
        )
        messages = [*fitting, {"role": "assistant", "content": text}] if text is not None else messages
    if unanswered and not is_typed():
        raise UserError(f"questions that are too long, and have no answer: {unanswered}")


def _questions_in(messages: Messages) -> int:
    return sum(message["role"] == "user" for message in messages)


def fit(model: Any, tokenizer: Any, messages: Messages, max_new_tokens: int) -> Messages:
    """Return a conversation without its oldest exchanges, so that it and an answer fit into the model's context.

    Raises TooLong where the last question alone does not, and UserError where the stage's prompt has no place for the
    conversation, or the context none for any question.
    """
    context = model.config.get_text_config().max_position_embeddings
    room = context - max_new_tokens
    if room < 1:
        raise UserError(f"--max-new-tokens {max_new_tokens}: the model's context has {context:,} tokens; say fewer")
    left = messages
    while (tokens := len(encode_chat(tokenizer, left)["input_ids"])) > room:
        shorter = without_oldest_exchange(left)
        if shorter is None:
            raise TooLong(
                f"the question has {tokens:,} tokens with its prompt, and {room:,} fit beside an answer of "
                f"{max_new_tokens:,}; ask a shorter one, or say --max-new-tokens"
            )
        left = shorter
    return left


def _answered(
    model: Any, tokenizer: Any, messages: Messages, max_new_tokens: int, temperature: float, is_stoppable: bool
) -> str | None:
    """Stream an answer; return it, or None where it was stopped before it began."""
    if not is_stoppable:
        text, ended = answer(model, tokenizer, messages, max_new_tokens, temperature)
    else:
        with _stoppable() as is_stopped:
            try:
                text, ended = answer(model, tokenizer, messages, max_new_tokens, temperature, is_stopped)
            except KeyboardInterrupt:
                text = ""
        if is_stopped():
            say("[stopped]", is_error=True)
            return text or None
    if not ended:
        say(f"[cut after {max_new_tokens} tokens]", is_error=True)
    return text


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl-C was pressed, which interrupts nothing meanwhile; a second one does."""
    pressed = False

    def press(number: int, _: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def answer(
    model: Any,
    tokenizer: Any,
    messages: Messages,
    max_new_tokens: int,
    temperature: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> tuple[str, bool]:
    """Stream an answer to a conversation; return it, and whether the model ended it.

    is_stopped: is asked after each token whether that is the last. Raises UserError where the stage's prompt has no
    place for the conversation.
    """
    import torch

    prompt, ends = encode_chat(tokenizer, messages, return_tensors="pt"), stops(model, tokenizer)
    sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.9} if temperature else {"do_sample": False}
    output = model.generate(
        **prompt.to(model.device),
        **sampling,
        max_new_tokens=max_new_tokens,
        repetition_penalty=1.1,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        streamer=_streamer(tokenizer),
        stopping_criteria=[lambda ids, *_, **__: torch.full(ids.shape[:1], is_stopped(), device=ids.device)],
    )
    ids = output[0, prompt["input_ids"].shape[1] :].tolist()
    return tokenizer.decode(ids, skip_special_tokens=True), ids[-1] in ends


def _streamer(tokenizer: Any) -> Any:
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            super().on_finalized_text(printable(text, keep=BREAKS), stream_end)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
