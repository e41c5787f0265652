"""Push a stage to the hub in an export format, with its card, its run file and its licenses, in one commit."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from huggingface_hub import ModelCard

from rabbit_ko import hub
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import Pushed, find_format
from rabbit_ko.hashing import file_digest
from rabbit_ko.licenses.bases import first_base, licenses_of
from rabbit_ko.licenses.files import carried_files
from rabbit_ko.parity.report import ParityRecord, check, parity_command, parity_digest, read_records
from rabbit_ko.publishing.model_card import CARD_FILE, PARITY_DIGEST, REPO, RUN_DIGEST
from rabbit_ko.publishing.model_facts import find_trained
from rabbit_ko.publishing.terms import check_push
from rabbit_ko.recipes import RUN_FILE, find_recipe
from rabbit_ko.storage import check_inside
from rabbit_ko.terminal import say

WEIGHTS = (".safetensors", ".gguf")
# The formats whose weights no other tool has stored in another way.
UNCHANGED = ("adapter", "merged")


def push(recipe: str, name: str, repo: str, format: str = "adapter", quant: str = "", public: bool = False) -> str:
    """Push a stage to the hub model `org/name`; return the commit's URL. Raises UserError, as `hub.commit` does."""
    module, stage = find_format(format), find_trained(find_recipe(recipe), name)
    bases = licenses_of(first_base(stage.model))
    check_push(bases, repo, public)
    exported, run = module.pushed(stage, quant), Path(stage.model) / RUN_FILE
    file, command = Path(stage.model) / CARD_FILE, f"`make card RECIPE={recipe} STAGE={name}`"
    try:
        card = ModelCard.load(file) if file.is_file() else None
    except (OSError, ValueError):
        card = None
    if card is None or "rabbit-ko" not in (card.data.tags or []):
        raise UserError(f"{file}: no card of this project; run {command} first")
    if card.data.get(RUN_DIGEST) != file_digest(run):
        raise UserError(f"{file}: written from another run than the one that is there; run {command} again")
    records = read_records(stage)
    found = _find_records(stage, format, quant, exported, records)
    if found and card.data.get(PARITY_DIGEST) != parity_digest(records):
        raise UserError(f"{file}: was written before parity said what it says now; run {command} again")
    if silent := next((it.display for it in bases if it.display not in card.text), ""):
        raise UserError(f"{file}: does not show `{silent}`, as the base's license wants it; run {command} again")
    _check_files([run, file, *exported.files.values()], Path(stage.model))
    carried = carried_files(Path(stage.model))
    if public and carried.missing:
        raise UserError(carried.missing[0])
    card.data.library_name = exported.library
    if card.data.base_model:
        card.data.base_model_relation = exported.relation
    readme = str(card).replace(REPO, repo).encode()
    files = {**exported.files, **carried.files, RUN_FILE: run, CARD_FILE: readme}
    url = hub.commit(repo, files, f"{recipe} {name}", public, "model")
    said = f"{repo}: nobody has compared what was pushed; `{parity_command(stage, format, quant)}` does"
    say(*carried.missing, *carried.hints, *([] if found else [said]), is_error=True)
    return url


def _find_records(
    stage: Stage, format: str, quant: str, exported: Pushed, records: Mapping[str, ParityRecord]
) -> list[ParityRecord]:
    """Return what parity found of the weights that are pushed.

    Raises UserError where that is another model or prompt, and where nobody has compared what another tool has made.
    """
    files = [file for file in exported.files.values() if isinstance(file, Path) and file.suffix in WEIGHTS]
    weights = {file_digest(file) for file in files}
    # Earlier versions did not say of what files a record is.
    name = "-".join(filter(None, [format, quant]))
    found = [it for key, it in records.items() if weights <= {*it.files.values()} or (key == name and not it.files)]
    for record in found:
        check(record)
    if not found and format not in UNCHANGED:
        command = f"`{parity_command(stage, format, quant)}`"
        raise UserError(f"{files[0]}: nobody has checked that it is the stage's model; run {command}, then the card")
    return found


def _check_files(files: Iterable[Path | bytes], folder: Path) -> None:
    """Raise UserError for what is no file, or a link that leads out of the stage's folder: it is not the stage's."""
    for file in files:
        if isinstance(file, Path):
            check_inside(file, folder)
            if not file.is_file():
                raise UserError(f"{file}: no regular file; take it away and push again")
