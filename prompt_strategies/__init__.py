"""Prompt strategies for axolotl, by the `type` of a dataset entry; each of TEMPLATES has all of these.

`prompt_strategies.qir` trains the last answer of each conversation, `prompt_strategies.qir_every_turn` each answer as
a row, `prompt_strategies.qir_dpo` is for pairs of answers, and `prompt_strategies.qir_kto` for labelled ones.
"""

import sys
from functools import partial
from types import ModuleType
from typing import Any

from prompt_strategies import preferences
from prompt_strategies.messages import Targets
from prompt_strategies.template import PREFERENCES, TARGETS, TEMPLATES, Native, Template


def _load_sft(template: Template | Native, targets: Targets, tokenizer: Any, cfg: Any) -> Any:
    # Builders import this package where axolotl is not installed.
    from prompt_strategies.sft import SftStrategy, require_guard

    require_guard()
    return SftStrategy(tokenizer, cfg.sequence_len, template, targets)


# For SFT, axolotl imports a module by the type and calls its `load`; a module need not be a file.
for _name, _template in TEMPLATES.items():
    for _suffix, _targets in TARGETS.items():
        _module = ModuleType(f"{__name__}.{_name}{_suffix}")
        vars(_module)["load"] = partial(_load_sft, _template, _targets)
        sys.modules[_module.__name__] = _module
        globals()[f"{_name}{_suffix}"] = _module
    # For preferences, it calls what the type names, which has to be in a top-level package.
    for _rows, _suffix in PREFERENCES.items():
        globals()[f"{_name}{_suffix}"] = partial(preferences.load, _rows, _template)


def __getattr__(name: str) -> Any:
    """Say to type checkers that there are names which are not written out above."""
    raise AttributeError(f"{__name__} has no {name}")
