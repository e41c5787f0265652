"""A server with a judge, and a folder of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import running
from tests.rabbit_ko.evaluation.judge_server import Judge


@pytest.fixture
def server(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A server with a judge, in a working directory without anything."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(Judge()) as judge:
        yield judge
