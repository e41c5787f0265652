"""What must hold between the tokenizer, the base model and the project's prompt before a row is read."""

from collections.abc import Iterator
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template
from prompt_strategies.tokens import encode


def find_tokenizer_mistake(cfg: Any, tokenizer: Any, template: Template) -> str | None:
    """Return the first mistake as one line, or None."""
    return next(_mistakes(cfg, tokenizer, template), None)


def _mistakes(cfg: Any, tokenizer: Any, template: Template) -> Iterator[str]:
    for name in ("eos_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            yield f"special_tokens.{name}: the tokenizer has none; name one here"
    if tokenizer.chat_template != chat_template(template):
        yield "chat_template: the tokenizer's is not the one that this stage's prompt needs"
    if cfg.rl and not cfg.guard_any_dpo_base:
        yield from _trained_with_another_prompt(cfg.base_model, template)
    stops = stop_tokens(cfg.base_model)
    if tokenizer.eos_token_id not in stops:
        names = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(stops))) or "nothing"
        yield (
            f"special_tokens.eos_token: {tokenizer.eos_token!r} would be trained, but the model's generation config "
            f"stops at {names}; name one of those here, or mend the base's generation_config.json"
        )
    yield from _joins_with_a_space(tokenizer, template)


def stop_tokens(base_model: str) -> list[int]:
    """Return the ids that the base's generation config stops at, or else its config's."""
    try:
        eos = GenerationConfig.from_pretrained(base_model).eos_token_id
    except OSError:
        eos = AutoConfig.from_pretrained(base_model).eos_token_id
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


def _trained_with_another_prompt(base_model: str, template: Template) -> Iterator[str]:
    if AutoTokenizer.from_pretrained(base_model).chat_template != chat_template(template):
        yield (
            f"base_model: {base_model} was trained with another prompt than this stage's type asks for; use the same "
            "one of qir and iir in both stages, and the same version of the template"
        )


def _joins_with_a_space(tokenizer: Any, template: Template) -> Iterator[str]:
    prompt, answer = encode(tokenizer, [template.response, "답"])
    if tokenizer.decode(prompt + answer) != f"{template.response}답":
        yield (
            "base_model: its tokenizer puts a space before each text that it encodes, so prompt and answer cannot be "
            "encoded apart, as this project does to keep the mask's edge exact"
        )
