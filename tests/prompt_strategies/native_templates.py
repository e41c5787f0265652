"""Each chat template of axolotl's package, with a tokenizer that has the control tokens of the template's makers.

Qwen's and Meta's templates run on their own tokenizers, where those are at hand. The others run on the smoke
recipe's: what matters of a maker's tokenizer is which texts are one token, which of them are marked as special,
whether white space beside them is swallowed, what ends a turn, and whether BOS is put in front of a text.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from axolotl.utils.chat_templates import get_chat_template
from tokenizers import AddedToken, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from prompt_strategies.native_template import with_fixed_date

Load = Callable[[str], PreTrainedTokenizerBase]


@dataclass(frozen=True)
class Maker:
    """A maker's tokenizer: the token that ends a turn, its BOS, and its other control tokens.

    `plain` ones are added, but not marked as special. `on` names the tokenizer whose vocabulary it has.
    """

    end: str
    bos: str | None = None
    special: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    adds_bos: bool = True
    strips: str = ""
    on: str = "smoke"
    template: str | None = None


_LLAMA_3 = Maker("<|eot_id|>", "<|begin_of_text|>", on="llama-3")
_QWEN = Maker("<|im_end|>", on="qwen3")
_QWEN_PLAIN = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
_QWEN_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_CHATML = ("<|im_start|>", "<|endoftext|>")
_GEMMA = Maker("<end_of_turn>", "<bos>", ("<eos>", "<pad>", "<unk>", "<start_of_turn>"))
_GEMMA_4 = Maker(
    "<turn|>",
    "<bos>",
    (
        *("<eos>", "<pad>", "<unk>", "<|turn>", "<|channel>", "<channel|>", "<|think|>", '<|"|>', "<|image|>"),
        *("<|audio|>", "<|video|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>"),
        *("<|tool_response>", "<tool_response|>"),
    ),
)
_COHERE = Maker(
    "<|END_OF_TURN_TOKEN|>",
    "<BOS_TOKEN>",
    ("<EOS_TOKEN>", "<PAD_TOKEN>"),
    ("<|START_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
)
_COMMAND_A = Maker(
    _COHERE.end,
    _COHERE.bos,
    _COHERE.special,
    (
        *_COHERE.plain,
        *("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_THINKING|>", "<|END_THINKING|>"),
        *("<|START_ACTION|>", "<|END_ACTION|>", "<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>"),
    ),
)
# Mistral's first tokenizer has no token for [INST], which is text in it.
_MISTRAL_V1 = Maker("</s>", "<s>", ("<unk>",))
_MISTRAL = Maker(
    "</s>",
    "<s>",
    (
        *("<unk>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[IMG]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    ),
)
_DEEPSEEK = Maker(
    "<｜end▁of▁sentence｜>",
    "<｜begin▁of▁sentence｜>",
    ("<｜▁pad▁｜>",),
    (
        *("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>"),
        *("<｜tool▁call▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>"),
        *("<｜tool▁output▁end｜>", "<｜tool▁sep｜>"),
    ),
)
_EXAONE_ROLES = ("[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[PAD]", "[UNK]")
_PHI_3 = Maker(
    "<|end|>",
    "<s>",
    ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>"),
    adds_bos=False,
    strips="right",
)
_LLAMA_4 = ("<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|python_start|>", "<|python_end|>")

# By the name in axolotl, or another where a template is here with more than one tokenizer.
MAKERS = {
    "alpaca": Maker("</s>", "<s>", ("<unk>",)),
    "aya": _COHERE,
    "chatml": Maker("<|im_end|>", special=_CHATML),
    "cohere": _COHERE,
    "command_a": _COMMAND_A,
    "command_a_rag": _COMMAND_A,
    "command_a_tool_use": _COMMAND_A,
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "exaone": Maker("[|endofturn|]", "[BOS]", _EXAONE_ROLES, adds_bos=False),
    "exaone4": Maker("[|endofturn|]", "[BOS]", _EXAONE_ROLES, _QWEN_PLAIN, adds_bos=False),
    "falcon_h1": Maker("<|im_end|>", "<|begin_of_text|>", _CHATML, _QWEN_PLAIN, adds_bos=False),
    "gemma": _GEMMA,
    "gemma3": _GEMMA,
    "gemma3n": _GEMMA,
    "gemma4": _GEMMA_4,
    "gemma4_unified": _GEMMA_4,
    "jamba": Maker(
        "<|eom|>",
        "<|startoftext|>",
        ("<|endoftext|>", "<|pad|>", "<|unk|>", "<|bom|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"),
    ),
    "llama3": _LLAMA_3,
    "llama3_no_bos": Maker(_LLAMA_3.end, _LLAMA_3.bos, on="llama-3-no-bos", template="llama3"),
    "llama3_2_vision": _LLAMA_3,
    "llama4": Maker("<|eot|>", "<|begin_of_text|>", _LLAMA_4),
    "llava": Maker("</s>", "<s>", ("<unk>", "<image>")),
    "metharme": Maker("</s>", "<s>", ("<unk>", "<|system|>", "<|user|>", "<|model|>")),
    "mistral_v1": _MISTRAL_V1,
    "mistral_v2v3": _MISTRAL,
    "mistral_v3_tekken": _MISTRAL,
    "mistral_v7_tekken": _MISTRAL,
    "nemotron_h": Maker("<|im_end|>", "<s>", ("</s>", "<|im_start|>"), _QWEN_PLAIN, adds_bos=False),
    "phi_3": _PHI_3,
    "phi_35": _PHI_3,
    "phi_4": Maker("<|im_end|>", "<|endoftext|>", ("<|im_start|>", "<|im_sep|>"), adds_bos=False, strips="both"),
    "pixtral": _MISTRAL,
    "qwen2_vl": _QWEN,
    "qwen3": _QWEN,
    # As Qwen ships it, in the tokenizer's own files.
    "qwen3_own": Maker(_QWEN.end, on="qwen3", template="tokenizer_default"),
    "qwen3_5": Maker("<|im_end|>", special=(*_CHATML, *_QWEN_VISION), plain=_QWEN_PLAIN),
    "qwen_25": _QWEN,
}

# Why no row can be trained: the answer's beginning is not what is asked with, or the turn has no end of its own.
DROPS_ALL = {
    "command_a_rag": "TURN_INSIDE",
    "command_a_tool_use": "TURN_INSIDE",
    "gemma4": "NOT_CONTINUED",
    "gemma4_unified": "NOT_CONTINUED",
    "llava": "NO_END",
}
# Why those with a system prompt cannot: Gemma 2 has none, and Mistral's leaves a question that is answered.
DROPS_SYSTEM = {
    "gemma": "REFUSED",
    "mistral_v2v3": "NOT_CONTINUED",
    "mistral_v3_tekken": "NOT_CONTINUED",
    "pixtral": "NOT_CONTINUED",
}


def native_tokenizer(name: str, load: Load) -> PreTrainedTokenizerBase:
    """Return a template's tokenizer as the guard leaves it, with a fixed date; `load` returns one by its name."""
    maker = MAKERS[name]
    base = load(maker.on)
    template = get_chat_template(maker.template or name, tokenizer=base)
    tokenizer = with_tokens(base, maker)
    tokenizer.chat_template = with_fixed_date(template)
    return tokenizer


def with_tokens(base: PreTrainedTokenizerBase, maker: Maker) -> PreTrainedTokenizerFast:
    """Return a copy of a fast tokenizer that has a maker's control tokens, BOS and turn's end."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_with_added(base, maker) if maker.on == "smoke" else base.backend_tokenizer,
        bos_token=maker.bos,
        eos_token=maker.end,
        pad_token=base.pad_token or maker.end,
        clean_up_tokenization_spaces=False,
    )


def _with_added(base: PreTrainedTokenizerBase, maker: Maker) -> Any:
    backend = deepcopy(base.backend_tokenizer)
    sides: dict[str, Any] = {"lstrip": maker.strips == "both", "rstrip": maker.strips in ("both", "right")}
    bos = (maker.bos,) if maker.bos else ()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in bos])
    special = (maker.end, *maker.special)
    backend.add_special_tokens([AddedToken(token, normalized=False, **sides) for token in special])
    backend.add_tokens([AddedToken(token, normalized=False, **sides) for token in maker.plain])
    if maker.bos and maker.adds_bos:
        ids = [(maker.bos, backend.token_to_id(maker.bos))]
        backend.post_processor = processors.TemplateProcessing(single=f"{maker.bos} $A", special_tokens=ids)
    else:
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return backend


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids that stand for one text each, marked as special or not."""
    added = json.loads(tokenizer.backend_tokenizer.to_str())["added_tokens"]
    return frozenset(token["id"] for token in added)
