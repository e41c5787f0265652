"""Writing a stage's card."""

from pathlib import Path

from rabbit_ko.evaluation.models import load_stage
from rabbit_ko.publishing.model_card.data import instructed
from rabbit_ko.publishing.model_card.examples import make_examples, read_shown
from rabbit_ko.publishing.model_card.facts import card_file, gather
from rabbit_ko.publishing.model_card.render import Language, render_card
from rabbit_ko.storage import write


def write_card(
    recipe: str, stage: str, language: Language, good: Path | None, bad: Path | None, license: str
) -> tuple[Path, list[str]]:
    """Write a card, whole or not at all; return its place, and a line on each stale result that is not in it.

    Raises UserError where something that it is written from is missing, and OSError where it cannot be written.
    """
    picked = [read_shown(file) if file else None for file in (good, bad)]
    facts = gather(recipe, stage, license)
    model, tokenizer = load_stage(facts.stage)
    instruction = facts.manifest.config["system_prompt"] if instructed(facts.manifest, facts.sources) else ""
    examples = make_examples(model, tokenizer, facts.stage.template, instruction)
    tokens = (tokenizer.bos_token or "", tokenizer.eos_token or "")
    file = card_file(facts.stage)
    write(str(file), render_card(facts, examples, language, tokens, *picked).encode())
    stale = [origin.result for origin in facts.stale]
    return file, [
        f"{result.stage} {result.task}: of an earlier model, dropped; `{result.command}`" for result in stale
    ]
