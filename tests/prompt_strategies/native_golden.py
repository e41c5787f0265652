"""What is trained of a few rows in a base's own format, to read: the text, with trained spans marked, and the ids.

    python -m tests.prompt_strategies.native_golden

writes tests/golden/native_*.txt anew. A trained span stands between ⟦ and ⟧, in the text and among the ids.
"""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from axolotl.prompt_strategies.dpo import load as load_dpo
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

import prompt_strategies
from tests.prompt_strategies.conversations import ROWS, answer
from tests.prompt_strategies.native_templates import native_tokenizer
from tests.prompt_strategies.trl import tokenize_with_trl

GOLDEN = Path(__file__).parents[1] / "golden"
# A golden's name, and that of its template.
TEMPLATES = {"llama_3_2": "llama3_2_vision", "qwen3": "qwen3_own", "qwen3_of_axolotl": "qwen3"}
KINDS = ("native", "native_every_turn")
SEQUENCE_LEN = 4096
REJECTED = answer("모르겠습니다.")
Trained = list[tuple[int, bool]]


def sft(kind: str, tokenizer: PreTrainedTokenizerBase, row: str) -> list[Trained]:
    """Return each sequence that SFT makes of a row: its ids, and whether each is trained."""
    messages, tools = ROWS[row]
    strategy = getattr(prompt_strategies, kind).load(tokenizer, SimpleNamespace(sequence_len=SEQUENCE_LEN))
    table = strategy.tokenize_prompt({"messages": [messages], "tools": [tools]}).to_pydict()
    sequences = zip(table["input_ids"], table["labels"], strict=True)
    return [[(token, label != -100) for token, label in zip(ids, labels, strict=True)] for ids, labels in sequences]


def dpo(tokenizer: PreTrainedTokenizerBase, row: str, folder: Path) -> list[Trained]:
    """Return a row's prompt with its chosen answer and with its rejected one, as TRL's trainer reads them."""
    messages, tools = ROWS[row]
    function, _ = load_dpo(
        "prompt_strategies.native_dpo", DictDefault({"sequence_len": SEQUENCE_LEN, "rl": "dpo"}), dataset_idx=0
    )
    pair: dict[str, Any] = {"prompt": [messages[:-1]], "chosen": [messages[-1:]], "rejected": [[REJECTED]]}
    texts = function({**pair, "tools": [tools]}, tokenizer=tokenizer)
    found = tokenize_with_trl(Dataset.from_dict(texts), tokenizer, folder) if texts["prompt"] else []
    return [
        [*((token, False) for token in pair["prompt_ids"]), *((token, True) for token in pair[side])]
        for pair in found
        for side in ("chosen_ids", "rejected_ids")
    ]


def text_of(tokenizer: PreTrainedTokenizerBase, folder: Path) -> str:
    """Return what a golden holds."""
    return "\n".join(_parts(tokenizer, folder)) + "\n"


def _parts(tokenizer: PreTrainedTokenizerBase, folder: Path) -> Iterator[str]:
    for row in ROWS:
        for kind in (*KINDS, "native_dpo"):
            found = dpo(tokenizer, row, folder) if kind == "native_dpo" else sft(kind, tokenizer, row)
            yield from (f"===== {row}, {kind}", *(() if found else ("dropped",)))
            for sequence in found:
                yield from ("-----", _marked(tokenizer, sequence), _ids(sequence))


def _marked(tokenizer: PreTrainedTokenizerBase, sequence: Sequence[tuple[int, bool]]) -> str:
    spans = groupby(sequence, key=lambda token: token[1])
    texts = [(trained, tokenizer.decode([token for token, _ in tokens])) for trained, tokens in spans]
    return "".join(f"⟦{text}⟧" if trained else text for trained, text in texts)


def _ids(sequence: Sequence[tuple[int, bool]]) -> str:
    spans = groupby(sequence, key=lambda token: token[1])
    texts = [(trained, " ".join(str(token) for token, _ in tokens)) for trained, tokens in spans]
    return "ids: " + " ".join(f"⟦{text}⟧" if trained else text for trained, text in texts)


def golden(name: str) -> Path:
    return GOLDEN / f"native_{name}.txt"


def main() -> None:
    """Write every golden."""
    from axolotl.integrations.base import PluginManager

    from rabbit_ko.recipes import GUARD
    from tests.conftest import load_tokenizer

    PluginManager.get_instance().register(GUARD)
    with tempfile.TemporaryDirectory() as scratch:
        for name, template in TEMPLATES.items():
            tokenizer = native_tokenizer(template, load_tokenizer)
            golden(name).write_text(text_of(tokenizer, Path(scratch)), encoding="utf-8")


if __name__ == "__main__":
    main()
