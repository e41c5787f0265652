"""Names that people give, such as a judge's, as names of files."""

import os
import re
from pathlib import Path

from rabbit_ko.evaluation.journal import digest

# A dot in front hides a file, and two of them are the folder above.
_OTHER, _LONGEST = re.compile(r"[^A-Za-z0-9._-]|^\.+"), 80


def file_name(name: str) -> str:
    """Return a name, such as a judge's, as a part of a file's name; two that differ stay different."""
    plain = _plain(name)
    return plain if plain == name else f"{plain}-{digest(name)[:6]}"


def name_of(file: Path) -> str:
    """Return the name of a user's file as a part of another's; files of one name in two folders stay different."""
    return f"{_plain(file.stem)}-{digest(Path(os.path.relpath(file.resolve())).as_posix())[:6]}"


def _plain(name: str) -> str:
    return _OTHER.sub("-", name)[:_LONGEST]
