"""Names that people give, such as a judge's, as names of files."""

import re

from rabbit_ko.evaluation.journal import digest

# A dot in front hides a file, and two of them are the folder above.
_OTHER, _LONGEST = re.compile(r"[^A-Za-z0-9._-]|^\.+"), 80


def file_name(name: str) -> str:
    """Return a name, such as a judge's, as a part of a file's name; two that differ stay different."""
    plain = _OTHER.sub("-", name)[:_LONGEST]
    return plain if plain == name else f"{plain}-{digest(name)[:6]}"
