"""A recipe of one's own, copied from another: its names and paths, its base, and the tokens of that base."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axolotl_plugins.checks.base_model import stop_tokens
from axolotl_plugins.checks.model_files import accept_any_width
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import find_method
from rabbit_ko.recipes import CONFIGS, PAIRS, Recipe, built_rows, read_config

# Tokens that public models have for padding, or have to spare.
PADDING = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<|endoftext|>", "<unk>")
_BASE = re.compile(r"(?m)^base_model: (?:runs/([^/\n]+)/[\w-]+/merged)?.*$")


def copy_recipe(source: Recipe, name: str, base: str = "") -> Iterator[str]:
    """Copy a recipe and yield a line on each thing that was decided.

    Raises UserError where the name is taken or no name, or the base's tokenizer cannot be loaded.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"{name}: a recipe's name has letters, digits, dots, dashes and underscores only")
    if Recipe(name).data == PAIRS:
        raise UserError(f"{name}: {PAIRS} is the folder of all recipes' pairs; choose another name")
    target = CONFIGS / name
    if target.exists():
        raise UserError(f"{target}: is there already; choose another name")
    base = str(Path(base).expanduser()) if base.startswith("~") else base
    tokens = special_tokens(base) if base else None
    made = ["make_base_model.py"] if base else []  # a script is for the base of the recipe that it is in
    shutil.copytree(source.folder, target, ignore=shutil.ignore_patterns("__pycache__", *made))
    for file in sorted(target.glob("*.yaml")):
        text = f"# {name}: copied from {source.name}.\n" + renamed(file.read_text(encoding="utf-8"), name)
        if tokens is not None:
            text = with_tokens(with_base(text, base, name), tokens)
        file.write_text(text, encoding="utf-8")
    yield f"{target}: copied from {source.folder}"
    if tokens is not None:
        said = ", ".join(f"{key} {token}" for key, token in tokens.items()) or "its tokenizer's own tokens"
        yield f"base_model: {base}, with {said}"


def find_config(recipe: Recipe, stage: str) -> Path:
    """Return the place of a stage's YAML. Raises UserError where there is none, and says how to write a round's."""
    config = recipe.config(stage)
    if not config.exists():
        advice = _command_for(recipe, stage)
        raise UserError(f"recipe {recipe.name} has no {config.name}{advice and f'; write it with `{advice}`'}")
    return config


def _command_for(recipe: Recipe, stage: str) -> str:
    """Return the command that makes a round's YAML of that of the round before it; empty where there is none.

    The first round is made of the method's own YAML, with pairs in the place of the rows that it trains on.
    """
    name, _, number = stage.partition("-")
    before = f"{name}-{int(number) - 1}" if number > "1" else name
    method, start = find_method(stage), find_method(before)
    if not number or method is None or start is None or not recipe.config(before).exists():
        return ""
    if before == name:
        changes = {f"runs/{recipe.name}/{name}": f"runs/{recipe.name}/{stage}"}
        rows = sorted(map(str, built_rows(read_config(recipe.config(before)))))
        changes |= {path: f"{recipe.pairs(str(method.parent))}/dpo" for path in rows}
    else:
        changes = {before: stage, f"{recipe.name}/{start.parent}": f"{recipe.name}/{before}"}
    changes |= {"^.   make .*": f"\\#   make pairs {stage} RECIPE={recipe.name} STAGE={method.parent}"}
    edits = " ".join(f"-e 's#{old}#{new}#g'" for old, new in changes.items())
    return f"sed {edits} {recipe.config(before)} > {recipe.config(stage)}"


def renamed(text: str, name: str) -> str:
    """Return a YAML's text with this recipe's name in its paths and commands."""
    text = re.sub(r"(?<![\w./-])(data(?:/pairs)?+|runs)/[\w-][\w.-]*(?=/|\s|$)", rf"\1/{name}", text)
    text = re.sub(r"(?<![\w./-])axolotl_configs/(?!deepspeed/|fsdp/)[\w.-]+(?=/)", f"axolotl_configs/{name}", text)
    return re.sub(r"(?<=RECIPE=)[\w.-]+", name, text)


def with_base(text: str, base: str, name: str) -> str:
    """Return a stage's YAML with another base; one that starts from a merged model of the recipe keeps that."""
    text = text.replace(f"the model that axolotl_configs/{name}/make_base_model.py makes", base)
    return _BASE.sub(lambda line: line[0] if line[1] == name else f"base_model: {base}", text)


def with_tokens(text: str, tokens: dict[str, str]) -> str:
    """Return a stage's YAML with these special tokens in the place of its own."""
    without = re.sub(r"(?m)^special_tokens:\n(?:[ #].*\n)*", "", text)
    if not tokens:
        return without
    block = "special_tokens:\n" + "".join(f'  {key}: "{token}"\n' for key, token in tokens.items())
    return re.sub(r"(?m)^(base_model: .*\n)", lambda match: match[1] + block, without)


def special_tokens(base: str) -> dict[str, str]:
    """Return the tokens that a stage has to name for this base.

    eos_token where the tokenizer's own is not one that generation stops at, pad_token where the tokenizer has none of
    its own. Raises UserError where the tokenizer cannot be loaded, or nothing in it can be EOS or padding.
    """
    tokenizer = _load(base)
    found = {}
    stops = stop_tokens(base)
    if tokenizer.eos_token_id not in stops:
        names = [token for token in tokenizer.convert_ids_to_tokens(stops) if token]
        if not names:
            raise UserError(f"{base}: neither its tokenizer nor its generation config says what ends an answer")
        found["eos_token"] = names[-1]
    ends = {found.get("eos_token"), tokenizer.eos_token}
    if tokenizer.pad_token is None or tokenizer.pad_token in ends:
        known = tokenizer.get_vocab()
        spare = next((token for token in PADDING if token in known and token not in ends), None)
        if spare is None:
            raise UserError(f"{base}: its tokenizer has no token to pad with; name one under special_tokens by hand")
        found["pad_token"] = spare
    return found


def _load(base: str) -> Any:
    from transformers import AutoTokenizer

    accept_any_width()
    try:
        return AutoTokenizer.from_pretrained(Path(base) if Path(base).is_dir() else base, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{base}: its tokenizer cannot be loaded: {reason(error)[:200]}") from None
