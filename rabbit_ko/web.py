"""HTTP answers with an end: bounds on their time, their size, and on what they unfold to, whatever a server sends."""

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from socket import gaierror
from typing import Any

import httpx

from rabbit_ko.errors import reason

# What an API answers in JSON, and a judge or a model in a chat.
ANSWER_BYTES = 16 << 20
# Nothing comes for so long, or less on average than what a slow line brings, once it had time to start.
CONNECT_SECONDS, QUIET_SECONDS = 20.0, 60.0
START_SECONDS, SLOWEST_BYTES_PER_SECOND = 60.0, 4 << 10
# What a server answers that may go by itself.
PASSING = (429, 500, 502, 503, 504)
# What a bound can look into.
ACCEPTED = {"Accept-Encoding": "gzip"}
# What connecting raises where a host or a port cannot be.
NO_PLACE = (UnicodeError, OverflowError, ExceptionGroup)
_STEP_BYTES = 1 << 20


class TooLarge(httpx.RequestError):
    """An answer that is larger than it may be, as it comes or unfolded."""


class TooSlow(httpx.RequestError):
    """An answer that comes byte by byte, so that it would never end."""


class Bound:
    """What one answer may be. encoding: of the header that says how its body is compressed."""

    def __init__(self, most: int, encoding: str = "") -> None:
        self.most, self.size, self.started = most, 0, time.monotonic()
        self.is_empty = True
        self.inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "x-gzip", "deflate") else None
        if encoding not in ("", "identity") and not self.inflate:
            raise httpx.DecodingError(f"it is compressed in a way that was not asked for: {encoding[:20]}")

    def parts(self, block: bytes) -> Iterator[bytes]:
        """Yield what a block unfolds to, never much at once. Raises TooLarge, TooSlow and DecodingError."""
        self.check_pace()
        self.is_empty &= not block
        while block:
            part, block = self._unfolded(block)
            self.size += len(part)
            if self.size > self.most:
                raise TooLarge(f"it sends more than {shown_bytes(self.most)}")
            yield part

    def _unfolded(self, block: bytes) -> tuple[bytes, bytes]:
        if not self.inflate:
            return block, b""
        try:
            part = self.inflate.decompress(block, _STEP_BYTES)
        except zlib.error:
            raise httpx.DecodingError("its gzip is broken") from None
        if self.inflate.eof and (rest := self.inflate.unused_data):
            # A gzip file may be several, one behind the other.
            self.inflate = zlib.decompressobj(wbits=47)
            return part, rest
        return part, self.inflate.unconsumed_tail

    def check_pace(self) -> None:
        """Raise TooSlow where too little has come for the time that it took."""
        if time.monotonic() > self.latest():
            raise TooSlow("it sends byte by byte, as if never to end")

    def latest(self) -> float:
        """Return the time by which more must have come, as `time.monotonic` tells it."""
        return self.started + START_SECONDS + self.size / SLOWEST_BYTES_PER_SECOND

    def check_end(self) -> None:
        """Raise DecodingError where the end of what is compressed has not come."""
        if self.inflate and not self.inflate.eof and not self.is_empty:
            raise httpx.DecodingError("its gzip is cut off")


class _Body(httpx.AsyncByteStream, httpx.SyncByteStream):
    """The body of an answer within a bound."""

    def __init__(self, stream: Any, bound: Bound) -> None:
        self.stream, self.bound = stream, bound

    def __iter__(self) -> Iterator[bytes]:
        for block in self.stream:
            yield from self.bound.parts(block)
        self.bound.check_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self.stream:
            for part in self.bound.parts(block):
                yield part
        self.bound.check_end()

    def close(self) -> None:
        """Close the connection, or give it back."""
        self.stream.close()

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self.stream.aclose()


def bound_answer(response: httpx.Response, most: int = 0) -> Bound:
    """Bound the body of an answer that is not read yet, ANSWER_BYTES where nothing else is said."""
    encoding = response.headers.pop("content-encoding", "").strip().lower()
    bound = Bound(most or ANSWER_BYTES, encoding)
    response.stream = _Body(response.stream, bound)
    return bound


class BoundedClient(httpx.AsyncClient):
    """A client whose requests take `seconds` at most, from the connection to the last byte of the answer."""

    def __init__(self, seconds: float) -> None:
        # A server that is there takes a connection at once, however long it thinks.
        connect = min(0.9 * seconds, CONNECT_SECONDS)
        super().__init__(
            timeout=httpx.Timeout(seconds, connect=connect),
            follow_redirects=True,
            max_redirects=5,
            event_hooks={"response": [_bound_later]},
            headers=ACCEPTED,
        )
        self.seconds = seconds

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Return the answer. Raises RequestError."""
        try:
            async with asyncio.timeout(self.seconds):
                return await super().send(request, **options)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in time", request=request) from None
        except NO_PLACE as error:
            raise httpx.ConnectError("it leads to no server", request=request) from error


async def _bound_later(response: httpx.Response) -> None:
    bound_answer(response)


def is_place(url: httpx.URL) -> bool:
    """Tell whether a URL has a host and a port that there can be."""
    try:
        return bool(url.host) and (url.port or 0) < 1 << 16
    except UnicodeError:
        return False


def shown_bytes(count: int) -> str:
    """Return a number of bytes for people: `16 MiB`."""
    unit = max(power for power in range(4) if power == 0 or count >= 1 << 10 * power)
    return f"{count / (1 << 10 * unit):.3g} {('bytes', 'KiB', 'MiB', 'GiB')[unit]}"


def explained(error: BaseException) -> str:
    """Return why a server was not reached, or its answer not taken; empty where nothing more is known."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}; SSL_CERT_FILE names those that are"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS; check whether the URL begins with https or http"
        if isinstance(cause, gaierror):
            return "there is no such host"
        if isinstance(cause, httpx.TooManyRedirects):
            return "it redirects in a circle, or too often"
        if isinstance(cause, TooLarge | TooSlow | httpx.DecodingError | httpx.InvalidURL | httpx.UnsupportedProtocol):
            return reason(cause)
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that caused it; of several attempts to connect, each."""
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error.__cause__ or error.__context__,)
    for cause in filter(None, inner):
        yield from causes(cause)
