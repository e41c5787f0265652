"""Judges at a server whose faults are known, and the command that asks them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.judge_check.check import folder_of
from rabbit_ko.evaluation.judge_check.items import Item, read_items
from rabbit_ko.evaluation.judge_check.probes import PROBES
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit

FOLDER = folder_of(MODEL)
WORTH = (9.0, 6.0, 3.0)
_ANSWER = re.compile(
    r"^<(?:답변|answer)(?: [AB])? (\w{8})>\n(.*?)\n</(?:답변|answer)(?: [AB])? \1>$", re.DOTALL | re.MULTILINE
)


def shown(request: Request) -> list[str]:
    """The answers that a judge is shown, in their order."""
    return [answer for _, answer in _ANSWER.findall(request.text)]


def known(items: Sequence[Item], gains: Mapping[str, float]) -> dict[str, float]:
    """What each text is worth to a judge that gives so much for a change."""
    worth = {answer: WORTH[place] for item in items for place, answer in enumerate(item.answers)}
    for item in items:
        for name, probe in PROBES.items():
            if text := probe.text(item):
                worth[text] = WORTH[probe.place_in(item)] + gains.get(name, 0.0)
    return worth


def judge_of(
    gains: Mapping[str, float] | None = None,
    noise: Callable[[str, int], float] = lambda text, time: 0.0,
    takes_first: Callable[[str], bool] = lambda text: False,
    items: Sequence[Item] | None = None,
) -> Callable[[Request], Reply]:
    """A judge that knows what texts are worth. noise: by a text and how often it was seen before."""
    worth, seen = known(items or read_items(), gains or {}), dict[str, int]()

    def rule(request: Request) -> Reply:
        texts = shown(request)
        if len(texts) == 1:
            [text] = texts
            seen[text] = seen.get(text, -1) + 1
            return score(worth[text] + noise(text, seen[text]))
        is_first = worth[texts[0]] >= worth[texts[1]] or takes_first(texts[1])
        return Reply(f"평가: 둘을 견주었습니다.\n더 나은 답변: {'A' if is_first else 'B'}")

    return rule


def score(value: float) -> Reply:
    """A verdict on one answer."""
    return Reply(f"평가: 살펴보았습니다.\n점수: {min(10.0, max(1.0, round(value, 1))):g}")


def check(judge: Judge, *more: str, exit_code: int = 0) -> Ran:
    """Run the command, and expect its exit code; after a failure one line."""
    result = rabbit("judge-check", "--judge-url", judge.url, "--judge-model", MODEL, *more)
    assert result.exit_code == exit_code, result.output
    if exit_code:
        assert result.stderr.splitlines()[-1].startswith("error: ")
        assert result.stdout == ""
    return result


def record() -> dict[str, Any]:
    """What the last check left."""
    last = max(FOLDER.glob("check*.json"), key=lambda file: file.stat().st_mtime_ns)
    return dict(json.loads(last.read_text(encoding="utf-8")))


def figure(name: str) -> dict[str, Any]:
    """A line of it."""
    [found] = [dict(each) for each in record()["figures"] if each["name"] == name]
    return found


def warnings() -> list[str]:
    """What the check warns of."""
    return [reading["text"] for reading in record()["readings"] if reading["warns"]]


def few_items(folder: Path, number: int = 8) -> Path:
    """A file of some of this project's items."""
    file = folder / "few.jsonl"
    rows = [item.model_dump_json() for item in read_items()[:number]]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file
