"""A server with a judge, and a folder of each test's own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import running
from tests.rabbit_ko.evaluation.judge_server import Judge


@pytest.fixture
def server(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A server with a judge, in a working directory without anything."""
    for name in ("RABBIT_JUDGE_URL", "RABBIT_JUDGE_MODEL", "JUDGE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = signal.getsignal(signal.SIGTERM)
    with running(Judge()) as judge:
        yield judge
    signal.signal(signal.SIGTERM, handler)
