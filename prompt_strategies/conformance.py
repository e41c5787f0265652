"""What a chat template promises, found by rendering conversations with it: `rabbit template check`, and the guard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from jinja2 import Environment

from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.native_renderer import NativeRenderer
from prompt_strategies.native_template import TODAY, has_fixed_date
from prompt_strategies.probes import (
    ANSWER,
    ANSWER_AGAIN,
    ASKED,
    CALL,
    CONTENTS,
    QUESTION,
    QUESTION_AGAIN,
    SAID,
    SYSTEM,
    THINKING,
    TOOL_RESULT,
    TOOLS,
)
from prompt_strategies.tokens import Dropped, Example, Sample, Tokenizer, adds_bos, encode_rendered
from rabbit_ko.errors import reason

Verdict = Literal["holds", "rows", "broken"]
TWO_TURNS = (QUESTION, ANSWER, QUESTION_AGAIN, ANSWER_AGAIN)
# A word, then all that a careless template would trim, join, escape or fold, and a word.
INNER = f"{ASKED}  <Ab>\t&amp;'\"\n\n\n한글 {SAID}"
LONGEST = 100_000
# What draws at random in Jinja, as a filter, by its name in `map`, or as a function.
DRAWN = ("random", "lipsum")


@dataclass(frozen=True)
class Finding:
    """What was found of a promise.

    verdict: `broken` is refused by the guard; with `rows` some rows are dropped, or it is a habit to know. example: a
    rendered text that shows it.
    """

    promise: str
    verdict: Verdict
    said: str
    example: str = ""


def check_template(tokenizer: Tokenizer, stops: Sequence[int] | None = None) -> list[Finding]:
    """Check a tokenizer's chat template. stops: the ids at which the model's generation ends, where that is known."""
    renderer = NativeRenderer(tokenizer)
    if (broken := _check_rendering(renderer)) is not None:
        return [broken]
    if (end := _check_end(renderer)).verdict == "broken":
        return [end]
    checks: tuple[Callable[[NativeRenderer], Finding], ...] = (
        *(_check_repeats, _check_bos, _check_continuation, _check_merging, _check_contents, _check_turns),
        *(_check_additions, _check_system, _check_prefixes, _check_injection, _check_date, _check_tools),
        _check_reasoning,
    )
    found = [check(renderer) for check in checks]
    return [end, *found, *([] if stops is None else [_check_stops(tokenizer, stops)])]


def _check_rendering(renderer: NativeRenderer) -> Finding | None:
    promise = "renders a conversation"
    if renderer.tokenizer.eos_token is None:
        return Finding(promise, "broken", "the tokenizer names no EOS, which is what ends a turn")
    try:
        text = renderer.render([QUESTION])
        renderer.render([QUESTION, ANSWER], is_prompt=False)
    except Exception as error:  # a template raises whatever it likes
        return Finding(promise, "broken", f"a question and an answer are refused: {reason(error)}")
    if len(text) > LONGEST:
        return Finding(promise, "broken", f"{len(text):,} characters for a question of one word", text[:200])
    return None


def _check_repeats(renderer: NativeRenderer) -> Finding:
    promise = "renders the same each time"
    pieces = [(kind, piece) for _, kind, piece in Environment().lex(renderer.chat_template)]
    if used := next((piece for kind, piece in pieces if kind != "data" and piece.strip("'\"") in DRAWN), None):
        return Finding(promise, "broken", f"it draws at random: `{used}`", used)
    text, again = renderer.render([QUESTION]), renderer.render([QUESTION])
    if text != again:
        return Finding(promise, "broken", "two renderings of one conversation differ", again)
    if "None" in text and not any("None" in piece for kind, piece in pieces if kind in ("data", "string")):
        return Finding(promise, "broken", "it writes `None` for what a conversation has not", text)
    return Finding(promise, "holds", "it depends on nothing but the conversation")


def _check_end(renderer: NativeRenderer) -> Finding:
    promise, eos = "ends an answer with EOS, once", renderer.tokenizer.eos_token
    text = renderer.render([QUESTION, ANSWER], is_prompt=False)
    behind = text.rpartition(SAID)[2]
    if eos not in behind:
        first = min(filter(behind.__contains__, renderer.controls), key=behind.index, default="")
        advice = f"; set `special_tokens.eos_token: {first}`" if first else ""
        return Finding(promise, "broken", f"{eos} does not follow the answer, but {behind[:40]!r}{advice}", text)
    if behind.strip().startswith(eos + eos):
        return Finding(promise, "broken", f"{eos} follows the answer twice", text)
    between = behind[: behind.index(eos)]
    return Finding(promise, "holds", f"{eos} ends each answer{f', behind {between!r}' if between else ''}", text)


def _check_stops(tokenizer: Tokenizer, stops: Sequence[int]) -> Finding:
    promise, names = "generation stops at EOS", ", ".join(map(repr, tokenizer.convert_ids_to_tokens(list(stops))))
    if tokenizer.eos_token_id in stops:
        return Finding(promise, "holds", f"the model's generation config stops at {names}")
    said = f"the model's generation config stops at {names or 'nothing'}, not at {tokenizer.eos_token!r}"
    return Finding(promise, "broken", said)


def _check_bos(renderer: NativeRenderer) -> Finding:
    promise, tokenizer = "one BOS, wherever it is read", renderer.tokenizer
    texts = [_attempt(renderer, messages) for messages in ([QUESTION], [SYSTEM, QUESTION], TWO_TURNS[:-1])]
    for text, ids in zip(texts, encode_rendered(tokenizer, texts), strict=True):
        places = [place for place, token in enumerate(ids) if token == tokenizer.bos_token_id]
        if places not in ([], [0]):
            where = f"{len(places)} times" if len(places) > 1 else "within the prompt"
            return Finding(promise, "broken", f"it writes {tokenizer.bos_token} {where}", text)
    if adds_bos(tokenizer) and not renderer.has_bos:
        said = f"the tokenizer puts {tokenizer.bos_token} in front of texts, and the template does not write it, so"
        return Finding(
            promise, "broken", f"{said} that preferences would be read with it, and a server's without", texts[0]
        )
    return Finding(
        promise,
        "holds",
        f"{tokenizer.bos_token} begins each prompt" if renderer.has_bos else "there is none",
        texts[0],
    )


def _check_continuation(renderer: NativeRenderer) -> Finding:
    promise = "an answer continues its prompt"
    row = renderer.texts(Sample([QUESTION], (ANSWER,)))
    if row is Dropped.NOT_CONTINUED:
        prompt, full = renderer.render([QUESTION]), renderer.render([QUESTION, ANSWER], is_prompt=False)
        return Finding(promise, "broken", "with an answer the prompt is another text", f"{prompt}\n---\n{full}")
    if isinstance(row, Dropped):
        return Finding(promise, "broken", row.value, _attempt(renderer, [QUESTION, ANSWER], is_prompt=False))
    prompt, [answer] = row
    [ids] = encode_rendered(renderer.tokenizer, [answer])
    if not renderer.outside.isdisjoint(ids[:-1]) or any(marker in answer.casefold() for marker in renderer.markers):
        said = "the turn's beginning is a part of the answer: add_generation_prompt does not write it"
        return Finding(promise, "broken", said, answer)
    written = answer.partition(SAID)[0]
    return Finding(
        promise, "holds", f"it writes {written!r} before each answer" if written else "word for word", answer
    )


def _check_additions(renderer: NativeRenderer) -> Finding:
    promise, row = "trains no words but the answer's", renderer.texts(Sample([QUESTION], (ANSWER,)))
    text = "" if isinstance(row, Dropped) else row[1][0]
    added = text.replace(SAID, " ")
    while control := renderer.find_control(added):
        added = added.replace(control, " ")
    if added.strip():
        return Finding(promise, "broken", f"it adds {added.strip()!r} to each answer", text)
    return Finding(promise, "holds", "beside it stand control tokens and white space alone")


def _check_merging(renderer: NativeRenderer) -> Finding:
    promise, row = "no token holds a piece of prompt and of answer", _example(renderer, [QUESTION], ANSWER)
    if row is Dropped.MERGED:
        return Finding(promise, "broken", row.value, renderer.render([QUESTION]))
    return Finding(promise, "holds", "prompt and answer are read as the same tokens together and apart")


def _check_contents(renderer: NativeRenderer) -> Finding:
    promise, said = "writes what is said", {**QUESTION, "content": INNER}
    text = _attempt(renderer, [said])
    if INNER not in text:
        return Finding(promise, "broken", "it changes the text of a message", text)
    if renderer.texts(Sample([said], ({**ANSWER, "content": INNER},))) is Dropped.CHANGED:
        return Finding(promise, "broken", "it changes the text of an answer", text)
    around = _attempt(renderer, [{**QUESTION, "content": f" \n{ASKED}\n "}])
    strips = f" \n{ASKED}\n " not in around
    return Finding(promise, "holds", "without white space around it" if strips else "white space around it included")


def _check_turns(renderer: NativeRenderer) -> Finding:
    promise, row = "writes all turns, in order", _example(renderer, TWO_TURNS[:-1], ANSWER_AGAIN)
    text = _attempt(renderer, TWO_TURNS[:-1])
    if isinstance(row, Dropped):
        return Finding(promise, "broken", row.value, text)
    if any(text.count(message["content"]) > 1 for message in TWO_TURNS[:-1]):
        return Finding(promise, "broken", "it writes a message twice", text)
    return Finding(promise, "holds", "a conversation of two questions", text)


def _check_system(renderer: NativeRenderer) -> Finding:
    promise, row = "writes the system prompt", _example(renderer, [SYSTEM, QUESTION], ANSWER)
    text = _attempt(renderer, [SYSTEM, QUESTION])
    if isinstance(row, Dropped):
        return Finding(promise, "rows", f"rows with one are dropped: {row.value}", text)
    default = _attempt(renderer, [QUESTION]).partition(ASKED)[0]
    written = "; without one it writes its own" if "system" in default and len(default) > 60 else ""
    return Finding(promise, "holds", f"as it is given{written}", text)


def _check_prefixes(renderer: NativeRenderer) -> Finding:
    promise = "what was said stays as it was"
    texts = [renderer.texts(Sample(target[:-1], (target[-1],))) for target in every_answer(TWO_TURNS)]
    whole = ["".join((text[0], *text[1])) for text in texts if not isinstance(text, Dropped)]
    if len(whole) == len(texts) and all(after.startswith(before) for before, after in pairwise(whole)):
        return Finding(promise, "holds", "every turn of a conversation is trained in one sequence", whole[-1])
    said = "earlier answers are written otherwise, so that with every turn each answer is a row of its own"
    return Finding(promise, "rows", said, _attempt(renderer, TWO_TURNS[:-1]))


def _check_injection(renderer: NativeRenderer) -> Finding:
    promise, turns = "no text of a row begins a turn", _attempt(renderer, TWO_TURNS[:-1])
    frames = CONTENTS.split(turns)[:-1]
    if not all(frame.strip() for frame in frames[1:]):
        return Finding(promise, "broken", "nothing but white space stands between two turns", turns)
    if renderer.markers:
        named = ", ".join(map(repr, renderer.markers))
        return Finding(promise, "rows", f"turns begin with plain text; rows that say {named} are dropped", turns)
    return Finding(promise, "holds", "turns begin with control tokens; rows that spell one are dropped", turns)


def _check_date(renderer: NativeRenderer) -> Finding:
    promise = "writes no date of today"
    if has_fixed_date(renderer.chat_template):
        text = renderer.render([QUESTION])
        return Finding(promise, "holds", f"it asked for today's and is given {TODAY} in its place, each day", text)
    if "strftime_now" in renderer.chat_template:
        return Finding(promise, "broken", "it asks for today's in a way that cannot be fixed")
    return Finding(promise, "holds", "it asks for none")


def _check_tools(renderer: NativeRenderer) -> Finding:
    promise = "writes tools, calls and results"
    conversation = [QUESTION, CALL, TOOL_RESULT]
    rows = [_example(renderer, [QUESTION], CALL, TOOLS), _example(renderer, conversation, ANSWER, TOOLS)]
    text = _attempt(renderer, conversation, TOOLS)
    if dropped := next((row for row in rows if isinstance(row, Dropped)), None):
        return Finding(promise, "rows", f"rows with them are dropped: {dropped.value}", text)
    return Finding(promise, "holds", "calls are trained, results are not", text)


def _check_reasoning(renderer: NativeRenderer) -> Finding:
    promise, row = "writes reasoning", _example(renderer, [QUESTION], THINKING)
    text = _attempt(renderer, [QUESTION, THINKING], is_prompt=False)
    if isinstance(row, Dropped):
        return Finding(promise, "rows", f"rows with it are dropped: {row.value}", text)
    kept = THINKING["reasoning_content"] in _attempt(renderer, [QUESTION, THINKING, QUESTION_AGAIN])
    return Finding(promise, "holds", "that of earlier turns, too" if kept else "that of the last turn alone", text)


def _example(
    renderer: NativeRenderer, prompt: Messages, answer: dict[str, str], tools: str | None = None
) -> Example | Dropped:
    return renderer.tokenize([Sample(prompt, (answer,), tools)], LONGEST)[0]


def _attempt(
    renderer: NativeRenderer, messages: Messages, tools: str | None = None, *, is_prompt: bool = True
) -> str:
    try:
        return renderer.render(messages, tools, is_prompt=is_prompt)
    except Exception as error:  # a template raises whatever it likes
        return f"({reason(error)})"
