"""Talk with a stage's model, whose answers are printed as they come."""

import sys
from collections.abc import Iterator
from typing import Any

from prompt_strategies.messages import Messages, without_oldest_exchange
from rabbit_ko.errors import printable
from rabbit_ko.evaluation.models import encode_chat, load_stage, stops
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.terminal import BREAKS, say


def talk(stage: Stage, prompt: str, system: str, max_new_tokens: int, temperature: float, seed: int) -> None:
    """Answer the prompt, or without one each line of standard input until it ends. Raises UserError."""
    from transformers import set_seed

    model, tokenizer = load_stage(stage)
    set_seed(seed)
    messages: Messages = [{"role": "system", "content": system}] if system else []
    for question in [prompt] if prompt else _questions():
        messages = [*messages, {"role": "user", "content": question}]
        text, ended = answer(model, tokenizer, messages, max_new_tokens, temperature)
        if not ended:
            say(f"[cut after {max_new_tokens} tokens]", is_error=True)
        messages = [*messages, {"role": "assistant", "content": text}]


def answer(
    model: Any, tokenizer: Any, messages: Messages, max_new_tokens: int, temperature: float
) -> tuple[str, bool]:
    """Stream an answer to the conversation, or to what of it fits; return it, and whether the model ended it.

    Raises UserError where the stage's prompt has no place for the conversation.
    """
    left: Messages | None = messages
    while left:
        prompt = encode_chat(tokenizer, left, return_tensors="pt")
        fits = prompt["input_ids"].shape[1] + max_new_tokens <= model.config.max_position_embeddings
        left = None if fits else without_oldest_exchange(left)

    ends = stops(model, tokenizer)
    sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.9} if temperature else {"do_sample": False}
    output = model.generate(
        **prompt.to(model.device),
        **sampling,
        max_new_tokens=max_new_tokens,
        repetition_penalty=1.1,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        streamer=_streamer(tokenizer),
    )
    ids = output[0, prompt["input_ids"].shape[1] :].tolist()
    return tokenizer.decode(ids, skip_special_tokens=True), ids[-1] in ends


def _streamer(tokenizer: Any) -> Any:
    from transformers import TextStreamer

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            super().on_finalized_text(printable(text, keep=BREAKS), stream_end)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


def _questions() -> Iterator[str]:
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line:
            yield line
