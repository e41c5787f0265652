"""A native chat template in plain Jinja, which llama.cpp's own engine renders as well: what a pattern does.

It has a part of Jinja only: https://github.com/ggml-org/llama.cpp/blob/master/common/jinja/README.md
"""

import json
import string
import sys

from prompt_strategies.probes import ASKED, QUESTION, TOLD
from prompt_strategies.tokens import Tokenizer
from rabbit_ko.export._pattern import ROLES, Pattern, fill

# Blanks that llama.cpp's `trim` leaves, which takes those of ASCII alone.
_BLANKS = [character for character in map(chr, range(sys.maxunicode)) if character.isspace()]
# It knows no escapes of them.
_OTHERS = ", ".join(f"'{blank}'" for blank in _BLANKS if blank not in string.whitespace)
# Text is bytes in llama.cpp and characters elsewhere: a blank of three is replaced by three, so that a place in the
# one text is the same in the other, and no letter is cut.
STRIP_CONTENT = f"""\
{{%- set blanks = namespace(text=content) %}}\
{{%- for blank in [{_OTHERS}] %}}\
{{%- set blanks.text = blanks.text.replace(blank, ' ' * (blank | length)) %}}\
{{%- endfor %}}\
{{%- set begin = (content | length) - (blanks.text.lstrip() | length) %}}\
{{%- set content = content[begin:(blanks.text.rstrip() | length)] %}}"""
_STRIP = f"""\
{{%- set content = message['content'] %}}\
{{%- if content is string %}}{STRIP_CONTENT}{{%- endif %}}"""
_LAYOUT = """\
{{- @bos }}
{%- set chat = namespace(told=@none, begun=false) %}
{%- for message in messages %}
@strip
{%- if message['role'] == 'system' and @opens %}
{%- set chat.told = @system %}
{%- elif message['role'] == 'user' and loop.last %}
{{- (@last if chat.begun else @only) + @user + (@end if add_generation_prompt else @closing) }}
{%- elif message['role'] == 'user' %}
{{- (@question if chat.begun else @first) + @user }}
{%- set chat.begun = true %}
{%- elif message['role'] == 'assistant' and chat.begun %}
{{- @answer + @assistant }}
{%- else %}
{{- raise_exception('messages must be: @order') }}
{%- endif %}
{%- endfor %}
"""


def jinja_template(pattern: Pattern, tokenizer: Tokenizer, has_bos: bool) -> str:
    """Return the Jinja source that renders what a pattern does, with BOS where the prompt has one."""
    parts = {name: _piece(told, plain, pattern) for name, (told, plain) in pattern.pieces.items()}
    parts["closing"] = _string(_without_generation(tokenizer))
    content = {role: "content | trim" if role in pattern.stripped else "message['content']" for role in ROLES}
    parts["strip"] = _STRIP if pattern.stripped else ""
    parts |= {role: f"({text})" for role, text in content.items()}
    parts |= {"bos": "bos_token" if has_bos else "''", "none": "none" if pattern.takes_blank else "''"}
    parts["opens"] = "false" if pattern.told is None else "loop.first"
    parts["order"] = f"{'' if pattern.told is None else 'system (optional), then '}user and assistant in turn"
    return fill("".join(line.strip() for line in _LAYOUT.splitlines()), parts)


def _without_generation(tokenizer: Tokenizer) -> str:
    """Return what the tokenizer's template writes behind a question where no answer is asked for."""
    text: str = tokenizer.apply_chat_template([QUESTION], tokenize=False, add_generation_prompt=False)
    return text.partition(ASKED)[2]


def _piece(told: str, plain: str, pattern: Pattern) -> str:
    """Return an expression for one of two texts, the first of them where there is a system message."""
    with_system = " + chat.told + ".join(map(_string, told.split(TOLD)))
    if told == plain:
        return f"({with_system})"
    is_told = "chat.told is not none" if pattern.takes_blank else "chat.told"
    return f"({with_system} if {is_told} else {_string(plain)})"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
