"""`type: prompt_strategies.qir_dpo`, `qir_kto`: pairs and labelled answers become the texts that TRL tokenizes.

TRL's trainers encode `prompt` and `prompt + answer`, each with BOS and EOS in its own way. So the prompt carries BOS
as text where the tokenizer has one but does not add it, and each row is encoded here as the method's trainer does it,
too: where that is not what SFT reads, it is dropped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from prompt_strategies.messages import Messages
from prompt_strategies.renderer import bind
from prompt_strategies.template import Native, Template, source_fingerprint
from prompt_strategies.tokens import Dropped, Example, Ids, Sample, Tokenizer, log_dropped
from rabbit_ko.methods import RowKind, method_of

Batch = Mapping[str, Sequence[Any]]
# No answer, which no row may train.
NOTHING = {"role": "assistant", "content": ""}
# The answers of a pair, and their labels where a pair stands for two labelled answers.
SIDES = {"chosen": True, "rejected": False}


def load(
    rows: RowKind, template: Template | Native, cfg: Any, dataset_idx: int = 0, **_: Any
) -> tuple[Callable[..., Batch], dict[str, Any]]:
    """Make axolotl's transform of preference rows; raises SystemExit where the guard is not loaded."""
    # Builders import this package where axolotl is not installed.
    from prompt_strategies.sft import require_guard

    require_guard()
    # `datasets` keys its cache by these arguments, so the source's hash is one of them.
    arguments = {"template": template, "sequence_len": cfg.sequence_len, "source": source_fingerprint()}
    transform = partial(to_pair_texts if rows == "dpo" else to_labelled_texts, rl=method_of(cfg).rl, **arguments)
    return transform, {"batched": True, "remove_columns": "__all__"}


def to_pair_texts(
    batch: Batch, *, tokenizer: Tokenizer, template: Template | Native, sequence_len: int, rl: str | None, source: str
) -> Batch:
    """Render a batch of pairs as `prompt`, `chosen` and `rejected` texts, without rows that are dropped."""
    kept = _kept(pairs(batch), tokenizer, template, sequence_len, rl)
    texts = {side: [row.answer_texts[place] for _, row in kept] for place, side in enumerate(SIDES)}
    return {"prompt": [row.text for _, row in kept], **texts}


def to_labelled_texts(
    batch: Batch, *, tokenizer: Tokenizer, template: Template | Native, sequence_len: int, rl: str | None, source: str
) -> Batch:
    """Render a batch of labelled answers, or of pairs, as `prompt` and `completion` texts with a `label`."""
    samples, labels = labelled(batch)
    kept = _kept(samples, tokenizer, template, sequence_len, rl)
    return {
        "prompt": [row.text for _, row in kept],
        "completion": [row.answer_texts[0] for _, row in kept],
        "label": [labels[place] for place, _ in kept],
    }


def _kept(
    samples: Sequence[Sample], tokenizer: Tokenizer, template: Template | Native, sequence_len: int, rl: str | None
) -> list[tuple[int, Example]]:
    rows = examples(samples, tokenizer, template, sequence_len, rl)
    log_dropped(rows, sequence_len)
    return [(place, row) for place, row in enumerate(rows) if isinstance(row, Example)]


def pairs(batch: Batch) -> list[Sample]:
    """Return the samples of a batch of pairs, whose two answers are chosen and rejected."""
    return [
        Sample(prompt, (_answer(chosen), _answer(rejected)), tools)
        for prompt, tools, chosen, rejected in _zip(batch, *SIDES)
    ]


def labelled(batch: Batch) -> tuple[list[Sample], list[bool]]:
    """Return the samples of a batch of labelled answers with their labels; a pair is a good one and a bad one.

    A pair of two equal answers is two that no row may train.
    """
    if "label" in batch:
        samples = [
            Sample(prompt, (_answer(completion),), tools) for prompt, tools, completion in _zip(batch, "completion")
        ]
        return samples, list(batch["label"])
    sides = [
        (Sample(prompt, (_answer(answer),), tools), label)
        for prompt, tools, *answers in _zip(batch, *SIDES)
        for answer, label in zip(answers if answers[0] != answers[1] else ([], []), SIDES.values(), strict=True)
    ]
    return [sample for sample, _ in sides], [label for _, label in sides]


def _zip(batch: Batch, *columns: str) -> Iterator[tuple[Any, ...]]:
    answers = [batch[name] for name in columns]
    return zip(batch["prompt"], batch.get("tools") or repeat(None), *answers, strict=False)


def examples(
    samples: Sequence[Sample], tokenizer: Tokenizer, template: Template | Native, sequence_len: int, rl: str | None
) -> list[Example | Dropped]:
    """Tokenize samples; what the trainer of the method `rl` would read as other tokens than SFT does is dropped."""
    return [
        row if isinstance(row, Dropped) or _is_read_alike(tokenizer, row, rl) else Dropped.READ_DIFFERENTLY
        for row in bind(template, tokenizer).tokenize(samples, sequence_len)
    ]


def _answer(messages: Messages) -> Any:
    """Return a side's only message; nothing where it is not one answer."""
    return messages[0] if [message["role"] for message in messages] == ["assistant"] else NOTHING


def _is_read_alike(tokenizer: Tokenizer, row: Example, rl: str | None) -> bool:
    expected = [[*row.prompt], *([*row.prompt, *answer] for answer in row.answers)]
    return trl_ids(tokenizer, row.text, row.answer_texts, rl) == expected


def trl_ids(tokenizer: Tokenizer, prompt: str, answers: Sequence[str], rl: str | None) -> list[Ids]:
    """Encode a prompt, and the prompt with each answer, as the trainer of the method `rl` does when axolotl runs it.

    Of TRL's DPO, axolotl removes a doubled BOS. TRL's trainers of ORPO and of CPO, which SimPO is, let the tokenizer
    add nothing, and add themselves what is not there.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token
    ended = [prompt + (answer if answer.endswith(eos) else answer + eos) for answer in answers]
    adds_itself = rl in ("orpo", "simpo")
    ids = tokenizer([prompt, *ended], add_special_tokens=not adds_itself)["input_ids"]
    if adds_itself:
        return [each if bos is None or each[:1] == [bos] else [bos, *each] for each in ids]
    return [each[1:] if rl in ("dpo", "ipo") and each[:2] == [bos, bos] else each for each in ids]
