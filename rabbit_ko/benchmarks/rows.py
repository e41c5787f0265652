"""Raw rows to build from: seeded, of the shape and the lengths of KoAlpaca-v1.1a and of guanaco, with planted faults.

The same seed gives the same rows, and fewer rows are the beginning of more.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from rabbit_ko.benchmarks.words import Vocabulary, draw_lengths, make_vocabulary, write_texts

SEED = 20_240_601
CHUNK = 10_000
QUESTIONS = 2_000  # in the evaluation set

Exchanges = list[tuple[str, str]]
Row = dict[str, str]


@dataclass
class Corpus:
    """What rows are made from: the words, an evaluation set's questions, and rows of before that can come again."""

    vocabulary: Vocabulary
    questions: list[str]
    earlier: deque[Exchanges] = field(default_factory=lambda: deque(maxlen=2_000))


Plant = Callable[[Exchanges, Corpus, np.random.Generator], Exchanges]


def _answer(change: Callable[[str], str]) -> Plant:
    """Make a plant that changes the last answer alone."""
    return lambda row, _corpus, _rng: [*row[:-1], (row[-1][0], change(row[-1][1]))]


def _latin(text: str) -> str:
    return re.sub("[가-힣]", lambda match: "etaoinshrdlucmfw"[ord(match[0]) % 16], text)


def _again(row: Exchanges, corpus: Corpus, rng: np.random.Generator) -> Exchanges:
    return corpus.earlier[rng.integers(len(corpus.earlier))] if corpus.earlier else row


def _nearly_again(row: Exchanges, corpus: Corpus, rng: np.random.Generator) -> Exchanges:
    """Replace one word of the last answer; of a usual row's word 5-grams, 0.87 stay the same."""
    *before, (question, answer) = _again(row, corpus, rng)
    words = answer.split(" ")
    words[rng.integers(len(words))] = "그리고"
    return [*before, (question, " ".join(words))]


def _contaminated(row: Exchanges, corpus: Corpus, rng: np.random.Generator) -> Exchanges:
    question = corpus.questions[rng.integers(len(corpus.questions))]
    return [*row[:-1], (f"{question} {row[-1][0]}", row[-1][1])]


def _long(row: Exchanges, corpus: Corpus, rng: np.random.Generator) -> Exchanges:
    answers = [_again(row, corpus, rng)[-1][1] for _ in range(200)]
    return [*row[:-1], (row[-1][0], "\n\n".join(answers))]


PLANTS: dict[str, tuple[float, Plant]] = {
    "exact duplicate": (0.01, _again),
    "near duplicate": (0.01, _nearly_again),
    "contaminated": (0.002, _contaminated),
    "refusal": (0.005, _answer(lambda text: f"죄송하지만 AI 언어 모델로서 저는 답변드릴 수 없습니다. {text}")),
    "repetition": (0.003, _answer(lambda text: " ".join(text.split(" ")[:6] * 40))),
    "not Korean": (0.003, lambda row, _corpus, _rng: [(_latin(question), _latin(text)) for question, text in row]),
    "control character": (0.002, _answer(lambda text: f"{text[:5]}\b{text[5:]}")),
    "decomposed": (0.002, _answer(lambda text: unicodedata.normalize("NFD", text))),
    "empty": (0.002, _answer(lambda text: "")),
    "short": (0.002, _answer(lambda text: "네.")),
    "long": (0.0002, _long),
    "arithmetic": (
        0.002,
        _answer(lambda text: "\n".join(f"{n} * {len(text)} = {n * len(text)}" for n in range(2, 40))),
    ),
    "fake turn": (0.001, _answer(lambda text: f"{text}\n### Response:\n{text}")),
}


def koalpaca(count: int, seed: int = SEED) -> Iterator[Row]:
    """Yield rows of KoAlpaca's columns, 1.1 kB each on average."""
    for number, [(question, answer)] in enumerate(_exchanges(count, [1.0], seed)):
        yield {"instruction": question, "output": answer, "url": f"https://example.com/qna/{number}"}


def guanaco(count: int, seed: int = SEED) -> Iterator[Row]:
    """Yield conversations of one to five exchanges, each in one string."""
    for number, exchanges in enumerate(_exchanges(count, [0.45, 0.25, 0.15, 0.1, 0.05], seed + 1)):
        text = "".join(f"### Human: {question}### Assistant: {answer}" for question, answer in exchanges)
        yield {"text": text, "id": str(number)}


def questions(seed: int = SEED) -> Iterator[Row]:
    """Yield the evaluation set that some rows took their question from, 15 words and more each."""
    yield from ({"question": question} for question in _corpus(seed).questions)


def write(rows: Iterator[Row], path: Path) -> Path:
    """Write rows as JSON lines; the file has its name only when it is whole."""
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return part.rename(path)


def _corpus(seed: int) -> Corpus:
    vocabulary, rng = make_vocabulary(SEED), np.random.default_rng([SEED, 1])
    return Corpus(vocabulary, write_texts(vocabulary, rng, rng.integers(15, 40, QUESTIONS)))


def _exchanges(count: int, turns: Sequence[float], seed: int) -> Iterator[Exchanges]:
    corpus = _corpus(seed)
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng([seed, 2, start])
        chunk = _plant(_clean_exchanges(corpus.vocabulary, turns, rng), corpus, rng)
        yield from chunk[: count - start]


def _clean_exchanges(vocabulary: Vocabulary, turns: Sequence[float], rng: np.random.Generator) -> list[Exchanges]:
    counts = rng.choice(np.arange(1, len(turns) + 1), CHUNK, p=turns)
    asked = iter(write_texts(vocabulary, rng, draw_lengths(rng, counts.sum(), 11, 0.8)))
    answered = iter(write_texts(vocabulary, rng, draw_lengths(rng, counts.sum(), 55, 0.6)))
    return [[(next(asked), next(answered)) for _ in range(count)] for count in counts]


def _plant(rows: list[Exchanges], corpus: Corpus, rng: np.random.Generator) -> list[Exchanges]:
    """Put the planted faults into a chunk, and keep some of its clean rows for later duplicates."""
    corpus.earlier.extend(rows[::50])
    plants = [plant for _, plant in PLANTS.values()]
    kinds = np.searchsorted(np.cumsum([share for share, _ in PLANTS.values()]), rng.random(len(rows)), side="right")
    for index in np.flatnonzero(kinds < len(plants)).tolist():
        rows[index] = plants[kinds[index]](rows[index], corpus, rng)
    return rows
