"""What the bytes of the shards depend on besides the data: the code, and the packages that write them."""

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("datasets", "numpy", "orjson", "pyarrow", "rensa", "xxhash")
_ROOT = Path(__file__).parents[1]


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that have a hand in the shards."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@cache
def code() -> str:
    """Return a hash of the builders' source, and of what they know of the prompt."""
    digest = hashlib.sha256()
    prompt = [_ROOT / "prompt_strategies" / name for name in ("forgery.py", "template.py")]
    for path in sorted([*Path(__file__).parent.rglob("*.py"), *prompt]):
        digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def key(*values: Any) -> str:
    """Return a short hash of JSON values, the code and the packages, as a name for what is made of them."""
    text = json.dumps([values, code(), versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def git_commit() -> str | None:
    """Return the project's commit, with `-dirty` behind it where files were changed; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
