"""`type: prompt_strategies.qir_dpo`: rows of preferences become the texts that TRL's DPO trainer tokenizes.

TRL encodes `prompt` and `prompt + answer`, with whatever special tokens the tokenizer adds or finds in the text, and
appends EOS to the answer where it is not there. So the prompt carries BOS as text where the tokenizer has one but
does not add it, and each row is encoded TRL's way here as well: where that is not what SFT reads, it is dropped.
"""

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from prompt_strategies.messages import Messages
from prompt_strategies.renderer import bind
from prompt_strategies.template import Native, Template, source_fingerprint
from prompt_strategies.tokens import Dropped, Example, Ids, Sample, Tokenizer, log_dropped

Batch = dict[str, list[Any]]
# No answer, which no row may train.
NOTHING = {"role": "assistant", "content": ""}


def load(
    template: Template | Native, cfg: Any, dataset_idx: int = 0, **_: Any
) -> tuple[Callable[..., Batch], dict[str, Any]]:
    """Make axolotl's transform of preference rows; raises SystemExit where the guard is not loaded."""
    # Builders import this package where axolotl is not installed.
    from prompt_strategies.sft import require_guard

    require_guard()
    # `datasets` keys its cache by these arguments, so the source's hash is one of them.
    arguments = {"template": template, "sequence_len": cfg.sequence_len, "source": source_fingerprint()}
    return partial(to_preference_texts, **arguments), {"batched": True, "remove_columns": "__all__"}


def to_preference_texts(
    batch: Batch, *, tokenizer: Tokenizer, template: Template | Native, sequence_len: int, source: str
) -> Batch:
    """Render a batch of preference rows as `prompt`, `chosen` and `rejected` texts, without rows that are dropped."""
    rows = examples(batch, tokenizer, template, sequence_len)
    log_dropped(rows, sequence_len)
    kept = [row for row in rows if isinstance(row, Example)]
    texts = {side: [row.answer_texts[place] for row in kept] for place, side in enumerate(("chosen", "rejected"))}
    return {"prompt": [row.text for row in kept], **texts}


def examples(
    batch: Batch, tokenizer: Tokenizer, template: Template | Native, sequence_len: int
) -> list[Example | Dropped]:
    """Tokenize a batch of preference rows; the two answers of an example are chosen and rejected."""
    columns = (batch["prompt"], batch["chosen"], batch["rejected"], batch.get("tools") or repeat(None))
    samples = [
        Sample(prompt, (_answer(chosen), _answer(rejected)), tools)
        for prompt, chosen, rejected, tools in zip(*columns, strict=False)
    ]
    rows = bind(template, tokenizer).tokenize(samples, sequence_len)
    return [
        row if isinstance(row, Dropped) or _is_read_alike(tokenizer, row) else Dropped.READ_DIFFERENTLY
        for row in rows
    ]


def _answer(messages: Messages) -> Any:
    """Return a side's only message; nothing where it is not one answer."""
    return messages[0] if [message["role"] for message in messages] == ["assistant"] else NOTHING


def _is_read_alike(tokenizer: Tokenizer, row: Example) -> bool:
    expected = [[*row.prompt], *([*row.prompt, *answer] for answer in row.answers)]
    return trl_ids(tokenizer, row.text, row.answer_texts) == expected


def trl_ids(tokenizer: Tokenizer, prompt: str, answers: tuple[str, ...]) -> list[Ids]:
    """Encode a prompt, and the prompt with each answer, as TRL's DPO trainer does when axolotl runs it."""
    eos, doubled_bos = tokenizer.eos_token, [tokenizer.bos_token_id] * 2
    texts = [prompt, *(prompt + (answer if answer.endswith(eos) else answer + eos) for answer in answers)]
    return [ids[1:] if ids[:2] == doubled_bos else ids for ids in tokenizer(texts)["input_ids"]]
