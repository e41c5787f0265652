"""What a file, a folder or a hub dataset would be in a data.yaml: a guess at its entry, by what its rows become."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeGuard

from dataset_builders.columns import Columns
from dataset_builders.conversion import Log, convert
from dataset_builders.gates import Quality
from dataset_builders.gates.benchmarks import load_index
from dataset_builders.gates.hangul import GATE as HANGUL
from dataset_builders.licenses import NONE
from dataset_builders.pipeline import clean_rows, pass_gates
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.read.inputs import Chunk, Input, Location, find_input
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import Labelled, Row
from dataset_builders.sources import SOURCES, find_upstream
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, printable
from rabbit_ko.methods import RowKind

SAMPLE_ROWS = 500
# What reads data of any origin; pairs of one's own model have a file of their own name, and prompts no answers.
OF_ONES_OWN = {
    name: source
    for name, source in SOURCES.items()
    if source.license == NONE and source.has_answers and not source.file
}
# What columns of judged answers are for: to train them as plain answers would train the bad ones, too.
_RANKS: dict[RowKind, int] = {"dpo": 2, "kto": 1, "sft": 0}
# What people call the fields of their own data, besides the fields' own names; the likeliest first.
NAMES: dict[str, tuple[str, ...]] = {
    "instruction": ("question", "prompt", "query", "problem", "user", "Q", "질문", "질의", "문제", "지시", "명령"),
    "output": ("answer", "response", "completion", "assistant", "A", "답변", "응답", "답", "정답", "출력"),
    "input": ("context", "입력", "문맥", "본문"),
    "messages": ("conversation", "conversations", "dialogue", "dialog", "turns", "대화", "text"),
    "conversations": ("conversation", "messages", "dialogue", "dialog", "turns", "대화"),
    "prompt": ("instruction", "question", "query", "conversations", "conversation", "질문", "질의"),
    "chosen": ("accepted", "preferred", "good", "선택"),
    "rejected": ("dispreferred", "bad", "거절"),
    "completion": ("response", "output", "answer", "답변", "응답"),
    "label": ("kto_tag", "desirable", "is_good"),
    "system": ("system_prompt", "시스템"),
    "history": ("대화이력",),
    "id": ("idx", "index", "uuid", "번호"),
}


@dataclass(frozen=True)
class Look:
    """A guess: the entry for data.yaml, what it makes of the first rows, and what is to be said of the files.

    read: how many rows were looked at. kept: those that are left after conversion, cleaning and gates; duplicates
    and test rows are not looked for. rejected: the others, by reason. columns: all that there are.
    """

    entry: dict[str, Any]
    read: int
    kept: list[Row]
    rejected: Counter[str]
    columns: list[str]
    unread: list[str]
    notes: list[str] = field(default_factory=list)


def look(path: str, subset: str | None = None, split: str = "train") -> Look:
    """Guess the entry of data.yaml for what stands at a path, a URL or on the hub.

    Raises UserError where nothing can be read, or no source can use a row, with the reason of the nearest one.
    """
    given = {"path": path} | ({"subset": subset} if subset else {}) | ({"split": split} if split != "train" else {})
    name = printable(path)
    with tempfile.TemporaryDirectory() as folder:
        found = find_input(Location(**given), folder)
        columns = _columns(found.chunks, name)
        guesses = [_try(entry, found, columns) for entry in _entries(given, columns)]
    if not guesses:
        shown = ", ".join(f"`{printable(column)}`" for column in columns)
        raise UserError(f"{name}: no source has such columns: {shown}; {_advice()}")
    best = max(guesses, key=_fitness)
    if not best.read:
        raise UserError(f"{name}: there is no row in it")
    if not best.kept:
        said = f"none of the first {best.read:,} rows can be used, at best as `{best.entry['source']}`"
        raise UserError(f"{name}: {said}: {_counted(best.rejected)}; {_advice()}")
    return best


def _fitness(guess: Look) -> tuple[int, int, int]:
    is_judged = guess.kept and not _has_classes(guess)
    rank = _RANKS[SOURCES[guess.entry["source"]].rows] if is_judged else 0
    return rank, len(guess.kept), -len(guess.entry.get("columns", {}))


def _has_classes(guess: Look) -> bool:
    # Other labels than good and bad ones; or one alone in a column that is often one of classes, sorted by them.
    labels = {row.label for row in guess.kept if isinstance(row, Labelled)}
    is_named = "label" in guess.entry.get("columns", {})
    return "`label` must be true or false" in guess.rejected or (len(labels) == 1 and not is_named)


def _columns(chunks: Sequence[Chunk], name: str) -> list[str]:
    """Return the names of all columns of the first rows. Raises UserError where there is no row that can be read."""
    rows = list(_first_rows(chunks, frozenset()))
    columns = list(dict.fromkeys(chain(*(chunk.columns for chunk in chunks), *(row for row in rows if _is_row(row)))))
    if not columns:
        broken = Counter(row.reason for row in rows if isinstance(row, Broken))
        raise UserError(f"{name}: {_counted(broken)}" if broken else f"{name}: there is no row in it")
    return columns


def _first_rows(chunks: Sequence[Chunk], wanted: frozenset[str]) -> Iterator[RawRow | Broken]:
    # From each of the first files alike, since a folder's files need not have the same columns.
    some = [part for chunk in chunks[:20] for part in chunk.parts or (chunk,)][:20]
    for chunk in some:
        yield from islice(read_rows(chunk, wanted), -(-SAMPLE_ROWS // len(some)))


def _is_row(row: RawRow | Broken) -> TypeGuard[RawRow]:
    return not isinstance(row, Broken)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {printable(reason)}" for reason, count in reasons.most_common(3))


def _entries(given: dict[str, Any], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what could stand in data.yaml: the upstream's own source, or those for one's own data."""
    if upstream := find_upstream(given["path"]):
        yield {"source": next(name for name, source in SOURCES.items() if source is upstream), **given}
        return
    for name, source in OF_ONES_OWN.items():
        named = _match((*source.required, *source.optional), columns)
        if named.keys() >= set(source.required):
            renamed = {it: column for it, column in named.items() if it != column}
            yield {"source": name, **given} | ({"columns": renamed} if renamed else {})


def _match(fields: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Return the column for each field: its own name where there is one, or else the first free one of NAMES.

    Names compare without blanks around them, and in upper or lower case, where none is the same.
    """
    named = {it: it for it in fields if it in columns}
    for it in fields:
        called = [name.lower() for name in (it, *NAMES.get(it, ()))]
        free = [name for name in columns if name not in named.values() and name.strip().lower() in called]
        if it not in named and free:
            named[it] = min(free, key=lambda name: called.index(name.strip().lower()))
    return named


def _try(entry: dict[str, Any], found: Input, columns: list[str]) -> Look:
    log, kept, unread = _take(entry, found)
    if sum(row["reason"] == HANGUL.reason for row in log.rejected) > len(kept):
        entry = entry | {"language": "en"}
        log, kept, unread = _take(entry, found)
    broken = log.broken.total() / max(log.read, 1)
    if kept and broken > SourceConfig.model_fields["max_rejected"].default:
        entry = entry | {"max_rejected": min(1.0, round(broken + 0.05, 2))}
    return Look(entry, log.read, kept, Counter(row["reason"] for row in log.rejected), columns, unread, found.notes)


def _take(entry: dict[str, Any], found: Input) -> tuple[Log, list[Row], list[str]]:
    config = SourceConfig.model_validate(entry)
    log, columns = Log(config), Columns(config)
    columns.look(name for chunk in found.chunks for name in chunk.columns)
    rows = clean_rows(convert(_first_rows(found.chunks, columns.wanted), log, columns), log)
    kept = [cleaned.row for cleaned in pass_gates(rows, Quality(), load_index(""), log)]
    return log, kept, sorted(columns.unread)


def _advice() -> str:
    own = ", ".join(f"`{name}`" for name in OF_ONES_OWN)
    return f"one's own data is read by {own}, whose fields are in docs/data.md; name columns with `columns:`"
