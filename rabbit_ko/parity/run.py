"""`rabbit parity`, from what is asked for to its record."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from rabbit_ko.evaluation.endpoint import Endpoint, find_endpoint
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.hashing import file_digest
from rabbit_ko.parity.answers import Door
from rabbit_ko.parity.asking import find_outcomes, fitting
from rabbit_ko.parity.conversations import find_conversations
from rabbit_ko.parity.doors import find_doors
from rabbit_ko.parity.doors.llama_cpp import TIMEOUT, LlamaCppDoor
from rabbit_ko.parity.doors.server import ServerDoor, only_model
from rabbit_ko.parity.report import ParityRecord, write_record
from rabbit_ko.parity.verdict import Outcome
from rabbit_ko.recipes import Recipe

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how. against: a format, a folder or a file. server: in its place. quant: how its weights
    are stored. rows: of the recipe, beside the project's own conversations. dtype: of the reference."""

    against: str
    server: Endpoint | None = None
    quant: str = ""
    llama_cpp: str = ""
    rows: int = 200
    max_new_tokens: int = 64
    dtype: str = "float32"


def find_server(url: str, model: str) -> Endpoint:
    """Return a server by its URL, with the only model that it has where none is named. Raises UserError."""
    server = find_endpoint("MODEL", url, model, 1, TIMEOUT)
    return server if model else replace(server, model=only_model(server))


def check_parity(stage: Stage, how: Comparison) -> tuple[ParityRecord, list[Outcome]]:
    """Compare a stage with what it is reached through, and write what was found. Raises UserError."""
    log = Path(stage.model) / "parity" / "server.log"
    doors: list[Door] = (
        [ServerDoor(f"server {how.server.model}", how.server, how.quant or "bf16")]
        if how.server
        else find_doors(stage, how.against, how.quant, how.llama_cpp, log)
    )
    asked = fitting(stage, find_conversations(Recipe(stage.recipe), how.rows), how.max_new_tokens)
    outcomes = find_outcomes(stage, doors, asked, how.max_new_tokens, how.dtype)
    against = how.server.model if how.server else how.against
    name = _NO_NAME.sub("-", "-".join(filter(None, ["server" if how.server else "", against, how.quant]))).strip("-.")
    files = {door.file.name: file_digest(door.file) for door in doors if isinstance(door, LlamaCppDoor)}
    return write_record(stage, against, name, files, asked, how.max_new_tokens, outcomes), outcomes
