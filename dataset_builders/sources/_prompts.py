"""The prompt of answers that are judged: what a row says beside them, and the turns that stand before them."""

from collections.abc import Mapping, Sequence

from dataset_builders.rows import Message, contents, said_by, system, user, without_weights
from dataset_builders.sources._meaning import TOOLS
from dataset_builders.sources._source import RawRow, with_system
from dataset_builders.sources._text import composed, text
from dataset_builders.sources._turns import history, is_material, turns_or_text
from rabbit_ko.errors import Rejected

PROMPT_FIELDS = ("prompt", "input", "system", "history", "context", *TOOLS)


def answer(row: RawRow, field: str) -> tuple[list[Message], Message]:
    """Return the turns before a field's answer, and the answer. Raises Rejected where there is none at the end."""
    messages = turns_or_text(row, field, "assistant")
    if not messages:
        raise Rejected(f"empty {field}")
    if messages[-1]["role"] != "assistant":
        raise Rejected(f"{field} does not end with an answer")
    if "weight" in messages[-1]:
        raise Rejected(f"{field} is not to be trained: `weight` is 0, or `train` false")
    return messages[:-1], messages[-1]


def find_prompt(row: RawRow, before: Mapping[str, list[Message]]) -> list[Message]:
    """Return the prompt of a row, by its own fields and by the turns `before` its answers.

    Raises Rejected where there is none, and where they do not agree: the row's own prompt may be all turns before the
    answers, their first question or their last one.
    """
    given = _given(row)
    told = {field: messages for field, messages in before.items() if messages}
    if not told:
        if not any(message["role"] != "system" for message in given):
            raise Rejected("no prompt")
        return without_weights(given)
    field, messages = next(iter(told.items()))
    for other, others in told.items():
        if _said(others) != _said(messages):
            raise Rejected(f"`{field}` and `{other}` differ before their answers")
    return without_weights(_agreed(given, messages, field))


def _given(row: RawRow) -> list[Message]:
    """Return the turns that stand beside the answers: system, context, history, and the prompt with its input."""
    asked = turns_or_text(row, "prompt", "user")
    added = _material(row) if isinstance(row.get("prompt"), str) and len(asked) == 1 else []
    added = added or turns_or_text(row, "input", "user")
    if asked and added:
        if [message["role"] for message in (*asked, *added)] != ["user", "user"]:
            raise Rejected("`input` beside a `prompt` of several turns")
        asked, added = [user("\n\n".join(contents([*asked, *added])))], []
    asked = asked or added
    earlier = [*history(row, "context"), *history(row)]
    if _said(asked[: len(earlier)]) != _said(earlier):
        asked = [*earlier, *asked]
    return with_system(text(row, "system"), asked)


def _material(row: RawRow) -> list[Message]:
    """Return an input that is a text to work with, such as a dialogue, as that; nothing where it is another thing."""
    given = text(row, "input") if isinstance(row.get("input"), str) else ""
    return [user(given)] if given.strip() and is_material(given) else []


def _agreed(given: Sequence[Message], told: Sequence[Message], field: str) -> list[Message]:
    (own_system, own), (told_system, turns) = _split(given), _split(told)
    if own_system and told_system and _said(own_system) != _said(told_system):
        raise Rejected(f"`prompt` and `{field}` have different system messages")
    said, asked = _said(turns), [said for said in _said(turns) if said[0] == "user"]
    is_part = not own or (len(own) == 1 and _said(own)[0] in (*asked[:1], *asked[-1:]))
    if not is_part and said and _said(own)[-len(said) :] != said:
        raise Rejected(f"`prompt` and `{field}` disagree")
    return [*(own_system or told_system), *(turns if is_part else own)]


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    first = 1 if messages and messages[0]["role"] == "system" else 0
    return (system(messages[0]["content"]) if first else []), list(messages[first:])


def _said(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message["role"], composed(said_by([message]))) for message in without_weights(messages)]
