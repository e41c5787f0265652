"""What must hold of the model that a stage starts from: which run it is of, what it was trained on, its tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.utils.logging import set_verbosity_error

from axolotl_plugins.checks.model_files import (
    ADAPTER,
    ADAPTER_CONFIG,
    BASE_OF_ADAPTER,
    accept_any_width,
    check_model,
    loading,
    trusts,
)
from axolotl_plugins.resume.identity import base_fingerprint, shards_fingerprint
from prompt_strategies.chat_template import chat_template
from prompt_strategies.conformance import check_template
from prompt_strategies.native_template import resolve_chat_template
from prompt_strategies.template import Native, template_for
from prompt_strategies.tokens import encode
from rabbit_ko import storage
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.hashing import file_digest
from rabbit_ko.methods import METHODS, method_of
from rabbit_ko.recipes import PAIRS, RUN_FILE, RUNS, Recipe, data_of_recipe
from rabbit_ko.run_record import check_run, is_as_merged, remedy

# In the merged model's config.json: the hash of the adapter that was merged into it.
MERGED_ADAPTER = "merged_adapter_sha256"


def check_base_is_reachable(path: Path, base: str) -> None:
    """Raise UserError where the base of the stage in `path` is neither a folder nor to be had from the hub."""
    if Path(base).expanduser().is_dir() or Path(base).is_relative_to(RUNS):
        return
    if looks_like_a_path(base):
        raise UserError(f"{path}: base_model: {base}: no such folder")
    set_verbosity_error()
    try:
        hf_hub_download(base, "config.json")
    except Exception as error:  # the network's, the hub's or a bad name's
        raise UserError(
            f"{path}: base_model {base} is no folder here, and the hub says: {reason(error)}; check its name and the "
            "network, and where it is gated accept its license on the hub and run `hf auth login`"
        ) from None


def looks_like_a_path(base: str) -> bool:
    """Tell a folder's path from a name on the hub, which is `name` or `org/name`."""
    return base.startswith((".", "/", "~")) or base.count("/") > 1 or base.endswith("/")


def adapter_digest(folder: Path) -> str:
    """Return the hash of a run's adapter; empty where the run trained all weights."""
    return file_digest(folder / ADAPTER) if (folder / ADAPTER).exists() else ""


def name_base_absolutely(folder: Path) -> None:
    """Let an adapter be loaded from any working directory: peft looks for a base that is a folder from there."""
    file = folder / ADAPTER_CONFIG
    config = json.loads(file.read_bytes())
    if (base := Path(config[BASE_OF_ADAPTER])).is_dir():
        config[BASE_OF_ADAPTER] = str(base.absolute())
        storage.write(str(file), (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())


def merged_is_current(run: Path, *, thorough: bool = True) -> bool:
    """Tell whether a run's merged model is what the merge wrote, and of the adapter that is there now.

    thorough: read large weights too; otherwise only their size counts.
    """
    merged = run / "merged"
    if not (merged / "tokenizer_config.json").is_file():
        return False
    try:
        config = read_object(merged / "config.json")
    except UserError:
        return False
    return config.get(MERGED_ADAPTER) == adapter_digest(run) and is_as_merged(merged, run, thorough=thorough)


def check_to_merge(run: Path, trusted: bool) -> None:
    """Raise UserError where an adapter is not what its run wrote, or its base not the one of its training."""
    record = check_run(run)
    for folder in (run, Path(str(record.config.get("base_model")))):
        check_model(folder, trusted)
    base, before = record.config.get("base_model"), record.made_of.get("the base model")
    now = base_fingerprint(record.config) if base and before else ""
    if before and now and before != now:
        raise UserError(
            f"{base}: is not the model that {run} was trained on; put that back, or train anew: {remedy(run)}"
        )


def load_base_tokenizer(cfg: Any) -> Any:
    """Load the tokenizer that a stage starts from, as it is. Raises UserError."""
    from transformers import AutoTokenizer  # slow to import; `rabbit sft` needs only the other checks

    name = cfg.get("tokenizer_config") or cfg["base_model"]
    accept_any_width()
    with loading(f"{name}: the tokenizer cannot be loaded", Path(name)):
        return AutoTokenizer.from_pretrained(
            name, revision=cfg.get("revision_of_model"), trust_remote_code=trusts(cfg)
        )


def stage_chat_template(cfg: Any) -> str:
    """Return the chat template that goes with a stage's type. Raises UserError where the base has none."""
    template = template_for(cfg["datasets"][0]["type"])
    return (
        resolve_chat_template(cfg, load_base_tokenizer(cfg))
        if isinstance(template, Native)
        else chat_template(template)
    )


def check_parent(cfg: Any, say: Callable[[str], None]) -> None:
    """Raise UserError unless the base is the merged model of the parent stage, on this recipe's data and prompt.

    say: is told of a round's rows that are no pairs of its parent's answers; those of another stage's are refused.
    """
    method, base = method_of(cfg), Path(cfg.base_model)
    if method.parent is None or cfg.guard_any_parent:
        return
    mistake = _parent_mistake(cfg, base, method.parent)
    if not mistake and method.name not in METHODS:  # so it is a round
        mistake = _pairs_mistake(cfg, _run_folder(base), say)
    if mistake:
        raise UserError(f"base_model: {cfg.base_model} {mistake}, or set `guard_any_parent: true` to start from any")


def _run_folder(base: Path) -> Path:
    return base if (base / RUN_FILE).exists() else base.parent


def _pairs_mistake(cfg: Any, run_folder: Path, say: Callable[[str], None]) -> str | None:
    *_, recipe, stage = run_folder.absolute().parts
    own = Recipe(recipe).pairs(stage)
    for entry in cfg.datasets:
        folder = Path(entry["path"]).resolve()
        if folder.is_relative_to(own.resolve()):
            continue
        if folder.is_relative_to(PAIRS.resolve()):
            return f"did not give the answers in {entry['path']}; a round learns from those of its parent, {own}"
        say(f"datasets: {entry['path']} are not pairs of the parent's own answers, which would be in {own}")
    return None


def _parent_mistake(cfg: Any, base: Path, parent: str) -> str | None:
    run_folder = _run_folder(base)
    if not (run_folder / RUN_FILE).exists():
        return f"is not a merged {parent.upper()} model of this project; run `make {parent}` and `make merge`"
    run = check_run(run_folder)
    if method_of(run.config).name != parent or (base / ADAPTER_CONFIG).exists():
        return f"is not a merged {parent.upper()} model; run `make merge`"
    config = read_object(base / "config.json", remedy(base))
    if run_folder != base and config.get(MERGED_ADAPTER) != adapter_digest(run_folder):
        return f"was not merged from the adapter in {run_folder}; remove it and run `make merge`"
    if run_folder != base and not is_as_merged(base, run_folder, thorough=True):
        return "is no longer what the merge wrote; remove it and run `make merge`"
    trained_on = [entry for entry in run.datasets if Path(entry.path).is_dir()]
    for entry in trained_on:
        if shards_fingerprint(entry.model_dump()) != entry.fingerprint:
            return f"was trained on {entry.path} as it was before; run `make {parent}` again"
    ours = {str(data_of_recipe(Path(entry["path"]).parent)) for entry in cfg.datasets if Path(entry["path"]).is_dir()}
    theirs = {str(data_of_recipe(Path(entry.path).parent)) for entry in trained_on}
    if ours and theirs and ours.isdisjoint(theirs):
        return f"was trained on {min(theirs)}, and this run's rows are {min(ours)}'s; train both on one recipe's data"
    if load_base_tokenizer(cfg).chat_template != cfg.chat_template_jinja:
        return "was trained with another prompt than this stage's type asks for; use the same one in both stages"
    return None


def check_special_tokens(cfg: Any, say: Callable[[str], None]) -> None:
    """Raise UserError for a special token that the base does not have; say so of a pad token, which may be new."""
    tokens = {key: token for key, token in (cfg.special_tokens or {}).items() if isinstance(token, str)}
    if not tokens:
        return
    tokenizer = load_base_tokenizer(cfg)
    known = tokenizer.get_vocab()
    for key, token in tokens.items():
        if token in known:
            continue
        if key == "pad_token":
            say(
                f"special_tokens.pad_token: {token} is new to this base's vocabulary, so the adapter will hold whole "
                "embeddings, which makes it several times as large; a token that the base has would not"
            )
            continue
        stops = ", ".join(tokenizer.convert_ids_to_tokens(stop_tokens(cfg.base_model, trusts(cfg))))
        ends = f"; it stops at {stops}" if key == "eos_token" and stops else ""
        raise UserError(f"special_tokens.{key}: {token} is not in this base's vocabulary{ends}")


def check_tokenizer(cfg: Any, tokenizer: Any, say: Callable[[str], None]) -> None:
    """Raise UserError where the tokenizer does not fit the prompt, or its EOS not the base model.

    say: is told what is to be known of a chat template that keeps its promises.
    """
    template = template_for(cfg.datasets[0].type)
    stops = stop_tokens(cfg.base_model, trusts(cfg))
    if tokenizer.eos_token_id not in stops:
        names = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(stops))) or "nothing"
        raise UserError(
            f"special_tokens.eos_token: {tokenizer.eos_token!r} would be trained, but the model's generation config "
            f"stops at {names}; name one of those here, or mend the base's generation_config.json"
        )
    if isinstance(template, Native):
        for finding in check_template(tokenizer, stops):
            if finding.verdict == "broken":
                raise UserError(
                    f"chat template: {finding.promise}: {finding.said}; `rabbit template check` shows more"
                )
            if finding.verdict == "rows":
                say(f"chat template: {finding.promise}: {finding.said}")
        return
    prompt, answer = encode(tokenizer, [template.response, "답"])
    if tokenizer.decode(prompt + answer) != f"{template.response}답":
        raise UserError(
            "base_model: its tokenizer puts a space before each text that it encodes, so prompt and answer cannot be "
            "encoded apart, as this project does to keep the mask's edge exact"
        )


def stop_tokens(base_model: str, trusted: bool = False) -> list[int]:
    """Return the ids that the base's generation config stops at, or else its config's."""
    from transformers import AutoConfig, GenerationConfig

    try:
        eos = GenerationConfig.from_pretrained(base_model).eos_token_id
    except OSError:
        eos = AutoConfig.from_pretrained(base_model, trust_remote_code=trusted).eos_token_id
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
