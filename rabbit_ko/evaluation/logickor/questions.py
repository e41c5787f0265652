"""LogicKor's questions, read at run time from a file or the hub: they have no license and are not shipped here."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from unicodedata import normalize

from pydantic import BaseModel, BeforeValidator, StrictInt, StrictStr, StringConstraints

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.records import validated

REPO, FILE = "maywell/LogicKor", "questions.jsonl"
TURNS = 2

Category = Literal["추론", "수학", "글쓰기", "코딩", "이해", "문법"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


def _without_suffix(category: object) -> object:
    """Remove what upstream puts behind a category: `추론(Reasoning)`."""
    return (
        re.sub(r"\([^()]*\)\s*$", "", normalize("NFC", category)).strip() if isinstance(category, str) else category
    )


def _first_two(questions: object) -> object:
    if isinstance(questions, list) and len(questions) < TURNS:
        raise ValueError("two questions are needed")
    return questions[:TURNS] if isinstance(questions, list) else questions


def _two_or_none(references: object) -> object:
    if isinstance(references, list | None):
        return [*(references or []), *(None,) * TURNS][:TURNS]
    return references


Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
Id = StrictInt | StrictStr
AnyCategory = Annotated[Category, BeforeValidator(_without_suffix)]


class Question(BaseModel, frozen=True):
    """Two turns of a conversation; a reference, where there is one, says what a right answer holds."""

    id: Id
    category: AnyCategory
    questions: Annotated[tuple[Text, Text], BeforeValidator(_first_two)]
    references: Annotated[tuple[StrictStr | None, StrictStr | None], BeforeValidator(_two_or_none)] = (None, None)


def load_questions(file: str = "") -> list[Question]:
    """Read the questions from a file, or without one from the hub.

    Raises UserError where they cannot be read, or with the file and line of what is not a question.
    """
    path, questions = Path(file) if file else _download(), dict[str, Question]()
    for place, row in read_lines(path):
        question = validated(Question, row, place)
        if str(question.id) in questions:
            raise UserError(f"{place}: id {question.id} stands there twice; give each question its own")
        questions[str(question.id)] = question
    if not questions:
        raise UserError(f"{path}: no question in it")
    return list(questions.values())


def read_lines(file: Path) -> Iterator[tuple[str, Any]]:
    """Read JSON lines, each with its place `file:line`, whether or not a BOM is in front of any.

    Raises UserError where the file cannot be read, or a line is not JSON.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {getattr(error, 'strerror', '') or reason(error)}") from None
    for number, line in enumerate(lines, start=1):
        # Upstream's own files were appended to by programs that put a BOM before what they add.
        if text := line.strip("\ufeff \t\r"):
            try:
                yield f"{file}:{number}", json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file}:{number}: not JSON: {reason(error)}") from None


def _download() -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(hf_hub_download(REPO, FILE, repo_type="dataset"))
    except Exception as error:
        # The client's errors, and those of the network beneath it, share no class.
        raise UserError(
            f"{REPO}: the questions cannot be downloaded: {reason(error)[:200]}; give them as a file: QUESTIONS=file"
        ) from None
