"""The doors and the reference are asked the same, and what they say is compared."""

from collections.abc import Sequence

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import context_of, encode_chat, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.parity.answers import Answered, Door
from rabbit_ko.parity.comparison import Compared, compare, with_end
from rabbit_ko.parity.conversations import Asked
from rabbit_ko.parity.reference import Reference
from rabbit_ko.parity.verdict import Outcome, judge


def find_outcomes(
    stage: Stage, doors: Sequence[Door], asked: Sequence[Asked], max_new_tokens: int, dtype: str
) -> list[Outcome]:
    """Return what each door is. Raises UserError.

    asked: conversations that `fitting` has returned. dtype: of the reference. Of the models, each door's and the
    reference's, one is in memory at a time.
    """
    conversations = [each.messages for each in asked]
    answers = [door.answer(conversations, max_new_tokens) for door in doors]
    reference = Reference(stage, dtype)
    return [
        judge(door.name, door.quant, _compare(reference, asked, found, max_new_tokens))
        for door, found in zip(doors, answers, strict=True)
    ]


def fitting(stage: Stage, asked: Sequence[Asked], max_new_tokens: int) -> list[Asked]:
    """Return what leaves room for an answer in the model's context, and what the stage's prompt can say."""
    tokenizer, context = load_tokenizer(stage), context_of(stage)

    def fits(each: Asked) -> bool:
        try:
            return len(encode_chat(tokenizer, each.messages)["input_ids"]) + max_new_tokens <= context
        except UserError:
            return False

    return [*filter(fits, asked)]


def _compare(
    reference: Reference, asked: Sequence[Asked], answers: Sequence[Answered], max_new_tokens: int
) -> list[Compared]:
    tokenizer, ends = reference.tokenizer, reference.ends
    prompts = [reference.prompt(each.messages) for each in asked]
    tokens = []
    for each, answer in zip(asked, answers, strict=True):
        known = answer.tokens
        if known is None:
            known = reference.tokens_of(each.messages, answer, max_new_tokens)
        tokens.append(with_end(answer, known, ends, tokenizer.eos_token_id))
    places = reference.think([ids for _, ids in prompts], tokens)
    return [
        compare(each, prompt, tokenizer.bos_token or "", answer, row, found, ends)
        for each, prompt, answer, row, found in zip(asked, prompts, answers, tokens, places, strict=True)
    ]
