"""A small recipe with models that are a few bytes, and results of them as the evaluations write them."""

from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.records import Model, Result, Sample, Score, write_result
from rabbit_ko.evaluation.stages import fingerprint
from rabbit_ko.recipes import GUARD
from tests.stages import put_weights

RECIPE = "mine"
MODELS = {stage: Path("runs") / RECIPE / stage for stage in ("base", "sft", "dpo")}
HARNESS = {"shots": 5, "limit": None, "template": False, "data": "hub"}
ENTRY = f"plugins: [{GUARD}]\ndatasets: [{{path: data/mine/sft, type: prompt_strategies.qir}}]\n"


def make_recipe() -> None:
    """Write a recipe of two stages into the working directory, and a model for each stage and the base."""
    configs = Path("axolotl_configs") / RECIPE
    configs.mkdir(parents=True)
    (configs / "data.yaml").touch()
    for stage in ("sft", "dpo"):
        (configs / f"{stage}.yaml").write_text(f"base_model: {MODELS['base']}\n{ENTRY}")
    for value, folder in enumerate(MODELS.values()):
        folder.mkdir(parents=True)
        put_weights(folder / "model.safetensors", value)
        (folder / "config.json").write_text("{}")
        (folder / "run.json").write_text("{}")


def put_result(
    stage: str,
    task: str,
    scores: list[Score],
    samples: list[Sample] | None = None,
    backend: str = "hf",
    notes: list[str] | None = None,
    **settings: Any,
) -> Result:
    """Write a result of the stage's model as it is now; the harness's settings are those of kobest if not told."""
    name = f"runs/{RECIPE}/{stage}"
    result = Result(
        recipe=RECIPE,
        stage=stage,
        task=task,
        model=Model(
            path=name, fingerprint=fingerprint(name), backend=backend, name="served" if backend == "openai" else ""
        ),
        settings=HARNESS | settings if task in SUITES else settings,
        scores=scores,
        versions={"lm_eval": "0.4.11"},
        command=f"rabbit eval --recipe {RECIPE} --stage {stage} --tasks {task}",
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
        notes=notes or [],
    )
    write_result(Path("runs") / RECIPE / "eval" / stage, result, samples or [])
    return result


def samples_of(task: str, metric: str, values: list[float]) -> list[Sample]:
    """Return a sample for each value; the items are numbered."""
    return [Sample(task=task, item=str(number), metric=metric, value=value) for number, value in enumerate(values)]


def retrain(stage: str) -> None:
    """Change a stage's weights, as a new run does."""
    put_weights(MODELS[stage] / "model.safetensors", 12.0)
