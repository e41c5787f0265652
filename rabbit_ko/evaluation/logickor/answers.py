"""The model's answers, greedy, from the model in this process or a server; the second turn sees the first answer."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from tqdm import tqdm  # type: ignore[import-untyped]

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.logickor.questions import Question, Strategy, conversation
from rabbit_ko.evaluation.models import encode_chat, generate, load_stage
from rabbit_ko.evaluation.stages import Stage

BATCH = 8


class Prompt(NamedTuple):
    """A turn to be answered. key: its answer's in the journal. upcoming: what the second turn will be, unanswered."""

    key: str
    id: str
    turn: int
    messages: Messages
    upcoming: Messages

    @property
    def place(self) -> str:
        return f"question {self.id}, turn {self.turn}"


Write = Callable[[Prompt, str], None]


def answer_all(
    stage: Stage, server: Endpoint | None, model: str, questions: list[Question], strategy: Strategy, wanted: int
) -> dict[str, tuple[str, ...]]:
    """Answer both turns of all questions but those in the journal; model: its fingerprint. Raises UserError."""
    identity: dict[str, Any] = {"max_new_tokens": wanted}
    journal = stage.results / "logickor" / strategy / "answers.jsonl"
    if server:
        identity |= {"url": server.url, "model": server.model, "fingerprint": model}
        answer: Callable[[list[Prompt], Write], None] = partial(_ask_server, server, wanted)
    else:
        identity |= {"model": model, "template": stage.chat_template}
        answer = partial(_generate, cache(partial(load_stage, stage)), wanted)
    known = {record["key"]: record["text"] for record in records(journal, key=str, text=str)}
    answers: dict[str, tuple[str, ...]] = {question.name: () for question in questions}
    progress = tqdm(desc="answered", total=2 * len(questions), disable=None)

    def write(prompt: Prompt, text: str) -> None:
        append(journal, {"key": prompt.key, "id": prompt.id, "turn": prompt.turn, "text": text})
        known[prompt.key] = text
        progress.update()

    for turn in (1, 2):
        prompts = []
        for question in questions:
            messages = conversation(strategy, question.questions, *answers[question.name])
            upcoming = conversation(strategy, question.questions, "")
            prompts.append(Prompt(digest([identity, messages]), question.name, turn, messages, upcoming))
        missing = [prompt for prompt in prompts if prompt.key not in known]
        progress.update(len(prompts) - len(missing))
        if missing:
            answer(missing, write)
        answers = {prompt.id: (*answers[prompt.id], known[prompt.key]) for prompt in prompts}
    progress.close()
    return answers


def _generate(load: Callable[[], tuple[Any, Any]], wanted: int, prompts: list[Prompt], write: Write) -> None:
    model, tokenizer = load()
    groups = defaultdict(list)
    for prompt in prompts:
        groups[room_for_answer(model, tokenizer, prompt, wanted)].append(prompt)
    for room, group in groups.items():
        for batch in (group[start : start + BATCH] for start in range(0, len(group), BATCH)):
            found = generate(model, tokenizer, [prompt.messages for prompt in batch], room)
            for prompt, answer in zip(batch, found, strict=True):
                write(prompt, answer.text)


def _ask_server(server: Endpoint, max_new_tokens: int, prompts: list[Prompt], write: Write) -> None:
    async def work(ask: Ask, prompt: Prompt) -> None:
        try:
            text = await ask(prompt.messages, temperature=0.0, max_tokens=max_new_tokens)
        except Refused as refused:
            raise UserError(f"{prompt.place}: {refused}; if that is too long, lower --max-new-tokens") from None
        write(prompt, text)

    ask_for_each(server, prompts, work)


def room_for_answer(model: Any, tokenizer: Any, prompt: Prompt, wanted: int) -> int:
    """Return how many tokens an answer may have; the first leaves as many for the second. Raises UserError."""
    context = model.config.get_text_config().max_position_embeddings

    def left(messages: Messages) -> int:
        return int(context - len(encode_chat(tokenizer, messages)["input_ids"]))

    room = left(prompt.messages)
    if prompt.turn == 1:
        room = min(room, left(prompt.upcoming) // 2)
    if room < 1:
        advice = "lower --max-new-tokens, or use --strategy default"
        raise UserError(
            f"{prompt.place}: leaves no room for an answer in the model's context of {context:,}; {advice}"
        )
    # Few lengths make full batches.
    return wanted if room >= wanted else room // 64 * 64 or room
