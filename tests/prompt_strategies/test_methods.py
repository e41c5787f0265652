"""Every method's own trainer reads the ids that SFT has, from pairs and from labelled answers."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from axolotl.prompt_strategies.dpo import load as load_dpo
from axolotl.prompt_strategies.kto import load as load_kto
from axolotl.prompt_strategies.orpo import load as load_orpo
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

import prompt_strategies
from dataset_builders.rows import Preference, Row, assistant
from prompt_strategies.messages import Messages
from prompt_strategies.preferences import SIDES, examples, pairs
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import TEMPLATES
from prompt_strategies.tokens import Dropped, Example
from tests.conftest import SHARED
from tests.prompt_strategies.test_exactness import real_conversations
from tests.prompt_strategies.test_sft import tokenize
from tests.prompt_strategies.trl import tokenize_with_trl

# As axolotl chooses them for an `rl`.
LOADERS = {"orpo": load_orpo, "kto": load_kto}
# DPO and IPO, which have the same trainer, are in test_preferences.py.
METHODS = ("orpo", "simpo", "kto")
QUESTION, GOOD, BAD = {"role": "user", "content": "질문"}, assistant("좋은 답"), assistant("나쁜 답")
# A prompt, an answer, and whether it is a good one.
Answer = tuple[list[int], list[int], bool]


@pytest.fixture
def preferences(smoke_rows: list[Row]) -> list[dict[str, Any]]:
    """The preference rows that the smoke recipe keeps, as its shards hold them."""
    return [asdict(row) for row in smoke_rows if isinstance(row, Preference)]


def transform(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, rl: str, name: str, sequence_len: int = 8192
) -> Dataset:
    """Make the texts of rows as axolotl does for a method."""
    kind = f"prompt_strategies.{name}_{'kto' if rl == 'kto' else 'dpo'}"
    cfg = DictDefault({"sequence_len": sequence_len, "rl": rl})
    function, _ = LOADERS.get(rl, load_dpo)(kind, cfg, dataset_idx=0)
    return Dataset.from_dict(function(Dataset.from_list(rows)[:], tokenizer=tokenizer))


def by_trl(texts: Dataset, tokenizer: PreTrainedTokenizerBase, rl: str, folder: Path) -> Iterator[Answer]:
    """Yield each answer as the method's trainer reads it."""
    for row in tokenize_with_trl(texts, tokenizer, folder, rl=rl):
        if rl == "kto":
            yield row["prompt_ids"], row["completion_ids"], row["label"]
        else:
            yield from ((row["prompt_ids"], row[f"{side}_ids"], is_good) for side, is_good in SIDES.items())


def by_sft(rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, name: str) -> Iterator[Answer]:
    """Yield each answer of pairs as SFT reads it."""
    conversations = [row["prompt"] + row[side] for row in rows for side in SIDES]
    tokenized = tokenize(getattr(prompt_strategies, name), tokenizer, conversations)
    for number, (ids, labels) in enumerate(tokenized):
        edge = labels.count(IGNORE_INDEX)
        yield ids[:edge], ids[edge:], number % 2 == 0


def check(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, rl: str, name: str, folder: Path
) -> list[Answer]:
    """Compare all answers, and return them."""
    found = list(by_trl(transform(rows, tokenizer, rl, name), tokenizer, rl, folder))
    assert found == list(by_sft(rows, tokenizer, name))
    assert len(found) == 2 * len(rows)
    for prompt, answer, _ in found:
        assert (answer.count(tokenizer.eos_token_id), answer[-1]) == (1, tokenizer.eos_token_id)
        if tokenizer.bos_token_id is not None and (name != "native" or prompt[0] == tokenizer.bos_token_id):
            assert (prompt + answer).count(tokenizer.bos_token_id) == 1
    return found


@pytest.mark.parametrize("rl", METHODS)
def test_each_methods_trainer_makes_the_ids_of_sft(
    rl: str, tokenizer: PreTrainedTokenizerBase, preferences: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = check(preferences, tokenizer, rl, "qir", tmp_path)
    assert len(found) >= 120
    assert all((prompt[0] == tokenizer.bos_token_id) for prompt, _, _ in found) or tokenizer.bos_token_id is None


@pytest.mark.parametrize("rl", METHODS)
def test_each_methods_trainer_makes_the_ids_of_sft_under_the_other_headings(
    rl: str, smoke_tokenizer: PreTrainedTokenizerBase, preferences: list[dict[str, Any]], tmp_path: Path
) -> None:
    check(preferences, smoke_tokenizer, rl, "iir", tmp_path)


@pytest.mark.parametrize("template", ["llama3", "llama3_no_bos", "qwen3_own"])
@pytest.mark.parametrize("rl", METHODS)
def test_each_methods_trainer_makes_the_ids_of_sft_in_a_bases_own_format(
    rl: str, template: str, native: Callable[[str], Any], preferences: list[dict[str, Any]], tmp_path: Path
) -> None:
    check(preferences, native(template), rl, "native", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rl", METHODS)
def test_a_sample_of_real_rows_finds_no_mismatch(rl: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    if not (SHARED / "data").exists():
        pytest.skip(f"{SHARED}/data is absent; point RABBIT_KO_SHARED at a folder with data/chatbot and data/hub")
    rows = [_with_another(messages) for messages in real_conversations()[::40]]
    assert len(check(rows, tokenizer, rl, "qir", tmp_path)) > 2_000


def _with_another(messages: Messages) -> dict[str, Any]:
    other = [assistant(f"{messages[-1]['content']}?!")]
    return {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": other}


@pytest.mark.parametrize("rl", METHODS)
def test_rows_fit_with_bos_and_eos_or_are_dropped(
    rl: str, smoke_tokenizer: PreTrainedTokenizerBase, preferences: list[dict[str, Any]], tmp_path: Path
) -> None:
    tokenizer = smoke_tokenizer
    whole = list(by_trl(transform(preferences, tokenizer, rl, "qir"), tokenizer, rl, tmp_path))
    lengths = sorted(len(prompt + answer) for prompt, answer, _ in whole)
    limit = lengths[len(lengths) // 2]
    texts = transform(preferences, tokenizer, rl, "qir", sequence_len=limit)
    fitted = list(by_trl(texts, tokenizer, rl, tmp_path))
    assert 0 < len(fitted) < len(whole)
    assert all(len(prompt + answer) <= limit for prompt, answer, _ in fitted)
    assert all(answer[-1] == tokenizer.eos_token_id for _, answer, _ in fitted)
    assert max(len(prompt + answer) for prompt, answer, _ in fitted) == limit or rl != "kto"


def labelled_texts(rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, **options: Any) -> Any:
    """The answers and labels that KTO gets of rows."""
    texts = transform(rows, tokenizer, "kto", "qir", **options)
    return list(zip(texts["completion"], texts["label"], strict=True))


def test_a_pair_is_a_good_answer_and_a_bad_one(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"prompt": [QUESTION], "chosen": [GOOD], "rejected": [BAD]}] * 2
    assert labelled_texts(rows, smoke_tokenizer) == [("좋은 답", True), ("나쁜 답", False)] * 2


def test_a_pair_whose_one_answer_is_dropped_keeps_the_other(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    long = [assistant("긴 답 " * 200)]
    rows = [
        {"prompt": [QUESTION], "chosen": long, "rejected": [BAD]},
        {"prompt": [QUESTION], "chosen": [GOOD], "rejected": long},
        {"prompt": [QUESTION], "chosen": [GOOD], "rejected": []},
        {"prompt": [QUESTION, GOOD], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [QUESTION], "chosen": [GOOD], "rejected": [GOOD]},
    ]
    kept = [("나쁜 답", False), ("좋은 답", True), ("좋은 답", True)]
    assert labelled_texts(rows, smoke_tokenizer, sequence_len=100) == kept


def test_labelled_rows_keep_their_labels_and_have_the_ids_of_pairs(
    tokenizer: PreTrainedTokenizerBase, preferences: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = [
        {"prompt": row["prompt"], "completion": row[side], "label": is_good}
        for row in preferences
        for side, is_good in SIDES.items()
    ]
    found = by_trl(transform(rows, tokenizer, "kto", "qir"), tokenizer, "kto", tmp_path)
    assert list(found) == list(by_sft(preferences, tokenizer, "qir"))
    long = {"prompt": [QUESTION], "completion": [assistant("긴 답 " * 200)], "label": True}
    short = {"prompt": [QUESTION], "completion": [BAD], "label": False}
    assert labelled_texts([long, short, long, short], tokenizer, sequence_len=100) == [("나쁜 답", False)] * 2


def test_rows_are_dropped_whose_template_writes_no_bos_where_the_trainer_adds_one(
    native: Callable[[str], Any], tmp_path: Path
) -> None:
    row = {"prompt": [QUESTION], "chosen": [GOOD], "rejected": [BAD]}
    tokenizer = native("exaone4")
    batch = {name: [value] for name, value in row.items()}
    found = {rl: examples(pairs(batch), tokenizer, TEMPLATES["native"], 1024, rl)[0] for rl in ("dpo", *METHODS)}
    assert [rl for rl, each in found.items() if each is Dropped.READ_DIFFERENTLY] == ["orpo", "simpo"]
    assert all(isinstance(found[rl], Example) for rl in ("dpo", "kto"))
    check([row], tokenizer, "kto", "native", tmp_path)
