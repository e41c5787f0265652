"""The card as text: the header, and one of the templates beside this file, which hold the words."""

from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rabbit_ko.evaluation.models import adapter_rank
from rabbit_ko.evaluation.results.compare import LEAST_ITEMS, RESAMPLES
from rabbit_ko.evaluation.results.table import ENGLISH, KOREAN, is_limited, is_local
from rabbit_ko.markdown import cell, fence, link
from rabbit_ko.publishing.model_card import data, measured
from rabbit_ko.publishing.model_card.examples import MAX_NEW_TOKENS, Example, Shown
from rabbit_ko.publishing.model_card.facts import Facts
from rabbit_ko.publishing.model_card.header import header
from rabbit_ko.publishing.model_card.names import REPO

Language = Literal["ko", "en"]
_WORDS = {"ko": KOREAN, "en": ENGLISH}
_TOTAL = {"ko": "전체", "en": "total"}
_UNITS = {"ko": ("초", "분", "시간"), "en": (" s", " min", " h")}


def render_card(
    facts: Facts,
    examples: list[Example],
    language: Language,
    tokens: tuple[str, str],
    good: Shown | None = None,
    bad: Shown | None = None,
) -> str:
    """Return the text of README.md. tokens: the tokenizer's BOS and EOS, empty where it has none."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": cell,
        "duration": lambda seconds: duration(seconds, language),
        "fence": fence,
        "figure": lambda value: "-" if value is None else f"{value:.4f}",
        "link": link,
        "n": "{:,}".format,
        "percent": "{:.0%}".format,
        "value": lambda value: str(value).lower() if isinstance(value, bool) else str(value),
        "versions": lambda versions: ", ".join(f"{name} {cell(version)}" for name, version in versions.items()),
    }
    body = environment.get_template(f"card.{language}.md.jinja").render(
        facts=facts,
        examples=examples,
        max_new_tokens=MAX_NEW_TOKENS,
        good=good,
        bad=bad,
        repo=REPO,
        bos=tokens[0],
        eos=tokens[1],
        parts=facts.stage.template,
        **_data(facts),
        **_measured(facts, language),
    )
    return f"---\n{header(facts).to_yaml()}\n---\n\n{body.strip()}\n"


def duration(seconds: float, language: Language) -> str:
    """Write a time as people say it."""
    second, minute, hour = _UNITS[language]
    if seconds < 120:
        return f"{seconds:.0f}{second}"
    return f"{seconds / 60:.0f}{minute}" if seconds < 7_200 else f"{seconds / 3_600:.1f}{hour}"


def _data(facts: Facts) -> dict[str, Any]:
    sources = facts.sources
    return {
        "hub_datasets": data.hub_datasets(sources),
        "instructed": data.instructed(facts.manifest, sources),
        "licenses": data.licenses(sources),
        "not_commercial": data.not_commercial(sources),
        "rank": adapter_rank(Path(facts.stage.model)) if facts.is_adapter else None,
        "rules": data.rules(facts.manifest),
        "translated": data.translated(sources),
        "without_license": data.without_license(sources),
    }


def _measured(facts: Facts, language: Language) -> dict[str, Any]:
    words = _WORDS[language]
    results = list(measured.results(facts))
    return {
        "has_figures": any(facts.table.results.values()),
        "least": LEAST_ITEMS,
        "limited": [result.task for result in results if is_limited(result)],
        "local": [result.task for result in results if is_local(result)],
        "logickor": measured.logickor(facts, words, _TOTAL[language]),
        "not_measured": measured.not_measured(facts),
        "notes": measured.notes(facts),
        "outcomes": measured.outcomes(facts),
        "resamples": RESAMPLES,
        "served": measured.served(facts),
        "task_rows": measured.task_rows(facts, words),
    }
