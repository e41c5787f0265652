"""What a figure was measured on and with, to stand above its table."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch


def describe(*packages: str) -> str:
    """Return one line with the processor, its cores, the GPU where there is one, and the versions."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{_processor()}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
