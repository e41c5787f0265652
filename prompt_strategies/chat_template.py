"""The same prompt as a Jinja chat template, for `apply_chat_template`, `transformers serve` and vLLM.

It is generated from the parts in `prompt_strategies.template`, so that the two cannot drift apart.
"""

import json
from string import Formatter

from prompt_strategies.template import Template

# `{...}` stands for a Jinja expression made from a template part; see `_expression`.
_LAYOUT = """\
{%- if bos_token is defined and bos_token %}{{ bos_token }}{% endif %}
{%- set conversation = namespace(system='', user=none) %}
{%- for message in messages %}
{%- set parts = message['content'] %}
{%- if parts is string %}
{%- set content = parts | trim %}
{%- elif parts is sequence and parts is not mapping and parts | length and \
not parts | rejectattr('type', 'equalto', 'text') | list and \
not parts | rejectattr('text', 'string') | list %}
{%- set content = parts | map(attribute='text') | join | trim %}
{%- else %}
{{- raise_exception('content must be text, or a list of parts whose type is text') }}
{%- endif %}
{%- if message['role'] in ('system', 'developer') and loop.first %}
{%- set conversation.system = content %}
{%- elif message['role'] == 'user' and conversation.user is none %}
{%- set conversation.user = content %}
{%- elif message['role'] == 'assistant' and conversation.user is not none %}
{%- if loop.last %}
{{- @question }}
{%- if conversation.system %}{{ @instruction }}{% endif %}
{{- @response + content + eos_token }}
{%- else %}
{{- @exchange }}
{%- endif %}
{%- set conversation.user = none %}
{%- else %}
{{- raise_exception('messages must be: system (optional), then user and assistant in turn') }}
{%- endif %}
{%- endfor %}
{%- if conversation.user is not none %}
{{- @question }}
{%- if conversation.system %}{{ @instruction }}{% endif %}
{%- if add_generation_prompt %}{{ @response }}{% endif %}
{%- endif %}
"""

_VARIABLES = {"user": "conversation.user", "system": "conversation.system", "assistant": "content"}


def chat_template(template: Template) -> str:
    """Return the Jinja source that renders what `render_prompt` does, with BOS where the tokenizer has one.

    As in OpenAI's API, content can be a list of text parts, and `developer` is another word for `system`. All else is
    refused, so that no null and no image becomes text of a prompt. A conversation that ends with an answer is
    rendered with that answer and EOS, as it is trained.
    """
    layout = "".join(line.strip() for line in _LAYOUT.splitlines())
    for part in ("question", "instruction", "response", "exchange"):
        layout = layout.replace(f"@{part}", _expression(getattr(template, part)))
    return layout


def _expression(part: str) -> str:
    """Turn `'### Question:\\n{user}\\n\\n'` into the Jinja `("### Question:\\n" + conversation.user + "\\n\\n")`."""
    operands = []
    for literal, variable, _, _ in Formatter().parse(part):
        operands += [json.dumps(literal)] if literal else []
        operands += [_VARIABLES[variable]] if variable else []
    return f"({' + '.join(operands)})"
