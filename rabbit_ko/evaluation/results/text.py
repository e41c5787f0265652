"""How figures and settings are written, in the results and on the card."""

from dataclasses import dataclass

from rabbit_ko.evaluation.records import Result, Score
from rabbit_ko.evaluation.results.figures import LOGICKOR
from rabbit_ko.evaluation.results.table import Row

UP, DOWN, STALE = "▲", "▼", "†"
# What the harness's settings call the data that come from the hub.
FROM_HUB = "hub"


@dataclass(frozen=True)
class Words:
    """How a language says under which conditions something was measured."""

    in_prompt: str
    bare: str
    first: str
    local: str
    judge: str
    missing: str


ENGLISH = Words("the recipe's prompt", "bare text", "first {} items", "local data", "judge {}", "{} missing")
KOREAN = Words("학습 때의 프롬프트", "질문만", "처음 {}문항", "로컬 데이터", "심판 {}", "판정 없음 {}")


def number(suite: str, value: float | None) -> str:
    """Write a figure: points of ten of LogicKor, otherwise a share of one; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if suite.startswith(LOGICKOR) else f"{value:.4f}"


def measured(suite: str, score: Score, words: Words = ENGLISH) -> str:
    """Write a figure with its standard error, and how many verdicts it misses."""
    error = f" ± {number(suite, score.stderr)}" if score.value is not None and score.stderr is not None else ""
    missing = f" ({words.missing.format(score.missing)})" if score.missing else ""
    return f"{number(suite, score.value)}{error}{missing}"


def mark(row: Row, stage: str) -> str:
    """Return the signs behind a figure: of a difference that exceeds chance, and of a stale figure."""
    change = row.change(stage)
    signs = [{"up": UP, "down": DOWN}[change]] if change else []
    signs += [STALE] if stage in row.figures and row.figures[stage].is_stale else []
    return "".join(f" {sign}" for sign in signs)


def is_limited(result: Result) -> bool:
    """Tell whether only the first items were asked."""
    return result.settings.get("limit") is not None


def is_local(result: Result) -> bool:
    """Tell whether the questions came from a folder on this machine, which may hold anything."""
    return str(result.settings.get("data", FROM_HUB)) != FROM_HUB


def by_stage(names: dict[str, list[str]]) -> str:
    """Write names by stage in one line."""
    return "; ".join(f"{stage}: {', '.join(found)}" for stage, found in names.items())


def command(result: Result) -> str:
    """Return the command that measures a result again: the one that measured it."""
    return result.command


def settings_of(row: Row, words: Words = ENGLISH) -> str:
    """Describe a row's settings; where the stages' differ, those of each stage."""
    found: dict[str, list[str]] = {}
    for stage, figure in row.figures.items():
        found.setdefault(describe(figure.result, words), []).append(stage)
    if len(found) <= 1:
        return next(iter(found), "")
    return "; ".join(f"{', '.join(stages)}: {text}" for text, stages in found.items())


def describe(result: Result, words: Words = ENGLISH) -> str:
    """Write the settings of a result that every reader asks for."""
    settings = result.settings
    parts = [f"{settings['shots']}-shot"] if "shots" in settings else []
    if "template" in settings:
        parts.append(words.in_prompt if settings["template"] else words.bare)
    if "judge" in settings:
        parts.append(words.judge.format(settings["judge"]))
    if is_limited(result):
        parts.append(words.first.format(settings["limit"]))
    if is_local(result):
        parts.append(words.local)
    return ", ".join(parts)
