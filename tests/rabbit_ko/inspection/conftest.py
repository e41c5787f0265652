"""`rabbit inspect` and `report` look at what is there: a test builds neither data nor base."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_is_built_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rabbit_ko.cli.look._prepare", lambda _: None)
