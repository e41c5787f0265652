"""The contamination gate: rows that share an n-gram with a benchmark."""

from pydantic import Field, field_validator

from dataset_builders.gates._gate import Batch, Gate, Settings
from dataset_builders.gates.benchmarks import KNOWN, Benchmark, letter_ngrams, word_ngrams
from dataset_builders.strict import check_unique


class Contamination(Settings):
    """The size of an n-gram that a row may not share: so many words, or so many letters of Korean text."""

    words: int = Field(default=13, ge=4)
    letters: int = Field(default=30, ge=10)
    benchmarks: tuple[Benchmark, ...] = ()

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        if not isinstance(given, list | tuple):
            return given
        for name in given:
            if isinstance(name, str) and name not in KNOWN:
                raise ValueError(f"unknown benchmark `{name}`; known are {', '.join(KNOWN)}, or give name and path")
        return tuple(entry for name in given for entry in (KNOWN[name] if isinstance(name, str) else [name]))

    @field_validator("benchmarks")
    @classmethod
    def _has_unique_names(cls, benchmarks: tuple[Benchmark, ...]) -> tuple[Benchmark, ...]:
        check_unique("benchmarks", (benchmark.name for benchmark in benchmarks))
        return benchmarks


def find_contamination(batch: Batch, settings: Contamination) -> dict[int, str]:
    """Return the rows that share an n-gram with a benchmark, each with the benchmark and the letters."""
    if not batch.benchmarks.names:
        return {}
    text, found = batch.letters, dict[int, str]()
    for starts, ends, owners in (word_ngrams(text, settings.words), letter_ngrams(text, settings.letters)):
        for place, name in batch.benchmarks.find(text.hashes(starts, ends)):
            shared = "".join(map(chr, text.codes[starts[place] : ends[place]].tolist()))
            found.setdefault(int(owners[place]), f"{name}: {shared}")
    return found


GATE = Gate("contamination", "in a benchmark", Contamination, find_contamination)
