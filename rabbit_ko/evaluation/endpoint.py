"""An OpenAI-compatible endpoint: many requests at a time, each failure one line, and a key that is never shown."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

import httpx

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.client import WAITS, Client, Spent, TooLate
from rabbit_ko.evaluation.refusals import explained_refusal, is_spent, passes, refused_setting
from rabbit_ko.secrets import HIDDEN, LEAST, remember
from rabbit_ko.terminal import say
from rabbit_ko.web import BoundedClient, explained, is_place

Item = TypeVar("Item")


class Reply(str):
    """The text of an answer. ended: whether the model ended it; one that was cut or filtered is not.

    finish: why it ends, in the server's word; empty where that says nothing. thoughts: what the server gives apart as
    such. completion: all that it says, as the client of OpenAI's API has it.
    """

    ended = False
    finish = ""
    thoughts = ""
    completion: Any = None


class Failed(UserError):
    """A server that has failed at one request again and again, with a fault of its own (500)."""


class _Stopped(Exception):
    """A request that is not sent, since another has failed."""


Ask = Callable[..., Awaitable[Reply]]  # takes messages and settings of the request

# The client waits 0.5, 1, 2, 4, 8, 8, ... seconds in between, or as long as the server asks.
RETRIES = 8
# Why an answer ends that is not cut, by the words of OpenAI, TGI and others.
ENDED = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
# The same of one that is cut.
CUT = ("length", "max_tokens")
KEEPS = "what has come is kept, and the same command resumes from there"


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers. role: JUDGE or MODEL, as in the names of its variables. timeout: in seconds.

    option: by which its URL was given. advice: what is said behind a failure.
    """

    role: Literal["JUDGE", "MODEL"]
    url: str
    model: str
    concurrency: int
    timeout: float
    key: str = field(default="", repr=False)
    option: str = ""
    advice: str = KEEPS

    @property
    def headers(self) -> dict[str, str]:
        """What a request of its own, past the client, has to say where there is a key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def without_key(self, answer: str) -> str:
        """Return an answer, which is data and stays as it is otherwise, without the key, should it repeat that."""
        return answer.replace(self.key, HIDDEN) if len(self.key) >= LEAST else answer

    def failure(self, said: str = "", kind: type[UserError] = UserError) -> UserError:
        """Return the error that something was said, or that nobody answers."""
        said = said or f"cannot be reached; start the server, or check {self.option}"
        place = ", ".join(filter(None, [self.url, self.model]))
        return kind("; ".join(filter(None, [f"{place}: {said}", self.advice])))


class Refused(Exception):
    """An answer that says that this one request cannot be met. setting: what of it is named, as in SETTINGS."""

    def __init__(self, said: str, setting: str = "") -> None:
        super().__init__(said)
        self.setting = setting


def find_endpoint(
    role: Any, url: str, model: str, concurrency: int, timeout: float, option: str = "", advice: str = KEEPS
) -> Endpoint:
    """Make an endpoint with the key of its role from the environment.

    Raises UnknownName where the URL is none, and UserError where the key is none.
    """
    option = option or f"{role}_URL"
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not is_place(parts):
        raise UnknownName(f"{option}: not the URL of a server; say http://HOST:PORT/v1")
    if parts.userinfo or parts.query or parts.fragment:
        raise UnknownName(f"{option}: http://HOST:PORT/v1, and no more: a key goes into {role}_API_KEY")
    shared = os.environ.get("OPENAI_API_KEY") if role == "JUDGE" else None
    key = (os.environ.get(f"{role}_API_KEY") or shared or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"{url}: its key, in {role}_API_KEY or OPENAI_API_KEY, has a character that no key has")
    remember(key)
    return Endpoint(role, url, model, concurrency, timeout, key, option, advice)


def check_reachable(endpoint: Endpoint) -> None:
    """Raise UserError where nobody answers; any answer, and a slow one, will do."""

    async def knock() -> None:
        # What stands in the answer is of no interest, nor where it redirects to.
        async with (
            BoundedClient(min(endpoint.timeout, 10.0)) as client,
            client.stream("GET", f"{endpoint.url.rstrip('/')}/models", follow_redirects=False),
        ):
            return

    try:
        asyncio.run(knock())
    except (httpx.ReadTimeout, httpx.DecodingError):
        return
    except httpx.RequestError as error:
        raise _unreached(endpoint, error) from None


def ask_for_each(
    endpoint: Endpoint, items: Iterable[Item], work: Callable[[Ask, Item], Awaitable[None]], most: int | None = None
) -> int:
    """Work on items, as many at once as the endpoint allows; `work` gets a function that asks it for an answer.

    That function raises Refused where a request cannot be met, and UserError where the next one would fail, too
    (Failed where this one may be the cause), or where `most` requests have been sent; of those, each try of one that
    fails is another, but not where a setting is refused. After an error nothing new is asked, but requests under way
    are finished. So it is after Ctrl-C or SIGTERM; a second one ends it at once. Returns how many requests were sent;
    raises the first error, or KeyboardInterrupt.
    """
    from openai import AsyncOpenAI

    queue, errors, came, sent = iter(items), list[BaseException](), list[int](), 0
    running: Any = None

    async def worker(ask: Ask) -> None:
        async def ask_unless_stopped(messages: Messages, **settings: Any) -> Reply:
            if errors:
                raise _Stopped
            return await ask(messages, **settings)

        for item in queue:
            try:
                await work(ask_unless_stopped, item)
            except Exception as error:
                errors.append(error)
            if errors:
                return

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            errors.append(KeyboardInterrupt())
            say("stopping when the requests under way are answered; once more to stop now", is_error=True)
        else:
            running.cancel()

    async def spend(_: httpx.Request) -> None:
        nonlocal sent
        sent += 1
        if most is not None and sent > most:
            raise Spent(f"MAX_REQUESTS: {most:,} have been sent, and more are needed; {KEEPS}")

    async def give_back(response: httpx.Response) -> None:
        nonlocal sent
        # To find out what a server takes is no request that could not be sent.
        sent -= bool(refused_setting(response))

    async def work_on_all() -> None:
        nonlocal running
        running, loop = asyncio.current_task(), asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            # The loop calls it between two steps, so that no signal ends one in the middle.
            loop.add_signal_handler(number, stop, number)
        client_of_http: Any = Client(endpoint.timeout, spend, give_back)
        # The client insists on a key; a local server has none.
        settings: Any = {"api_key": endpoint.key or "none", "timeout": client_of_http.timeout, "max_retries": RETRIES}
        try:
            async with AsyncOpenAI(base_url=endpoint.url, http_client=client_of_http, **settings) as client:
                ask = partial(_ask, client, endpoint, {})
                await asyncio.gather(*(worker(ask) for _ in range(endpoint.concurrency)))
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    try:
        asyncio.run(work_on_all())
    except asyncio.CancelledError:
        signal.raise_signal(came[-1])
    if errors:
        raise errors[0]
    return sent


async def _ask(
    client: Any, endpoint: Endpoint, renamed: dict[str, str], messages: Messages, **settings: Any
) -> Reply:
    """Ask for an answer. renamed: settings that this model has another name for, learnt here. Raises as above."""
    from openai import APIError

    asked = {renamed.get(name, name): value for name, value in settings.items()}
    try:
        completion = await client.chat.completions.create(model=endpoint.model, messages=messages, **asked)
    except APIError as error:
        explained = _explain(endpoint, error)
        if getattr(explained, "setting", "") == "max_tokens":
            renamed["max_tokens"] = "max_completion_tokens"
            return await _ask(client, endpoint, renamed, messages, **settings)
        raise explained from None
    except TooLate as late:
        raise _waited_for(endpoint, late.cause) from None
    except Spent as spent:
        raise UserError(str(spent)) from None
    except (ValueError, RecursionError):
        completion = None
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list):
        raise _no_completion(endpoint)
    message = getattr(choices[0], "message", None) if choices else None
    text = getattr(message, "content", None)
    reply = Reply(_text(endpoint, text))
    reply.thoughts = _text(
        endpoint, getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    )
    finish = getattr(choices[0], "finish_reason", None) if choices else None
    reply.finish = finish if isinstance(finish, str) else ""
    reply.ended = isinstance(text, str) and reply.finish in ENDED
    reply.completion = completion
    return reply


def _text(endpoint: Endpoint, text: Any) -> str:
    # JSON can hold halves of characters, which no file can.
    return endpoint.without_key(text.encode(errors="replace").decode()) if isinstance(text, str) else ""


def _no_completion(endpoint: Endpoint) -> UserError:
    check = f"check {endpoint.option}, which mostly ends in /v1"
    return endpoint.failure(f"answers, but not as chat completions do; {check}")


def _waited_for(endpoint: Endpoint, error: httpx.TimeoutException) -> UserError:
    if isinstance(error, httpx.ConnectTimeout):
        return endpoint.failure()
    said = f"no answer within {endpoint.timeout:g} s, {WAITS} times"
    return endpoint.failure(f"{said}; raise --timeout, lower --concurrency, or see whether the server hangs")


def _unreached(endpoint: Endpoint, error: BaseException) -> UserError:
    why = explained(error)
    return endpoint.failure(f"{why}; check {endpoint.option}" if why else "")


def _explain(endpoint: Endpoint, error: Any) -> UserError | Refused:
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIConnectionError):
        return _unreached(endpoint, error)
    if not isinstance(error, APIStatusError):
        return _no_completion(endpoint)
    response: Any = error.response
    line, key = explained_refusal(response), f"{endpoint.role}_API_KEY"
    if is_spent(response):
        return endpoint.failure(
            f"{line}; the account has nothing left: top it up, or give the key of another as {key}"
        )
    if passes(response):
        wait = response.headers.get("retry-after", "")
        asked = f", asks to wait {wait[:40]} s" if wait.isdecimal() else ""
        kind = Failed if response.status_code == 500 else UserError
        return endpoint.failure(f"{line}{asked}; try again later, or lower --concurrency", kind)
    if response.status_code in (401, 403, 404):
        model = {"JUDGE": "JUDGE_MODEL", "MODEL": "MODEL_NAME"}[endpoint.role]
        return endpoint.failure(f"{line}; check {endpoint.option}, {model} and {key}")
    return Refused(f"{endpoint.url}, {endpoint.model}: {line}", refused_setting(response))
