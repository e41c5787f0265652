"""What a judge is asked: a rubric, in the language of the question or by its name, and what it judges, which is data.

A rubric is a YAML file of the folder `rubrics`, or one of a user's own; what that does not say is as `ko.yaml` has
it, or as `en.yaml`, where it says `language: en`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, Field

from dataset_builders.gates.letters import fold, is_hangul
from dataset_builders.rows import CALLS, Message, spoken
from prompt_strategies.messages import Messages
from prompt_strategies.prompt_injection import escape
from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UnknownName, UserError, reason, suggest
from rabbit_ko.evaluation.judge.marks import marked
from rabbit_ko.evaluation.judge.names import name_of
from rabbit_ko.evaluation.judge.verdicts import Language, Mode
from rabbit_ko.evaluation.records import validated
from rabbit_ko.normal_form import normalize

FOLDER = Path(__file__).with_name("rubrics")
# In the place of a rubric's name: that of the question's language.
GENERAL = "general"
LANGUAGES = get_args(Language)
SIDES = ("A", "B")
# Parts that are not there where they are blank; where another is, the judge is told so.
_MAY_LACK = ("system", "reference")
# Enough for a Korean question about a text in another language, or about code.
_KOREAN = 0.1
_ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, undefined=StrictUndefined)


class Asked(NamedTuple):
    """What a model was asked: messages up to a user's. reference: the right answer, or empty.

    Of earlier turns a message of the role `reference` may say the same; where two conversations are compared, their
    answers are messages of the roles `answer A` and `answer B`.
    """

    messages: Sequence[Message]
    reference: str = ""


class Rubric(BaseModel, extra="forbid", frozen=True):
    """A rubric, and all words around what is judged.

    parts: by role, or what else a part is; later: those that have another name from the second turn on. lowest: the
    lowest score. rubric, end: Jinja, which sees the mode, the turn that is judged, and whether whole conversations
    are compared.
    """

    language: Language = "ko"
    lowest: float = Field(default=1.0, ge=0, lt=10)
    parts: Mapping[str, str]
    later: Mapping[str, str] = {}
    empty: str
    rubric: str
    end: str
    again: Mapping[Mode, str]


def rubric_names() -> list[str]:
    """Return the names of this project's own rubrics."""
    return [GENERAL, *sorted(file.stem for file in FOLDER.glob("*.yaml"))]


def read_rubric(name: str) -> Rubric:
    """Return a rubric by its name, or from a file. Raises UserError."""
    file = FOLDER / f"{name}.yaml" if _is_shipped(name) else Path(name)
    if not (file.suffix or file.exists()):
        raise UnknownName(f"RUBRIC: no rubric `{name}`{suggest(name, rubric_names())}; or give a YAML file")
    return _read(name, file, file.absolute())


@cache
def _read(name: str, file: Path, place: Path) -> Rubric:
    """Return the rubric of a file, which is told from one of the same name in another folder by its place."""
    said = read_yaml(file)
    if name not in LANGUAGES and isinstance(said, dict):
        language = said.get("language", "ko")
        said = _over(read_rubric(language if language in LANGUAGES else "ko").model_dump(), said)
    return validated(Rubric, said, str(file))


def _is_shipped(name: str) -> bool:
    return Path(name).name == name and (FOLDER / f"{name}.yaml").is_file()


def rubric_name(name: str) -> str:
    """Return a rubric's name as a part of a file's."""
    return name if name == GENERAL or _is_shipped(name) else name_of(Path(name))


def _over(known: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return what is said, and what is known of all that is not; so it is within mappings, too."""
    both = (key for key, value in said.items() if isinstance(value, dict) and isinstance(known.get(key), dict))
    return known | said | {key: known[key] | said[key] for key in both}


@cache
def _rendered(text: str, mode: Mode, turn: int, whole: bool) -> str:
    return str(_ENVIRONMENT.from_string(text).render(mode=mode, turn=turn, whole=whole))


def check_rubric(name: str, mode: Mode) -> None:
    """Raise UserError where a rubric is not there, or is no template of what a judge can be told."""
    for rubric in map(read_rubric, LANGUAGES if name == GENERAL else (name,)):
        try:
            said = [_rendered(text, mode, turn, turn > 1) for text in (rubric.rubric, rubric.end) for turn in (1, 2)]
        except (TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UserError(f"{name}: rubric: {reason(error)}; it sees `mode`, `turn` and `whole`") from None
        if not all(text.strip() for text in said):
            raise UserError(f"{name}: rubric: says nothing where the mode is {mode}")


def hangul_share(text: str) -> float:
    """Return the share of Hangul among the letters of a text, of which digits are none."""
    codes = fold([normalize("NFC", text)]).codes
    codes = codes[(codes < ord("0")) | (codes > ord("9"))]
    return float(is_hangul(codes).mean()) if len(codes) else 0.0


def language_of(question: Asked) -> Language:
    """Return the language of a question: Korean where a share of what its user writes is Hangul."""
    said = [message["content"] for message in question.messages if message["role"] == "user"]
    return "ko" if hangul_share("\n".join(said)) >= _KOREAN else "en"


def rubric_for(question: Asked, name: str = GENERAL) -> Rubric:
    """Return the rubric by which the answers to a question are judged. Raises UserError."""
    return read_rubric(language_of(question) if name == GENERAL else name)


def ask_about(
    mode: Mode, question: Asked, answers: Sequence[str], again: bool = False, name: str = GENERAL
) -> Messages:
    """Return what the judge is asked about one answer to a question, or about two in this order.

    again: after a verdict that could not be read. name: the rubric's. Raises UserError.
    """
    rubric = rubric_for(question, name)
    said = [(turn["role"], turn["content"]) for turn in spoken(question.messages)]
    said.append(("reference", question.reference))
    is_there = _without_blank(said)
    roles = ["answer"] if mode == "score" else [f"answer {side}" for side in SIDES]
    # A server may read control tokens in a text as such.
    parts = [(name, escape(text)) for name, text in _named(rubric, [*is_there, *zip(roles, answers, strict=True)])]
    mark, sections = marked(parts, rubric.empty)
    turn = sum(role == "user" for role, _ in said)
    whole = any(role.startswith("answer") for role, _ in said)
    system, end = (_rendered(text, mode, turn, whole) for text in (rubric.rubric, rubric.end))
    asked = "\n\n".join([sections, end.replace("{mark}", mark), *([rubric.again[mode]] if again else [])])
    return [{"role": "system", "content": system}, {"role": "user", "content": asked}]


def _without_blank(said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what is there, and what should be: an answer that is blank, but not one that is a call of tools."""
    before = ["", *(role for role, _ in said)]
    return [
        (role, text)
        for last, (role, text) in zip(before, said, strict=False)
        if text.strip() or not (role in _MAY_LACK or last == CALLS)
    ]


def _named(rubric: Rubric, said: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the name of each part as the judge reads it, with its text."""
    turn = 0
    for role, text in said:
        turn += role == "user"
        kind, _, side = role.partition(" ")
        name = {**rubric.parts, **(rubric.later if turn > 1 else {})}[kind]
        yield f"{name} {side}".rstrip(), text
