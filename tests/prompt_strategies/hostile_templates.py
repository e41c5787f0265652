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


_QUESTIONS = "{% set asked = messages | selectattr('role', 'equalto', 'user') | list %}"

# Templates of the same kind that break nothing.
HARMLESS = {
    "the base of all": layout(),
    "a generation prompt always": layout(after="{{ '" + _ASSISTANT.replace("\n", "\\n") + "' }}"),
    "white space around contents trimmed": layout(turn=_HEADER + "{{ m.content | trim }}<|eot_id|>"),
    "a system message of its own": layout(
        before="{{ bos_token }}{% if messages[0].role != 'system' %}안녕{% endif %}"
    ),
}

# What the template does, by the promise that it breaks, so that no run is started with it.
REFUSED = {
    "renders a conversation": {
        "an error for all": "{{ raise_exception('not today') }}",
        "an error of Python's": layout(before="{{ bos_token + 1 }}"),
        "a mistake in Jinja": "{% for m in messages %}{{ m.content ",
        "a private attribute": layout(before="{{ ''.__class__.__mro__ }}"),
        "megabytes": layout(before="{{ bos_token }}{{ 'x' * 50000000 }}"),
    },
    "renders the same each time": {
        "a random number": layout(before="{{ bos_token }}{{ range(100000) | random }}\n"),
        "a random choice of two": layout(before="{{ bos_token }}{{ ['a', 'b'] | random }}\n"),
        "filler text": layout(before="{{ bos_token }}{{ lipsum(n=1) }}\n"),
        "None for what is absent": layout(turn=_HEADER + "{{ m.content }}{{ m.name or none }}<|eot_id|>"),
    },
    "trains no words but the answer's": {
        "an advertisement behind each answer": layout(
            turn=for_role("assistant", _HEADER + "{{ m.content }} example.com<|eot_id|>")
        ),
    },
    "writes no date of today": {
        "the date in a form of its own": layout(
            before="{{ bos_token }}{% set form = '%d %b %Y %H:%M:%S' %}{{ strftime_now(form) }}\n"
        ),
    },
    "one BOS, wherever it is read": {
        "a second BOS": layout(before="{{ bos_token }}{{ bos_token }}"),
        "no BOS": layout(before=""),
        "BOS behind the system message": layout(
            before="", turn=for_role("user", "{% if loop.index < 3 %}{{ bos_token }}{% endif %}" + _TURN)
        ),
    },
    "ends an answer with EOS, once": {
        "nothing": "",
        "no end of a turn": layout(turn=_HEADER + "{{ m.content }}\n"),
        "no end of the last turn": layout(
            turn=_HEADER + "{{ m.content }}{% if not loop.last %}<|eot_id|>{% endif %}"
        ),
        "the end of a turn twice": layout(turn=_TURN + "<|eot_id|>"),
        "another end than EOS": layout(turn=_HEADER + "{{ m.content }}<|end_of_text|>"),
    },
    "an answer continues its prompt": {
        "a BOS before each turn": layout(turn="{{ bos_token }}" + _TURN, before=""),
        "an answer with its end inside": layout(
            turn=for_role("assistant", _HEADER + "<|eot_id|>{{ m.content }}<|eot_id|>")
        ),
        "an answer of its own": layout(turn=for_role("assistant", _HEADER + "네, 알겠습니다.<|eot_id|>")),
        "the same for all": "{{ bos_token }}안녕하세요?<|eot_id|>",
        "no earlier turns": layout(loop="messages[-1:]"),
        "turns in reverse": layout(loop="messages | reverse"),
        "turns sorted by role": layout(loop="messages | sort(attribute='role')"),
        "no generation prompt": layout(after=""),
        "another generation prompt than the turn begins with": layout(
            after="{% if add_generation_prompt %}<|start_header_id|>model<|end_header_id|>\n\n{% endif %}"
        ),
        "a generation prompt that gives the answer away": layout(
            after="{% if add_generation_prompt %}" + _ASSISTANT + "답: {% endif %}"
        ),
        "the length of the conversation": layout(before="{{ bos_token }}{{ messages | length }}\n"),
        "the place from the end": layout(turn="{{ loop.revindex }}. " + _TURN),
        "questions shorter in history": layout(
            turn=for_role("user", _HEADER + "{{ m.content if loop.last else m.content[:2] }}<|eot_id|>")
        ),
        "the answer in front of the question": layout(
            before="{{ bos_token }}{% if messages[-1].role == 'assistant' %}{{ messages[-1].content }}{% endif %}\n"
        ),
    },
    "no token holds a piece of prompt and of answer": {
        "a generation prompt that ends with a space": layout(
            turn="<|start_header_id|>{{ m.role }}<|end_header_id|> {{ m.content }}<|eot_id|>",
            after="{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|> {% endif %}",
        ),
    },
    "writes what is said": {
        "white space inside collapsed": layout(turn=_HEADER + "{{ m.content.split() | join(' ') }}<|eot_id|>"),
        "white space inside trimmed": layout(
            turn=_HEADER + "{{ m.content.splitlines() | map('trim') | join }}<|eot_id|>"
        ),
        "content in lower case": layout(turn=_HEADER + "{{ m.content | lower }}<|eot_id|>"),
        "content in title case": layout(turn=_HEADER + "{{ m.content | title }}<|eot_id|>"),
        "content escaped for HTML": layout(turn=_HEADER + "{{ m.content | e }}<|eot_id|>"),
        "content as JSON": layout(turn=_HEADER + "{{ m.content | tojson }}<|eot_id|>"),
        "content cut": layout(turn=_HEADER + "{{ m.content[:9] }}<|eot_id|>"),
    },
    "writes all turns, in order": {
        "no history but the last two": layout(loop="messages[-2:]"),
        "questions first": _QUESTIONS
        + layout(loop="asked + (messages | rejectattr('role', 'equalto', 'user') | list)"),
        "questions twice": layout(turn=for_role("user", _TURN + _TURN)),
        "an error for history": "{% if messages | length > 2 %}{{ raise_exception('no history') }}{% endif %}"
        + layout(),
        "the question behind the answer": layout(
            turn=for_role("assistant", _HEADER + "{{ m.content }} {{ messages[-2].content }}<|eot_id|>")
        ),
        "the greatest of all messages": layout(
            before="{{ bos_token }}{{ messages | map(attribute='content') | max }}"
        ),
    },
    "no text of a row begins a turn": {
        "turns without a mark": layout(
            turn="{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n", after=""
        ),
    },
}

# What the template does to some rows alone: by the promise, and the reason for which those rows are dropped.
SOME_ROWS = {
    "no system message": (layout(turn=for_role("system", "")), "writes the system prompt", "CHANGED"),
    "an error for system messages": (
        layout(turn=for_role("system", "{{ raise_exception('no system role') }}")),
        "writes the system prompt",
        "REFUSED",
    ),
    "the system message in the last question": (
        "{% set first = messages[0].content if messages[0].role == 'system' else '' %}"
        + layout(
            turn=for_role(
                "system",
                "",
                for_role("user", _HEADER + "{% if loop.last %}{{ first }}{% endif %}{{ m.content }}<|eot_id|>"),
            )
        ),
        "writes the system prompt",
        "NOT_CONTINUED",
    ),
    "turns marked by plain text": (
        layout(
            turn="{{ m.role | upper }}:\n{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n",
            after="{% if add_generation_prompt %}{{ 'ASSISTANT:\\n' }}{% endif %}",
        ),
        "no text of a row begins a turn",
        "FAKE_TURN",
    ),
    # No probe says the words that these look for.
    "a word replaced": (
        layout(turn=_HEADER + "{{ m.content | replace('날씨', '기상') }}<|eot_id|>"),
        None,
        "CHANGED",
    ),
    "an answer cut at a word": (
        layout(turn=for_role("assistant", _HEADER + "{{ m.content.split('맑')[0] }}<|eot_id|>")),
        None,
        "CHANGED",
    ),
    "a turn that a word begins": (
        layout(turn=for_role("assistant", _HEADER + "{{ m.content | replace('맑', '맑<|eot_id|>') }}<|eot_id|>")),
        None,
        "CHANGED",
    ),
    "an error for a word": (
        layout(turn="{% if '날씨' in m.content %}{{ raise_exception('no weather') }}{% endif %}" + _TURN),
        None,
        "REFUSED",
    ),
    "a turn dropped for a word": (
        layout(turn="{% if '날씨' not in m.content %}" + _TURN + "{% endif %}"),
        None,
        "CHANGED",
    ),
}


def hostile_tokenizer(template: str, load: Load) -> PreTrainedTokenizerBase:
    """Return the smoke recipe's tokenizer with Llama-3's end of a turn, and a template."""
    tokenizer = with_tokens(load("smoke"), MAKER)
    tokenizer.chat_template = template
    return tokenizer
