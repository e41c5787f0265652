"""Secrets: what was given as one, and texts and values without it."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus

from rabbit_ko.errors import UserError

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]")
_NAMES = re.compile(
    r"(^|_)(auth|authorization|apikey|cookie|credentials?|key|pass|passphrase|passwd|password|pat|pwd|secret|sig|signature"
    r"|token|webhook|connection_string)\d*($|_url$|_id$|_read$|_write$)"
)
# The names of tokens of another kind, whatever they look like; most look like `<|eot_id|>` or `[PAD]`.
_OF_TOKENIZERS = re.compile(r"(^|_)(bos|eos|eot|pad|unk|sep|cls|mask|image|audio|video)_token")
# What follows the scheme of a URL, up to a space or to what texts put around a URL.
_AFTER_SCHEME = re.compile(r"""://[^\s"'<>`]++""")
HIDDEN = "***"
# What local servers take for a key, such as 0, is in many texts.
LEAST = 8
# Of a longer secret, half is hidden as well, in pieces of so many letters.
LONG, PIECE = 12, 5

_given: set[str] = set()


def remember(value: Any, is_secret: bool = True) -> None:
    """Take a text for a secret from here on; of a mapping, what stands under a secret's name, and logins in URLs."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            remember(inner, is_secret=_is_secret(name, inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            remember(inner, is_secret=False)
    elif isinstance(value, str):
        _given.update([value] if is_secret else _parts_of_url(value))


def remember_url(url: str) -> None:
    """Take the login of a URL, and the values of its query that are named like secrets, for secrets from here on."""
    _given.update(_parts_of_url(url))


def _parts_of_url(text: str) -> Iterator[str]:
    for found in _AFTER_SCHEME.findall(text):
        place, _, query = found.removeprefix("://").partition("?")
        if login := _login(place):
            password = login.partition(":")[2] or login
            # A server may be asked for what stands before a slash, as if that were its name.
            yield from (login, password, unquote_plus(password), *(login.split("/")[:1] if "/" in login else []))
        for name, _, value in (pair.partition("=") for pair in query.split("&")):
            if _is_secret(name.removeprefix("X-Amz-").removeprefix("X-Goog-"), value):
                yield from (value, unquote_plus(value))


def known_secrets() -> list[str]:
    """Return what this process remembers, what the environment names like a secret, and the hub's token."""
    from huggingface_hub import get_token  # a tenth of a second that --help does not need

    named = {text for name, text in os.environ.items() if _is_secret(name, text)}
    # A variable may say where a secret is.
    paths = set(filter(os.path.exists, named))
    found = (named - paths) | _given
    with suppress(OSError):  # the file with the token may be one that this user may not read
        found.add(get_token() or "")
    return sorted((text for text in found if len(text) >= LEAST), key=len, reverse=True)


def hide(text: str, secrets: Sequence[str] | None = None) -> str:
    """Return what is said with `***` for secrets, known ones by default, for half of a long one, and for logins."""
    secrets = known_secrets() if secrets is None else secrets
    text = _without(text, secrets)
    for secret in secrets:
        text = _without_half(text, secret) if len(secret) >= LONG else text
    return _without_logins(text)


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _without_half(text: str, secret: str) -> str:
    """Hide the pieces of a secret in a text, in whatever order, where they make up half of it or more."""
    places = defaultdict[str, list[int]](list)
    for at in range(len(secret) - PIECE + 1):
        places[secret[at : at + PIECE]].append(at)
    hits = [at for at in range(len(text) - PIECE + 1) if text[at : at + PIECE] in places]
    covered = {at + step for hit in hits for at in places[text[hit : hit + PIECE]] for step in range(PIECE)}
    if 2 * len(covered) < len(secret):
        return text
    kept, end = list[str](), 0
    for hit in hits:
        kept += [text[end:hit], HIDDEN] if hit > end or not end else []
        end = hit + PIECE
    return "".join([*kept, text[end:]])


def redact(value: Any, secrets: Sequence[str] = ()) -> Any:
    """Return a value to be recorded: without texts under a secret's name, and without logins and queries of URLs.

    secrets: these texts go, too; without them it depends on the value alone, and is the same wherever it is made.
    """
    if isinstance(value, dict):
        return {key: redact(inner, secrets) for key, inner in value.items() if not _is_secret(key, inner)}
    if isinstance(value, list | tuple):
        return [redact(inner, secrets) for inner in value]
    return _without_logins(_without(value, secrets)) if isinstance(value, str) else value


def check_no_secret(config: Mapping[str, Any]) -> None:
    """Raise UserError where a stage's config holds a secret: axolotl writes all of it into files and its log."""
    long = [secret for secret in known_secrets() if len(secret) >= LONG]
    for key, value in config.items():
        if _is_secret(key, value):
            raise UserError(
                f"{key}: a secret, and a run writes its config into files; set {key.upper()} in the environment"
            )
        if any(_parts_of_url(str(value))):
            raise UserError(f"{key}: a URL with a login, and a run writes its config into files; name it without")
        if any(secret in str(value) for secret in long):
            raise UserError(
                f"{key}: has a secret of the environment in it, and a run writes it into files; take it out"
            )


def _is_secret(name: Any, value: Any) -> bool:
    # What begins like `<|eot_id|>` or `[PAD]` is a token of another kind.
    if not isinstance(value, str) or not value or value.startswith(("<", "[")) or name == "PWD":
        return False
    words = _WORDS.sub("_", str(name)).lower()
    return _NAMES.search(words) is not None and not _OF_TOKENIZERS.search(words)


def _without_logins(text: str) -> str:
    return _AFTER_SCHEME.sub(_without_login, text)


def _without_login(found: re.Match[str]) -> str:
    place, mark, query = found[0].removeprefix("://").partition("?")
    if login := _login(place):
        place = f"{HIDDEN}{place.removeprefix(login)}"
    end = query[len(query.rstrip(".,:;)]")) :]
    return f"://{place}{mark}{HIDDEN if query != end else ''}{end}"


def _login(place: str) -> str:
    """Return the name and password, which may hold a slash, of what follows a URL's scheme; nothing without one."""
    host = place.partition("/")[0]
    port = host.rpartition(":")[2]
    if "@" in host or (":" in host and not port.isdecimal() and "@" in place):
        return place.rpartition("@")[0]
    return ""
