"""Decontamination: planted items of benchmarks are found in disguise, and other rows are left alone."""

import csv
import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_builders.gates._gate import Batch
from dataset_builders.gates.benchmarks import BenchmarkIndex, index_texts
from dataset_builders.gates.contamination import Contamination, find_contamination
from dataset_builders.rows import Conversation, assistant
from rabbit_ko.errors import UserError
from tests.conftest import SHARED
from tests.dataset_builders.corpora import exchanges, sentence
from tests.dataset_builders.files import build_rows, read_rows, write_jsonl

KOREAN = "철수는 사과를 세 개 샀고 영희는 배를 다섯 개 샀습니다. 두 사람이 산 과일은 모두 몇 개일까요?"
ENGLISH = "A baker makes forty eight loaves in the morning and half as many in the afternoon; how many are there?"


def found(texts: list[str], *items: str) -> dict[int, str]:
    """What of the texts shares an n-gram with a benchmark of these items."""
    return contaminated(texts, index_texts({"exam": list(items)}, 13, 30))


def contaminated(texts: list[str], index: BenchmarkIndex) -> dict[int, str]:
    """What of the texts shares an n-gram with the benchmarks, each the only message of a row."""
    rows = [Conversation("x", "x", [assistant(text)]) for text in texts]
    return find_contamination(Batch(rows, benchmarks=index), Contamination())


@pytest.mark.parametrize(
    "text",
    [
        KOREAN,
        f"다음 문제를 풀어 줘.\n{KOREAN}",
        KOREAN.replace(" ", ""),
        KOREAN.replace(".", "!!").replace("?", " ?"),
        ENGLISH,
        ENGLISH.upper(),
        ENGLISH.replace(" ", "  \n"),
        f"Solve: {ENGLISH[:90]}",
    ],
)
def test_items_are_found_whatever_their_spacing_case_and_punctuation(text: str) -> None:
    hits = found(["아무 상관 없는 글입니다.", text], KOREAN, ENGLISH)
    assert list(hits) == [1]
    assert hits[1].startswith("exam: ")


@pytest.mark.parametrize(
    "text", [KOREAN[:25], ENGLISH[:50], "how many are there in the morning and in the afternoon?", "사과를 세 개", ""]
)
def test_a_shorter_text_is_no_contamination(text: str) -> None:
    assert found([text], KOREAN, ENGLISH) == {}


def test_an_ngram_does_not_reach_over_the_end_of_a_text() -> None:
    half = len(ENGLISH) // 2
    assert found([ENGLISH[:half], ENGLISH[half:]], ENGLISH) == {}
    assert found([ENGLISH], ENGLISH[:half], ENGLISH[half:]) == {}


def test_english_letters_in_a_row_are_too_common_to_count() -> None:
    assert (
        found(
            ["they said that the number of apples in the basket is four"],
            "the number of apples in the basket is five",
        )
        == {}
    )


def test_rows_are_rejected_and_name_the_benchmark_and_the_letters(tmp_path: Path) -> None:
    exam = write_jsonl(tmp_path / "exam.jsonl", [{"question": KOREAN, "answer": "여덟 개"}])
    bad = {"instruction": f"풀어 줘: {KOREAN}", "output": "여덟 개입니다."}
    quality = {"contamination": {"benchmarks": [{"name": "exam", "path": str(exam)}]}}
    manifest = build_rows(tmp_path, "koalpaca", [*exchanges(30), bad], quality=quality)
    assert (manifest.sources[0].kept, manifest.sources[0].rejected) == (30, {"in a benchmark": 1})
    [dropped] = read_rows(tmp_path / "data", "rejected")
    assert dropped["evidence"].startswith("exam: ")
    assert dropped["evidence"].removeprefix("exam: ") in KOREAN.replace(" ", "").replace(".", "").replace("?", "")
    assert manifest.benchmarks.keys() == {"exam"}


def test_decomposed_items_are_found_in_composed_rows(tmp_path: Path) -> None:
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"question": unicodedata.normalize("NFD", KOREAN), "half": "\ud800"}))
    bad = {"instruction": KOREAN, "output": "여덟 개입니다."}
    quality = {"contamination": {"benchmarks": [{"name": "exam", "path": str(exam)}]}}
    manifest = build_rows(tmp_path, "koalpaca", [*exchanges(5), bad], quality=quality)
    assert manifest.sources[0].rejected == {"in a benchmark": 1}


@pytest.mark.parametrize(
    ("benchmarks", "words"),
    [
        ([{"columns": ["question", "anwser"]}], "has no column `anwser`"),
        ([{"columns": ["number"]}], "has no text in its columns"),
        ([{}, {}], "two benchmarks are called `exam`"),
        (["kobst"], "unknown benchmark `kobst`; known are kobest"),
    ],
)
def test_mistakes_in_benchmarks_are_named(tmp_path: Path, benchmarks: list[Any], words: str) -> None:
    exam = write_jsonl(tmp_path / "exam.jsonl", [{"question": KOREAN, "number": 8}])
    given = [
        entry if isinstance(entry, str) else {"name": "exam", "path": str(exam), **entry} for entry in benchmarks
    ]
    with pytest.raises(UserError, match=words):
        build_rows(tmp_path, "koalpaca", exchanges(5), quality={"contamination": {"benchmarks": given}})


@pytest.fixture(scope="module")
def benchmarks() -> BenchmarkIndex:
    """The test splits of KoBEST and gsm8k."""
    hub = SHARED / "data/hub"
    if not hub.exists():
        pytest.skip(f"{hub} is absent; point RABBIT_KO_SHARED at a folder with data/hub")
    texts = {}
    for path in (*sorted((hub / "skt/kobest_v1").glob("*/test.parquet")), hub / "openai/gsm8k/main/test.parquet"):
        rows = pq.read_table(path).to_pylist()
        texts[str(path)] = [text for row in rows for text in row.values() if isinstance(text, str)]
    return index_texts(texts, 13, 30)


def test_measured_recall_on_planted_items_and_false_positives_on_dialogue(
    benchmarks: BenchmarkIndex,
) -> None:
    hub, rng = SHARED / "data/hub", random.Random(0)
    questions = pq.read_table(hub / "openai/gsm8k/main/test.parquet")["question"].to_pylist()
    passages = pq.read_table(hub / "skt/kobest_v1/boolq/test.parquet")["paragraph"].to_pylist()
    planted = [f"{sentence(rng, 10)} {item} {sentence(rng, 10)}" for item in [*questions, *passages]]
    recall = len(contaminated(planted, benchmarks)) / len(planted)
    with (SHARED / "data/chatbot/ChatbotData.csv").open(encoding="utf-8") as lines:
        dialogue = [f"{row['Q']}\n{row['A']}" for row in csv.DictReader(lines)]
    training = pq.read_table(hub / "openai/gsm8k/main/train.parquet").to_pylist()
    others: dict[str, list[Any]] = {"dialogue": dialogue, "gsm8k train": [row["question"] for row in training]}
    counts_by_name = {name: len(contaminated(texts, benchmarks)) for name, texts in others.items()}
    counts = ", ".join(f"{counts_by_name[name]} of {len(texts):,} rows of {name}" for name, texts in others.items())
    print(f"\nrecall {recall:.4f} of {len(planted):,} planted items; hit {counts}")
    assert recall > 0.99
    assert counts_by_name["dialogue"] == 0
    assert counts_by_name["gsm8k train"] < 0.01 * len(training)
