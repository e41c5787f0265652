"""The model card of a stage: the hub's YAML header, and a body in Korean or English, whose words are a template's."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from dataset_builders.licenses import NONE_STATED
from dataset_builders.sources import find_upstream
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.intervals import LEAST, RESAMPLES
from rabbit_ko.evaluation.models import adapter_rank, load_stage
from rabbit_ko.evaluation.records import State
from rabbit_ko.evaluation.results import report as text
from rabbit_ko.evaluation.results.table import LOGICKOR
from rabbit_ko.hashing import file_digest
from rabbit_ko.hub import hub_id
from rabbit_ko.methods import stage_method
from rabbit_ko.parity.report import parity_digest
from rabbit_ko.publishing import examples, figures
from rabbit_ko.publishing.dataset_card import card_template
from rabbit_ko.publishing.examples import Example, PickedAnswer
from rabbit_ko.publishing.figures import Language
from rabbit_ko.publishing.model_facts import Facts, gather
from rabbit_ko.recipes import RUN_FILE
from rabbit_ko.storage import write

CARD_FILE = "README.md"
REPO = "org/name"  # stands on a card until the model is pushed
# The header's key for the hash of the run.json that the card was written from.
RUN_DIGEST = "run_json_sha256"
# And for that of what parity had found by then.
PARITY_DIGEST = "parity"


def write_card(
    recipe: str, stage: str, language: Language, good: Path | None = None, bad: Path | None = None, license: str = ""
) -> tuple[Path, list[str]]:
    """Write a stage's card; return its place, and lines on results of earlier models. Raises UserError, OSError."""
    picked = {name: examples.read_picked(file) for name, file in (("good", good), ("bad", bad)) if file}
    facts = gather(recipe, stage, license)
    model, tokenizer = load_stage(facts.stage)
    system_prompt = facts.manifest.config["system_prompt"] if system_prompt_shares(facts) else ""
    answers = examples.make_examples(model, tokenizer, system_prompt)
    file, tokens = Path(facts.stage.model) / CARD_FILE, (tokenizer.bos_token or "", tokenizer.eos_token or "")
    write(str(file), render_card(facts, answers, language, tokens, **picked).encode())
    stale = facts.table.in_state(State.STALE)
    return file, [
        f"{result.stage} {result.task}: of an earlier model, dropped; `{result.command}`" for result in stale
    ]


def render_card(
    facts: Facts, answers: list[Example], language: Language, tokens: tuple[str, str], **picked: PickedAnswer | None
) -> str:
    """Return the text of README.md. tokens: the tokenizer's BOS and EOS. picked: answers, `good` and `bad`."""
    template = card_template(f"model_card.{language}.md.jinja", **figures.filters(language))
    body = template.render(
        facts=facts,
        base_id=hub_id(facts.base),
        methods={stage: stage_method(stage) for stage in facts.runs},
        examples=answers,
        max_new_tokens=examples.MAX_NEW_TOKENS,
        picked=picked,
        repo=REPO,
        bos=tokens[0],
        eos=tokens[1],
        rank=adapter_rank(Path(facts.stage.model)) if facts.is_adapter else None,
        shares=system_prompt_shares(facts),
        translated=[
            source.name
            for source in facts.sources
            if (upstream := find_upstream(source.path)) and upstream.translated
        ],
        hub_datasets=hub_datasets(facts),
        none_stated=NONE_STATED,
        limited=[task for task, result in facts.results.items() if result.settings.get("limit") is not None],
        local=[
            task
            for task, result in facts.results.items()
            if result.settings.get("data", text.FROM_HUB) != text.FROM_HUB
        ],
        judged=figures.judged_tables(facts),
        notes=figures.notes(facts, language),
        not_measured=figures.not_measured(facts),
        resamples=RESAMPLES,
        least=LEAST,
    )
    return f"---\n{header(facts).to_yaml()}\n---\n\n{body.strip()}\n"


def system_prompt_shares(facts: Facts) -> dict[str, float]:
    """Return the share of rows that got the recipe's system prompt, by the source's name, where any did."""
    entries = [entry for entry in facts.manifest.config.get("sources", []) if entry.get("add_system_prompt")]
    probabilities = {entry["name"] or entry["source"]: entry["probability"] for entry in entries}
    shares = {name: 1.0 if share is None else share for name, share in probabilities.items()}
    return {source.name: shares[source.name] for source in facts.sources if source.name in shares}


def hub_datasets(facts: Facts) -> list[str]:
    """Return the sources that are datasets on the hub."""
    return list(dict.fromkeys(source.path for source in facts.sources if source.revision and hub_id(source.path)))


def header(facts: Facts) -> ModelCardData:
    """Return the header in the hub's own fields; what is only on this machine is not in it."""
    base, results = hub_id(facts.base), list(_eval_results(facts))
    lora = ["lora"] if any(run.config.get("adapter") in ("lora", "qlora") for run in facts.runs.values()) else []
    return ModelCardData(
        base_model=base,
        base_model_relation=("adapter" if facts.is_adapter else "finetune") if base else None,
        datasets=hub_datasets(facts) or None,
        language=sorted({source.language for source in facts.sources}, key=lambda name: (name != "ko", name)),
        license=facts.terms.license,
        license_name=facts.terms.name,
        license_link=facts.terms.link,
        library_name="peft" if facts.is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=list(dict.fromkeys(["rabbit-ko", "axolotl", *lora, *_methods(facts.runs)])),
        **({"model_name": facts.title, "eval_results": results} if results else {}),
        **{RUN_DIGEST: file_digest(Path(facts.stage.model) / RUN_FILE), PARITY_DIGEST: parity_digest(facts.parity)},
    )


def _methods(stages: Iterable[str]) -> Iterator[str]:
    """Yield each stage behind the method that it is a round of, if it is one."""
    for stage in stages:
        yield stage.partition("-")[0]
        yield stage


def _eval_results(facts: Facts) -> Iterator[EvalResult]:
    """Yield the stage's figures that are of its model and of the data on the hub, with their shots and limits."""
    for row in facts.table.rows:
        figure = row.figures.get(facts.stage.name)
        if not figure or figure.score.value is None or figure.result.state is not State.CURRENT:
            continue
        result, settings = figure.result, figure.result.settings
        is_logickor = row.bench.startswith(LOGICKOR) and not result.is_contest
        if settings.get("data") != text.FROM_HUB or not (row.suite in SUITES or is_logickor):
            continue
        config: dict[str, Any] = result.harness.get("configs", {}).get(row.task, {})
        conditions = {"num_few_shot": settings.get("shots"), "limit": settings.get("limit")}
        yield EvalResult(
            task_type="text-generation",
            task_name="Text Generation",
            dataset_type="maywell/LogicKor" if is_logickor else SUITES[row.suite].data,
            dataset_name=f"{row.suite if is_logickor else row.task} ({text.describe(result)})",
            # The hub puts figures of one dataset and config together; those of two judges are not of one kind.
            dataset_config=row.suite if is_logickor else config.get("dataset_name"),
            dataset_split=config.get("test_split") or config.get("validation_split"),
            dataset_args={key: value for key, value in conditions.items() if value is not None} or None,
            metric_type=row.metric.partition(",")[0],
            metric_name=f"{row.task} {row.metric}" if is_logickor else row.metric,
            metric_value=round(figure.score.value, 4),
        )
