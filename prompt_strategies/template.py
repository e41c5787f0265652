"""The text of the prompt: its headings, its blank lines, and the order of its parts.

This is the only place where that text is written. Training, preference tuning, the chat template of the saved
tokenizer and evaluation all derive from the two templates below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Template:
    """The parts of a prompt; `{user}`, `{system}` and `{assistant}` stand for a message's stripped content.

    A prompt is one `exchange` for each earlier turn, then `question`, then `instruction` where there is a system
    message, then `response`. The answer and the tokenizer's EOS follow.
    """

    exchange: str
    question: str
    instruction: str
    response: str


LABELS = ("Question", "Instruction", "Input", "Response")


def _with_headings(question: str, instruction: str, response: str) -> Template:
    return Template(
        exchange=f"### {question}:\n{{user}}\n### {response}:\n{{assistant}}\n",
        question=f"### {question}:\n{{user}}\n\n",
        instruction=f"### {instruction}:\n{{system}}\n\n",
        response=f"### {response}:\n",
    )


QIR = _with_headings("Question", "Instruction", "Response")
IIR = _with_headings("Instruction", "Input", "Response")


def template_for(kind: str) -> Template:
    """Return the template that a dataset entry's `type` asks for, such as `prompt_strategies.iir_dpo`."""
    return IIR if kind.startswith("prompt_strategies.iir") else QIR


def render_prompt(template: Template, messages: Messages) -> str:
    """Render what the model reads before it answers, without BOS.

    `messages` holds at most one system message, first, then user and assistant in turn, and ends with the user's
    question.
    """
    system, turns = split_system(messages)
    contents = [turn["content"].strip() for turn in turns]
    earlier = zip(contents[:-1:2], contents[1::2], strict=True)
    return "".join(
        [
            *(template.exchange.format(user=user, assistant=assistant) for user, assistant in earlier),
            template.question.format(user=contents[-1]),
            template.instruction.format(system=system) if system else "",
            template.response,
        ]
    )


def render_answer(message: Mapping[str, Any]) -> str:
    """Render an assistant message as the text that is trained, without EOS."""
    answer: str = message["content"].strip()
    return answer


def split_system(messages: Messages) -> tuple[str, Messages]:
    """Split into the stripped system text, empty where there is none, and the turns after it."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"].strip(), messages[1:]
    return "", messages
