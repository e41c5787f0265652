"""What the bytes of the shards depend on besides the data: the code, and the packages that write them."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from rabbit_ko import hashing

PACKAGES = ("datasets", "numpy", "orjson", "pyarrow", "python-calamine", "rensa", "xxhash")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that have a hand in the shards."""
    return hashing.versions(PACKAGES)


@cache
def code() -> str:
    """Return a hash of the builders' source, and of what they know of the prompt."""
    names = ("messages.py", "prompt_injection.py", "template.py")
    prompt = [hashing.ROOT / "prompt_strategies" / name for name in names]
    return hashing.source_digest([*Path(__file__).parent.rglob("*.py"), *prompt])


def key(*values: Any) -> str:
    """Return a short hash of JSON values, the code and the packages, as a name for what is made of them."""
    text = json.dumps([values, code(), versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
