"""A trained stage against what serves it, for the end-to-end tests of parity; and GGUFs with a fault in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.parity.answers import Door
from rabbit_ko.parity.conversations import Asked, find_conversations
from rabbit_ko.parity.doors import find_doors
from rabbit_ko.parity.run import find_outcomes, fitting
from rabbit_ko.parity.verdict import EXACT, Outcome, Verdict
from rabbit_ko.recipes import Recipe
from tests.conftest import hostile_rows

TOKENS = 32
TYPES = {bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, str: GGUFValueType.STRING}


def everything(stage: Stage, rows: int) -> list[Asked]:
    """The golden and the hostile conversations, all hostile texts of the tests, and a recipe's rows."""
    texts = {text for text, _ in hostile_rows()}
    hostile = [Asked(repr(text), "hostile", [{"role": "user", "content": text}]) for text in sorted(texts)]
    return fitting(stage, [*find_conversations(Recipe(stage.recipe), rows), *hostile], TOKENS)


def a_few(stage: Stage, rows: int = 12) -> list[Asked]:
    """The golden conversations and some rows."""
    asked = fitting(stage, find_conversations(Recipe(stage.recipe), rows), TOKENS)
    return [each for each in asked if each.kind != "hostile"]


def outcomes(stage: Stage, against: object, asked: Sequence[Asked], quant: str = "") -> list[Outcome]:
    """What a stage's doors are: the most exact one, and that which people use."""
    doors = find_doors(stage, str(against), quant, "", Path("server.log"))
    return find_outcomes(stage, doors, asked, TOKENS)


def exact(stage: Stage, against: object, rows: int = 12) -> Outcome:
    """What the most exact door is, by a few conversations."""
    doors: list[Door] = find_doors(stage, str(against), "", "", Path("server.log"))[:1]
    [outcome] = find_outcomes(stage, doors, a_few(stage, rows), TOKENS)
    return outcome


def check_same(outcome: Outcome) -> None:
    """Fail where a door has another model; of two tokens as likely as each other, a kind of CPU may take either."""
    assert outcome.verdict is not Verdict.DIFFERENT, outcome.why
    assert outcome.largest is not None
    assert outcome.largest < EXACT
    assert max(answer.gap for answer in outcome.answers) < EXACT


def _details(value: Any) -> MetadataDetails:
    if isinstance(value, list):
        return MetadataDetails(GGUFValueType.ARRAY, value, sub_type=TYPES[type(value[0])])
    return MetadataDetails(TYPES[type(value)], value)


def with_keys(file: Path, to: Path, drop: Sequence[str] = (), **keys: Any) -> Path:
    """Write a GGUF that says something else, a dot of a key given as two underscores."""
    reader = GGUFReader(file)
    new = {name.replace("__", "."): _details(value) for name, value in keys.items()}
    writer = GGUFWriter(to, str(reader.fields["general.architecture"].contents()))
    copy_with_new_metadata(reader, writer, new, [*drop])
    return to
