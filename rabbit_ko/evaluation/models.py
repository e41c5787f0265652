"""Load a stage's model with its tokenizer, and let it answer."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Messages
from prompt_strategies.tokens import adds_bos
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.stages import Stage, adapter_base
from rabbit_ko.hub import hub_id


class Answer(NamedTuple):
    """What a model answered; `is_cut` where it reached max_new_tokens."""

    text: str
    is_cut: bool


def load_tokenizer(stage: Stage) -> Any:
    """Load a stage's tokenizer, with the recipe's prompt as chat template and one BOS. Raises UserError."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(stage.model)
    except (OSError, ValueError) as error:
        raise UserError(f"{stage.model}: the tokenizer cannot be loaded: {reason(error)}") from None
    tokenizer.chat_template = chat_template(stage.template)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.bos_token_id is not None and not adds_bos(tokenizer):
        bos = tokenizer.bos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.bos_token_id)]
        )
    return tokenizer


def load_stage(stage: Stage) -> tuple[Any, Any]:
    """Load a stage's model, an adapter merged into its base, and its tokenizer. Raises UserError."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer, base = load_tokenizer(stage), adapter_base(Path(stage.model))
    if base and hub_id(base) is None and not Path(base).is_dir():
        raise UserError(
            f"{stage.model}: the adapter is on {base}, which is gone; put that folder back, or train again"
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(base or stage.model, dtype="auto")
        if base:
            from peft import PeftModel  # two seconds that a merged model does not need

            if len(tokenizer) > model.get_input_embeddings().num_embeddings:  # a token was added in training
                model.resize_token_embeddings(len(tokenizer))
            model = PeftModel.from_pretrained(model, stage.model).merge_and_unload()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{stage.model}: the model cannot be loaded: {reason(error)}") from None
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def adapter_rank(folder: Path) -> int:
    """Return the rank of the adapter in a folder."""
    return int(json.loads((folder / "adapter_config.json").read_bytes())["r"])


def generate(model: Any, tokenizer: Any, conversations: list[Messages], max_new_tokens: int) -> list[Answer]:
    """Answer conversations in one batch, greedily."""
    import torch

    prompts = tokenizer.apply_chat_template(
        conversations, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    greedy = {"do_sample": False, "temperature": None, "top_p": None, "pad_token_id": tokenizer.pad_token_id}
    with torch.inference_mode():
        output = model.generate(**prompts.to(model.device), max_new_tokens=max_new_tokens, **greedy)
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    answers = output[:, prompts["input_ids"].shape[1] :].tolist()
    return [Answer(tokenizer.decode(ids, skip_special_tokens=True), ends.isdisjoint(ids)) for ids in answers]
