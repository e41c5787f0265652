"""Conversations as people write them: lists of turns in either key style, JSON of such lists, and transcripts."""

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from dataset_builders.rows import Message, assistant, user
from dataset_builders.sources._meaning import CALLS, OF_ANSWERS, check_supported, has_meaning, switch_off
from dataset_builders.sources._text import INVISIBLE, check_type, is_empty, is_missing, shown, text, visible
from dataset_builders.sources._tools import answer, call_id, calls
from rabbit_ko.errors import Rejected

_SYSTEMS, _USERS = ("system", "developer"), ("human", "user", "prompter")
_ASSISTANTS = ("gpt", "assistant", "chatgpt", "bot", "model", "ai")
_RESULTS = ("tool", "function", "observation", "tool_response", "function_response", "ipython")
ROLES = dict.fromkeys(_SYSTEMS, "system") | dict.fromkeys(_USERS, "user") | dict.fromkeys(_ASSISTANTS, "assistant")
ROLES |= dict.fromkeys(_RESULTS, "tool")
# Of turns that are calls, as ShareGPT has them.
CALL_ROLES = ("function_call", "tool_call")

# Of what is written as Python: reading it takes 500 bytes of memory a letter.
PYTHON_LETTERS = 256_000

# What text may begin with where it is more than a text: parts, or reasoning, after blanks.
_BEGIN_MORE = frozenset("[< \t\n\r\v\f\u00a0\u3000\ufeff")

# The keys of a turn's speaker and words.
Style = tuple[str, str]
CHAT, SHAREGPT = STYLES = (("role", "content"), ("from", "value"))

# All of these patterns are linear in the length of any text: runs are possessive, or begin at a line break.
_BLANKS = r"[^\S\n]*+"
_COLON = r"[^\S\n]{0,3}[:：]"
_begins_turn = re.compile(r"""\s*+\[?+\s*+\{\s*+["'](?:role|content|from|value)["']\s*+:""").match
_begins_object = re.compile(r"\s*+\[?+\s*+\{").match
_begins_data = re.compile(
    rf"""[\s"'`{INVISIBLE}]*+(?:json\s|array\(|list\()?+[\s\[(\\"']*+\{{""", re.IGNORECASE
).match
_key_of_speaker, _key_of_words = (
    re.compile(rf"""["'](?:{names})\\{{0,9}}["']\s{{0,9}}:""", re.IGNORECASE).search
    for names in ("role|from", "content|value|tool_calls|function_call")
)
_begins_parts = re.compile(r"""\[\s*+\{\s*+["']""").match
_SPEAKERS = "((?ai:Human|User|Assistant|AI|Bot))"
_begins_transcript = re.compile(rf"\s*+(?:### )?+{_SPEAKERS}{_COLON}").match
_PARAGRAPH = rf"\n{_BLANKS}\n{_BLANKS}"
_has_transcript = re.compile(rf"{_PARAGRAPH}(?ai:Human|Assistant){_COLON}").search
_PARAGRAPHS, _LINES = (
    re.compile(rf"(?:\A\s*+|{space}){_SPEAKERS}{_COLON}") for space in (_PARAGRAPH, rf"\n{_BLANKS}")
)
_HEADINGS = re.compile(rf"### {_SPEAKERS}{_COLON}")
_of_others = {
    role: re.compile(rf"\n{_BLANKS}(?ai:{name}){_COLON}").search
    for role, name in (("user", "Assistant"), ("assistant", "Human"))
}


def turns(row: Mapping[str, Any], field: str, style: Style = CHAT) -> list[Message]:
    """Return the turns of a field that is a list, or a text that stands for one. Raises Rejected."""
    value = _read(row, field, "assistant")
    if value == "":
        return []
    check_type(value, list, field, "a list")
    return [turn(item, field, style) for item in value]


def turns_or_text(row: Mapping[str, Any], field: str, speaker: str) -> list[Message]:
    """Return the turns of a field: one of `speaker` where it is a text, none where it is blank. Raises Rejected."""
    value = _read(row, field, speaker)
    if isinstance(value, str):
        if not value:
            return []
        return [answer(value, {}) if speaker == "assistant" else Message(role=speaker, content=value)]
    if isinstance(value, dict):
        value = [value]
    check_type(value, list, field, "text or a list of turns")
    return [turn(item, field) for item in value]


def _read(row: Mapping[str, Any], field: str, speaker: str) -> Any:
    """Return a field's value, or the objects that its text stands for; an empty text where it is missing or blank."""
    value = row.get(field)
    if isinstance(value, list):
        return value
    if is_missing(value):
        return ""
    return _parse(text(row, field), field, speaker) if isinstance(value, str) else value


def turn(item: Any, field: str, style: Style = CHAT) -> Message:
    """Return one turn, in `style` or the other one; an answer that is not to be trained has a weight of 0."""
    check_type(item, dict, field, f"made of objects with `{style[0]}` and `{style[1]}`")
    role, content = item.get(style[0]), item.get(style[1])
    is_text = isinstance(content, str) and content[:1] not in _BEGIN_MORE and "</think>" not in content
    if is_text and len(item) == 2 and isinstance(role, str) and role in ROLES:
        return {"role": ROLES[role], "content": text(item, style[1])}
    is_off = False
    if has_meaning(item):
        check_supported(item)
        is_off = switch_off(item) is not None
    if role is None or style[1] not in item:
        style = _other_style(item, field, style)
    role, words = _role(item[style[0]]), style[1]
    if role in CALL_ROLES:
        return answer("", item, calls(item.get(words), role), is_off)
    if role == "assistant":
        return answer(_said(item, words), item, is_off=is_off)
    if named := sorted(name for name in OF_ANSWERS & item.keys() if not is_empty(item[name])):
        raise Rejected(f"`{named[0]}` of a turn with the role `{role}`")
    return _result(item, words) if role == "tool" else {"role": role, "content": _said(item, words)}


def _result(item: Mapping[str, Any], field: str) -> Message:
    """Return what a tool answered; its own lists, in a text, are no parts of a content."""
    content = text(item, field) if isinstance(item.get(field), str) else _said(item, field)
    if called := call_id(item, "tool_call_id"):
        return {"role": "tool", "content": content, "tool_call_id": called}
    return {"role": "tool", "content": content}


def _other_style(item: Mapping[str, Any], field: str, style: Style) -> Style:
    if found := _style_of(item):
        return found
    if missing := set(style) - item.keys():
        raise Rejected(f"`{field}` has a turn without `{min(missing)}`")
    return style


def _is_turn(item: Mapping[str, Any]) -> bool:
    return any(item.keys() >= set(keys) for keys in STYLES) or _style_of(item) is not None


def _style_of(item: Mapping[str, Any]) -> Style | None:
    """Return the keys of a turn; one that calls tools needs no words."""
    has_calls = any(not is_empty(item.get(name)) for name in CALLS)
    found = (it for it in STYLES if item.get(it[0]) is not None and (it[1] in item or has_calls))
    return next(found, None)


def _role(role: Any) -> str:
    name = str(role).strip().lower()
    if name in CALL_ROLES:
        return name
    if name not in ROLES:
        raise Rejected(f"unknown role `{shown(role)}`")
    return ROLES[name]


def _said(item: Mapping[str, Any], field: str) -> str:
    content = item.get(field)
    if isinstance(content, str) and _begins_parts(content):
        found = _load(content)
        is_parts = isinstance(found, list) and all(isinstance(part, dict) and "type" in part for part in found)
        content = found if is_parts and any(part["type"] == "text" for part in found) else content
    return _join_parts(content, field) if isinstance(content, list) else text(item, field)


def _join_parts(parts: Sequence[Any], field: str) -> str:
    # As the chat template joins them.
    for part in parts:
        check_type(part, dict, field, "text, or a list of parts with `type` and `text`")
        if part.get("type") != "text":
            raise Rejected(f"`{field}` has a part of the type `{shown(part.get('type'))}`")
    return visible("".join(text(part, "text") for part in parts))


def history(row: Mapping[str, Any], field: str = "history") -> list[Message]:
    """Return earlier turns: pairs of question and answer, or any form of a conversation. Raises Rejected."""
    value = row.get(field)
    if is_empty(value):
        return []
    if isinstance(value, str) and (value := text(row, field).strip()).startswith("[["):
        value = _load(value)
        if value is None:
            raise Rejected(f"`{field}` looks like a list of turns, but cannot be read")
    if isinstance(value, list) and value and all(isinstance(pair, list | tuple) for pair in value):
        if any(len(pair) != 2 for pair in value):
            raise Rejected(f"`{field}` must be made of pairs of a question and an answer")
        said = [(text({field: question}, field), text({field: answer}, field)) for question, answer in value]
        return [message for question, answer in said for message in (user(question), assistant(answer))]
    return turns({field: value}, field)


def _parse(value: str, field: str, speaker: str) -> str | list[Any]:
    """Return the turns that a text stands for, as objects, or the text where it is one."""
    if value.strip() in ("", "[]"):
        return ""
    if _begins_object(value):
        found = _load(value)
        items = found if isinstance(found, list) else [found]
        if found and all(isinstance(item, dict) and _is_turn(item) for item in items):
            return items
        if found is None and _begins_turn(value):
            raise Rejected(f"`{field}` looks like a list of turns, but cannot be read")
    if _looks_like_turns(value):
        raise Rejected(f"`{field}` looks like a list of turns, but cannot be read")
    if not _begins_transcript(value):
        if _has_transcript(value):
            raise Rejected(f"`{field}` is a transcript that does not begin with a turn")
        return value
    return _transcript(value, field, speaker) or value


def is_material(value: str) -> bool:
    """Tell whether a text behind a question may be one to work with: no data of turns, and no raw transcript."""
    return not _looks_like_turns(value) and not _has_transcript(value)


def _looks_like_turns(value: str) -> bool:
    return bool(_begins_data(value) and _key_of_speaker(value) and _key_of_words(value))


def _load(value: str) -> Any:
    """Return what JSON, or Python's way of writing it, stands for; None where it is neither."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if len(value) > PYTHON_LETTERS:
            return None
        try:
            with warnings.catch_warnings(action="ignore"):
                return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def _transcript(value: str, field: str, speaker: str) -> list[Any] | None:
    """Return a transcript's turns, without an empty one of the assistant at the end; None where it is none."""
    pattern = _PARAGRAPHS if _has_transcript(value) else _LINES
    if value.lstrip().startswith("### "):
        pattern = _HEADINGS
    _, *rest = pattern.split(value)
    found = [
        {"role": ROLES[name.lower()], "content": said.strip()}
        for name, said in zip(rest[::2], rest[1::2], strict=True)
    ]
    if pattern is _LINES and not _is_spoken(rest[::2], speaker):
        return None
    if pattern is _PARAGRAPHS and any(_of_others[turn["role"]](turn["content"]) for turn in found):
        raise Rejected(f"`{field}` is a transcript with a speaker within a turn")
    return found[:-1] if found[-1:] == [{"role": "assistant", "content": ""}] else found


def _is_spoken(names: Sequence[str], speaker: str) -> bool:
    # A name in front of one line may belong to the text, but where it is that of the speaker in a transcript.
    alone = {"user": "human", "assistant": "assistant"}[speaker]
    return [name.lower() for name in names] == [alone] or any(
        ROLES[name.lower()] == "assistant" for name in names[1:]
    )
