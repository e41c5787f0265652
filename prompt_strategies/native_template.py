"""Which chat template a native stage renders with, and the date that it writes."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from prompt_strategies.tokens import Tokenizer
from rabbit_ko.documents import read_text
from rabbit_ko.errors import UserError, suggest

# For templates that write today's date, which would be another one each day: that in Llama 3's where it knows none.
TODAY = date(2024, 7, 26)
_NOW = re.compile(r"""strftime_now\(\s*(["'])([^"']*)\1\s*\)""")


def resolve_chat_template(config: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """Return the chat template that a stage's config names: a file, axolotl's name, or else the tokenizer's own.

    One that writes today's date gets a fixed one. Raises UserError where there is none.
    """
    choice, given = config.get("chat_template"), config.get("chat_template_jinja")
    if given and "{" in str(given):
        found = str(given)
    elif given:
        found = read_text(Path(str(given)), "name a Jinja file in chat_template_jinja")
    elif choice in (None, "tokenizer_default"):
        if not tokenizer.chat_template:
            raise UserError("chat_template: missing, and the base's tokenizer has none; name axolotl's, or a file")
        found = _own(tokenizer)
    elif choice in known_templates():
        found = known_templates()[choice]
    else:
        raise UserError(f"chat_template: unknown template `{choice}`{suggest(str(choice), known_templates())}")
    return with_fixed_date(found)


def known_templates() -> dict[str, str]:
    """Return the chat templates that axolotl brings, by its names for them."""
    from axolotl.utils.chat_templates.base import _CHAT_TEMPLATES

    return dict(_CHAT_TEMPLATES)


def _own(tokenizer: Tokenizer) -> str:
    try:
        return str(tokenizer.get_chat_template())
    except ValueError:  # of several, and none of them for all
        raise UserError(f"chat_template: the base has {', '.join(tokenizer.chat_template)}; give a file") from None


def with_fixed_date(chat_template: str) -> str:
    """Return a chat template whose `strftime_now` gives the parts of one date, wherever it is rendered."""
    formats = sorted({found[2] for found in _NOW.finditer(chat_template)})
    if not formats or has_fixed_date(chat_template):
        return chat_template
    dates = json.dumps({form: TODAY.strftime(form) for form in formats})
    return f"{{%- macro strftime_now(format) %}}{{{{- {dates}[format] }}}}{{%- endmacro %}}{chat_template}"


def has_fixed_date(chat_template: str) -> bool:
    """Tell whether a chat template writes a date that was fixed."""
    return "{%- macro strftime_now(format) %}" in chat_template
