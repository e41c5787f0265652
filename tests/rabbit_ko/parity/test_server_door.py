"""What servers tell in forms of their own is read as the same tokens, and never as others."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.parity.answers import Answered, Token
from rabbit_ko.parity.doors.server import ServerDoor, find_server, only_model
from tests.loopback import LoopbackHandler, LoopbackServer, running

Body = dict[str, Any]
CHAT = "/v1/chat/completions"


@contextmanager
def server(answer: Callable[[str, Body], tuple[int, Any]]) -> Iterator[tuple[str, list[tuple[str, Body]]]]:
    """A server that answers as a function of route and body says; give its URL and all that it was asked."""
    asked: list[tuple[str, Body]] = []

    class Handler(LoopbackHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            self._say(*answer(self.path, body))

        def do_GET(self) -> None:  # noqa: N802
            self._say(*answer(self.path, {}))

        def _say(self, status: int, said: Any) -> None:
            self.send(status, json.dumps(said).encode(), {"Content-Type": "application/json"})

    with running(LoopbackServer(Handler)) as it:
        yield f"{it.url}/v1", asked


def completion(text: str, content: list[Body] | None, finish: str = "stop", **more: Any) -> Body:
    """A chat completion."""
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    choice["logprobs"] = None if content is None else {"content": content}
    usage = {"prompt_tokens": 4, "completion_tokens": len(content or ()), "total_tokens": 9}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | more


def item(token: str, logprob: float = -0.5, **more: Any) -> Body:
    """A token with its probability, and the likeliest one."""
    told = {"token": token, "bytes": [], "logprob": logprob, **more}
    return {**told, "top_logprobs": [told]}


def answer_of(answer: Callable[[str, Body], tuple[int, Any]]) -> Answered:
    """What the door makes of a server's answer to one conversation."""
    with server(answer) as (url, _):
        door = ServerDoor("door", find_endpoint("MODEL", url, "m", 1, 10.0), "bf16")
        [found] = door.answer([[{"role": "user", "content": "가"}]], 4)
    return found


def test_the_form_of_vllm_is_read_with_its_prompt() -> None:
    content = [item("token_id:5"), item("token_id:1")]
    said = completion("나", content, prompt_token_ids=[0, 7, 8, 9], prompt_text="<s>가")
    found = answer_of(lambda route, _: (200, said) if route == CHAT else (404, {}))
    assert found.tokens == (Token(5, -0.5, ((5, -0.5),)), Token(1, -0.5, ((1, -0.5),)))
    assert (found.prompt, found.prompt_ids, found.prompt_tokens, found.ended) == ("<s>가", (0, 7, 8, 9), 4, True)


def llama_cpp(route: str, body: Body) -> tuple[int, Any]:
    """The form of llama.cpp: of three tokens, the second leaves a character open and has no probability."""
    if route == "/apply-template":
        return 200, {"prompt": "가\n"}
    if route == "/tokenize":
        assert (body["content"], body["add_special"], body["parse_special"]) == ("가\n", True, True)
        return 200, {"tokens": [0, 7, 8, 9]}
    verbose = {"prompt": "<s>가\n", "tokens": [5, 6, 1]}
    return 200, completion("나", [item("나", id=5), item("", id=1)], __verbose=verbose)


def test_the_form_of_llama_cpp_is_read_with_the_tokens_of_which_it_tells_no_probability() -> None:
    found = answer_of(llama_cpp)
    assert [(token.id, token.logprob) for token in found.tokens or ()] == [(5, -0.5), (6, None), (1, -0.5)]
    assert (found.prompt, found.prompt_ids) == ("가\n", (0, 7, 8, 9))


def test_a_server_that_reads_another_prompt_than_it_renders_is_believed_in_that() -> None:
    def other(route: str, body: Body) -> tuple[int, Any]:
        status, said = llama_cpp(route, body)
        return status, said | ({"__verbose": {**said["__verbose"], "prompt": "<s>나\n"}} if route == CHAT else {})

    assert answer_of(other).prompt == "<s>나\n"


def test_a_probability_that_may_be_of_one_of_two_equal_tokens_is_of_neither() -> None:
    def said(route: str, body: Body) -> tuple[int, Any]:
        verbose = {"prompt": "가", "tokens": [6, 6, 1]}
        return (
            (200, completion("나", [item("", id=6), item("", id=1)], __verbose=verbose))
            if route == CHAT
            else (404, {})
        )

    assert [token.logprob for token in answer_of(said).tokens or ()] == [None, None, -0.5]


@pytest.mark.parametrize("content", [None, [], [item("나")], [item("나", id=5)]])
def test_tokens_that_are_not_all_told_by_their_ids_are_unknown(content: list[Body] | None) -> None:
    said = completion("나", content)
    said["usage"]["completion_tokens"] = 2
    assert answer_of(lambda route, _: (200, said) if route == CHAT else (404, {})).tokens is None


def test_a_server_that_refuses_what_it_does_not_know_is_asked_for_less() -> None:
    def strict(route: str, body: Body) -> tuple[int, Any]:
        if route != CHAT:
            return 404, {}
        unknown = {"logprobs", "return_token_ids"} & {*body}
        return (422, {"error": {"message": f"unknown: {unknown}"}}) if unknown else (200, completion("나", None))

    with server(strict) as (url, asked):
        door = ServerDoor("door", find_endpoint("MODEL", url, "m", 1, 10.0), "bf16")
        [found] = door.answer([[{"role": "user", "content": "가"}]], 4)
    assert (found.text, found.tokens, found.prompt_tokens) == ("나", None, 4)
    settings = [{*body} - {"model", "messages"} for route, body in asked if route == CHAT]
    assert [("logprobs" in each, "return_token_ids" in each) for each in settings] == [
        (True, True),
        (True, False),
        (False, False),
        (False, False),
    ]


def test_every_request_asks_for_the_likeliest_token() -> None:
    with server(llama_cpp) as (url, asked):
        ServerDoor("d", find_endpoint("MODEL", url, "m", 1, 10.0), "f32").answer(
            [[{"role": "user", "content": "가"}]], 4
        )
    assert {body["temperature"] for route, body in asked if route == CHAT} == {0}


def test_a_server_that_refuses_a_conversation_is_told_in_a_line_with_the_conversation() -> None:
    def refusing(route: str, body: Body) -> tuple[int, Any]:
        if body.get("max_tokens") == 1:
            return 200, completion("나", None)
        return 400, {"error": {"message": "roles must alternate"}}

    with pytest.raises(UserError, match=r"answers 400, roles must alternate; it was asked: '가'"):
        answer_of(refusing)


def test_the_only_model_of_a_server_is_found_and_of_several_one_has_to_be_named() -> None:
    for names in ([], ["a"], ["a", "b"]):
        listed = {"data": [{"id": name} for name in names]}
        with server(lambda route, _, listed=listed: (200, listed)) as (url, _):  # type: ignore[misc]
            endpoint = find_endpoint("MODEL", url, "", 1, 10.0)
            if names == ["a"]:
                assert only_model(endpoint) == "a"
            else:
                with pytest.raises(UserError, match=f"lists {len(names)} models.*say MODEL_NAME"):
                    only_model(endpoint)


@pytest.mark.parametrize("said", [[], {"data": None}, "x", {"data": [{}]}])
def test_a_list_of_models_that_is_none_is_told_in_a_line(said: Any) -> None:
    with server(lambda *_: (200, said)) as (url, _), pytest.raises(UserError, match="does not list its models"):
        only_model(find_endpoint("MODEL", url, "", 1, 10.0))


def test_a_server_that_wants_a_key_or_is_not_there_is_told_as_that() -> None:
    with (
        server(lambda *_: (401, {})) as (url, _),
        pytest.raises(UserError, match="check AGAINST and MODEL_API_KEY"),
    ):
        find_server(url, "")
    with pytest.raises(UserError, match=r"cannot be reached; start the server, or check AGAINST$"):
        find_server("http://127.0.0.1:1/v1", "")


def test_a_server_that_does_not_say_what_models_it_has_is_told_with_the_option_that_names_one() -> None:
    with server(lambda *_: (500, {})) as (url, _), pytest.raises(UserError) as told:
        find_server(url, "")
    assert str(told.value) == (
        f"{url}: answers 500 to {url}/models; say which model with MODEL_NAME, or check AGAINST and MODEL_API_KEY"
    )


def test_a_url_that_no_server_has_is_wrong_usage() -> None:
    with pytest.raises(UnknownName, match=r"^AGAINST=ftp://x/y: not the URL of a server; say http://HOST:PORT/v1$"):
        find_server("ftp://x/y", "")
