"""LogicKor's questions, read at run time from a file or the hub: they have no license and are not shipped here."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, get_args
from typing import Literal as OneOf
from unicodedata import normalize

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, StrictStr, StringConstraints, ValidationError

from rabbit_ko.errors import UserError, reason

REPO, FILE = "maywell/LogicKor", "questions.jsonl"
TURNS = 2

Category = OneOf["추론", "수학", "글쓰기", "코딩", "이해", "문법"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


def without_suffix(category: object) -> object:
    """Take off what upstream puts behind a category: `추론(Reasoning)`."""
    if not isinstance(category, str):
        return category
    return re.sub(r"\([^()]*\)\s*$", "", normalize("NFC", category)).strip()


def _first_two(questions: object) -> object:
    if not isinstance(questions, list):
        return questions
    if len(questions) < TURNS:
        raise ValueError("two questions are needed")
    return questions[:TURNS]


def _two_or_none(references: object) -> object:
    if references is None:
        return (None,) * TURNS
    return [*references, *(None,) * TURNS][:TURNS] if isinstance(references, list) else references


Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
AnyCategory = Annotated[Category, BeforeValidator(without_suffix)]


class Question(BaseModel):
    """Two turns of a conversation; a reference, where there is one, says what a right answer holds."""

    model_config = ConfigDict(frozen=True)

    id: StrictInt | StrictStr
    category: AnyCategory
    questions: Annotated[tuple[Text, Text], BeforeValidator(_first_two)]
    references: Annotated[tuple[StrictStr | None, StrictStr | None], BeforeValidator(_two_or_none)] = (None, None)


def load_questions(file: str = "") -> list[Question]:
    """Read the questions from a file, or without one from the hub.

    Raises UserError where they cannot be had, or a line is not a question.
    """
    return parse_questions(Path(file) if file else _download())


def parse_questions(file: Path) -> list[Question]:
    """Read a file of questions. Raises UserError with the file and the line."""
    questions: dict[str, Question] = {}
    for number, row in read_lines(file):
        try:
            question = Question.model_validate(row)
        except ValidationError as error:
            raise UserError(f"{file}:{number}: {_first_mistake(error)}") from None
        if str(question.id) in questions:
            raise UserError(f"{file}:{number}: id {question.id} stands there twice; give each question its own")
        questions[str(question.id)] = question
    if not questions:
        raise UserError(f"{file}: no question in it")
    return list(questions.values())


def read_lines(file: Path) -> list[tuple[int, Any]]:
    """Read JSON lines, each with its number, whether or not a BOM is in front of any.

    Raises UserError where the file cannot be read, or a line is not JSON.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {getattr(error, 'strerror', '') or reason(error)}") from None
    # Upstream's own files were appended to by programs that put a BOM before what they add.
    texts = ((number, line.strip("\ufeff \t\r")) for number, line in enumerate(lines, start=1))
    return [(number, _parse(file, number, text)) for number, text in texts if text]


def _parse(file: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}:{number}: not JSON: {reason(error)}") from None


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors()[0]
    given = "" if mistake["type"] == "missing" else f", not {json.dumps(mistake['input'], ensure_ascii=False)[:60]}"
    if not mistake["loc"]:
        return f"a question is an object{given}"
    return f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg'].removeprefix('Value error, ')}{given}"


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
