"""An OpenAI-compatible endpoint: many requests at a time, each failure one line, and a key that is never shown."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import httpx

from prompt_strategies.template import Messages
from rabbit_ko.errors import UserError

Item = TypeVar("Item")
Role = Literal["JUDGE", "MODEL"]
# Takes messages and settings of the request, and gives the text of the answer.
Ask = Callable[..., Awaitable[str]]

# The client waits 0.5, 1, 2, 4, 8, 8, ... seconds in between, or as long as the server asks.
RETRIES = 8
REACH = 10.0
SHORTEST_SECRET = 8
KEEPS = "what has come is kept, and the same command resumes from there"


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers. role: JUDGE or MODEL, as in the names of its variables. timeout: in seconds."""

    role: Role
    url: str
    model: str
    concurrency: int
    timeout: float
    key: str = field(default="", repr=False)

    def redacted(self, text: str) -> str:
        """Remove the key from a text; what local servers take for a key, such as 0, is in many texts."""
        return text.replace(self.key, "...") if len(self.key) >= SHORTEST_SECRET else text


class Refused(Exception):
    """An answer that says that this one request cannot be met."""


def find_endpoint(role: Role, url: str, model: str, concurrency: int, timeout: float) -> Endpoint:
    """Make an endpoint, with the key from the environment: JUDGE_API_KEY or OPENAI_API_KEY, or MODEL_API_KEY.

    A judge's key is not sent to the server of the model. Raises UserError where a request could not be sent.
    """
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:
        is_server = False
    if not is_server or " " in url:
        raise UserError(f"{role}_URL: not the URL of a server; say http://HOST:PORT/v1")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if place.rstrip("/") != url.rstrip("/"):
        raise UserError(f"{role}_URL: {place}, and no more: a key goes into {role}_API_KEY")
    shared = os.environ.get("OPENAI_API_KEY") if role == "JUDGE" else None
    key = (os.environ.get(f"{role}_API_KEY") or shared or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"{place}: its key, in {role}_API_KEY or OPENAI_API_KEY, has a character that no key has")
    return Endpoint(role, place, model, concurrency, timeout, key)


def check_reachable(endpoint: Endpoint) -> None:
    """Raise UserError where nobody answers; any answer, and a slow one, will do."""
    if find_spec("openai") is None:
        raise UserError(f"{endpoint.url}: the client is not installed; run `make setup EXTRAS=train,eval,dev`")
    try:
        httpx.get(f"{endpoint.url.rstrip('/')}/models", timeout=min(endpoint.timeout, REACH))
    except httpx.TimeoutException:
        return
    except (httpx.TransportError, httpx.InvalidURL):
        raise _unreachable(endpoint) from None


def ask_for_each(endpoint: Endpoint, items: Iterable[Item], work: Callable[[Ask, Item], Awaitable[None]]) -> None:
    """Work on items, as many at once as the endpoint allows; `work` gets a function that asks it for an answer.

    That function raises Refused where a request cannot be met, and UserError where the next one would fail, too.
    After an error no item is begun, but those under way are finished. So it is after Ctrl-C or SIGTERM; a second one
    ends it at once. Raises the first error, or KeyboardInterrupt.
    """
    from openai import AsyncOpenAI

    queue, errors = iter(items), list[BaseException]()

    async def worker(ask: Ask) -> None:
        for item in queue:
            try:
                await work(ask, item)
            except Exception as error:
                errors.append(error)
            if errors:
                return

    async def work_on_all() -> None:
        # The client insists on a key; a local server has none.
        key = endpoint.key or "none"
        settings: Any = {"timeout": endpoint.timeout, "max_retries": RETRIES}
        async with AsyncOpenAI(base_url=endpoint.url, api_key=key, **settings) as client:
            with _first_signal_added(errors):
                await asyncio.gather(*(worker(partial(_ask, client, endpoint)) for _ in range(endpoint.concurrency)))

    asyncio.run(work_on_all())
    if errors:
        raise errors[0]


async def _ask(client: Any, endpoint: Endpoint, messages: Messages, **settings: Any) -> str:
    from openai import APIError

    try:
        completion = await client.chat.completions.create(model=endpoint.model, messages=messages, **settings)
    except APIError as error:
        raise _explain(endpoint, error) from None
    except ValueError:
        completion = None
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list):
        check = f"check {endpoint.role}_URL, which mostly ends in /v1"
        raise UserError(f"{endpoint.url}: answers, but not as chat completions do; {check}")
    text = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
    # JSON can hold halves of characters, which no file can.
    return endpoint.redacted(text.encode(errors="replace").decode()) if isinstance(text, str) else ""


@contextmanager
def _first_signal_added(errors: list[BaseException]) -> Iterator[None]:
    """Add the first Ctrl-C or SIGTERM to the errors, and leave a second one to whoever had them before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def give_back() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def stop() -> None:
        errors.append(KeyboardInterrupt())
        give_back()
        print("stopping when the requests under way are answered; once more to stop now", file=sys.stderr)

    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        give_back()


def _explain(endpoint: Endpoint, error: Any) -> UserError | Refused:
    """Put an error of the client's into a line."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    role, where = endpoint.role, f"{endpoint.url}, {endpoint.model}"
    if isinstance(error, APITimeoutError):
        return UserError(f"{where}: no answer within {endpoint.timeout:g} s, {RETRIES + 1} times; {KEEPS}")
    if isinstance(error, APIConnectionError):
        return _unreachable(endpoint)
    if not isinstance(error, APIStatusError):
        return UserError(f"{where}: {_short(endpoint, str(error))}; {KEEPS}")
    body = error.body
    said = str((body.get("message") if isinstance(body, dict) else body) or "without a reason")
    line = f"{where}: answers {error.status_code}, {_short(endpoint, said)}"
    advice = {
        401: f"set {role}_API_KEY to a key that is accepted there",
        403: f"the key may not do this; set another {role}_API_KEY",
        404: f"check {role}_MODEL, and {role}_URL, which mostly ends in /v1",
        429: "wait, or lower --concurrency",
    }
    if error.status_code in advice or error.status_code >= 500:
        return UserError(f"{line}; {advice.get(error.status_code, 'try again later')}; {KEEPS}")
    return Refused(line)


def _unreachable(endpoint: Endpoint) -> UserError:
    advice = f"start the server, or check {endpoint.role}_URL"
    return UserError(f"{endpoint.url}, {endpoint.model}: cannot be reached; {advice}; {KEEPS}")


def _short(endpoint: Endpoint, text: str) -> str:
    return " ".join(endpoint.redacted(text).split())[:200]
