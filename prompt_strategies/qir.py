"""`type: prompt_strategies.qir`: Question-Instruction-Response; the last answer of a conversation is trained."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from prompt_strategies.required import require_guard
from prompt_strategies.sft import SftStrategy
from prompt_strategies.template import QIR
from prompt_strategies.turns import last_answer


def load(tokenizer: PreTrainedTokenizerBase, cfg: Any) -> SftStrategy:
    """Make the strategy, as axolotl asks for it; raises SystemExit where the guard is not loaded."""
    require_guard()
    return SftStrategy(tokenizer, cfg.sequence_len, QIR, last_answer)
