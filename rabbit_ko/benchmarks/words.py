"""Text that looks Korean, made fast from a seeded vocabulary; nothing in it comes from a data set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SYLLABLES = (
    "가각간감강개거건검게격견결경계고공과관광교구국군규그금기김나난남내노농능다단대도독동두등라람력로료리마만말망면명모목무문물미민"
    "바반방배법변별병보복본부분비사산상생서석선설성세소속손수순시식신실심안양어업여역연열영예오온외요용우운원위유은음의이인일임"
    "자작장재저적전절정제조족종주중지직진질차참창책처천철청체초총최추축출치친통특판편평표품피하학한합항해행향현형호화확환활회후"
)
# What follows a noun, behind a closed and behind an open syllable.
PARTICLES = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("으로", "로"),
    ("에", "에"),
    ("에서", "에서"),
    ("의", "의"),
    ("도", "도"),
    ("까지", "까지"),
)
ENDINGS = ("하고", "하면", "하는", "해서", "하지만", "되는", "되어", "되면", "하기", "할")
FINALS = (
    "합니다.",
    "하세요.",
    "했습니다.",
    "됩니다.",
    "할 수 있습니다.",
    "하는 것이 좋습니다.",
    "하나요?",
    "입니다.\n\n",
)
NOUNS, VERBS, ENDS = 1_800, 500, 300
WORDS_PER_SENTENCE = 9


@dataclass(frozen=True)
class Vocabulary:
    """Words with the space behind them; the first `inner` stand within a sentence, the others end one."""

    words: NDArray[Any]
    inner: int


def make_vocabulary(seed: int) -> Vocabulary:
    """Put syllables together to nouns and verbs, in an order that decides how frequent each word is."""
    rng = np.random.default_rng([seed, 0])
    stems = _stems(rng, NOUNS)
    nouns = [stem + (closed if _is_closed(stem) else opened) for stem in stems for closed, opened in PARTICLES]
    verbs = [stem + ending for stem in stems[:VERBS] for ending in ENDINGS]
    ends = [stem + final for stem in stems[:ENDS] for final in FINALS]
    inner = rng.permutation(np.array(nouns + verbs, dtype=object))
    words = np.concatenate([inner, rng.permutation(np.array(ends, dtype=object))])
    return Vocabulary(
        np.array([word if word.endswith("\n") else word + " " for word in words], dtype=object), len(inner)
    )


def write_texts(vocabulary: Vocabulary, rng: np.random.Generator, lengths: NDArray[np.int64]) -> list[str]:
    """Return one text for each length in words; a few words are frequent and most are rare, as in a language."""
    ends = np.cumsum(lengths)
    chance = rng.random(ends[-1]) ** 3
    is_final = rng.random(ends[-1]) < 1 / WORDS_PER_SENTENCE
    is_final[ends - 1] = True
    finals = len(vocabulary.words) - vocabulary.inner
    numbers = np.where(is_final, vocabulary.inner + finals * chance, vocabulary.inner * chance).astype(np.int64)
    words = vocabulary.words[numbers].tolist()
    return ["".join(words[end - length : end]).rstrip() for length, end in zip(lengths, ends, strict=True)]


def draw_lengths(rng: np.random.Generator, count: int, middle: int, spread: float) -> NDArray[np.int64]:
    """Draw lengths in words with a long tail: half are above the middle, and a few far above it."""
    return np.clip(middle * np.exp(spread * rng.standard_normal(count)), 3, 2_000).astype(np.int64)


def _stems(rng: np.random.Generator, count: int) -> list[str]:
    stems: dict[str, None] = {}
    while len(stems) < count:
        stems["".join(rng.choice(list(SYLLABLES), rng.choice([2, 3], p=[0.7, 0.3])))] = None
    return list(stems)


def _is_closed(word: str) -> bool:
    return (ord(word[-1]) - ord("가")) % 28 > 0
