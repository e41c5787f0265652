"""What must hold between the tokenizer, the base model and the project's prompt before a row is read."""

from collections.abc import Iterator
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template
from prompt_strategies.tokens import encode
from rabbit_ko.methods import method_of


def find_tokenizer_mistake(cfg: Any, tokenizer: Any, template: Template) -> str | None:
    """Return the first mistake as one line, or None."""
    return next(_mistakes(cfg, tokenizer, template), None)


def _mistakes(cfg: Any, tokenizer: Any, template: Template) -> Iterator[str]:
    expected = chat_template(template)
    for name in ("eos_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            yield f"special_tokens.{name}: the tokenizer has none; name one here"
    if tokenizer.chat_template != expected:
        yield "chat_template: the tokenizer's is not the one that this stage's prompt needs"
    has_parent = method_of(cfg).parent and not cfg.guard_any_parent
    if has_parent and AutoTokenizer.from_pretrained(cfg.base_model).chat_template != expected:
        yield (
            f"base_model: {cfg.base_model} was trained with another prompt than this stage's type asks for; use the "
            "same template in both stages, and the same version of it"
        )
    stops = stop_tokens(cfg.base_model)
    if tokenizer.eos_token_id not in stops:
        names = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(stops))) or "nothing"
        yield (
            f"special_tokens.eos_token: {tokenizer.eos_token!r} would be trained, but the model's generation config "
            f"stops at {names}; name one of those here, or mend the base's generation_config.json"
        )
    prompt, answer = encode(tokenizer, [template.response, "답"])
    if tokenizer.decode(prompt + answer) != f"{template.response}답":
        yield (
            "base_model: its tokenizer puts a space before each text that it encodes, so prompt and answer cannot be "
            "encoded apart, as this project does to keep the mask's edge exact"
        )


def stop_tokens(base_model: str) -> list[int]:
    """Return the ids that the base's generation config stops at, or else its config's."""
    try:
        eos = GenerationConfig.from_pretrained(base_model).eos_token_id
    except OSError:
        eos = AutoConfig.from_pretrained(base_model).eos_token_id
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
