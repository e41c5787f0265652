"""Text that is put into Markdown and cannot break out of its place."""

import re
from urllib.parse import quote

from rabbit_ko.errors import printable


def cell(text: str | None) -> str:
    """Return text that stays within a table's cell or a list's entry and shows as it is; a dash for none."""
    escaped = re.sub(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)", r"\\\g<0>", _line(text or ""))
    # What would start a heading or a list.
    return re.sub(r"^(\d*)([-+#.)])(?=[# ])", r"\1\\\2", escaped) or "-"


def code(text: str) -> str:
    """Return text as code within a line, between more backticks than any within."""
    line = _line(text)
    ticks = _ticks(line, 1)
    pad = " " * (line.startswith("`") or line.endswith("`"))
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def link(address: str) -> str:
    """Return a web address as a link that cannot leave its cell, anything else as text."""
    if not re.match(r"https?://\S+$", address):
        return cell(address)
    target = quote(address, safe="/:?#@!&'*+,;=%~-._")
    return f"[{cell(re.sub(r'^https?://', '', address))}]({target})"


def fence(text: str, language: str) -> str:
    """Return text in a fence that is longer than any within it."""
    ticks = _ticks(text, 3)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _ticks(text: str, least: int) -> str:
    """Return more backticks than any run of them in the text has, and so many at least."""
    return "`" * max(least, *(len(run) + 1 for run in re.findall("`+", text)), 0)
