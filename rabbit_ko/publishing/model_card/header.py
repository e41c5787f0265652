"""The card's YAML header, in the hub's own fields."""

from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.results.figures import LOGICKOR, Figure, State
from rabbit_ko.evaluation.results.table import FROM_HUB, Row, describe
from rabbit_ko.publishing.model_card.data import hub_datasets
from rabbit_ko.publishing.model_card.facts import Facts

LOGICKOR_DATA = "maywell/LogicKor"


def header(facts: Facts) -> ModelCardData:
    """Return the header; what is only on this machine is not in it."""
    base, results = facts.base_id, list(eval_results(facts))
    return ModelCardData(
        base_model=base,
        base_model_relation=relation(facts.is_adapter) if base else None,
        datasets=hub_datasets(facts.sources) or None,
        language=facts.languages,
        **license_fields(facts.license),
        library_name=library(facts.is_adapter),
        pipeline_tag="text-generation",
        tags=["rabbit-ko", "axolotl", *(["lora"] if facts.uses_lora else []), *facts.runs],
        **({"model_name": facts.title, "eval_results": results} if results else {}),
    )


def library(is_adapter: bool) -> str:
    """Return the library that loads what is pushed."""
    return "peft" if is_adapter else "transformers"


def relation(is_adapter: bool) -> str:
    """Return how what is pushed relates to the base model."""
    return "adapter" if is_adapter else "finetune"


def license_fields(license: str) -> dict[str, str]:
    """Return the hub's fields; `other` wants a name beside it."""
    return {"license": license, "license_name": "mixed"} if license == "other" else {"license": license}


def eval_results(facts: Facts) -> Iterator[EvalResult]:
    """Yield the stage's own figures on the hub's data, each with its shots and its limit."""
    for row in facts.table.rows:
        figure = row.figures.get(facts.stage.name)
        if figure and figure.score.value is not None and _is_public(figure):
            yield _eval_result(row, figure)


def _is_public(figure: Figure) -> bool:
    """Tell whether a figure is of the model and of the data that its name says."""
    result = figure.result
    is_known = result.task in SUITES or result.task.startswith(LOGICKOR)
    return is_known and figure.origin.state is State.CURRENT and result.settings.get("data") == FROM_HUB


def _eval_result(row: Row, figure: Figure) -> EvalResult:
    result = figure.result
    config: dict[str, Any] = result.harness.get("configs", {}).get(row.task, {})
    conditions = {"num_few_shot": result.settings.get("shots"), "limit": result.settings.get("limit")}
    return EvalResult(
        task_type="text-generation",
        task_name="Text Generation",
        dataset_type=LOGICKOR_DATA if row.is_logickor else SUITES[row.suite].data,
        dataset_name=f"{row.suite if row.is_logickor else row.task} ({describe(result)})",
        # The hub puts figures of one data set and config together, and those of two strategies are not of one kind.
        dataset_config=result.settings.get("strategy") or config.get("dataset_name"),
        dataset_split=config.get("test_split") or config.get("validation_split"),
        dataset_args={key: value for key, value in conditions.items() if value is not None} or None,
        metric_type=row.metric.partition(",")[0],
        metric_name=f"{row.task} {row.metric}" if row.is_logickor else row.metric,
        metric_value=round(figure.score.value or 0.0, 4),
    )
