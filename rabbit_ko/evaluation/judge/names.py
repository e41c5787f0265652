"""The name of a judge, or of a bench of one's own, as that of a file or a folder."""

import re

from rabbit_ko.evaluation.journal import digest

_OTHER = re.compile(r"[^A-Za-z0-9._-]|^\.+")
MOST = 80


def file_name(own: str) -> str:
    """Return a name in letters that every file system takes; where that changes it, with a hash of it."""
    name = _OTHER.sub("-", own)[:MOST]
    return name if name == own else f"{name}-{digest(own)[:8]}"
