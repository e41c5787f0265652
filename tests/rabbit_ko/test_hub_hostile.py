"""Hubs that mean harm: whatever they send, asking them has an end, and a push or a source ends in a line."""

from pathlib import Path

import pytest
from huggingface_hub.utils import close_session

from dataset_builders.read.hub import commit_of
from dataset_builders.read.location import Location
from rabbit_ko.errors import UserError
from rabbit_ko.hub import commit, hub_commit, hub_digest
from tests.hostile_server import HostileServer
from tests.loopback import running

pytestmark = pytest.mark.hostile

SAID = {
    "short": "peer closed connection without sending complete message body",
    "endless": "it sends more than 1 MiB",
    "dripping": "it sends byte by byte, as if never to end",
    "silent": "timed out",
    "gzip bomb": "it sends more than 1 MiB",
    "broken gzip": "its gzip is broken",
    "deep JSON": "maximum recursion depth exceeded",
    "a circle": "Exceeded maximum allowed redirects",
    "an hour": "the hub asks to wait 3,600 s",
}


@pytest.mark.parametrize(("answer", "said"), SAID.items(), ids=list(SAID))
def test_whatever_a_hub_sends_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("rabbit_ko.hub.HUB_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr("rabbit_ko.hub.WAITS", (0.01,))
    if answer in ("dripping", "silent"):
        for name in ("web.START_SECONDS", "hub.QUIET_SECONDS", "hub.COMMIT_SECONDS"):
            monkeypatch.setattr(f"rabbit_ko.{name}", 1.0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    close_session()
    with running(HostileServer(answer)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        assert hub_commit("org/model", "model", None) == ""
        assert hub_digest("org/model", "model", None, ["*"]) == ""
        with pytest.raises(UserError, match=said):
            commit("org/data", {"README.md": b""}, "message", public=False)
        with pytest.raises(UserError, match=said):
            commit_of(Location(path="org/data"))
        assert server.seen
    close_session()
