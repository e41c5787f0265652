"""A judge's name as that of a file or a folder."""

import re

from rabbit_ko.evaluation.journal import digest

_OTHER = re.compile(r"[^A-Za-z0-9._-]|^\.+")
MOST = 80


def file_name(judge: str) -> str:
    """Return a judge's name in letters that every file system takes; where that changes it, with a hash of it."""
    name = _OTHER.sub("-", judge)[:MOST]
    return name if name == judge else f"{name}-{digest(judge)[:8]}"
