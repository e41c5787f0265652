"""A file of the web, downloaded within bounds and kept by its content; what goes wrong is one line."""

import asyncio
import email.utils
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import httpx

from dataset_builders.read.files import KINDS, is_data, suffixes
from dataset_builders.read.location import suffix_of
from rabbit_ko import web
from rabbit_ko.errors import UserError, reason
from rabbit_ko.secrets import remember_url
from rabbit_ko.storage import filesystem

# Of one file, as it comes and as a server's own compression unfolds.
FILE_BYTES = 64 << 30
# Between attempts where a server is overloaded; it may ask for as much as the last.
WAITS = (1.0, 5.0)
LONGEST_WAIT = 60.0
BY_HAND = "or download the file by hand and give its path"
_SAYS = {
    401: "it wants a login",
    403: "it may not be read",
    404: "there is no such file",
    410: "there is no such file any more",
    429: "it is asked too often",
}


def is_web(path: str) -> bool:
    """Tell whether a path is the URL of a web server."""
    return path.lower().startswith(("http://", "https://"))


def _ending(url: str) -> str:
    """Return `.jsonl.gz` of the URL of such a file. Raises UserError where it is that of no file of rows."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UserError(f"{url}: no URL: {reason(error)}") from None
    if not web.is_place(parts):
        raise UserError(f"{url}: no URL: it has no host, or none that can be; say https://HOST/NAME")
    if not is_data(name := parts.path.rpartition("/")[2]):
        raise UserError(f"{url}: of a web server one file is read, not a folder, and its name must end in {KINDS}")
    suffix, codec = suffixes(name)
    return suffix + (suffix_of(name) if codec else "")


def save(url: str, folder: str) -> str:
    """Save what a URL has now in `folder`, under the hash of its content; return the file. Raises UserError."""
    ending = _ending(url)
    part = f"{folder}/{uuid4().hex}.part"
    fs, name = filesystem(part)
    fs.makedirs(fs._parent(name), exist_ok=True)
    try:
        with fs.open(name, "wb") as file:
            digest = fetch(url, file.write)
        saved = f"{folder}/{digest}{ending}"
        fs.mv(name, filesystem(saved)[1])
    except BaseException:
        with suppress(OSError):
            fs.rm(name)
        raise
    return saved


def fetch(url: str, write: Callable[[bytes], object] = lambda _: None) -> str:
    """Hand on the content of a URL block by block; return its SHA-256. Raises UserError, and what `write` raises."""
    remember_url(url)
    try:
        return asyncio.run(_fetch(url, write))
    except (httpx.RequestError, httpx.InvalidURL, TimeoutError, *web.NO_PLACE) as error:
        raise UserError(f"{url}: {_explain(error)}") from None


async def _fetch(url: str, write: Callable[[bytes], object]) -> str:
    timeout = httpx.Timeout(web.QUIET_SECONDS, connect=web.CONNECT_SECONDS)
    # A file that is compressed may not be so once more, and a bound on what comes is one on what is kept.
    headers = {"Accept-Encoding": "identity"}
    async with httpx.AsyncClient(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=10) as client:
        for wait in (*WAITS, None):
            async with asyncio.timeout(web.START_SECONDS) as deadline, client.stream("GET", url) as response:
                if response.status_code == 200:
                    return await _save(response, write, deadline)
                wait = _wait(url, response, wait)
            await asyncio.sleep(wait)
    raise AssertionError("the last attempt has no wait")


async def _save(response: httpx.Response, write: Callable[[bytes], object], deadline: asyncio.Timeout) -> str:
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > FILE_BYTES:
        raise web.TooLarge(
            f"it sends {web.shown_bytes(int(length))}, and at most {web.shown_bytes(FILE_BYTES)} is taken"
        )
    digest, bound = hashlib.sha256(), web.bound_answer(response, FILE_BYTES)
    ahead = asyncio.get_running_loop().time() - time.monotonic()
    async for block in response.aiter_bytes():
        digest.update(block)
        write(block)
        deadline.reschedule(bound.latest() + ahead)
    return digest.hexdigest()


def _wait(url: str, response: httpx.Response, wait: float | None) -> float:
    """Return the seconds before the next attempt. Raises UserError where there is none."""
    status, asked = response.status_code, _asked_wait(response.headers.get("retry-after", ""))
    said = _SAYS.get(status) or ("it fails" if status >= 500 else "it sends no file")
    if wait is None or status not in web.PASSING or asked > LONGEST_WAIT:
        later = f" and asks to wait {asked:,.0f} s" if asked else ""
        advice = "try again later" if status in web.PASSING else "check the URL"
        raise UserError(f"{url}: the server answers {status}, {said}{later}; {advice}, {BY_HAND}")
    return max(wait, asked)


def _asked_wait(header: str) -> float:
    """Return the seconds that `Retry-After` says, in figures or as a date; 0 where it says nothing of use."""
    with suppress(ValueError, OverflowError):
        return max(0.0, float(header)) if float(header) == float(header) else 0.0
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    return 0.0


def _explain(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException | TimeoutError | web.TooSlow):
        return f"no answer in time, or one that comes byte by byte; try again later, {BY_HAND}"
    if isinstance(error, web.NO_PLACE):
        return f"it is redirected to no server; check the URL, {BY_HAND}"
    if isinstance(error, web.TooLarge):
        return f"{reason(error)}; if it is meant to be so large, {BY_HAND.removeprefix('or ')}"
    if any(isinstance(cause, ConnectionRefusedError) for cause in web.causes(error)):
        return "nobody answers there, the connection is refused; check the URL"
    return f"{web.explained(error) or f'the download broke off: {reason(error)}'}; check the URL, {BY_HAND}"
