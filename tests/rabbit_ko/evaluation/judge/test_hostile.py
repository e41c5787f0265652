"""Judges that mean harm: whatever they send, a run ends in one line, with what came before kept."""

from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import check_reachable, find_endpoint
from tests.hostile_server import ANSWERS, HostileServer, certificate, with_tls
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge.cli import RESULTS, TASK, VERDICTS, lines, run
from tests.rabbit_ko.evaluation.judge_server import Handler, Judge

pytestmark = pytest.mark.hostile

SAID = {
    "no length": "answers, but not as chat completions do; check JUDGE_URL",
    "short": "cannot be reached; start the server, or check JUDGE_URL",
    "endless": "it sends more than 1 MiB; check JUDGE_URL",
    "dripping": "no answer within 2 s, 2 times",
    "dripping headers": "no answer within 2 s, 2 times",
    "gzip bomb": "it sends more than 1 MiB; check JUDGE_URL",
    "broken gzip": "its gzip is broken; check JUDGE_URL",
    "cut gzip": "its gzip is cut off; check JUDGE_URL",
    "unknown encoding": "it is compressed in a way that was not asked for: x; check JUDGE_URL",
    "deep JSON": "answers, but not as chat completions do; check JUDGE_URL",
    "deep closed JSON": "answers, but not as chat completions do; check JUDGE_URL",
    "to no port": "cannot be reached; start the server, or check JUDGE_URL",
    "to a file": "Request URL has an unsupported protocol 'file://'.; check JUDGE_URL",
    "a circle": "it redirects in a circle, or too often; check JUDGE_URL",
    "an hour": "asks to wait 3600 s; try again later",
}


@pytest.mark.parametrize(("answer", "said"), SAID.items(), ids=list(SAID))
def test_whatever_a_judge_sends_is_one_line_and_keeps_what_was_judged(
    judge: Judge, model: Judge, recipe: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    monkeypatch.setattr("rabbit_ko.evaluation.endpoint.RETRIES", 1)
    monkeypatch.setattr("rabbit_ko.web.ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    complete = Handler.do_POST

    def post(handler: Handler) -> None:
        if handler.server is judge and len(judge.requests) == 2:
            handler.rfile.read(int(handler.headers["Content-Length"]))
            ANSWERS[answer](handler)
        else:
            complete(handler)

    monkeypatch.setattr(Handler, "do_POST", post)
    assert said in run(judge, model, "--timeout", "2", "--concurrency", "1", exit_code=1).stderr
    assert not (RESULTS / f"{TASK}.json").exists()
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
                handler.send(307, b"", {"Location": f"{other.url}/chat/completions"})
            else:
                complete(handler)

        monkeypatch.setattr(Handler, "do_POST", post)
        run(judge, model)
        assert {request.key for request in other.requests} == {""}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_is_there_whatever_it_answers_and_a_slow_one_is_not_waited_for(answer: str) -> None:
    with running(HostileServer(answer)) as server:
        check_reachable(find_endpoint("JUDGE", server.url, "model", 1, 1.0))
        assert len(server.seen) == 1


def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    server = with_tls(HostileServer(), certificate(tmp_path, 9))
    said = r"is not trusted: self-signed certificate; .*; check JUDGE_URL"
    with running(server), pytest.raises(UserError, match=said):
        check_reachable(find_endpoint("JUDGE", server.url, "model", 1, 1.0))


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://xn--/v1", "http:///v1"])
def test_a_url_that_can_be_no_server_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="JUDGE_URL: not the URL of a server"):
        find_endpoint("JUDGE", url, "model", 1, 1.0)
