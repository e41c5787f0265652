"""What a server says where it does not answer, and what that means: for this request, for all, or for a while."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from rabbit_ko.errors import printable
from rabbit_ko.secrets import hide

# What of a request a model may not take, by the words in which servers refuse it.
SETTINGS: Mapping[str, re.Pattern[str]] = {
    "max_tokens": re.compile("max_completion_tokens", re.IGNORECASE),
    "temperature": re.compile("temperature", re.IGNORECASE),
    "response_format": re.compile(
        r"response.?format|json.?schema|\bschema\b|structured|guided|grammar", re.IGNORECASE
    ),
    "system": re.compile(
        r"\bsystem\b.{0,40}\b(?:role|message|prompt|instruction)|\b(?:roles?|messages?)\b.{0,60}\bsystem\b"
        r"|roles must alternate|only user",
        re.IGNORECASE,
    ),
}
_NOTHING_LEFT = re.compile(r"insufficient.?(?:quota|balance|funds|credit)|credit balance|billing_", re.IGNORECASE)
# The same, unless a server says when it will be otherwise.
_QUOTA = re.compile(r"billing|current quota", re.IGNORECASE)
_COMES_BACK = re.compile(r"(?:retry|again) in|per (?:second|minute|hour|day)", re.IGNORECASE)
# Of a fault of the server's own, what says that it is one of the request.
_OF_REQUEST = re.compile(r"support|jinja|template|pars(?:e|ing)|invalid|alternate", re.IGNORECASE)
# What an error that comes as a success means, where it has no number.
_MEANT: Mapping[int, re.Pattern[str]] = {
    429: re.compile(r"rate.?limit|too many requests|quota", re.IGNORECASE),
    503: re.compile(r"overloaded|unavailable|too busy|server.?error|time.?out", re.IGNORECASE),
}
# Where an error has its words besides its message.
_WORDS = ("code", "status", "type", "param", "raw")
_WORD = re.compile(r"\w+")
# So many words of the request in a row are repeated from it.
_ECHO = 3
# Characters of what a server says, read and shown.
_READ, _SHOWN = 4_000, 200


async def weigh(response: httpx.Response) -> None:
    """Give an error that comes as a success its own status, and have nothing tried again that will not pass."""
    if response.has_redirect_location:
        return
    await response.aread()
    if response.status_code == 200 and (status := _hidden_status(response)):
        response.extensions["status"], response.status_code = response.status_code, status
    if response.status_code >= 400 and not passes(response):
        response.headers["x-should-retry"] = "false"


def passes(response: httpx.Response) -> bool:
    """Tell whether the same request may be answered later."""
    is_busy = response.status_code in (408, 409, 429) or response.status_code >= 500
    return is_busy and not refused_setting(response) and not is_spent(response)


def is_spent(response: httpx.Response) -> bool:
    """Tell whether an account has nothing left, which no waiting mends; otherwise too much is asked at a time."""
    if response.status_code not in (400, 402, 403, 429):
        return False
    said = _own_words(response)
    comes_back = "retry-after" in response.headers or _COMES_BACK.search(said)
    has_nothing = _NOTHING_LEFT.search(said) or (_QUOTA.search(said) and not comes_back)
    return response.status_code == 402 or bool(has_nothing)


def refused_setting(response: httpx.Response) -> str:
    """Return which of what the request asked for is named in its refusal; empty where nothing is."""
    if response.status_code not in (400, 422, *range(500, 600)):
        return ""
    asked = _json(response.request.read())
    if not isinstance(asked, dict):
        return ""
    has_system = any(turn.get("role") == "system" for turn in asked.get("messages") or [])
    said = _own_words(response)
    if response.status_code >= 500 and not _OF_REQUEST.search(said):
        return ""
    present = [name for name in SETTINGS if name in asked or (name == "system" and has_system)]
    return next((name for name in present if SETTINGS[name].search(said)), "")


def explained_refusal(response: httpx.Response) -> str:
    """Return what a server answers, in a line that is fit to be shown: `answers 400, too long`."""
    said = said_in(_body(response)) or f"{response.status_code} {response.reason_phrase}"
    line = printable(" ".join(hide(said).split()))[:_SHOWN]
    return f"answers {response.extensions.get('status', response.status_code)}, {line}"


def said_in(body: Any) -> str:
    """Return the message of an error in the forms of OpenAI, vLLM, llama.cpp, FastAPI and others; or the text."""
    if isinstance(body, list):
        return "; ".join(filter(None, map(said_in, body)))
    if not isinstance(body, dict):
        return body if isinstance(body, str) else ""
    place = ".".join(map(str, body["loc"])) if isinstance(body.get("loc"), list) else ""
    said = next((said for key in ("error", "message", "detail", "msg") if (said := said_in(body.get(key)))), "")
    return f"{place}: {said}" if place and said else said


def _own_words(response: httpx.Response) -> str:
    """Return what an error says by itself: its message and its codes, but nothing that it repeats of the request."""
    body = _body(response)
    said = [said_in(body)]
    if isinstance(body, dict):
        error = body["error"] if isinstance(body.get("error"), dict) else {}
        parts = [part for part in (body, error, error.get("metadata")) if isinstance(part, dict)]
        said += [part[key] for part in parts for key in _WORDS if isinstance(part.get(key), str)]
    asked = _json(response.request.read())
    messages = asked.get("messages") if isinstance(asked, dict) else None
    told = " ".join(str(turn.get("content")) for turn in messages or [])
    return _without_echo("\n".join(said)[:_READ], told)


def _without_echo(said: str, told: str) -> str:
    known, words = _WORD.findall(told.lower()), [*_WORD.finditer(said)]
    runs = {tuple(known[start : start + _ECHO]) for start in range(len(known) - _ECHO + 1)}
    letters = [*said]
    for start in range(len(words) - _ECHO + 1):
        run = words[start : start + _ECHO]
        if tuple(word[0].lower() for word in run) in runs:
            for word in run:
                letters[slice(*word.span())] = " " * len(word[0])
    return "".join(letters)


def _hidden_status(response: httpx.Response) -> int:
    """Return the status of an error that has come as an answer; 0 where it is none."""
    body = _body(response)
    if not isinstance(body, dict) or body.get("choices") or not said_in(body):
        return 0
    error = body.get("error")
    codes = [part.get(key) for part in (error, body) if isinstance(part, dict) for key in ("code", "status")]
    numbers = [int(code) for code in map(str, codes) if code.isdecimal() and len(code) == 3]
    said = _own_words(response)
    numbers += [number for number, meant in _MEANT.items() if meant.search(said)]
    return next((number for number in numbers if 400 <= number < 600), 400)


def _body(response: httpx.Response) -> Any:
    found = _json(response.content)
    return response.text if found is None else found


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
