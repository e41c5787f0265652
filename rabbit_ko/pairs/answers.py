"""The answers to prompts: drawn in batches on this machine, or asked of a server, each written as it arrives."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.models import (
    Sampling,
    context_of,
    encode_chat,
    generate,
    load_stage,
    load_tokenizer,
)
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.pairs.config import SamplingConfig
from rabbit_ko.pairs.records import Answer, Prompt

# So many refusals, and nothing but refusals, are of the settings and not of the prompts.
REFUSALS = 16
TOO_LONG, NO_TEMPLATE = "prompt too long", "prompt that the chat template refuses"


@dataclass(frozen=True)
class Batch:
    """Prompts that are answered together, with the keys of their answers, prompt by prompt."""

    prompts: Sequence[Prompt]
    keys: Sequence[str]
    seed: int


@dataclass
class Answers:
    """The answers to prompts, in a journal.

    tokens: of each prompt that has room for an answer, by its id. dropped: the reason of each other one.
    """

    stage: Stage
    server: Endpoint | None
    sampling: SamplingConfig
    journal: Path
    batches: list[Batch]
    tokens: Mapping[str, int]
    dropped: Mapping[str, str]
    known: dict[str, Answer] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many are not in the journal."""
        return sum(key not in self.known for batch in self.batches for key in batch.keys)

    @property
    def work(self) -> Work:
        """What is still to be asked of a server; nothing where answers are drawn on this machine."""
        if not self.server:
            return Work()
        missing = [batch for batch in self.batches for key in batch.keys if key not in self.known]
        read = sum(self.tokens[batch.prompts[0].id] for batch in missing)
        return Work(len(missing), read + len(missing) * self.sampling.max_new_tokens)

    def of(self, prompt: Prompt) -> list[Answer]:
        """Return the answers that there are to a prompt."""
        return [self.known[key] for key in self.keys[prompt.id] if key in self.known]

    @cached_property
    def keys(self) -> dict[str, Sequence[str]]:
        """The keys of the answers to each prompt, by its id."""
        n = self.sampling.n
        return {
            prompt.id: batch.keys[n * place : n * (place + 1)]
            for batch in self.batches
            for place, prompt in enumerate(batch.prompts)
        }

    def make(self, most: int | None = None) -> int:
        """Draw or ask for those that are missing; return how many requests were sent, `most` at most.

        Raises UserError.
        """
        with tqdm(desc="answered", total=self.missing, disable=None) as progress:
            return self._ask(progress, most) if self.server else self._draw(progress)

    def _write(self, prompt: Prompt, key: str, text: str, ended: bool) -> None:
        append(self.journal, {"key": key, "id": prompt.id, "text": text, "ended": ended})
        self.known[key] = Answer(key, text, ended)

    def _draw(self, progress: Any) -> int:
        wanted = [batch for batch in self.batches if not self.known.keys() >= {*batch.keys}]
        model, tokenizer = self._load() if wanted else (None, None)
        how = self.sampling
        for batch in wanted:
            sampling = Sampling(how.n, how.temperature, how.top_p, batch.seed, tuple(how.stop))
            conversations = [prompt.messages for prompt in batch.prompts]
            found = generate(model, tokenizer, conversations, how.max_new_tokens, sampling)
            for place, (key, answer) in enumerate(zip(batch.keys, found, strict=True)):
                if key not in self.known:
                    self._write(batch.prompts[place // how.n], key, answer.text, not answer.is_cut)
                    progress.update()
        return 0

    def _load(self) -> tuple[Any, Any]:
        return load_stage(self.stage)

    def _ask(self, progress: Any, most: int | None) -> int:
        refusals: list[str] = []
        how = self.sampling
        settings: dict[str, Any] = {"temperature": how.temperature, "top_p": how.top_p}
        settings |= {"max_tokens": how.max_new_tokens} | ({"stop": how.stop} if how.stop else {})

        async def work(ask: Ask, wanted: tuple[Prompt, str, int]) -> None:
            prompt, key, seed = wanted
            try:
                reply = await ask(prompt.messages, seed=seed, **settings)
            except Refused as refused:
                refusals.append(f"{prompt.id}: {refused}")
                if len(refusals) == REFUSALS and not self.known:
                    raise UserError(
                        f"{refusals[0]}; so it was {REFUSALS} times, and no answer could be had"
                    ) from None
            else:
                self._write(prompt, key, str(reply), reply.ended)
            progress.update()

        missing = [
            (batch.prompts[0], key, batch.seed + place)
            for batch in self.batches
            for place, key in enumerate(batch.keys)
            if key not in self.known
        ]
        assert self.server
        sent = ask_for_each(self.server, missing, work, most)
        if refusals and not self.known:
            raise UserError(f"{refusals[0]}; no answer could be had")
        return sent


def plan_answers(
    stage: Stage, server: Endpoint | None, model: str, prompts: Sequence[Prompt], how: SamplingConfig, journal: Path
) -> Answers:
    """Return the answers that a stage is to give, those that a journal has among them. model: its fingerprint.

    On this machine batches follow the order of the prompts and are seeded by their content, whatever of them is there
    already: so a run that resumes gives the answers of one that was never interrupted. Raises UserError.
    """
    tokens, dropped = _measure(stage, prompts, how.max_new_tokens)
    fitting = [prompt for prompt in prompts if prompt.id in tokens]
    settings = how.model_dump(exclude={"batch_size", "n"})
    identity = [model, stage.prompt, *([server.model] if server else []), settings]
    size = 1 if server else max(1, how.batch_size // how.n)
    groups = [fitting[start : start + size] for start in range(0, len(fitting), size)]
    batches = [_batch(identity, group, how, None if server is None else how.seed) for group in groups]
    answers = Answers(stage, server, how, journal, batches, tokens, dropped)
    wanted = {key for batch in batches for key in batch.keys}
    found = (record for record in records(journal, key=str, text=str, ended=bool) if record["key"] in wanted)
    answers.known = {record["key"]: Answer(record["key"], record["text"], record["ended"]) for record in found}
    return answers


def _batch(identity: Any, prompts: Sequence[Prompt], how: SamplingConfig, seed: int | None) -> Batch:
    """Return the batch of some prompts, seeded by its content unless a seed is given."""
    asked = [digest([identity, prompt.messages]) for prompt in prompts]
    keys = [digest([each, place]) for each in asked for place in range(how.n)]
    return Batch(prompts, keys, int(digest([asked, how.n])[:15], 16) if seed is None else seed)


def _measure(stage: Stage, prompts: Iterable[Prompt], room: int) -> tuple[dict[str, int], dict[str, str]]:
    """Return how many tokens each prompt has, by its id, and why each of the others cannot be asked."""
    tokenizer, context = load_tokenizer(stage), context_of(stage)
    tokens, dropped = dict[str, int](), dict[str, str]()
    for prompt in prompts:
        with suppress(UserError):
            tokens[prompt.id] = len(encode_chat(tokenizer, prompt.messages)["input_ids"])
        if prompt.id not in tokens:
            dropped[prompt.id] = NO_TEMPLATE
        elif tokens[prompt.id] + room > context:
            del tokens[prompt.id]
            dropped[prompt.id] = TOO_LONG
    return tokens, dropped
