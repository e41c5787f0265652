"""The model's answers, greedy, from the model in this process or a server; the second turn sees the first answer."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import Journal, digest
from rabbit_ko.evaluation.logickor.prompts import Strategy, conversation
from rabbit_ko.evaluation.logickor.questions import TURNS, Question
from rabbit_ko.evaluation.models import generate, load_stage
from rabbit_ko.evaluation.stages import Stage

BATCH = 8
# Answers with the same room are generated together; few lengths make full batches.
_STEP = 64


@dataclass(frozen=True)
class Prompt:
    """One turn to be answered. upcoming: the same conversation up to the second question, not answered yet."""

    id: str
    turn: int
    messages: Messages
    upcoming: Messages

    @property
    def place(self) -> str:
        return f"question {self.id}, turn {self.turn + 1}"


Write = Callable[[Prompt, str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Generator:
    """What answers prompts and writes each answer as it comes. identity: all that the answers depend on."""

    identity: dict[str, Any]
    generate: Callable[[list[Prompt], Write], None]


def answer_all(
    questions: list[Question], strategy: Strategy, generator: Generator, journal: Journal, progress: Progress
) -> dict[str, tuple[str, str]]:
    """Answer both turns of all questions but those in the journal; return the answers by id.

    Raises UserError where the model cannot answer, or an answer cannot be written; what has come is in the journal.
    """
    known = {record["key"]: record["text"] for record in journal.records() if {"key", "text"} <= record.keys()}
    answers: dict[tuple[str, int], str] = {}

    def write(prompt: Prompt, text: str, is_new: bool = True) -> None:
        if is_new:
            key = digest([generator.identity, prompt.messages])
            journal.append({"key": key, "id": prompt.id, "turn": prompt.turn + 1, "text": text})
        answers[prompt.id, prompt.turn] = text
        progress("answered", len(answers), TURNS * len(questions))

    for turn in range(TURNS):
        missing = []
        for question in questions:
            first_answer = answers[str(question.id), 0] if turn else None
            messages = conversation(strategy, question.questions, first_answer)
            prompt = Prompt(str(question.id), turn, messages, conversation(strategy, question.questions, ""))
            if (text := known.get(digest([generator.identity, messages]))) is not None:
                write(prompt, text, is_new=False)
            else:
                missing.append(prompt)
        if missing:
            generator.generate(missing, write)
    return {str(question.id): (answers[str(question.id), 0], answers[str(question.id), 1]) for question in questions}


def local(stage: Stage, fingerprint: str, max_new_tokens: int) -> Generator:
    """Return what answers with the stage's model, which is loaded when the first answer is asked for."""
    loaded = cache(lambda: load_stage(stage))

    def generate_all(prompts: list[Prompt], write: Write) -> None:
        import torch

        model, tokenizer = loaded()
        groups = defaultdict(list)
        for prompt in prompts:
            groups[room_for_answer(model, tokenizer, prompt, max_new_tokens)].append(prompt)
        for room, group in groups.items():
            for start in range(0, len(group), BATCH):
                batch = group[start : start + BATCH]
                try:
                    found = generate(model, tokenizer, [prompt.messages for prompt in batch], room)
                except torch.OutOfMemoryError:
                    advice = "lower --max-new-tokens, or serve it and give --model-url"
                    raise UserError(f"{stage.model}: the GPU's memory is full; {advice}") from None
                for prompt, answer in zip(batch, found, strict=True):
                    write(prompt, answer.text)

    template = chat_template(stage.template)
    return Generator({"model": fingerprint, "template": template, "max_new_tokens": max_new_tokens}, generate_all)


def served(server: Endpoint, fingerprint: str, max_new_tokens: int) -> Generator:
    """Return what asks a server for answers, several at a time. fingerprint: of the stage that it serves."""

    async def work(write: Write, ask: Ask, prompt: Prompt) -> None:
        try:
            text = await ask(prompt.messages, temperature=0.0, max_tokens=max_new_tokens)
        except Refused as refused:
            raise UserError(f"{prompt.place}: {refused}; if that is too long, lower --max-new-tokens") from None
        write(prompt, text)

    source = {"url": server.url, "model": server.model, "fingerprint": fingerprint}
    identity = source | {"max_new_tokens": max_new_tokens}
    return Generator(identity, lambda prompts, write: ask_for_each(server, prompts, partial(work, write)))


def room_for_answer(model: Any, tokenizer: Any, prompt: Prompt, wanted: int) -> int:
    """Return how many tokens an answer may have; the first leaves as many for the second as it may take itself.

    Raises UserError where the model's context has no room for an answer.
    """
    context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        return wanted

    def length(messages: Messages) -> int:
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])

    left = context - (taken := length(prompt.messages))
    if prompt.turn == 0:
        left = min(left, (context - length(prompt.upcoming)) // 2)
    if left < 1:
        raise UserError(
            f"{prompt.place}: the prompt takes {taken:,} tokens, and leaves no room for an answer in the model's "
            f"context of {context:,}; lower --max-new-tokens, or use --strategy default"
        )
    return wanted if left >= wanted else left // _STEP * _STEP or left
