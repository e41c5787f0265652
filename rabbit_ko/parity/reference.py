"""The stage as it was trained: transformers in float32 with the adapter beside its base, and the recipe's prompt."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import encode_chat, generate_ids, load_stage, stops
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.parity.answers import BATCH, TOP, Answered, Token

# In the place of a token that no vocabulary here has.
UNKNOWN = -1


@dataclass(frozen=True)
class Place:
    """What the reference thinks of a place of an answer. chosen: its likeliest token, at logprob.

    gap: by how much that is likelier, in natural logarithms, than the token of the door. own: of the door's token.
    top: of those that the door found likeliest, in its order. bare: of the door's token without the adapter, None
    where the stage has none.
    """

    chosen: int
    logprob: float
    own: float
    top: tuple[float, ...]
    bare: float | None = None

    @property
    def gap(self) -> float:
        return self.logprob - self.own


class Reference:
    """A stage's model, which is asked what it thinks of answers that it was given by a door."""

    def __init__(self, stage: Stage, dtype: str = "float32") -> None:
        self.model, self.tokenizer = load_stage(stage, dtype, merged=False)
        self.ends = frozenset(stops(self.model, self.tokenizer))

    def prompt(self, messages: Messages) -> tuple[str, tuple[int, ...]]:
        """Return a conversation's prompt as text and ids. Raises UserError where the template refuses it."""
        text: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return text, tuple(encode_chat(self.tokenizer, messages)["input_ids"])

    def tokens_of(self, messages: Messages, answer: Answered, max_new_tokens: int) -> tuple[Token, ...]:
        """Return the tokens of an answer that is known as text alone: those of the reference, as far as it says so.

        Behind them is the first token with which the door's text differs, UNKNOWN where none of the likeliest fits.
        """
        [ids] = generate_ids(self.model, self.tokenizer, [messages], max_new_tokens)
        said = [self._text(ids[:place]) for place in range(len(ids) + 1)]
        same = max(place for place, text in enumerate(said) if answer.text.startswith(text.rstrip("\ufffd")))
        ended = bool(ids) and ids[-1] in self.ends
        is_cut = len(ids) == max_new_tokens
        if same == len(ids) and (not ended or (said[-1] == answer.text and (answer.ended or is_cut))):
            return tuple(Token(token, None) for token in ids)
        return (*(Token(token, None) for token in ids[:same]), Token(self._next(messages, ids[:same], answer), None))

    def _next(self, messages: Messages, ids: list[int], answer: Answered) -> int:
        _, prompt = self.prompt(messages)
        [[*_, last]] = self._logprobs([(prompt, tuple(ids))])
        if self._text(ids) == answer.text and answer.ended:
            return max(self.ends, key=lambda token: float(last[token]))
        likeliest = [int(token) for token in last.topk(min(TOP, len(last))).indices]
        fits = (token for token in likeliest if answer.text.startswith(self._text([*ids, token]).rstrip("\ufffd")))
        return next((token for token in fits if self._text([*ids, token]) != self._text(ids)), UNKNOWN)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def think(self, prompts: Sequence[tuple[int, ...]], answers: Sequence[Sequence[Token]]) -> Iterator[list[Place]]:
        """Yield, for each answer to a prompt, what the reference thinks of each of its places, and of one more."""
        ids = [tuple(self._known(token.id) for token in answer) for answer in answers]
        pairs = [*zip(prompts, ids, strict=True)]
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            found, bare = self._logprobs(batch), self._without_adapter(batch)
            for place, answer in enumerate(answers[start : start + BATCH]):
                rows = zip(found[place], bare[place] if bare else found[place], [*answer, None], strict=True)
                yield [_place(row, other if bare else None, token) for row, other, token in rows]

    def _without_adapter(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Any] | None:
        if not hasattr(self.model, "disable_adapter"):
            return None
        with self.model.disable_adapter():
            return self._logprobs(pairs)

    def _known(self, token: int) -> int:
        return token if 0 <= token < self.model.get_input_embeddings().num_embeddings else UNKNOWN

    def _logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Any]:
        """Return, for each pair of prompt and answer, the log-probabilities (answer + 1, vocabulary)."""
        import torch

        ids = [[*prompt, *(max(token, 0) for token in answer)] for prompt, answer in pairs]
        width, tail = max(map(len, ids)), max(len(answer) for _, answer in pairs) + 1
        padded = torch.tensor([[self.tokenizer.pad_token_id] * (width - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        given = {"input_ids": padded, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
        device = self.model.device
        try:
            with torch.inference_mode():
                moved = {name: value.to(device) for name, value in given.items()}
                logits = self.model(**moved, logits_to_keep=tail).logits.float()
        except torch.OutOfMemoryError:
            raise UserError(
                "parity: the GPU's memory is too small for the stage in float32; say DTYPE=bfloat16"
            ) from None
        found = logits.log_softmax(-1).cpu()
        return [found[row, -len(answer) - 1 :] for row, (_, answer) in enumerate(pairs)]


def _place(logprobs: Any, without_adapter: Any, token: Token | None) -> Place:
    logprob, chosen = logprobs.max(-1)
    if token is None:
        return Place(int(chosen), float(logprob), -math.inf, ())
    top = tuple(_at(logprobs, other) for other, _ in token.top)
    bare = None if without_adapter is None else _at(without_adapter, token.id)
    return Place(int(chosen), float(logprob), _at(logprobs, token.id), top, bare)


def _at(logprobs: Any, token: int) -> float:
    return float(logprobs[token]) if 0 <= token < len(logprobs) else -math.inf
