"""JSON files that anybody may have cut, changed or replaced: read in bounded memory, or one line on what is wrong."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rabbit_ko.errors import UserError, reason

# The largest file of a public model, a tokenizer of a million words, is a fifth of it.
LARGEST_BYTES = 256 << 20

GRANT = "become its owner, or have the right given to you (chmod)"

Record = TypeVar("Record", bound=BaseModel)


class NotAllowed(UserError):
    """A file that may be as it should, and that this user may not read."""


def read_text(file: Path, remedy: str) -> str:
    """Return a text file's content. Raises UserError, which ends with the remedy, where it cannot be read as one."""
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise UserError(f"{file}: is no file; {remedy}")
        if file.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{file}: is larger than {LARGEST_BYTES >> 20} MiB, which no such file is; {remedy}")
        return file.read_text(encoding="utf-8-sig")
    except PermissionError:
        raise NotAllowed(f"{file}: this user may not read it; {GRANT}") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or reason(error)}; {remedy}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: damaged: not UTF-8; {remedy}") from None


def read_object(file: Path, remedy: str) -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises UserError, which ends with the remedy, where it holds none."""
    try:
        value = json.loads(read_text(file, remedy))
    except RecursionError:
        raise UserError(f"{file}: damaged: nested too deeply; {remedy}") from None
    except ValueError as error:
        raise UserError(f"{file}: damaged: {reason(error)}; {remedy}") from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: holds no JSON object; {remedy}")
    return value


def read_record(model: type[Record], file: Path, remedy: str) -> Record:
    """Return a JSON file as a model's instance. Raises UserError with the first mistake and the remedy."""
    try:
        return model.model_validate(read_object(file, remedy))
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        said = ": ".join([*map(str, mistake["loc"]), mistake["msg"]])
        raise UserError(f"{file}: {said}; {remedy}") from None
