"""Chat templates that break a promise each, in Llama-3's format on the smoke recipe's tokenizer."""

from transformers import PreTrainedTokenizerBase

from tests.prompt_strategies.native_templates import Load, Maker, with_tokens

MAKER = Maker("<|eot_id|>", "<|begin_of_text|>")
_HEADER = "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
_TURN = _HEADER + "{{ m.content }}<|eot_id|>"
_ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"
_GENERATION = "{% if add_generation_prompt %}" + _ASSISTANT + "{% endif %}"


def layout(
    turn: str = _TURN, before: str = "{{ bos_token }}", after: str = _GENERATION, loop: str = "messages"
) -> str:
    """Return a template that renders `before`, each message `m` as `turn`, and `after`."""
    return before + "{% for m in " + loop + " %}" + turn + "{% endfor %}" + after


def for_role(role: str, turn: str, otherwise: str = _TURN) -> str:
    """Render messages of a role as `turn`, and others as they should be."""
    return "{% if m.role == '" + role + "' %}" + turn + "{% else %}" + otherwise + "{% endif %}"


_USERS_SECOND = "{% set q = messages | selectattr('role', 'equalto', 'user') | list %}"

# What is right, to show that it is the one change which is refused.
KEEPS_ALL = layout()

HOSTILE = {
    "a second BOS": layout(before="{{ bos_token }}{{ bos_token }}"),
    "a BOS before each turn": layout(turn="{{ bos_token }}" + _TURN, before=""),
    "no BOS": layout(before=""),
    "no end of a turn": layout(turn=_HEADER + "{{ m.content }}\n"),
    "no end of the last turn": layout(turn=_HEADER + "{{ m.content }}{% if not loop.last %}<|eot_id|>{% endif %}"),
    "the end of a turn twice": layout(turn=_TURN + "<|eot_id|>"),
    "another end than EOS": layout(turn=_HEADER + "{{ m.content }}<|end_of_text|>"),
    "an answer with its end inside": layout(
        turn=for_role("assistant", _HEADER + "<|eot_id|>{{ m.content }}<|eot_id|>")
    ),
    "white space inside collapsed": layout(turn=_HEADER + "{{ m.content.split() | join(' ') }}<|eot_id|>"),
    "content in lower case": layout(turn=_HEADER + "{{ m.content | lower }}<|eot_id|>"),
    "content escaped for HTML": layout(turn=_HEADER + "{{ m.content | e }}<|eot_id|>"),
    "content cut": layout(turn=_HEADER + "{{ m.content[:9] }}<|eot_id|>"),
    "answers rewritten": layout(
        turn=for_role("assistant", _HEADER + "{{ m.content | replace('답', '말') }}<|eot_id|>")
    ),
    "an answer of its own": layout(turn=for_role("assistant", _HEADER + "네, 알겠습니다.<|eot_id|>")),
    "the date": layout(before="{{ bos_token }}{{ strftime_now('%d %b %Y %H:%M:%S') }}\n"),
    "a random word": layout(before="{{ bos_token }}{{ range(100000) | random }}\n"),
    "filler text": layout(before="{{ bos_token }}{{ lipsum(n=1) }}\n"),
    "no system message": layout(turn=for_role("system", "")),
    "no earlier turns": layout(loop="messages[-1:]"),
    "no history but the last two": layout(loop="messages[-2:]"),
    "turns in reverse": layout(loop="messages | reverse"),
    "turns sorted by role": layout(loop="messages | sort(attribute='role')"),
    "questions twice": layout(turn=for_role("user", _TURN + _TURN)),
    "questions first": _USERS_SECOND + layout(loop="q + (messages | rejectattr('role', 'equalto', 'user') | list)"),
    "no generation prompt": layout(after=""),
    "another generation prompt than the turn begins with": layout(
        after="{% if add_generation_prompt %}<|start_header_id|>model<|end_header_id|>\n\n{% endif %}"
    ),
    "a generation prompt that gives the answer away": layout(
        after="{% if add_generation_prompt %}" + _ASSISTANT + "답: {% endif %}"
    ),
    "a generation prompt always": layout(after=_ASSISTANT),
    "turns marked by plain text": layout(
        turn="{{ m.role | upper }}: {{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n",
        after="{% if add_generation_prompt %}ASSISTANT: {% endif %}",
    ),
    "turns marked by the content of turns": layout(
        turn="{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n", after=""
    ),
    "an error for system messages": layout(turn=for_role("system", "{{ raise_exception('no system role') }}")),
    "an error for history": "{% if messages | length > 2 %}{{ raise_exception('one turn only') }}{% endif %}"
    + layout(),
    "an error for all": "{{ raise_exception('not today') }}",
    "an error that is Python's": layout(before="{{ bos_token + 1 }}"),
    "a mistake in Jinja": "{% for m in messages %}{{ m.content ",
    "a private attribute": layout(before="{{ ''.__class__.__mro__ }}"),
    "nothing": "",
    "the same for all": "{{ bos_token }}안녕하세요?<|eot_id|>",
    "megabytes": layout(before="{{ bos_token }}{{ 'x' * 50000000 }}"),
    "None for what is absent": layout(turn=_HEADER + "{{ m.content }}{{ m.name or none }}<|eot_id|>"),
    "the length of the conversation": layout(before="{{ bos_token }}{{ messages | length }}\n"),
    "the place from the end": layout(turn="{{ loop.revindex }}. " + _TURN),
    "questions shorter in history": layout(
        turn=for_role("user", _HEADER + "{{ m.content if loop.last else m.content[:2] }}<|eot_id|>")
    ),
    "answers marked in history": layout(
        turn=for_role("assistant", _HEADER + "{% if not loop.last %}(전에) {% endif %}{{ m.content }}<|eot_id|>")
    ),
    "the answer in the question": layout(
        before="{{ bos_token }}{% if messages[-1].role == 'assistant' %}{{ messages[-1].content }}{% endif %}\n"
    ),
    "the question behind the answer": layout(
        turn=for_role("assistant", _HEADER + "{{ m.content }} ({{ messages[-2].content }})<|eot_id|>")
    ),
    "state kept by the order of letters": layout(
        before="{{ bos_token }}{{ messages | map(attribute='content') | max }}"
    ),
}


def hostile_tokenizer(template: str, load: Load) -> PreTrainedTokenizerBase:
    """Return the smoke recipe's tokenizer with Llama-3's end of a turn, and a template."""
    tokenizer = with_tokens(load("smoke"), MAKER)
    tokenizer.chat_template = template
    return tokenizer
