"""A judge is known by its name, wherever it is served; where that was somewhere else before, it is said."""

from pathlib import Path

from rabbit_ko import storage
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.terminal import say

FILE = "server.txt"


def note_server(folder: Path, judge: Endpoint) -> None:
    """Keep the first server of a judge's verdicts in their folder, and say so where it is another one now."""
    file, now = folder / FILE, judge.url.rstrip("/")
    before = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    if not before:
        storage.write(str(file), f"{now}\n".encode())
    elif before != now:
        said = f"note: {judge.model}: {before} gave verdicts under this name before, and they count"
        say(f"{said}; if that is another model, take {folder} away", is_error=True)
