"""Generated raw rows: seeded, of the shape and the lengths of KoAlpaca-v1.1a and of guanaco, with planted faults.

The words look Korean and are put together from syllables; nothing comes from a data set. The same seed gives the same
rows, and fewer rows are the beginning of more.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

# Syllables, particles after a closed and an open one, endings of verbs and sentences; and the share of each fault.
PARTS: dict[str, Any] = orjson.loads(Path(__file__).with_suffix(".json").read_bytes())
FAULTS: dict[str, float] = PARTS["faults"]
SEED = 20_240_601
CHUNK = 10_000

# What becomes of the last answer, where a fault is in that alone.
ANSWERS: dict[str, Callable[[str], str]] = {
    "refusal": lambda text: f"죄송하지만 AI 언어 모델로서 저는 답변드릴 수 없습니다. {text}",
    "repetition": lambda text: " ".join(text.split(" ")[:6] * 40),
    "control character": lambda text: f"{text[:5]}\b{text[5:]}",
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "empty": lambda text: "",
    "short": lambda text: "네.",
    "arithmetic": lambda text: "\n".join(f"{n} * {len(text)} = {n * len(text)}" for n in range(2, 40)),
    "fake turn": lambda text: f"{text}\n### Response:\n{text}",
}

Row = dict[str, str]
Exchanges = list[tuple[str, str]]


class Corpus:
    """Words, most frequent first, of which the first `inner` do not end a sentence; questions; rows to come again."""

    def __init__(self) -> None:
        rng = np.random.default_rng([SEED, 0])
        stems, syllables = dict[str, None](), list("".join(PARTS["syllables"]))
        while len(stems) < 1_800:
            stems["".join(rng.choice(syllables, rng.choice([2, 3], p=[0.7, 0.3])))] = None
        # A particle has one form after a closed syllable, and another after an open one.
        nouns = [
            stem + pair.split()[(ord(stem[-1]) - ord("가")) % 28 == 0]
            for stem in stems
            for pair in PARTS["particles"]
        ]
        verbs = [stem + ending for stem in list(stems)[:500] for ending in PARTS["endings"]]
        ends = [stem + final for stem in list(stems)[:300] for final in PARTS["finals"]]
        inner, finals = (rng.permutation(np.array(words, dtype=object)) for words in (nouns + verbs, ends))
        spaced = [word if word.endswith("\n") else word + " " for word in (*inner, *finals)]
        self.words, self.inner = np.array(spaced, dtype=object), len(inner)
        rng = np.random.default_rng([SEED, 1])
        self.questions = self.texts(rng, rng.integers(15, 40, 2_000))
        self.earlier: deque[Exchanges] = deque(maxlen=2_000)

    def texts(self, rng: np.random.Generator, lengths: NDArray[np.int64]) -> list[str]:
        """Return one text for each length in words; a few words are frequent and most are rare, as in a language."""
        ends = np.cumsum(lengths)
        chance = rng.random(ends[-1]) ** 3
        is_final = rng.random(ends[-1]) < 1 / 9
        is_final[ends - 1] = True
        finals = len(self.words) - self.inner
        numbers = np.where(is_final, self.inner + finals * chance, self.inner * chance).astype(np.int64)
        words = self.words[numbers].tolist()
        return ["".join(words[end - length : end]).rstrip() for length, end in zip(lengths, ends, strict=True)]

    def exchanges(self, turns: Sequence[float], rng: np.random.Generator) -> list[Exchanges]:
        """Return a chunk of conversations; `turns` has the chance of one exchange, of two, and so on."""
        counts = rng.choice(np.arange(1, len(turns) + 1), CHUNK, p=turns)

        def texts(middle: int, spread: float) -> Iterator[str]:
            """Half are longer than the middle, in words, and a few are far longer."""
            lengths = np.clip(middle * np.exp(spread * rng.standard_normal(counts.sum())), 3, 2_000)
            return iter(self.texts(rng, lengths.astype(np.int64)))

        asked, answered = texts(11, 0.8), texts(55, 0.6)
        return [[(next(asked), next(answered)) for _ in range(count)] for count in counts]

    def plant(self, fault: str, row: Exchanges, rng: np.random.Generator) -> Exchanges:
        """Return a row with a fault."""

        def again() -> Exchanges:
            return self.earlier[rng.integers(len(self.earlier))] if self.earlier else row

        *before, (question, answer) = again() if "duplicate" in fault else row
        if fault in ANSWERS:
            answer = ANSWERS[fault](answer)
        elif fault == "near duplicate":
            # Of a usual row's word 5-grams, 0.87 stay the same.
            words = answer.split(" ")
            words[rng.integers(len(words))] = "그리고"
            answer = " ".join(words)
        elif fault == "contaminated":
            question = f"{self.questions[rng.integers(len(self.questions))]} {question}"
        elif fault == "long":
            answer = "\n\n".join(again()[-1][1] for _ in range(200))
        elif fault == "not Korean":
            return [(_latin(question), _latin(answer)) for question, answer in row]
        return [*before, (question, answer)]


def _latin(text: str) -> str:
    return re.sub("[가-힣]", lambda match: "etaoinshrdlucmfw"[ord(match[0]) % 16], text)


def koalpaca(count: int, seed: int = SEED) -> Iterator[Row]:
    """Yield rows of KoAlpaca's columns, 1.1 kB each on average."""
    for number, [(question, answer)] in enumerate(_exchanges(count, [1.0], seed)):
        yield {"instruction": question, "output": answer, "url": f"https://example.com/qna/{number}"}


def guanaco(count: int, seed: int = SEED) -> Iterator[Row]:
    """Yield conversations of one to five exchanges, each in one string."""
    for number, exchanges in enumerate(_exchanges(count, [0.45, 0.25, 0.15, 0.1, 0.05], seed + 1)):
        text = "".join(f"### Human: {question}### Assistant: {answer}" for question, answer in exchanges)
        yield {"text": text, "id": str(number)}


def questions() -> Iterator[Row]:
    """Yield the benchmark that some rows took their question from, 15 words and more each."""
    yield from ({"question": question} for question in Corpus().questions)


def write(rows: Iterable[Row], path: Path) -> Path:
    """Write rows as JSON lines; the file has its name only when all of them are in it."""
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return part.rename(path)


def _exchanges(count: int, turns: Sequence[float], seed: int) -> Iterator[Exchanges]:
    """Yield conversations, in chunks that do not depend on each other but for duplicates of earlier rows."""
    corpus, faults, shares = Corpus(), list(FAULTS), np.cumsum(list(FAULTS.values()))
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng([seed, 2, start])
        rows = corpus.exchanges(turns, rng)
        corpus.earlier.extend(rows[::50])
        kinds = np.searchsorted(shares, rng.random(len(rows)), side="right")
        for index in np.flatnonzero(kinds < len(faults)).tolist():
            rows[index] = corpus.plant(faults[kinds[index]], rows[index], rng)
        yield from rows[: count - start]
