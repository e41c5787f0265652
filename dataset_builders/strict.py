"""The base of all that stands in data.yaml: an unknown key is a mistake, which names the nearest known one."""

import reprlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UserError, suggest

# Keys of earlier versions, by what each is called now.
RENAMED = {
    "instruction": "system_prompt",
    "test_fraction": "test_size",
    "licence": "license",
    "licence_policy": "license_policy",
    "licence_accepted": "license_accepted",
    "add_instruction": "add_system_prompt",
    "limit": "max_samples",
    "forgery": "prompt_injection",
    "left_out": "drop",
    "sets": "benchmarks",
}


class Strict(BaseModel):
    """A part of data.yaml, or pairs.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, given: Any) -> Any:
        known = cls.model_fields
        for key in given if isinstance(given, dict) else ():
            if RENAMED.get(key) in known:
                raise ValueError(f"`{key}` is called `{RENAMED[key]}` now")
            if key not in known:
                raise ValueError(f"{key}: unknown key{suggest(str(key), known)}")
        return given


Part = TypeVar("Part", bound=Strict)


def read_strict(model: type[Part], path: Path, **context: str) -> Part:
    """Read and check a YAML file; context: for validators.

    Raises UserError: one line with the file, the key and the nearest valid name.
    """
    try:
        return model.model_validate(read_yaml(path), context=context)
    except ValidationError as error:
        found = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"]).lstrip(".")
        said = str(found.get("ctx", {}).get("error", found["msg"]))
        shown = "" if found["type"] in ("missing", "value_error") else f", not {reprlib.repr(found['input'])}"
        raise UserError(": ".join(filter(None, (str(path), place, said + shown)))) from None


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise ValueError where two of the names are the same."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"two {what} are called `{twice[0]}`; give each a `name` of its own")
