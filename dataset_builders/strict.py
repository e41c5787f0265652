"""The base of all that stands in data.yaml: an unknown key is a mistake, which names the nearest known one."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from rabbit_ko.errors import suggest

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
    """A part of data.yaml."""

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


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise ValueError where two of the names are the same."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"two {what} are called `{name}`; give each a `name` of its own")
