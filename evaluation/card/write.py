"""Writing a stage's card."""

from pathlib import Path

from dataset_builders.storage import write
from evaluation.card.data import instructed
from evaluation.card.examples import make_examples, read_shown
from evaluation.card.facts import card_file, gather
from evaluation.card.render import Language, render_card
from evaluation.models import load_stage
from evaluation.results.text import command


def write_card(
    recipe: str, stage: str, language: Language, good: Path | None, bad: Path | None, licence: str
) -> tuple[Path, list[str]]:
    """Write a card, whole or not at all; return its place, and a line on each stale result that is not in it.

    Raises UserError where something that it is written from is missing, and OSError where it cannot be written.
    """
    picked = [read_shown(file) if file else None for file in (good, bad)]
    facts = gather(recipe, stage, licence)
    model, tokenizer = load_stage(facts.stage)
    instruction = facts.manifest.config["instruction"] if instructed(facts.manifest, facts.sources) else ""
    examples = make_examples(model, tokenizer, facts.stage.template, instruction)
    tokens = (tokenizer.bos_token or "", tokenizer.eos_token or "")
    file = card_file(facts.stage)
    write(str(file), render_card(facts, examples, language, tokens, *picked).encode())
    stale = [origin.result for origin in facts.stale]
    return file, [
        f"{result.stage} {result.task}: of an earlier model, left out; `{command(result)}`" for result in stale
    ]
