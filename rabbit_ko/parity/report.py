"""What parity found, as a record beside the run, as a table, and as the place where two answers part."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.table import Table

from rabbit_ko import storage
from rabbit_ko.documents import read_record
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.models import encode_chat
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export._folder import made_of
from rabbit_ko.hashing import file_digest, versions
from rabbit_ko.parity.comparison import Compared
from rabbit_ko.parity.conversations import Asked
from rabbit_ko.parity.verdict import Outcome, Verdict

PACKAGES = ("transformers", "peft", "torch", "tokenizers", "xllamacpp", "gguf", "llmcompressor", "compressed-tensors")
AROUND = 24
# How many of a recipe's rows are asked by default, and for how many tokens.
ROWS, MAX_NEW_TOKENS = 200, 64
# The folder of the records within a run's; and in that, of those of what is not the stage's own.
PARITY, ELSEWHERE = "parity", "elsewhere"


class DoorRecord(BaseModel):
    """A door's figures. prompts, ids, counts: of how many conversations they are the same, and of how many told.

    same: how many answers have the same tokens and end, of so many conversations, which came to so many tokens. mean,
    largest: of the differences of their log-probabilities, in nats. kl: the mean divergence, in nats a token. share:
    how much of the adapter is in it. ends: of how many answers the end is told as it is.
    """

    door: str
    quant: str
    verdict: Verdict
    why: str
    conversations: int
    prompts: tuple[int, int]
    ids: tuple[int, int]
    counts: tuple[int, int]
    same: int
    tokens: int
    mean: float | None
    largest: float | None
    kl: float | None
    share: float | None
    ends: tuple[int, int]

    @property
    def told(self) -> str:
        """Of how many conversations the prompts are the same, by the most exact that is told of them."""
        found = {"ids": self.ids, "text": self.prompts, "count": self.counts}
        return next((f"{same}/{known} {name}" for name, (same, known) in found.items() if known), "-")


class ParityRecord(BaseModel):
    """What was compared with a stage. made_of: tells its model and prompt from others.

    files: what was compared, by its place in the run's folder, with its SHA-256. asked: how many conversations of
    each kind. skipped: how many others have no room for an answer, or no place in the prompt.
    """

    made_of: str
    files: dict[str, str]
    asked: dict[str, int]
    skipped: int
    settings: dict[str, str | int]
    doors: list[DoorRecord]
    versions: dict[str, str]
    at: str

    @property
    def has_gguf(self) -> bool:
        """Whether a GGUF was compared."""
        return any(name.endswith(".gguf") for name in self.files)

    @property
    def is_short(self) -> bool:
        """Whether fewer rows or tokens were asked for than are by default, as far as the record says so."""
        least = {"rows": ROWS, "max_new_tokens": MAX_NEW_TOKENS}
        return any(isinstance(it := self.settings.get(name), int) and it < least[name] for name in least)


def write_record(
    stage: Stage,
    file: Path,
    files: Mapping[str, str],
    asked: Sequence[Asked],
    skipped: int,
    settings: Mapping[str, str | int],
    outcomes: Sequence[Outcome],
) -> ParityRecord:
    """Write what was found to a file; return it. Raises OSError."""
    record = ParityRecord(
        made_of=made_of(stage),
        files=dict(files),
        asked=Counter(each.kind for each in asked),
        skipped=skipped,
        settings=dict(settings),
        doors=[_record(outcome) for outcome in outcomes],
        versions=versions(PACKAGES),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    storage.write(str(file), (record.model_dump_json(indent=1) + "\n").encode())
    return record


def read_records(stage: Stage) -> dict[str, ParityRecord]:
    """Return what was found of a stage as it is now, by the records' names. Raises UserError for a damaged one.

    That of files which have changed since is not among it, nor that of what is not the stage's own.
    """
    run, own = Path(stage.model), made_of(stage)
    files = sorted((run / PARITY).glob("*.json"))
    found = {
        file.stem: read_record(ParityRecord, file, "take it away, and run `make parity` again") for file in files
    }
    return {name: record for name, record in found.items() if record.made_of == own and _is_unchanged(run, record)}


def parity_command(stage: Stage, against: str, quant: str) -> str:
    """Return the command that compares a stage's export with it."""
    stored = f" QUANT={quant}" if quant else ""
    return f"make parity RECIPE={stage.recipe} STAGE={stage.name} AGAINST={against}{stored}"


def _is_unchanged(run: Path, record: ParityRecord) -> bool:
    there = ((run / name, digest) for name, digest in record.files.items() if (run / name).is_file())
    return all(file_digest(file) == digest for file, digest in there)


def parity_digest(records: Mapping[str, ParityRecord]) -> str:
    """Return a hash of what was found of a stage."""
    return digest({name: record.model_dump(mode="json") for name, record in records.items()})


def _record(outcome: Outcome) -> DoorRecord:
    return DoorRecord(
        door=outcome.door,
        quant=outcome.quant,
        verdict=outcome.verdict,
        why=outcome.why,
        conversations=len(outcome.answers),
        prompts=outcome.told("prompt"),
        ids=outcome.told("ids"),
        counts=outcome.told("count"),
        same=outcome.same,
        tokens=sum(len(answer.tokens) for answer in outcome.answers),
        mean=outcome.mean,
        largest=outcome.largest,
        kl=outcome.kl,
        share=outcome.share,
        ends=outcome.told("end"),
    )


def as_table(record: ParityRecord) -> Table:
    """Return the doors side by side: the prompts by the most exact that is told, answers, probabilities, verdict."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("door", "prompts", "answers", "mean", "largest", "KL", "adapter", "verdict"):
        table.add_column(title, justify="left" if title in ("door", "verdict") else "right", no_wrap=title != "door")
    for door in record.doors:
        figures = [_figure(value) for value in (door.mean, door.largest, door.kl)]
        share = "-" if door.share is None else f"{door.share:.3f}"
        verdict = door.verdict.removeprefix("numerically ")
        table.add_row(door.door, door.told, f"{door.same}/{door.conversations}", *figures, share, verdict)
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}" if value < 1e-3 else f"{value:.4f}"


def describe(outcome: Outcome, tokenizer: Any) -> Iterator[str]:
    """Yield lines on where a door parts from the reference, and why that is its verdict."""
    yield f"{outcome.door}: {outcome.verdict}{f': {outcome.why}' if outcome.why else ''}"
    if (shown := outcome.shown) is None:
        return
    yield f"  in {shown.asked.name} ({shown.asked.kind})"
    yield from _prompt_lines(shown, tokenizer)
    if shown.first is not None:
        yield from _token_lines(shown, tokenizer)


def _prompt_lines(shown: Compared, tokenizer: Any) -> Iterator[str]:
    ids = encode_chat(tokenizer, shown.asked.messages)["input_ids"]
    if shown.prompt is False:
        text = tokenizer.decode(ids).removeprefix(tokenizer.bos_token or "")
        there = str(shown.answer.prompt).removeprefix(tokenizer.bos_token or "")
        at = _parting(text, there)
        here, there = text[at : at + AROUND], there[at : at + AROUND]
        yield f"  the prompt, from its character {at} on: here {here!r}, there {there!r}"
    elif shown.ids is False:
        there_ids = list(shown.answer.prompt_ids or ())
        at = _parting(ids, there_ids)
        here, there = (tokenizer.convert_ids_to_tokens(row[at : at + 3]) for row in (ids, there_ids))
        yield f"  the prompt, from its token {at} on: here {here}, there {there}"
    elif shown.count is False:
        yield f"  the prompt has {len(ids)} tokens here and {shown.answer.prompt_tokens} there"


def _token_lines(shown: Compared, tokenizer: Any) -> Iterator[str]:
    assert shown.first is not None
    [*said, other] = [*(token.id for token in shown.tokens), None][: shown.first + 1]
    before = tokenizer.decode(said)[-AROUND:]
    here, there = _named(tokenizer, shown.chosen), _named(tokenizer, other)
    gap = f", less likely here by {shown.gap:.4f}" if math.isfinite(shown.gap) else ""
    yield f"  the answer, at its token {shown.first} behind {before!r}: here {here}, there {there}{gap}"


def _named(tokenizer: Any, token: int | None) -> str:
    if token is None:
        return "its end"
    return repr(tokenizer.decode([token])) if 0 <= token < len(tokenizer) else "another"


def _parting(one: Sequence[Any], other: Sequence[Any]) -> int:
    same = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(same, min(len(one), len(other)))


def check(record: ParityRecord) -> None:
    """Raise UserError where a door has another model, or another prompt."""
    for door in record.doors:
        if door.verdict is Verdict.DIFFERENT:
            raise UserError(f"{door.door}: is not the same model, or not with its prompt: {door.why}")
