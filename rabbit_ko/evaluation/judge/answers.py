"""A stage's answers to a bench, greedy, from the model in this process or a server; each turn sees those before."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm  # type: ignore[import-untyped]

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError, printable
from rabbit_ko.evaluation.endpoint import CUT, Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judge.asking import CHARACTERS_PER_TOKEN, Work
from rabbit_ko.evaluation.judge.benches import Bench
from rabbit_ko.evaluation.judge.questions import Question, conversation
from rabbit_ko.evaluation.models import encode_chat, generate, load_stage, spare_threads
from rabbit_ko.evaluation.records import Model
from rabbit_ko.evaluation.stages import Stage

BATCH = 8
# Of an answer that is not there yet, in characters, unless its reference is longer.
USUAL = 500
# Of a server's word, in characters.
SHOWN = 40


class Prompt(NamedTuple):
    """A turn to be answered. key: its answer's in the journal. upcoming: what the last turn will be, unanswered.

    turns: how many answers that leaves room for, this one among them.
    """

    key: str
    id: str
    turn: int
    messages: Messages
    upcoming: Messages
    turns: int

    @property
    def place(self) -> str:
        return f"question {self.id}, turn {self.turn}"


@dataclass(frozen=True)
class Answers:
    """A stage's answers to a bench, in a journal that all judges share. server: where the stage's model is served.

    cut: the keys of those that are as long as they may be, and not ended.
    """

    stage: Stage
    server: Endpoint | None
    model: Model
    bench: Bench
    questions: Sequence[Question]
    max_new_tokens: int
    known: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where the answers to the bench are, and what judges say of them."""
        return self.stage.results / "judge" / self.bench.name

    @property
    def journal(self) -> Path:
        return self.folder / "answers.jsonl"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides an answer, but for what is asked."""
        shared = {"max_new_tokens": self.max_new_tokens}
        if self.server:
            served = {"url": self.server.url, "model": self.server.model}
            return shared | served | {"fingerprint": self.model.fingerprint}
        return shared | {"model": self.model.fingerprint, "template": self.stage.chat_template}

    def read(self) -> None:
        """Read the answers that are there. Raises UserError."""
        for record in records(self.journal, key=str, text=str):
            self._take(record["key"], record["text"], record.get("cut") is True)

    def _take(self, key: str, text: str, is_cut: bool) -> None:
        self.known[key] = text
        (self.cut.add if is_cut else self.cut.discard)(key)

    def of(self, question: Question) -> tuple[str, ...]:
        """Return the answers to a question's turns, up to the first that is not there."""
        answers: tuple[str, ...] = ()
        while len(answers) < len(question.turns):
            answer = self.known.get(self._prompt(question, answers).key)
            if answer is None:
                break
            answers = (*answers, answer)
        return answers

    def expected(self, question: Question) -> tuple[str, ...]:
        """Return the answers to all turns; in the place of one that is not there yet, a text of its likely length."""
        there = self.of(question)
        missing = range(len(there), len(question.turns))
        # Those of two stages differ.
        return (*there, *(f"{question.reference(turn):-<{USUAL}} {self.stage.name}" for turn in missing))

    @property
    def notes(self) -> list[str]:
        """What is to be known of the answers: how many were cut."""
        there = [(question, self.of(question)) for question in self.questions]
        keys = [
            self._prompt(question, answers[:turn]).key for question, answers in there for turn in range(len(answers))
        ]
        cut = sum(key in self.cut for key in keys)
        said = f"{cut:,} of {len(keys):,} answers of {self.stage.name} were cut at the length they may have"
        return [f"{said}; --max-new-tokens is {self.max_new_tokens:,}"] if cut else []

    @property
    def missing(self) -> int:
        """How many answers are not there."""
        return sum(len(question.turns) - len(self.of(question)) for question in self.questions)

    @property
    def work(self) -> Work:
        """What is still to be asked of a server; nothing where answers are generated on this machine."""
        if not self.server:
            return Work()
        requests, characters = 0, 0
        for question in self.questions:
            answers = self.expected(question)
            for turn in range(len(self.of(question)), len(question.turns)):
                messages = conversation(self.bench, question.turns, answers[:turn])
                characters += sum(len(message["content"]) for message in messages)
                requests += 1
        return Work(requests, round(characters / CHARACTERS_PER_TOKEN) + requests * self.max_new_tokens)

    def make(self, most: int | None = None) -> int:
        """Generate or ask for those that are missing; return how many requests were sent, `most` at most.

        Raises UserError.
        """
        sent, load = 0, cache(self._load)
        total = sum(len(question.turns) for question in self.questions)
        with tqdm(desc="answered", initial=total - self.missing, total=total, disable=None) as progress:
            while prompts := list({prompt.key: prompt for prompt in self._next()}.values()):
                if self.server:
                    sent += self._ask(self.server, prompts, progress, None if most is None else most - sent)
                else:
                    self._generate(*load(), prompts, progress)
        return sent

    def _load(self) -> tuple[Any, Any]:
        model, tokenizer = load_stage(self.stage)
        spare_threads(model)
        return model, tokenizer

    def _next(self) -> Iterator[Prompt]:
        """Yield the first turn of each question that has no answer yet."""
        for question in self.questions:
            if len(answers := self.of(question)) < len(question.turns):
                yield self._prompt(question, answers)

    def _prompt(self, question: Question, answers: tuple[str, ...]) -> Prompt:
        messages = conversation(self.bench, question.turns, answers)
        left = len(question.turns) - len(answers)
        upcoming = conversation(self.bench, question.turns, [*answers, *[""] * (left - 1)])
        key = digest([self.identity, messages])
        return Prompt(key, question.name, len(answers) + 1, messages, upcoming, left)

    def _write(self, prompt: Prompt, text: str, is_cut: bool, progress: Any) -> None:
        about = {"key": prompt.key, "id": prompt.id, "turn": prompt.turn}
        append(self.journal, about | {"text": text, "cut": is_cut})
        self._take(prompt.key, text, is_cut)
        progress.update()

    def _generate(self, model: Any, tokenizer: Any, prompts: Sequence[Prompt], progress: Any) -> None:
        groups = defaultdict(list)
        for prompt in prompts:
            groups[room_for_answer(model, tokenizer, prompt, self.max_new_tokens)].append(prompt)
        for room, group in groups.items():
            for batch in (group[start : start + BATCH] for start in range(0, len(group), BATCH)):
                found = generate(model, tokenizer, [prompt.messages for prompt in batch], room)
                for prompt, answer in zip(batch, found, strict=True):
                    self._write(prompt, answer.text, answer.is_cut, progress)

    def _ask(self, server: Endpoint, prompts: Sequence[Prompt], progress: Any, most: int | None) -> int:
        async def work(ask: Ask, prompt: Prompt) -> None:
            try:
                reply = await ask(prompt.messages, temperature=0.0, max_tokens=self.max_new_tokens)
            except Refused as refused:
                raise UserError(f"{prompt.place}: {refused}; if that is too long, lower --max-new-tokens") from None
            is_cut = reply.finish in CUT
            if not (reply.ended or is_cut or (reply and not reply.finish)):
                said = f"no answer, but finish_reason {printable(reply.finish)[:SHOWN] or 'null'}"
                raise UserError(f"{prompt.place}: {server.failure(f'answers with {said}; see what the server logs')}")
            self._write(prompt, reply, is_cut, progress)

        return ask_for_each(server, prompts, work, most)


def room_for_answer(model: Any, tokenizer: Any, prompt: Prompt, wanted: int) -> int:
    """Return how many tokens an answer may have; it leaves as many for each that follows. Raises UserError."""
    context = model.config.get_text_config().max_position_embeddings

    def left(messages: Messages) -> int:
        return int(context - len(encode_chat(tokenizer, messages)["input_ids"]))

    room = min(left(prompt.messages), left(prompt.upcoming) // prompt.turns)
    if room < 1:
        advice = "lower --max-new-tokens, or take a bench without an example"
        raise UserError(
            f"{prompt.place}: leaves no room for an answer in the model's context of {context:,}; {advice}"
        )
    # Few lengths make full batches.
    return wanted if room >= wanted else room // 64 * 64 or room
