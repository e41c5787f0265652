"""Ask a door and the reference the same, and compare."""

from collections.abc import Sequence

from rabbit_ko.errors import UserError
from rabbit_ko.parity.answers import Door
from rabbit_ko.parity.comparison import compare, with_end
from rabbit_ko.parity.conversations import Asked
from rabbit_ko.parity.reference import Reference
from rabbit_ko.parity.verdict import Outcome, judge


def ask(door: Door, reference: Reference, asked: Sequence[Asked], max_new_tokens: int) -> Outcome:
    """Return what a door is, by its answers to what is asked. Raises UserError."""
    answers = door.answer([each.messages for each in asked], max_new_tokens)
    prompts = [reference.prompt(each.messages) for each in asked]
    tokens = []
    for each, answer in zip(asked, answers, strict=True):
        told = answer.tokens
        known = reference.tokens_of(each.messages, answer, max_new_tokens) if told is None else told
        tokens.append(with_end(answer, known, reference.ends, reference.tokenizer.eos_token_id))
    places = reference.think([ids for _, ids in prompts], tokens)
    bos = reference.tokenizer.bos_token or ""
    compared = [
        compare(each, prompt, bos, answer, row, thought, reference.ends)
        for each, prompt, answer, row, thought in zip(asked, prompts, answers, tokens, places, strict=True)
    ]
    return judge(door.name, door.quant, compared)


def fitting(asked: Sequence[Asked], reference: Reference, max_new_tokens: int, context: int) -> list[Asked]:
    """Return what leaves room for an answer in a context, and what the stage's prompt can say."""
    found = []
    for each in asked:
        try:
            _, ids = reference.prompt(each.messages)
        except UserError:
            continue
        if len(ids) + max_new_tokens <= min(context, reference.context):
            found.append(each)
    return found
