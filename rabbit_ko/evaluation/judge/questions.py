"""The questions of a judged bench: of one turn or several, in the schema of LogicKor, of MT-bench, or plainer."""

import codecs
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from prompt_strategies.messages import Messages
from rabbit_ko.documents import regular
from rabbit_ko.errors import UserError, printable, reason, suggest
from rabbit_ko.evaluation.judge.benches import Bench
from rabbit_ko.evaluation.records import validated

Category = Literal["추론", "수학", "글쓰기", "코딩", "이해", "문법"]
# Those of LogicKor, in its order.
CATEGORIES: tuple[Category, ...] = get_args(Category)


def _without_suffix(text: Any) -> Any:
    """Return a category without what LogicKor writes behind its own, as in `추론(Reasoning)`."""
    if not isinstance(text, str):
        return text or ""
    bare = text.partition("(")[0].strip()
    return bare if bare in CATEGORIES else text.strip()


def _listed(texts: Any) -> Any:
    return [texts] if isinstance(texts, str) else texts or []


# What a question's texts and references are called in one schema or another.
TEXTS, REFERENCES = ("turns", "questions", "question", "prompt"), ("references", "reference")
KNOWN = (*TEXTS, *REFERENCES, "question_id", "category")
# As alike as this to a known key, a key is a slip.
ALIKE = 0.8


def _is_slip(key: str, row: Mapping[str, Any]) -> bool:
    """Tell whether a key is a known one that was not written well, and no other that has such a one in its name."""
    name, has_reference = key.lower(), any(known in row for known in REFERENCES)
    if name not in KNOWN and any(known in name for known in KNOWN):
        return not has_reference and name.startswith(REFERENCES)
    return bool(get_close_matches(name, KNOWN, cutoff=ALIKE))


class Identified(BaseModel, frozen=True):
    """A row that is known by its id; without one, by its line's number."""

    id: int | str | None = Field(default=None, validation_alias=AliasChoices("id", "question_id"))

    @property
    def name(self) -> str:
        return str(self.id)


class Asked(Identified, frozen=True):
    """What a question and a judged row have in common."""

    category: Annotated[str, BeforeValidator(_without_suffix)] = ""


class Question(Asked, frozen=True):
    """What is asked, turn by turn. references: by turn, what a right answer holds, where that is given.

    Public files have keys of their own besides, which say nothing here.
    """

    turns: Annotated[
        tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...], BeforeValidator(_listed)
    ] = Field(min_length=1, validation_alias=AliasChoices(*TEXTS))
    references: Annotated[tuple[str | None, ...], BeforeValidator(_listed)] = Field(
        default=(), validation_alias=AliasChoices(*REFERENCES)
    )

    @model_validator(mode="before")
    @classmethod
    def _has_keys_that_are_meant(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        row = {key: value for key, value in row.items() if value is not None}
        for key in row:
            if key not in KNOWN and _is_slip(key, row):
                raise ValueError(f"unknown key `{printable(key)}`{suggest(key.lower(), KNOWN)}")
        for names in (TEXTS, REFERENCES):
            if len(given := [f"`{name}`" for name in names if name in row]) > 1:
                raise ValueError(f"{' and '.join(given)} are the same thing; give one of them")
        if not any(name in row for name in TEXTS):
            raise ValueError(f"no question in it; it is called {', '.join(TEXTS[:-1])} or {TEXTS[-1]}")
        return row

    @model_validator(mode="after")
    def _has_a_question_for_each_reference(self) -> Self:
        last = max((place for place, text in enumerate(self.references, 1) if text), default=0)
        if last > len(self.turns):
            said = f"more references than questions: {last} for {len(self.turns)}"
            raise ValueError(f"{said}; give each question its own, or null")
        return self

    def reference(self, turn: int) -> str:
        """Return the reference of a turn, counted from 0, or nothing."""
        return (self.references[turn] or "") if turn < len(self.references) else ""


Row = TypeVar("Row", bound=Identified)


def load_questions(bench: Bench) -> list[Question]:
    """Read a bench's questions, from its file or from the hub. Raises OSError, UserError."""
    found = read_rows(_download(bench) if bench.data else Path(bench.file), Question)
    most = len(bench.turns)
    return [question.model_copy(update={"turns": question.turns[:most]}) for question in found] if most else found


def read_rows(file: Path, model: type[Row]) -> list[Row]:
    """Read JSON lines. Raises OSError, and UserError with the place of what is no such row, or has another's id."""
    rows: dict[str, Row] = {}
    # LogicKor's files have a BOM before whatever was appended.
    for number, line in enumerate(regular(file).read_bytes().replace(codecs.BOM_UTF8, b"").split(b"\n"), start=1):
        if not line.strip():
            continue
        row = validated(model, line, f"{file}:{number}")
        row = row.model_copy(update={"id": number}) if row.id is None else row
        if rows.setdefault(row.name, row) is not row:
            raise UserError(f"{file}:{number}: id {row.name} stands there twice; give each question its own")
    if not rows:
        raise UserError(f"{file}: no row in it")
    return list(rows.values())


def _download(bench: Bench) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(hf_hub_download(bench.data, bench.file, repo_type="dataset"))
    except Exception as error:
        # The client's errors, and those of the network beneath it, share no class.
        said = f"the questions cannot be downloaded: {reason(error)[:200]}"
        advice = f"put them into {bench.data}/{bench.file} in a folder, and name that: HUB_DIR=folder"
        raise UserError(f"{bench.data}: {said}; {advice}") from None


def conversation(bench: Bench, turns: Sequence[str], answers: Sequence[str] = ()) -> Messages:
    """Return the messages that ask the next turn, behind those that were answered."""
    messages: list[Any] = [*bench.messages]
    for question, answer in zip(turns, answers, strict=False):
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": turns[len(answers)]}]
