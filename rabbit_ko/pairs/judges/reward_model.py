"""A judge that is a reward model: transformers' sequence classification with one label, its logit the score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm  # type: ignore[import-untyped]

from axolotl_plugins.checks.model_files import check_model, loading
from dataset_builders.strict import Strict
from prompt_strategies.messages import Messages, calls_of
from prompt_strategies.prompt_injection import escape
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Judgement, Verdict
from rabbit_ko.evaluation.stages import fingerprint
from rabbit_ko.pairs.records import Case, Prompt

# The tokenizers of some models name this in the place of a limit.
_NO_LIMIT = 1 << 30


class RewardModelConfig(Strict):
    """`reward_model:` of a judge. model: a folder or a name on the hub. max_length: in tokens, if not the model's."""

    model: str = Field(min_length=1)
    batch_size: int = Field(default=8, ge=1)
    max_length: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class _Conversation:
    """A prompt with an answer to it. key: its verdict's in the journal."""

    key: str
    id: str
    messages: Messages


@dataclass(frozen=True)
class RewardModelJudge:
    """A judge by a reward model; no score has what is too long, or what its template refuses."""

    config: RewardModelConfig

    @property
    def name(self) -> str:
        return self.config.model

    @cached_property
    def fingerprint(self) -> str:
        return digest([fingerprint(self.config.model), self.config.max_length])

    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        """Return no work: no server is asked."""
        return Work()

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt but those in the journal. Raises UserError."""
        known = {record["key"]: record for record in records(journal, key=str, text=str)}
        conversations = [[self._conversation(case[0], answer.text) for answer in case[1]] for case in cases]
        wanted = {each.key: each for some in conversations for each in some}
        missing = [each for key, each in wanted.items() if key not in known]
        with tqdm(desc="judged", initial=len(wanted) - len(missing), total=len(wanted), disable=None) as progress:
            for each, score, said in _scores(self.config, missing) if missing else ():
                record = {"key": each.key, "id": each.id, "score": score, "text": said, "judge": self.name}
                append(journal, record)
                known[each.key] = record
                progress.update()
        return [_judgement([known[each.key] for each in some]) for some in conversations]

    def _conversation(self, prompt: Prompt, answer: str) -> _Conversation:
        messages = [*prompt.messages, {"role": "assistant", "content": answer}]
        return _Conversation(digest([self.fingerprint, messages]), prompt.id, messages)


def _judgement(said: Sequence[dict[str, Any]]) -> Judgement:
    scores = [record["score"] if isinstance(record["score"], float) else None for record in said]
    verdicts = (Verdict((place,), score, said[place]["text"]) for place, score in enumerate(scores))
    return Judgement(tuple(scores), tuple(verdicts))


def _scores(
    config: RewardModelConfig, conversations: Sequence[_Conversation]
) -> Iterator[tuple[_Conversation, float | None, str]]:
    """Yield each conversation with its score and what is said of it, some batches of like lengths at a time."""
    model, tokenizer = load(config.model)
    limit = min(config.max_length or _NO_LIMIT, _longest(model, tokenizer))
    # Without a token that pads, a model cannot tell where a shorter conversation of a batch ends.
    size = config.batch_size if model.config.pad_token_id is not None else 1
    for start in range(0, len(conversations), window := 32 * size):
        fitting = []
        for each in conversations[start : start + window]:
            ids, said = _encode(tokenizer, each.messages, limit)
            if said:
                yield each, None, said
            else:
                fitting.append((ids, each))
        fitting.sort(key=lambda pair: len(pair[0]))
        for first in range(0, len(fitting), size):
            batch = fitting[first : first + size]
            for (_, each), score in zip(batch, _rewards(config, model, [ids for ids, _ in batch]), strict=True):
                yield (
                    (each, score, f"{score:g}") if isfinite(score) else (each, None, "the model's score is no number")
                )


def _encode(tokenizer: Any, messages: Messages, limit: int) -> tuple[list[int], str]:
    """Return the ids of a conversation, and why it has no score, where it has none."""
    said = [{**message, "content": escape(message["content"])} for message in messages]
    said = [{**message, "tool_calls": calls} if (calls := calls_of(message)) else message for message in said]
    try:
        ids: list[int] = tokenizer.apply_chat_template(said, return_dict=True)["input_ids"]
    except Exception as error:  # a template raises whatever it likes
        return [], f"the chat template of the reward model refuses it: {reason(error)[:200]}"
    return ids, f"too long: {len(ids):,} tokens, of {limit:,} that the reward model takes" if len(ids) > limit else ""


def _rewards(config: RewardModelConfig, model: Any, conversations: Sequence[Sequence[int]]) -> list[float]:
    """Return the score of each conversation's ids, in one batch. Raises UserError."""
    import torch

    longest = max(map(len, conversations))
    padding = model.config.pad_token_id or 0
    ids = [[*some, *[padding] * (longest - len(some))] for some in conversations]
    mask = [[1] * len(some) + [0] * (longest - len(some)) for some in conversations]
    inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    with loading(f"{config.model}: the reward model fails", Path(config.model)), torch.inference_mode():
        try:
            output = model(**{name: value.to(model.device) for name, value in inputs.items()})
        except torch.OutOfMemoryError:
            said = f"{len(ids)} conversations of {longest:,} tokens do not fit into the GPU's memory"
            raise UserError(f"{config.model}: {said}; lower reward_model.batch_size or max_length") from None
    scores: list[float] = output.logits[:, 0].double().tolist()
    return scores


def load(name: str) -> tuple[Any, Any]:
    """Load a reward model and its tokenizer. Raises UserError where it is none, or would run code of others."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    check_model(Path(name))
    # Two numbers that differ only by how many stood in a batch would differ more in half the bits.
    on_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": "auto" if on_gpu else torch.float32, "output_loading_info": True}
    with loading(f"{name}: the reward model cannot be loaded", Path(name)):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, **options
        )
    if missing := sorted(found["missing_keys"]):
        raise UserError(f"{name}: has no weights {missing[0]}: no reward model; name one for sequence classification")
    if model.config.num_labels != 1:
        raise UserError(f"{name}: has {model.config.num_labels} labels, and a reward model has one; name another")
    if not tokenizer.chat_template:
        raise UserError(
            f"{name}: its tokenizer has no chat template, so it cannot be told what was said; name another"
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to("cuda" if on_gpu else "cpu").eval(), tokenizer


def _longest(model: Any, tokenizer: Any) -> int:
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(context or _NO_LIMIT, tokenizer.model_max_length or _NO_LIMIT, _NO_LIMIT)
