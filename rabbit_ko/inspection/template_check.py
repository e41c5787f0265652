"""What a tokenizer and a chat template keep of this project's promises, and rows as they would be trained."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from axolotl_plugins.checks.base_model import load_base_tokenizer, looks_like_a_path, stop_tokens
from axolotl_plugins.checks.model_files import check_configs
from prompt_strategies.conformance import Finding, check_template
from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.native_template import known_templates, resolve_chat_template
from prompt_strategies.renderer import renderer_for
from prompt_strategies.tokens import Dropped, Example, Sample
from rabbit_ko.errors import UnknownName, UserError, printable, suggest
from rabbit_ko.inspection.pieces import Piece, answers, print_pieces
from rabbit_ko.terminal import BREAKS, Terminal

STYLES = {"holds": "green", "rows": "yellow", "broken": "bold red"}
SEQUENCE_LEN = 32_768

_WEATHER = {
    "name": "get_weather",
    "description": "도시의 날씨를 알려 준다.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_CALL = {"type": "function", "id": "call00001", "function": {"name": "get_weather", "arguments": {"city": "서울"}}}
CONVERSATION = [
    {"role": "system", "content": "짧게 답하세요."},
    {"role": "user", "content": "대한민국의 수도는?"},
    {"role": "assistant", "content": "서울입니다."},
    {"role": "user", "content": "그럼 일본은?"},
    {"role": "assistant", "content": "도쿄입니다."},
]
CALLED = [
    {"role": "user", "content": "서울 날씨 어때?"},
    {"role": "assistant", "content": "", "tool_calls": json.dumps([_CALL], ensure_ascii=False)},
    {"role": "tool", "content": "맑음, 18도", "tool_call_id": "call00001"},
    {"role": "assistant", "content": "서울은 맑고 18도입니다."},
]
THOUGHT = [
    {"role": "user", "content": "17 곱하기 3은?"},
    {"role": "assistant", "content": "51입니다.", "reasoning_content": "17을 세 번 더하면 51이다."},
]
TOOLS = json.dumps([{"type": "function", "function": _WEATHER}], ensure_ascii=False)
ROWS: dict[str, tuple[Messages, str | None]] = {
    "a conversation": (CONVERSATION, None),
    "a call of a tool": (CALLED, TOOLS),
    "reasoning": (THOUGHT, None),
}


def check_model_template(model: str, template: str, eos_token: str) -> tuple[Any, list[Finding]]:
    """Return a model's tokenizer with the chat template that is asked for, and what was found of each promise.

    template: axolotl's name of one, a file, or nothing for the tokenizer's own. eos_token: in the place of the
    tokenizer's own, where one is given. Raises UserError.
    """
    _check_names(model, template)
    tokenizer = load_base_tokenizer({"base_model": model})
    if eos_token and eos_token not in tokenizer.get_vocab():
        raise UnknownName(f"--eos-token: {printable(eos_token)} is not in the vocabulary of {model}")
    tokenizer.eos_token = eos_token or tokenizer.eos_token
    is_file = Path(template).is_file()
    given = {"chat_template": "jinja", "chat_template_jinja": template} if is_file else {"chat_template": template}
    tokenizer.chat_template = resolve_chat_template(given if template else {}, tokenizer)
    return tokenizer, check_template(tokenizer, _stops(model))


def _check_names(model: str, template: str) -> None:
    folder = Path(model).expanduser()
    if folder.is_dir():
        check_configs(folder)
    elif looks_like_a_path(model) or folder.exists():
        raise UserError(f"{model}: no such folder; name one with a tokenizer, or a model on the hub")
    known = known_templates()
    if template and template not in known and not Path(template).is_file():
        raise UnknownName(
            f"--template: `{template}` is neither a file nor one of axolotl's{suggest(template, known)}"
        )


def _stops(model: str) -> list[int] | None:
    """Return the ids that generation stops at; None where nothing beside the tokenizer says it."""
    try:
        return stop_tokens(model)
    except (OSError, ValueError):
        return None


def render_rows(tokenizer: Any) -> Iterator[tuple[str, list[list[Piece]] | str]]:
    """Yield what each of ROWS is called, and its sequences in pieces, or why one of its answers cannot be trained."""
    from prompt_strategies.sft import join_prefixes  # imports axolotl, which takes seconds

    renderer = renderer_for("prompt_strategies.native_every_turn", tokenizer)
    for name, (messages, tools) in ROWS.items():
        samples = [Sample(target[:-1], (target[-1],), tools) for target in every_answer(messages)]
        found = join_prefixes(renderer.tokenize(samples, SEQUENCE_LEN))
        kept = [row for row in found if isinstance(row, Example)]
        why = next((row.value for row in found if isinstance(row, Dropped)), None)
        yield name, why or [pieces for row in kept for pieces in answers(tokenizer, row).values()]


def print_report(console: Terminal, tokenizer: Any, findings: Sequence[Finding]) -> None:
    """Print each promise with its verdict, an example where it does not hold, and rows as they would be trained."""
    for finding in findings:
        verdict = (f"{finding.verdict:<7}", STYLES[finding.verdict])
        said = printable(f": {finding.said}", keep=BREAKS)
        console.print(Text.assemble(verdict, (finding.promise, "bold"), said), soft_wrap=True)
        if finding.example and finding.verdict != "holds":
            lines = printable(finding.example, keep=BREAKS).rstrip().split("\n")
            console.print(Text("\n".join(f"       | {line}".rstrip() for line in lines), "dim"), soft_wrap=True)
    if broken := count_broken(findings):
        console.print(f"\n{broken} broken: the guard refuses a run with this template")
        return
    for name, sequences in render_rows(tokenizer):
        console.print(Text.assemble(("\nAs it would be trained: ", "bold"), name))
        if isinstance(sequences, str):
            console.print(f"dropped: {sequences}")
            continue
        for pieces in sequences:
            print_pieces(console, pieces)


def count_broken(findings: Sequence[Finding]) -> int:
    """Return how many promises a run would be refused for."""
    return sum(finding.verdict == "broken" for finding in findings)


def as_json(tokenizer: Any, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the report as JSON has it."""
    found = () if count_broken(findings) else render_rows(tokenizer)
    rows = {
        name: {"dropped": row} if isinstance(row, str) else [[asdict(piece) for piece in pieces] for pieces in row]
        for name, row in found
    }
    return {"findings": [asdict(finding) for finding in findings], "rows": rows}
