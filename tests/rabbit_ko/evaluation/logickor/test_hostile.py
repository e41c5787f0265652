"""Judges that mean harm: whatever they send, a run ends in one line, with what came before kept."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loopback import LoopbackHandler, running
from tests.rabbit_ko.evaluation.judge_server import Handler, Judge
from tests.rabbit_ko.evaluation.logickor.cli import RESULTS, VERDICTS, lines, run

pytestmark = pytest.mark.hostile

Send = Callable[[LoopbackHandler], None]
CHECK_URL = "check JUDGE_URL"
BLOCK = b" " * (64 << 10)


def headed(handler: LoopbackHandler, **headers: str) -> Callable[[bytes], object]:
    """Begin an answer that ends with its connection."""
    handler.close_connection = True
    handler.send_response(200)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    return handler.wfile.write


def endless(handler: LoopbackHandler) -> None:
    write = headed(handler)
    while True:
        write(BLOCK)


def drip(handler: LoopbackHandler) -> None:
    write = headed(handler)
    while True:
        write(b" ")
        time.sleep(0.05)


def drip_headers(handler: LoopbackHandler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X")
        time.sleep(0.05)


def redirect(to: str) -> Send:
    return lambda handler: handler.send(307, b"", {"Location": to})


SENT: dict[str, tuple[Send, str]] = {
    "deep JSON": (lambda it: it.send(200, b"[" * 100_000, {"Content-Type": "application/json"}), CHECK_URL),
    "deep closed JSON": (
        lambda it: it.send(200, b'{"choices":' + b"[" * 9_000 + b"]" * 9_000 + b"}", {"Content-Type": "application/json"}),
        CHECK_URL,
    ),
    "no length, no JSON": (lambda it: headed(it)(b"<html>") and None, CHECK_URL),
    "endless": (endless, f"it sends more than 1 MiB; {CHECK_URL}"),
    "dripping": (drip, "no answer within 0.5 s, 2 times"),
    "dripping headers": (drip_headers, "no answer within 0.5 s, 2 times"),
    "short": (lambda it: headed(it, Content_Length="900")(b"{") and None, "cannot be reached"),
    "gzip bomb": (lambda it: headed(it, Content_Encoding="gzip")(BOMB) and None, "it sends more than 1 MiB"),
    "broken gzip": (lambda it: headed(it, Content_Encoding="gzip")(b"\x1f\x8bno") and None, "its gzip is broken"),
    "cut gzip": (lambda it: headed(it, Content_Encoding="gzip")(BOMB[:99]) and None, "its gzip is cut off"),
    "unknown encoding": (lambda it: headed(it, Content_Encoding="x")(b"{") and None, "in a way that was not asked for"),
    "redirects": (redirect("/v1/chat/completions"), f"it redirects in a circle, or too often; {CHECK_URL}"),
    "an hour": (lambda it: it.send(429, b"", {"Retry-After": "3600"}), "asks to wait 3600 s; try again later"),
}
BOMB = gzip.compress(BLOCK * 64)


@pytest.mark.parametrize(("send", "expected"), SENT.values(), ids=list(SENT))
def test_whatever_a_judge_sends_is_one_line_and_keeps_what_was_judged(
    judge: Judge, model: Judge, recipe: Path, monkeypatch: pytest.MonkeyPatch, send: Send, expected: str
) -> None:
    monkeypatch.setattr("rabbit_ko.evaluation.endpoint.RETRIES", 1)
    monkeypatch.setattr("rabbit_ko.web.ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    complete = Handler.do_POST

    def post(handler: Handler) -> None:
        if handler.server is judge and len(judge.requests) == 2:
            handler.rfile.read(int(handler.headers["Content-Length"]))
            return send(handler)
        return complete(handler)

    monkeypatch.setattr(Handler, "do_POST", post)
    error = run(judge, model, "--timeout", "0.5", "--concurrency", "1", exit_code=1).stderr
    assert expected in error
    assert not (RESULTS / "logickor.json").exists()
    assert len(lines(VERDICTS)) == 2


def test_a_redirect_to_another_host_does_not_get_the_key(
    judge: Judge, model: Judge, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "a-key-of-the-judge")
    complete = Handler.do_POST
    with running(Judge()) as other:

        def post(handler: Handler) -> None:
            if handler.server is judge:
                handler.rfile.read(int(handler.headers["Content-Length"]))
                return handler.send(307, b"", {"Location": f"{other.url}/chat/completions"})
            return complete(handler)

        monkeypatch.setattr(Handler, "do_POST", post)
        run(judge, model)
        assert {request.key for request in other.requests} == {""}
