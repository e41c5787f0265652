"""Secrets: what was given as one, and texts and values without it."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus, urlsplit

_NAMES = re.compile(
    r"(^|_)(auth|apikey|credentials?|key|pass|passwd|password|pat|pwd|secret|token|webhook)($|_url$|_id$)",
    re.IGNORECASE,
)
# What follows the scheme of a URL, up to a space or to what texts put around a URL.
_AFTER_SCHEME = re.compile(r"""://[^\s"'<>`]++""")
HIDDEN = "***"
# What local servers take for a key, such as 0, is in many texts.
LEAST = 8
# Letters that have to follow one another for a part of a secret to be taken for one.
RUN = 4

_given: set[str] = set()


def remember(value: Any) -> None:
    """Take a text for a secret from here on, or what stands in a mapping, however deep, under a secret's name."""
    if isinstance(value, str):
        _given.add(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(inner, str) or _is_secret(name, inner):
                remember(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            if not isinstance(inner, str):
                remember(inner)


def remember_url(url: str) -> None:
    """Take what a URL has between its scheme and host, and the values of its query, for secrets from here on."""
    with suppress(ValueError):
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        values = [login, *login.split(":"), *(pair.partition("=")[2] for pair in parts.query.split("&"))]
        _given.update([*values, *map(unquote_plus, values)])


def known_secrets() -> list[str]:
    """Return what this process remembers, what the environment names like a secret, and the hub's token."""
    from huggingface_hub import get_token  # a quarter of a second that few commands need

    named = {text for name, text in os.environ.items() if _NAMES.search(name)}
    # A variable may say where a secret is.
    paths = set(filter(os.path.exists, named))
    found = (named - paths) | _given
    with suppress(OSError):  # the file with the token may be one that this user may not read
        found.add(get_token() or "")
    return sorted((text for text in found if len(text) >= LEAST), key=len, reverse=True)


def without_secrets(text: str, secrets: Collection[str] | None = None) -> str:
    """Return a text with `***` for secrets, by default the known ones, and for half or more of one, in any pieces."""
    secrets = known_secrets() if secrets is None else secrets
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for secret in secrets:
        text = _without_parts(text, secret)
    return text


def _without_parts(text: str, secret: str) -> str:
    places = defaultdict[str, list[int]](list)
    for at in range(len(secret) - RUN + 1):
        places[secret[at : at + RUN]].append(at)
    hits = [at for at in range(len(text) - RUN + 1) if text[at : at + RUN] in places]
    covered = {at + step for hit in hits for at in places[text[hit : hit + RUN]] for step in range(RUN)}
    if 2 * len(covered) < len(secret):
        return text
    kept, end = list[str](), 0
    for hit in hits:
        kept += [text[end:hit], HIDDEN] if hit > end or not end else []
        end = hit + RUN
    return "".join([*kept, text[end:]])


def redact(value: Any, secrets: Collection[str] | None = None) -> Any:
    """Return a value without keys that are named like secrets, and its texts without secrets and URLs' logins.

    secrets: these texts; by default the known ones.
    """
    secrets = known_secrets() if secrets is None else secrets
    if isinstance(value, dict):
        return {key: redact(inner, secrets) for key, inner in value.items() if not _is_secret(key, inner)}
    if isinstance(value, list | tuple):
        return [redact(inner, secrets) for inner in value]
    return _AFTER_SCHEME.sub(_without_login, without_secrets(value, secrets)) if isinstance(value, str) else value


def _is_secret(name: Any, value: Any) -> bool:
    # What begins like `<|eot_id|>` or `[PAD]` is a token of another kind.
    is_text = isinstance(value, str) and not value.startswith(("<", "["))
    return is_text and _NAMES.search(str(name)) is not None


def _without_login(found: re.Match[str]) -> str:
    """Hide the name and password of a URL, which may hold a slash, and the values of its query."""
    place, mark, query = found[0].removeprefix("://").partition("?")
    host = place.partition("/")[0]
    port = host.rpartition(":")[2]
    if "@" in host or (":" in host and not port.isdecimal() and "@" in place):
        place = f"{HIDDEN}@{place.rpartition('@')[2]}"
    end = query[len(query.rstrip(".,:;)]")) :]
    return f"://{place}{mark}{HIDDEN if query != end else ''}{end}"
