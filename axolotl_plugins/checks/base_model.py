"""What must hold of the model that a stage starts from: which run it is of, what it was trained on, its tokenizer."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from axolotl_plugins.fingerprints import shards_fingerprint
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template
from prompt_strategies.tokens import encode
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import file_digest
from rabbit_ko.methods import method_of
from rabbit_ko.recipes import RUN_FILE

# In the merged model's config.json: the hash of the adapter that was merged into it.
MERGED_ADAPTER = "merged_adapter_sha256"
ADAPTER = "adapter_model.safetensors"


def adapter_digest(folder: Path) -> str:
    """Return the hash of a run's adapter; empty where the run trained all weights."""
    adapter = folder / ADAPTER
    return file_digest(adapter) if adapter.exists() else ""


def check_parent(cfg: Any, template: Template) -> None:
    """Raise UserError unless the base is the merged model of the method's parent, on this recipe's data and prompt.

    A method without a parent starts from any base, and so does a stage with `guard_any_parent`.
    """
    parent = method_of(cfg).parent
    if parent is None or cfg.guard_any_parent:
        return
    if mistake := _parent_mistake(cfg, Path(cfg.base_model), parent, template):
        unless = "or set `guard_any_parent: true` to start from any model"
        raise UserError(f"base_model: {cfg.base_model} {mistake}, {unless}")


def _parent_mistake(cfg: Any, base: Path, parent: str, template: Template) -> str | None:
    run_folder = base if (base / RUN_FILE).exists() else base.parent
    if not (run_folder / RUN_FILE).exists():
        return f"is not a merged {parent.upper()} model of this project; run `make {parent}` and `make merge`"
    run = json.loads((run_folder / RUN_FILE).read_text(encoding="utf-8"))
    if method_of(run.get("config", {})).name != parent or (base / "adapter_config.json").exists():
        return f"is not a merged {parent.upper()} model; run `make merge`"
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if run_folder != base and config.get(MERGED_ADAPTER) != adapter_digest(run_folder):
        return f"was not merged from the adapter in {run_folder}; remove it and run `make merge`"
    trained_on = [entry for entry in run.get("datasets", []) if Path(entry["path"]).is_dir()]
    for entry in trained_on:
        if shards_fingerprint(entry) != entry["fingerprint"]:
            return f"was trained on {entry['path']} as it was before; run `make {parent}` again"
    ours, theirs = _recipes(cfg.datasets), _recipes(trained_on)
    if ours and theirs and ours.isdisjoint(theirs):
        return f"was trained on {min(theirs)}, and this run's rows are {min(ours)}'s; train both on one recipe's data"
    if AutoTokenizer.from_pretrained(base).chat_template != chat_template(template):
        return "was trained with another prompt than this stage's type asks for; use the same one in both stages"
    return None


def _recipes(entries: Any) -> set[str]:
    return {str(Path(entry["path"]).parent) for entry in entries if Path(entry["path"]).is_dir()}


def check_tokenizer(cfg: Any, tokenizer: Any, template: Template) -> None:
    """Raise UserError where the tokenizer does not fit the prompt, or its EOS not the base model."""
    for name in ("eos_token", "pad_token"):
        if getattr(tokenizer, name) is None:
            raise UserError(f"special_tokens.{name}: the tokenizer has none; name one here")
    if tokenizer.chat_template != chat_template(template):
        raise UserError("chat_template: the tokenizer's is not the one that this stage's prompt needs")
    stops = stop_tokens(cfg.base_model)
    if tokenizer.eos_token_id not in stops:
        names = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(stops))) or "nothing"
        raise UserError(
            f"special_tokens.eos_token: {tokenizer.eos_token!r} would be trained, but the model's generation config "
            f"stops at {names}; name one of those here, or mend the base's generation_config.json"
        )
    prompt, answer = encode(tokenizer, [template.response, "답"])
    if tokenizer.decode(prompt + answer) != f"{template.response}답":
        raise UserError(
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
