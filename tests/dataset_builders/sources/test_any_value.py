"""No value of any field ends a build: each row of each source is kept or rejected, and no transcript is a text."""

import math
from typing import Any

import pytest

from dataset_builders.conversion import Log, convert
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import all_messages
from dataset_builders.sources import SOURCES
from dataset_builders.sources._meaning import OF_ROWS

TURNS = [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}]
DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2.5, 10**30, math.nan, math.inf, "", " ", "질문", "\u200b", "\ud83d", "\x00"),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        [1],
        ["가"],
        [["가", "나"]],
        [["가"]],
        {"a": 1},
        DEEP,
        {"role": DEEP, "content": DEEP},
    ),
    *(TURNS, TURNS[:1], TURNS[1:], TURNS[0], TURNS[1], [TURNS[1], *TURNS], [*TURNS, TURNS[1]]),
    *([{"from": "gpt", "value": 1}], [{"role": ["user"], "content": "가"}], [{"role": {}, "content": []}]),
    *("[]", "{}", "null", "[[1]]", '[["가", "나"]]', '[{"role": "user", "content": "가"}]', "[{'role'", "[" * 5_000),
    *(
        "Human:",
        "### User:",
        "\n\nHuman:",
        "\n\nHuman: 가\n\nAssistant: 나",
        "\n\nAssistant:\n\nHuman:",
    ),
]
ANSWERS = {
    "chosen": "\n\nAssistant: 좋은 답",
    "rejected": "\n\nAssistant: 나쁜 답",
    "label": True,
    "completion": "답",
    "tools": '[{"name": "날씨"}]',
    "functions": [{"name": "날씨"}],
}


def good(source: str) -> dict[str, Any]:
    """A row whose fields are what most sources expect in them."""
    fields = SOURCES[source].required + SOURCES[source].optional
    row = {field: TURNS if field in ("messages", "conversations") else ANSWERS.get(field, "질문") for field in fields}
    return row | {field: [] for field in ("context", "history") if field in row and source != "dolly"}


@pytest.mark.parametrize("source", SOURCES)
def test_every_value_in_every_field_is_kept_or_rejected(source: str) -> None:
    fields = [*SOURCES[source].required, *SOURCES[source].optional, *sorted(OF_ROWS)]
    rows = [good(source) | {field: value} for field in fields for value in VALUES]
    log = Log(SourceConfig(source=source, path="x"))
    kept = list(convert(rows, log))
    assert len(kept) + len(log.rejected) == log.read == len(rows)
    assert all(row["reason"] and row["id"] for row in log.rejected)
    if source in ("messages", "sharegpt", "preference", "labelled"):
        assert kept
        turns = [message for row in kept for message in all_messages(row) if message["role"] != "system"]
        assert not any("\n\nAssistant:" in message["content"] for message in turns)
