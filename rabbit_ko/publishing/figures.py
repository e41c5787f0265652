"""The figures of a model card and how they are said in its language, and why rows were dropped."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rabbit_ko.evaluation.judge.rubric import GENERAL, rubric_names
from rabbit_ko.evaluation.records import BY, Result
from rabbit_ko.evaluation.results.report import by_stage, figure_text, settings_of
from rabbit_ko.evaluation.results.table import EXPECTED, LOGICKOR, Row
from rabbit_ko.evaluation.results.words import (
    ENGLISH,
    JUDGED,
    KOREAN,
    NOTES,
    SETTINGS,
    UNKNOWN_NOTE,
    Words,
    say,
    translate,
)
from rabbit_ko.publishing.model_facts import Facts

Language = Literal["ko", "en"]
# Why rows were dropped; the others have a form that no row may have.
REASONS: Words = {
    "not sampled": "표본에 들지 않음",
    "over max_samples": "`max_samples` 초과",
    "over share": "정한 비율 초과",
    "duplicate id": "같은 id",
    "exact duplicate": "같은 내용",
    "near duplicate": "거의 같은 내용",
    "in a benchmark": "벤치마크에 있는 내용",
    "too little Hangul": "한글 부족",
    "length": "길이",
    "answers of unlike length": "두 답변의 길이 차이",
    "refusal": "답변 거부",
    "repetition": "반복",
    "subject": "제외한 주제",
    "empty turn": "빈 턴",
    "no answer": "답변 없음",
    "chosen equals rejected": "두 답변이 같음",
    "broken unicode": "깨진 글자",
}
OTHER_REASON = "형식 오류"
# How notes of earlier versions begin that the table of figures says by its conditions.
IN_FIGURES = ("the first ", "data from ")


@dataclass(frozen=True)
class JudgedTable:
    """The figures that a judge gave a stage, by category and metric.

    rubric: the file that it was told, empty where that is this project's own. against: the stage that it was compared
    with.
    """

    title: str
    judge: str
    rubric: str
    scale: float
    against: str
    tasks: list[str]
    metrics: list[str]
    rows: dict[tuple[str, str], Row]


def filters(language: Language) -> dict[str, Callable[..., Any]]:
    """Return what a card's template says figures, settings, notes and reasons with."""
    is_korean = language == "ko"
    words = KOREAN if is_korean else ENGLISH
    return {
        "by_stage": lambda parts: by_stage(parts, words),
        "conditions": lambda row: settings_of(without_stale(row), words),
        "figure": lambda row, stage: figure_text(without_stale(row), stage, words) if row else "-",
        "word": lambda text: (translate(text, JUDGED) if is_korean else None) or text,
        "setting": lambda key: SETTINGS.get(key, key) if is_korean else key,
        "reasons": in_korean if is_korean else dict,
        "title": lambda table: (
            f"{table.title}, {say(words, 'against {}', table.against.upper())}" if table.against else table.title
        ),
    }


def notes(facts: Facts, language: Language) -> dict[str, list[str]]:
    """Return what was noted in a card's language, once, with the results that have it; not what their figures say."""
    found: dict[str, list[str]] = {}
    for task, result in facts.results.items():
        noted = [note for note in result.notes if not note.startswith(IN_FIGURES)]
        said = [translate(note, NOTES) or UNKNOWN_NOTE for note in noted] if language == "ko" else noted
        for note in dict.fromkeys(said):
            found.setdefault(note, []).append(task)
    return found


def in_korean(reasons: Mapping[str, int]) -> Counter[str]:
    """Return how many rows were dropped for each reason, in Korean; mistakes of form go together."""
    counts = Counter[str]()
    for reason, count in reasons.items():
        counts[REASONS.get(reason, OTHER_REASON)] += count
    return counts


def without_stale(row: Row) -> Row:
    """Return a row without the figures of earlier models."""
    return replace(row, figures={stage: figure for stage, figure in row.figures.items() if not figure.is_stale})


def judged_tables(facts: Facts) -> list[JudgedTable]:
    """Return a table for each judged bench that the stage has figures of, in the order of the results."""
    return [_judged_table(facts, result) for result in facts.results.values() if result.is_judged]


def _judged_table(facts: Facts, result: Result) -> JudgedTable:
    rows = {(row.task, row.metric): row for row in facts.table.rows if row.suite == result.task}
    tasks, metrics = ([*dict.fromkeys(names)] for names in zip(*rows, strict=True))
    told = {"bench": result.task.partition(BY)[0], "rubric": GENERAL, "against": ""} | result.settings
    bench, judge, rubric, against = (str(told[key]) for key in ("bench", "judge", "rubric", "against"))
    own = "" if rubric in rubric_names() else Path(rubric).name
    return JudgedTable(f"{_title(bench)}, {judge}", judge, own, result.scale, against, tasks, metrics, rows)


def _title(bench: str) -> str:
    named = bench.removeprefix(LOGICKOR)
    return bench if named == bench else ", ".join(filter(None, ("LogicKor", named.removeprefix("-"))))


def not_measured(facts: Facts) -> list[str]:
    """Return the suites of the model cards that the stage has no figures of."""
    measured = {result.bench for result in facts.results.values()}
    return [suite for suite in EXPECTED if suite not in measured]
