"""A judge on this machine that speaks chat completions, with replies and faults on demand.

    python -m tests.rabbit_ko.evaluation.judge_server COMMAND ARG...

runs a command with RABBIT_JUDGE_URL and RABBIT_JUDGE_MODEL set to a judge whose every verdict can be read and is
always the same.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.loopback import LoopbackHandler, LoopbackServer, running

MODEL = "local-judge"
JSON = {"Content-Type": "application/json"}
FORMS = ("점수: {}", "**점수: {}**", "**점수**: {}", "점수 : {}/10", "점수: {}점")


@dataclass(frozen=True)
class Request:
    """What was asked: the messages and settings, and the key."""

    body: dict[str, Any]
    key: str

    @property
    def text(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Reply:
    """What is answered: the text of a chat completion, or with another status, of an error.

    wait: seconds before. drop: close the connection instead. body: these bytes in place of JSON. finish: why the text
    ends.
    """

    text: str | None = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drop: bool = False
    body: bytes | None = None
    finish: str = "stop"


Rule = Callable[[Request], Reply]


def verdict(request: Request) -> Reply:
    """Reply with a score that depends on the question alone, in one of the forms that judges use."""
    number = sha256(request.text.encode()).digest()
    score = f"{number[0] % 11}" if number[1] % 2 else f"{number[0] % 10}.5"
    return Reply(f"평가: 질문에 알맞게 답했는지 살폈습니다.\n{FORMS[number[2] % len(FORMS)].format(score)}")


class Judge(LoopbackServer):
    """The server. requests: all that asked for a completion; script: the first replies, before the rule's."""

    def __init__(self, rule: Rule = verdict) -> None:
        super().__init__(Handler)
        self.url += "/v1"
        self.rule = rule
        self.script: list[Reply] = []
        self.requests: list[Request] = []
        self.under_way = self.most_under_way = 0

    def reply(self, request: Request) -> Reply:
        """Note a request; return the next reply of the script, or the rule's."""
        with self.lock:
            self.requests.append(request)
            return self.script.pop(0) if self.script else self.rule(request)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request among those under way."""
        with self.lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1


class Handler(LoopbackHandler):
    """One connection."""

    server: Judge

    def list_models(self) -> None:
        """List the models."""
        self.send(200, json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode(), JSON)

    def complete(self) -> None:
        """Answer, or make the fault that is due."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path != "/v1/chat/completions":
            self.send(404, b'{"error": {"message": "no such page"}}', JSON)
            return
        key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        with self.server.counted():
            reply = self.server.reply(Request(json.loads(body), key))
            time.sleep(reply.wait)
        if reply.drop:
            self.drop()
        else:
            self.send(reply.status, reply.body or _json(reply), {**JSON, **reply.headers})

    do_GET, do_POST = list_models, complete  # noqa: N815


def _json(reply: Reply) -> bytes:
    if reply.status != 200:
        return json.dumps({"error": {"message": reply.text, "type": "error", "code": str(reply.status)}}).encode()
    message = {"role": "assistant", "content": reply.text}
    choices = [{"index": 0, "message": message, "finish_reason": reply.finish}]
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": choices}
    ).encode()


def main() -> None:
    """Run the command given, with a judge beside it."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.rabbit_ko.evaluation.judge_server COMMAND ARG...")
    with running(Judge()) as judge:
        variables = {"RABBIT_JUDGE_URL": judge.url, "RABBIT_JUDGE_MODEL": MODEL, "NO_PROXY": "127.0.0.1"}
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **variables}).returncode)


if __name__ == "__main__":
    main()
