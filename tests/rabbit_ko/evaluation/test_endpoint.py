"""Whatever a server answers has its right end: what passes is tried again, and what does not is one line at once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation import endpoint as module
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each, check_reachable
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply

SOON = {"Retry-After-Ms": "20"}
QUOTA = "You exceeded your current quota, please check your plan and billing details."
GEMMA = "Jinja Exception: System role not supported"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A server that answers, and a client that does not wait long between two tries."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    with running(Judge(lambda _: Reply("네."))) as judge:
        yield judge


def body(status: int = 200, headers: dict[str, str] | None = None, **said: Any) -> Reply:
    """An answer of any JSON."""
    return Reply(status=status, body=json.dumps(said).encode(), headers=headers or {})


def error(status: int, message: str, **more: str) -> Reply:
    """An error in the form of OpenAI."""
    return body(status, error={"message": message, "type": "x", **more})


def ask(server: Judge, number: int = 1, concurrency: int = 1, timeout: float = 5.0, **settings: Any) -> list[str]:
    """What a server answers to some requests."""
    found = list[str]()

    async def work(ask: Ask, place: int) -> None:
        found.append(await ask([{"role": "user", "content": str(place)}], **settings))

    one = Endpoint("MODEL", server.url, MODEL, concurrency, timeout, option="MODEL_URL")
    ask_for_each(one, range(number), work)
    return found


def said(server: Judge, reply: Reply, **settings: Any) -> tuple[str, int]:
    """The error of a reply that comes to every request, in one line, and after how many requests."""
    server.rule = lambda _: reply
    with pytest.raises((UserError, Refused)) as caught:
        ask(server, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{server.url}, {MODEL}: "), len(server.requests)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(402, "Payment Required"), "answers 402, Payment Required; the account has nothing left: top it up"),
        (error(429, QUOTA, code="insufficient_quota"), f"answers 429, {QUOTA}; the account has nothing left"),
        (error(403, "Insufficient Balance"), "answers 403, Insufficient Balance; the account has nothing left"),
        (
            error(400, "Your credit balance is low"),
            "answers 400, Your credit balance is low; the account has nothing",
        ),
        (error(404, "no such model"), "answers 404, no such model; check MODEL_URL, MODEL_NAME and MODEL_API_KEY"),
        (error(401, "no key"), "answers 401, no key; check MODEL_URL, MODEL_NAME and MODEL_API_KEY"),
        (error(200, "not loaded"), "answers 200, not loaded"),
        (body(error="not loaded"), "answers 200, not loaded"),
        (body(object="error", message="too long", code=400), "answers 200, too long"),
        (body(detail="Not Found"), "answers 200, Not Found"),
        (body(error={"message": "No auth", "code": 401}), "answers 200, No auth; check MODEL_URL"),
        (body(422, detail=[{"loc": ["body", "n"], "msg": "no"}, {"msg": "more"}]), "answers 422, body.n: no; more"),
        (body(422, detail="no"), "answers 422, no"),
        (body(400, object="error", message="too long"), "answers 400, too long"),
        (error(400, "filtered by the content policy"), "answers 400, filtered by the content policy"),
        (error(400, "a\u202eb\x1b[2J\n\nc"), "answers 400, a\\u202eb␛[2J c"),
        (Reply(status=400, body=b"<html>"), "answers 400, <html>"),
        (Reply(status=400, body=b""), "answers 400, 400 Bad Request"),
        (body(object="list"), "answers, but not as chat completions do; check MODEL_URL, which mostly ends in /v1"),
        (Reply(body=b'{"error":' + b"[" * 5_000), "answers, but not as chat completions do"),
    ],
)
def test_what_does_not_pass_is_one_line_after_one_request(server: Judge, reply: Reply, expected: str) -> None:
    line, requests = said(server, reply)
    assert line.startswith(expected)
    assert requests == 1


@pytest.mark.parametrize(
    "reply",
    [
        error(429, "Rate limit reached, see https://x/account/rate-limits"),
        body(429, SOON | {"Retry-After": "1"}, error={"message": QUOTA}),
        error(429, f"{QUOTA} Please retry in 0.1s."),
        body(error={"message": "upstream is down", "code": 502}),
        body(error={"message": "slow down", "code": "429"}),
        body(error={"message": "Rate limit reached, wait", "code": "rate_limit_exceeded"}),
        body(error={"message": "Overloaded", "type": "overloaded_error"}),
        body(503, code=50603, message="System is too busy now. Please try again later."),
        error(503, "loading model"),
        error(408, "too slow"),
    ],
    ids=lambda reply: str(reply.body)[2:60],
)
def test_what_passes_is_tried_again(server: Judge, reply: Reply) -> None:
    server.script = [reply] * 2
    assert ask(server) == ["네."]
    assert len(server.requests) == 3


def test_a_limit_that_stays_is_one_line_after_all_tries(server: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRIES", 2)
    line, requests = said(server, error(429, "slow down"))
    assert line.startswith("answers 429, slow down; try again later, or lower --concurrency")
    assert requests == 3


def test_a_server_that_hangs_is_waited_for_twice_and_told_with_what_to_do(server: Judge) -> None:
    line, requests = said(server, Reply(wait=30.0), timeout=1.0, number=8, concurrency=8)
    assert line.startswith("no answer within 1 s, 2 times; raise --timeout, lower --concurrency, or see")
    assert requests == 16


def test_answers_that_are_late_once_each_end_nothing(server: Judge) -> None:
    late = iter([True, False] * 3)
    server.rule = lambda _: Reply("네.", wait=3.0 if next(late) else 0.0)
    assert ask(server, number=3, timeout=1.0) == ["네."] * 3
    assert len(server.requests) == 6


def test_a_host_that_takes_no_connection_is_not_waited_for_as_an_answer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rabbit_ko.web.CONNECT_SECONDS", 0.1)
    # Of documentation (RFC 5737): nobody answers there, or this machine has no way to it.
    nowhere = Endpoint("MODEL", "http://192.0.2.1:9/v1", MODEL, 1, 60.0)
    before = time.monotonic()
    with pytest.raises(UserError, match="cannot be reached; start the server"):
        check_reachable(nowhere)
    assert time.monotonic() - before < 30


def test_a_model_that_counts_its_thoughts_is_told_so_once_for_all(server: Judge) -> None:
    said = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    server.rule = lambda request: error(400, said) if "max_tokens" in request.body else Reply("네.")
    assert ask(server, number=3, max_tokens=7) == ["네."] * 3
    assert [request.body.get("max_completion_tokens") for request in server.requests] == [None, 7, 7, 7]


@pytest.mark.parametrize(
    ("status", "message", "setting"),
    [
        (400, "Unsupported value: 'temperature' does not support 0.0", "temperature"),
        (400, "This response_format type is unavailable now", "response_format"),
        (422, "body.response_format: Extra inputs are not permitted", "response_format"),
        (500, "failed to parse grammar", "response_format"),
        (400, "guided decoding is not supported", "response_format"),
        (400, "Invalid schema for response format 'verdict'", "response_format"),
        (400, "System role not supported", "system"),
        (500, GEMMA, "system"),
        (400, "'messages[0].role' does not support 'system' with this model", "system"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/...", "system"),
        (400, "Only user and assistant roles are supported!", "system"),
        (400, "This model's maximum context length is 8 tokens", ""),
        (400, "content was filtered", ""),
    ],
)
def test_a_refusal_says_which_setting_it_is_of_and_is_not_tried_again(
    server: Judge, status: int, message: str, setting: str
) -> None:
    server.rule = lambda _: error(status, message)
    refusals = list[str]()

    async def work(ask: Ask, _: int) -> None:
        system: Any = [{"role": "system", "content": "가"}, {"role": "user", "content": "나"}]
        for messages, settings in (
            (system, {"temperature": 0, "response_format": {"type": "text"}}),
            (system[1:], {}),
        ):
            try:
                await ask(messages, **settings)
            except Refused as refused:
                refusals.append(refused.setting)

    one = Endpoint("JUDGE", server.url, MODEL, 1, 5.0)
    if status == 500:
        with pytest.raises(UserError, match="answers 500"):
            ask_for_each(one, [0], work)
        assert (refusals, server.requests[0].body["temperature"]) == ([setting], 0)
    else:
        assert ask_for_each(one, [0], work) == (1 if setting else 2)
        assert (refusals, len(server.requests)) == ([setting, ""], 2)


ECHO = "You are the system message. what is a credit balance? Set temperature and a json schema, rate limit reached."


@pytest.mark.parametrize(
    "reply",
    [
        body(422, detail=[{"loc": ["body", "messages"], "msg": "too long", "input": ECHO}]),
        error(400, f"content filtered: '{ECHO}'"),
        error(400, "content filtered: 'what is a credit balance?'"),
        error(403, "flagged: what is a credit balance?"),
        error(200, f"content filtered: {ECHO}"),
    ],
    ids=["input", "echo", "balance", "moderation", "200"],
)
def test_what_an_error_repeats_of_the_request_means_nothing(server: Judge, reply: Reply) -> None:
    server.rule = lambda _: reply
    found = list[str]()

    async def work(ask: Ask, _: int) -> None:
        messages: Any = [{"role": "system", "content": "판정"}, {"role": "user", "content": ECHO}]
        try:
            await ask(messages, temperature=0, response_format={"type": "text"})
        except Refused as refused:
            found.append(refused.setting)
        except UserError as error:
            found.append("nothing left" * ("nothing left" in str(error)))

    ask_for_each(Endpoint("JUDGE", server.url, MODEL, 1, 5.0), [0], work)
    assert len(server.requests) == 1
    assert found == [""]


def completion(finish: Any, **message: Any) -> Reply:
    """A completion with a message of any parts."""
    return body(id="1", object="chat.completion", choices=[{"index": 0, "message": message, "finish_reason": finish}])


@pytest.mark.parametrize(
    ("reply", "text", "ended"),
    [
        (completion("stop", content="네."), "네.", True),
        (completion("eos_token", content="네."), "네.", True),
        (completion("length", content="네"), "네", False),
        (completion("content_filter", content=""), "", False),
        (completion("stop", content=None, reasoning_content="음"), "", False),
        (completion(None, content="네"), "네", False),
        (body(choices=[]), "", False),
    ],
)
def test_an_answer_that_was_cut_or_filtered_or_is_none_has_not_ended(
    server: Judge, reply: Reply, text: str, ended: bool
) -> None:
    server.rule = lambda _: reply
    found: Any = ask(server)[0]
    assert (str(found), found.ended) == (text, ended)


def test_thoughts_that_a_server_gives_apart_are_kept_apart(server: Judge) -> None:
    for key in ("reasoning_content", "reasoning"):
        server.script = [completion("stop", content="네.", **{key: "음"})]
        found: Any = ask(server)[0]
        assert (str(found), found.thoughts) == ("네.", "음")
