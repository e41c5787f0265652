"""Two ways to an answer, both greedy: the stage's model in this process, and an OpenAI-compatible server."""

import asyncio
from collections import defaultdict
from functools import cache
from typing import Any

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint, Refused, ask, for_each, open_client
from rabbit_ko.evaluation.logickor.answer import Generator, Prompt, Write
from rabbit_ko.evaluation.models import generate, load_stage
from rabbit_ko.evaluation.stages import Stage

BATCH = 8
# Answers that may be as long as each other are generated together; few lengths make full batches.
_STEP = 64


def local(stage: Stage, fingerprint: str, max_new_tokens: int) -> Generator:
    """Return what answers with the stage's model, which is loaded when the first answer is asked for."""
    loaded = cache(lambda: load_stage(stage))

    def generate_all(prompts: list[Prompt], write: Write) -> None:
        model, tokenizer = loaded()
        batches = defaultdict(list)
        for prompt in prompts:
            batches[_room(model, tokenizer, prompt, max_new_tokens)].append(prompt)
        for limit, group in batches.items():
            for start in range(0, len(group), BATCH):
                batch = group[start : start + BATCH]
                texts = _generate(stage, model, tokenizer, [prompt.messages for prompt in batch], limit)
                for prompt, text in zip(batch, texts, strict=True):
                    write(prompt, text)

    template = chat_template(stage.template)
    return Generator({"model": fingerprint, "template": template, "max_new_tokens": max_new_tokens}, generate_all)


def served(server: Endpoint, fingerprint: str, max_new_tokens: int) -> Generator:
    """Return what asks a server for answers, several at a time. fingerprint: of the stage that it serves."""

    async def generate_all(prompts: list[Prompt], write: Write) -> None:
        async def work(prompt: Prompt) -> None:
            try:
                text = await ask(client, server, prompt.messages, temperature=0.0, max_tokens=max_new_tokens)
            except Refused as refused:
                where = f"question {prompt.id}, turn {prompt.turn + 1}"
                raise UserError(f"{where}: {refused}; if that is too long, lower --max-new-tokens") from None
            write(prompt, text)

        async with open_client(server) as client:
            await for_each(prompts, work, server.concurrency)

    identity = {
        "url": server.place,
        "model": server.model,
        "fingerprint": fingerprint,
        "max_new_tokens": max_new_tokens,
    }
    return Generator(identity, lambda prompts, write: asyncio.run(generate_all(prompts, write)))


def _room(model: Any, tokenizer: Any, prompt: Prompt, wanted: int) -> int:
    """Return how long an answer may be; the first one leaves as much for the second as it may take itself.

    Raises UserError where the model's context has no room for an answer.
    """
    context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        return wanted
    taken = _length(tokenizer, prompt.messages)
    left = context - taken
    if prompt.turn == 0:
        left = min(left, (context - _length(tokenizer, prompt.upcoming)) // 2)
    if left < 1:
        raise UserError(
            f"question {prompt.id}, turn {prompt.turn + 1}: the prompt takes {taken:,} tokens, and leaves no room "
            f"for an answer in the model's context of {context:,}; lower --max-new-tokens, or use --strategy default"
        )
    if left >= wanted:
        return wanted
    return left // _STEP * _STEP or left


def _length(tokenizer: Any, messages: Messages) -> int:
    return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


def _generate(stage: Stage, model: Any, tokenizer: Any, batch: list[Messages], limit: int) -> list[str]:
    import torch

    try:
        return [answer.text for answer in generate(model, tokenizer, batch, limit)]
    except torch.OutOfMemoryError:
        raise UserError(
            f"{stage.model}: the GPU's memory is full; lower --max-new-tokens, or serve it and give --model-url"
        ) from None
