"""Secrets stay out of files: keys that are named like secrets, tokens of the environment, logins in URLs."""

import os
import re
from collections.abc import Collection
from typing import Any

from huggingface_hub import get_token

_SECRET_NAME = re.compile(
    r"(^|_)(auth|apikey|credentials?|key|pass|passwd|password|pat|pwd|secret|token|webhook)($|_url$|_id$)",
    re.IGNORECASE,
)
_URL_SECRETS = re.compile(r"(?<=://)[^/@\s]+@|(?<=\?)\S*=\S*")


def redact(value: Any, secrets: Collection[str] | None = None) -> Any:
    """Return a value without keys that are named like secrets, and with `***` for secrets in texts.

    secrets: these texts; by default those of the environment and the hub login. Logins and queries of URLs go anyway.
    """
    if secrets is None:
        secrets = known_secrets()
    if isinstance(value, dict):
        return {key: redact(inner, secrets) for key, inner in value.items() if not _is_secret(key, inner)}
    if isinstance(value, list | tuple):
        return [redact(inner, secrets) for inner in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, "***")
    if "://" not in value:
        return value
    return _URL_SECRETS.sub(lambda match: "***@" if match[0].endswith("@") else "***", value)


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and _SECRET_NAME.search(name) is not None and not value.startswith(("<", "["))


def known_secrets() -> list[str]:
    """Return what the environment and the hub login hold, longest first."""
    named = {value for name, value in os.environ.items() if _SECRET_NAME.search(name) and name != "PWD"}
    return sorted((value for value in named | {get_token() or ""} if len(value) >= 8), key=len, reverse=True)
