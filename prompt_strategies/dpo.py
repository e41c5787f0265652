"""`type: prompt_strategies.qir_dpo`: rows of preferences become the texts that TRL's DPO trainer tokenizes.

TRL encodes `prompt` and `prompt + answer`, with whatever special tokens the tokenizer adds or finds in the text, and
appends EOS to the answer. So the prompt carries BOS as text where the tokenizer has one but does not add it, and each
row is encoded TRL's way here as well: where that is not what SFT reads, the row is dropped.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from prompt_strategies.messages import Messages
from prompt_strategies.template import Template, render_answer, source_fingerprint
from prompt_strategies.tokens import Dropped, Example, Ids, Tokenizer, adds_bos, log_dropped, tokenize

Batch = dict[str, list[Any]]


def load(template: Template, cfg: Any, dataset_idx: int = 0, **_: Any) -> tuple[Callable[..., Batch], dict[str, Any]]:
    """Make axolotl's transform of preference rows; raises SystemExit where the guard is not loaded."""
    # Builders import this package where axolotl is not installed.
    from prompt_strategies.sft import require_guard

    require_guard()
    # `datasets` keys its cache by these arguments, so the source's hash is one of them.
    arguments = {"template": template, "sequence_len": cfg.sequence_len, "source": source_fingerprint()}
    return partial(to_preference_texts, **arguments), {"batched": True, "remove_columns": "__all__"}


def to_preference_texts(
    batch: Batch, *, tokenizer: Tokenizer, template: Template, sequence_len: int, source: str
) -> Batch:
    """Render a batch of preference rows as `prompt`, `chosen` and `rejected` texts, without rows that are dropped."""
    rows = examples(batch, tokenizer, template, sequence_len)
    log_dropped(rows, sequence_len)
    kept = {index: row for index, row in enumerate(rows) if isinstance(row, Example)}
    texts = {side: [render_answer(batch[side][index][0]) for index in kept] for side in ("chosen", "rejected")}
    bos = _written_bos(tokenizer)
    return {"prompt": [bos + row.text for row in kept.values()], **texts}


def examples(batch: Batch, tokenizer: Tokenizer, template: Template, sequence_len: int) -> list[Example | Dropped]:
    """Tokenize a batch of preference rows; the two answers of an example are chosen and rejected."""
    sides = zip(batch["chosen"], batch["rejected"], strict=True)
    answers = [(_answer(chosen), _answer(rejected)) for chosen, rejected in sides]
    rows = tokenize(tokenizer, template, batch["prompt"], answers, sequence_len)
    bos = _written_bos(tokenizer)
    for index, row in enumerate(rows):
        if isinstance(row, Example) and not _is_read_alike(tokenizer, row, bos + row.text, answers[index]):
            rows[index] = Dropped.READ_DIFFERENTLY
    return rows


def _answer(messages: Messages) -> str:
    """Return the text of a side's only message; nothing, which no row may train, where it is not one answer."""
    return render_answer(messages[0]) if [message["role"] for message in messages] == ["assistant"] else ""


def _is_read_alike(tokenizer: Tokenizer, example: Example, prompt: str, answers: tuple[str, ...]) -> bool:
    expected = [[*example.prompt], *([*example.prompt, *answer] for answer in example.answers)]
    return trl_ids(tokenizer, prompt, answers) == expected


def trl_ids(tokenizer: Tokenizer, prompt: str, answers: tuple[str, ...]) -> list[Ids]:
    """Encode a prompt, and the prompt with each answer, as TRL's DPO trainer does when axolotl runs it."""
    eos, doubled_bos = tokenizer.eos_token, [tokenizer.bos_token_id] * 2
    texts = [prompt, *(prompt + (answer if answer.endswith(eos) else answer + eos) for answer in answers)]
    return [ids[1:] if ids[:2] == doubled_bos else ids for ids in tokenizer(texts)["input_ids"]]


def _written_bos(tokenizer: Tokenizer) -> str:
    bos: str | None = tokenizer.bos_token
    return "" if bos is None or adds_bos(tokenizer) else bos
