"""One prompt, token for token: in SFT, in DPO as TRL really tokenizes it, and through the saved chat template."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from dataset_builders.recipe import SYSTEM_PROMPT
from dataset_builders.rows import Conversation, Message, assistant, system, user
from dataset_builders.sampling import below, draw
from prompt_strategies import qir
from prompt_strategies.messages import Messages
from prompt_strategies.preferences import to_pair_texts
from prompt_strategies.prompt_injection import find_injection
from prompt_strategies.template import QIR
from prompt_strategies.tokens import Example
from tests.conftest import SHARED
from tests.prompt_strategies.exactness import Compared, compare, saved
from tests.prompt_strategies.trl import tokenize_with_trl

INVISIBLE = [
    "\u200b",
    "\u200f",
    "\u200e",
    "\u202e",
    "\u2060",
    "\ufeff",
    "\u3000",
    "\t",
    "\r\n",
    "\n",
    "\n\n\n",
    " " * 40,
]
FRAGMENTS = st.one_of(
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=8),  # Hangul
    st.text(st.characters(min_codepoint=0x1100, max_codepoint=0x11FF), min_size=1, max_size=4),  # its letters
    st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=4),  # Hanja
    st.text(st.characters(min_codepoint=0x300, max_codepoint=0x36F), min_size=1, max_size=3),  # combining marks
    st.text(st.characters(min_codepoint=0x1F300, max_codepoint=0x1FAFF), min_size=1, max_size=3),  # emoji
    st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", min_size=1, max_size=10),
    st.text(max_size=6),
    st.sampled_from(INVISIBLE),
    st.sampled_from(
        ["👩\u200d👩\u200d👧", "🇰🇷", "e\u0301", "ﷺ", "'s", "...", "###", "# ", "<|", "|>", "\\", "{user}", "%s"]
    ),
    st.sampled_from(["def f(x):\n    return x\n", "```python\nprint('안녕')\n```", '{"a": [1, 2]}', "a.kr/?q=1&r=2"]),
)
CONTENT = (
    st.lists(FRAGMENTS, min_size=1, max_size=8)
    .map("".join)
    .filter(lambda text: bool(text.strip()) and find_injection(text) is None)
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, str]]:
    """A conversation of one to three exchanges, with or without an instruction."""
    system = [{"role": "system", "content": text} for text in draw(st.lists(CONTENT, max_size=1))]
    exchanges = draw(st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=3))
    roles = ("user", "assistant")
    return system + [
        {"role": role, "content": text} for pair in exchanges for role, text in zip(roles, pair, strict=True)
    ]


@pytest.fixture
def served(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> Any:
    """The tokenizer saved with the project's chat template, and loaded again."""
    return saved(tokenizer, tmp_path / "saved")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qir", "iir"])
@settings(max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(rows=st.lists(conversations(), min_size=40, max_size=60))
def test_any_conversation_has_one_tokenization(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, name: str, rows: list[Messages]
) -> None:
    served = saved(tokenizer, tmp_path / "saved", name)
    assert compare(tokenizer, served, rows, tmp_path, name) == Compared(len(rows), [], Counter())


@pytest.mark.parametrize("sequence_len", [100, 130, 160])
def test_rows_that_lost_their_oldest_exchanges_have_one_tokenization(
    tokenizer: PreTrainedTokenizerBase, served: Any, tmp_path: Path, sequence_len: int
) -> None:
    rows: list[list[Message]] = [
        [*system("짧게 답해 주세요."), *(turn for number in range(turns) for turn in exchange(number))]
        for turns in range(1, 9)
    ]
    strategy = qir.load(tokenizer, SimpleNamespace(sequence_len=sequence_len))
    examples = [row for [row] in strategy.examples({"messages": rows}) if isinstance(row, Example)]
    kept = rows[: len(examples)]
    assert len({row.dropped_exchanges for row in examples}) > 1
    for messages, row in zip(kept, examples, strict=True):
        shown = messages[:1] + messages[1 + 2 * row.dropped_exchanges : -1]
        assert (
            row.prompt == served.apply_chat_template(shown, add_generation_prompt=True, return_dict=True)["input_ids"]
        )

    batch: dict[str, list[Any]] = {
        "prompt": [messages[:-1] for messages in kept],
        "chosen": [messages[-1:] for messages in kept],
        "rejected": [[assistant("네.")] for _ in kept],
    }
    texts = to_pair_texts(batch, tokenizer=tokenizer, template=QIR, sequence_len=sequence_len, rl="dpo", source="")
    for row, preference in zip(
        examples, tokenize_with_trl(Dataset.from_dict(texts), tokenizer, tmp_path), strict=True
    ):
        assert (preference["prompt_ids"], preference["chosen_ids"]) == (row.prompt, row.answers[0])


def exchange(number: int) -> list[Message]:
    """A question and an answer of some 20 tokens each."""
    return [
        user(f"{number}번째 질문: 오늘 서울 날씨는 어떤가요?"),
        assistant(f"{number}번째 답: 맑고 바람이 붑니다."),
    ]


def real_conversations() -> list[Messages]:
    """ChatbotData as KoAlpaca rows, KoBEST's sentences and passages, and gsm8k's problems; some 43,000."""
    rows = [
        Conversation(f"row/{number}", "row", [user(question), assistant(answer)])
        for number, (question, answer) in enumerate(_pairs())
        if question.strip() and answer.strip()
    ]
    chosen = below(draw(0, [row.id for row in rows])["system_prompt"], 0.8)
    return [[*system(SYSTEM_PROMPT if given else ""), *row.messages] for row, given in zip(rows, chosen, strict=True)]


def _pairs() -> Iterator[tuple[str, str]]:
    with (SHARED / "data/chatbot/ChatbotData.csv").open(encoding="utf-8") as lines:
        yield from ((row["Q"], row["A"]) for row in csv.DictReader(lines))
    for file in sorted((SHARED / "data/hub").glob("openai/gsm8k/main/*.parquet")):
        yield from ((row["question"], row["answer"]) for row in pq.read_table(file).to_pylist())
    for file in sorted((SHARED / "data/hub/skt/kobest_v1").glob("*/*.parquet")):
        for row in pq.read_table(file).to_pylist():
            texts = [value for value in row.values() if isinstance(value, str)]
            yield " ".join(texts[1:]) or texts[0], texts[0]


@pytest.mark.slow
def test_sweep_over_real_data_finds_no_mismatch(
    tokenizer: PreTrainedTokenizerBase, served: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (SHARED / "data").exists():
        pytest.skip(f"{SHARED}/data is absent; point RABBIT_KO_SHARED at a folder with data/chatbot and data/hub")
    # The tokenizer of the recipes reads all, the others every fourth.
    step = 1 if Path(tokenizer.name_or_path).name == "llama-3" else 4
    rows = real_conversations()[::step]
    found = compare(tokenizer, served, rows, tmp_path)
    with capsys.disabled():
        print(f"\nsweep: {tokenizer.name_or_path or 'smoke'}: {len(rows):,} rows, {len(found.mismatches)} mismatches")
    assert len(rows) >= 40_000 // step
    assert (found.mismatches[:3], found.dropped) == ([], {})
