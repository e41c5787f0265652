"""What a figure was measured on and with, and tables in Markdown."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from rabbit_ko.hashing import versions

DASH = "-"


def describe_machine(*packages: str) -> str:
    """Return one line with the processor, its cores, the GPU where there is one, and the installed versions."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), None)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    installed = ", ".join(f"{name} {version}" for name, version in versions(packages).items())
    return f"{processor or platform.machine()}, {os.cpu_count()} cores{gpu}; {installed}"


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table with the first column to the left, the others to the right."""
    rule = "| --- |" + " ---: |" * (len(headings) - 1)
    rows = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (headings, *lines)]
    return "\n".join([rows[0], rule, *rows[1:]])


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return how much longer they took than we did: the median of each round's ratio."""
    return f"{median(one / other for one, other in zip(theirs, ours, strict=True)):.2f}"


def speeds(rows: int, seconds: Sequence[float]) -> list[str]:
    """Return the rows per second of the median round, and of the fastest and the slowest."""
    each = [rows / time for time in seconds]
    return [f"{median(each):,.0f}", f"{max(each):,.0f} to {min(each):,.0f}"]
