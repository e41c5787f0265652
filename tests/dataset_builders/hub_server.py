"""A hub on this machine, which speaks as much of the hub's protocol as pushing and loading datasets and models take.

Faults are made on demand, by the kind of request; the kinds are the names in `ROUTES`.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.dataset_builders.hub_repos import Content, Refused, Repos
from tests.loopback import LoopbackHandler, LoopbackServer

REPO, REVISION = r"(?P<repo>[^/]+/[^/?]+?)", r"(?P<revision>[^/?]+)"
# A model's pages, unlike those of the API, have no folder of their own.
API, PAGES = r"/api/(?:datasets|models)", r"/(?:datasets/)?"
ROUTES = {
    "create": r"POST /api/repos/create",
    "validate": r"POST /api/validate-yaml",
    "info": rf"GET {API}/{REPO}(?:/revision/{REVISION})?(?:\?.*)?",
    "preupload": rf"POST {API}/{REPO}/preupload/{REVISION}",
    "batch": rf"POST {PAGES}{REPO}\.git/info/lfs/objects/batch",
    "upload": r"PUT /lfs/(?P<oid>[0-9a-f]{64})\?signature=.*",
    "commit": rf"POST {API}/{REPO}/commit/{REVISION}",
    "tree": rf"GET {API}/{REPO}/tree/{REVISION}(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?",
    "paths": rf"POST {API}/{REPO}/paths-info/{REVISION}",
    "resolve": rf"(?:GET|HEAD) {PAGES}{REPO}/resolve/{REVISION}/(?P<path>.+)",
}


class Hub(LoopbackServer):
    """The server, with its datasets and models in `data`.

    `requests` has the kind and the token of each request. Of each kind, `failing` says how many get `refusal`,
    `dropping` how many lose the connection before all is read, and `losing` how many lose it when all is done, in
    place of the answer.
    """

    def __init__(self) -> None:
        super().__init__(Handler)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.data = Repos(self.url)
        self.requests: list[tuple[str, str]] = []
        self.refusal = Refused(503, "try again later")
        self.failing: Counter[str] = Counter()
        self.dropping: Counter[str] = Counter()
        self.losing: Counter[str] = Counter()

    def variables(self, home: Path, token: str) -> dict[str, str]:
        """Return the environment of a client that takes this hub for the real one, with caches of its own."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_TOKEN": token,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def count(self, kind: str) -> int:
        """Tell how many requests of a kind came."""
        return sum(request == kind for request, _ in self.requests)


class Handler(LoopbackHandler):
    """One connection."""

    server: Hub

    def handle_request(self) -> None:
        """Answer one request, or make the fault that is due."""
        hub = self.server
        kind, where = self._route()
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        with hub.lock:
            hub.requests.append((kind, token))
            is_failing, is_dropping, is_losing = (
                _is_due(faults, kind) for faults in (hub.failing, hub.dropping, hub.losing)
            )
        if is_dropping:
            self.rfile.read(int(self.headers["Content-Length"] or 0) // 2)
            return self.drop()
        body = self._read_body()
        try:
            if is_failing:
                raise hub.refusal
            with hub.lock:
                answer = hub.data.reply(kind, token, body, **where)
        except Refused as refused:
            return self.send(refused.status, json.dumps(refused.body).encode(), {"X-Error-Code": refused.code})
        if is_losing:
            return self.drop()
        if isinstance(answer, Content):
            return self.send(200, answer.content, answer.headers)
        return self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

    def _route(self) -> tuple[str, dict[str, Any]]:
        for kind, pattern in ROUTES.items():
            if match := re.fullmatch(pattern, f"{self.command} {self.path}"):
                return kind, {key: value and unquote(value) for key, value in match.groupdict().items()}
        return "unknown", {}

    def _read_body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def _is_due(faults: Counter[str], kind: str) -> bool:
    faults[kind] -= 1
    return faults[kind] >= 0
