"""A trained stage in the form that others run it in: each module here is a format, found by being there.

`make(stage, quant, llama_cpp)` writes what has to be made, and `pushed(stage, quant)` returns what a push sends.
"""

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from rabbit_ko.errors import UnknownName, suggest
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.hub import Files

FORMATS = sorted(
    module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
)


class Pushed(NamedTuple):
    """Files by name on the hub, and in the hub's words what loads them and how they relate to their base model."""

    files: Files
    library: str
    relation: str


class Format(Protocol):
    """A module of this package."""

    @staticmethod
    def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
        """Make a stage's export unless it is up to date; return its place. Raises UserError.

        quant: how the weights of a GGUF are stored, as the model has them where it is empty. llama_cpp: a checkout of
        llama.cpp, in the place of the package.
        """

    @staticmethod
    def made(stage: Stage, quant: str, llama_cpp: str = "") -> list[Path]:
        """Return what runs: a folder of safetensors, or a GGUF and the adapter for it where it is one's base.

        That base is made where it is not there, by the converter of `llama_cpp`.
        Raises UserError where it is not made, or no longer what was made.
        """

    @staticmethod
    def pushed(stage: Stage, quant: str) -> Pushed:
        """Return what a push sends. Raises UserError where it is not made, or no longer what was made."""


def find_format(name: str) -> Format:
    """Return a format by its name. Raises UnknownName."""
    if name not in FORMATS:
        raise UnknownName(f"FORMAT={name}: there is no such format{suggest(name, FORMATS)}")
    return cast("Format", import_module(f"{__name__}.{name.replace('-', '_')}"))
