"""The HTTP client beneath that of OpenAI's API: what will not pass is not tried again, and slow answers seldom."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from rabbit_ko.evaluation.refusals import weigh
from rabbit_ko.web import BoundedClient

Hook = Callable[[Any], Awaitable[None]]

# An answer that does not come in time is waited for so often: each time takes long, and may be paid for.
WAITS = 2


class Spent(BaseException):
    """The next request would be one too many; no Exception, after which the client would try it again."""


class TooLate(BaseException):
    """An answer that has not come in time, as often as it is waited for; no Exception, as above.

    cause: the error of the last time.
    """

    def __init__(self, cause: httpx.TimeoutException) -> None:
        super().__init__(cause)
        self.cause = cause


class Client(BoundedClient):
    """A client for answers of `seconds` at most. before, after: called with each request, and with each response."""

    def __init__(self, seconds: float, before: Hook, after: Hook) -> None:
        super().__init__(seconds)
        self.event_hooks = {"request": [before], "response": [*self.event_hooks["response"], weigh, after]}
        self.waited = Counter[Any]()

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Return the answer. Raises RequestError, and TooLate after several in a row that did not come in time."""
        task = asyncio.current_task()
        try:
            answer = await super().send(request, **options)
        except httpx.TimeoutException as error:
            self.waited[task] += 1
            if self.waited[task] >= WAITS:
                raise TooLate(error) from None
            raise
        self.waited.pop(task, None)
        return answer
