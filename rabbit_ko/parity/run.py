"""What `rabbit parity` does: the doors and the reference are asked the same, and what they say is compared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.models import context_of, encode_chat, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import FORMATS
from rabbit_ko.export._folder import export_folder
from rabbit_ko.export.gguf import QUANTS, file_name
from rabbit_ko.hashing import file_digest
from rabbit_ko.parity.answers import Answered, Door
from rabbit_ko.parity.comparison import Compared, compare, with_end
from rabbit_ko.parity.conversations import Asked, find_conversations
from rabbit_ko.parity.doors import find_doors, server_door
from rabbit_ko.parity.reference import Reference
from rabbit_ko.parity.report import ELSEWHERE, MAX_NEW_TOKENS, PARITY, ROWS, ParityRecord, write_record
from rabbit_ko.parity.verdict import DTYPES, Outcome, judge
from rabbit_ko.recipes import Recipe
from rabbit_ko.secrets import hide
from rabbit_ko.storage import check_inside

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    against: a format, a folder or a file. server: in its place. quant: how the weights are stored there. rows: of the
    recipe, beside the project's own conversations. dtype: of the reference.
    """

    against: str
    server: Endpoint | None = None
    quant: str = ""
    llama_cpp: str = ""
    rows: int = ROWS
    max_new_tokens: int = MAX_NEW_TOKENS
    dtype: str = "float32"


def check_parity(stage: Stage, how: Comparison) -> tuple[ParityRecord, list[Outcome]]:
    """Compare a stage with what it is reached through, and write what was found. Raises UserError."""
    file, log = _record_file(stage, how), Path(stage.model) / PARITY / "server.log"
    _check_writable(file.parent, stage)
    server = how.server and server_door(how.server, how.quant)
    doors: Sequence[Door] = [server] if server else find_doors(stage, how.against, how.quant, how.llama_cpp, log)
    found = find_conversations(Recipe(stage.recipe), how.rows)
    asked = fitting(stage, found, how.max_new_tokens)
    run = Path(stage.model).resolve()
    files = {_name(file, run): file_digest(file) for file in {file for door in doors for file in door.files}}
    outcomes = find_outcomes(stage, doors, asked, how.max_new_tokens, how.dtype)
    settings: dict[str, str | int] = {"max_new_tokens": how.max_new_tokens, "rows": how.rows, "dtype": how.dtype}
    return write_record(stage, file, files, asked, len(found) - len(asked), settings, outcomes), outcomes


def _record_file(stage: Stage, how: Comparison) -> Path:
    """Return the place of a record, another one for what is not the stage's own, as another stage's merged model."""
    folder, run, place = Path(stage.model) / PARITY, Path(stage.model).resolve(), Path(how.against).resolve()
    exports = {f"gguf-{quant}": export_folder(stage, "gguf", quant) / file_name(stage, quant) for quant in QUANTS}
    own = {run: "adapter", run / "merged": "merged", export_folder(stage, "fp8").resolve(): "fp8"}
    own |= {file.resolve(): name for name, file in exports.items()}
    if how.server:
        name = f"server-{hide(how.server.model)}"
    elif how.against in FORMATS:
        name = how.against
    elif not (name := own.get(place, "")):
        folder, name = folder / ELSEWHERE, place.name
    return folder / f"{_NO_NAME.sub('-', '-'.join(filter(None, [name, how.quant]))).strip('-.')}.json"


def _check_writable(folder: Path, stage: Stage) -> None:
    """Raise UserError where a record cannot be written, or would be elsewhere, before anything long starts."""
    check_inside(folder, Path(stage.model))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: what is found cannot be written there: {error.strerror}") from None


def _name(file: Path, run: Path) -> str:
    """Return the name of a file in a record: where it is in the run's folder, or its own where it is elsewhere."""
    place = file.resolve()
    return str(place.relative_to(run)) if place.is_relative_to(run) else f"{ELSEWHERE}/{file.name}"


def find_outcomes(
    stage: Stage, doors: Sequence[Door], asked: Sequence[Asked], max_new_tokens: int, dtype: str = "float32"
) -> list[Outcome]:
    """Return what each door is. Raises UserError.

    asked: conversations that `fitting` has returned. dtype: of the reference. Of the models, each door's and the
    reference's, one is in memory at a time.
    """
    conversations = [each.messages for each in asked]
    answers = [door.answer(conversations, max_new_tokens) for door in doors]
    reference = Reference(stage, dtype)
    return [
        judge(door.name, door.quant, _compare(reference, asked, found, max_new_tokens), DTYPES[dtype])
        for door, found in zip(doors, answers, strict=True)
    ]


def fitting(stage: Stage, asked: Sequence[Asked], max_new_tokens: int) -> list[Asked]:
    """Return what leaves room for an answer in the model's context, and what the stage's prompt can say.

    Raises UserError where nothing does.
    """
    tokenizer, context = load_tokenizer(stage), context_of(stage)

    def fits(each: Asked) -> bool:
        try:
            return len(encode_chat(tokenizer, each.messages)["input_ids"]) + max_new_tokens <= context
        except UserError:
            return False

    if found := [*filter(fits, asked)]:
        return found
    raise UserError(
        f"{stage.model}: no conversation leaves room for {max_new_tokens:,} tokens in its context of {context:,}; "
        "lower MAX_NEW_TOKENS"
    )


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
        compare(each, prompt, tokenizer.bos_token or "", answer, row, found, ends, max_new_tokens)
        for each, prompt, answer, row, found in zip(asked, prompts, answers, tokens, places, strict=True)
    ]
