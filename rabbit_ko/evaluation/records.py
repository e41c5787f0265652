"""What an evaluation came to: one file for each task of a stage, written whole and last."""

import json
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rabbit_ko import storage
from rabbit_ko.errors import UserError

PACKAGES = ("lm_eval", "transformers", "peft", "torch", "datasets", "vllm", "openai")


class Score(BaseModel):
    """One figure: of a harness task, or of a category of LogicKor.

    value: None where nothing could be measured. stderr: of the mean over items, in the figure's own unit.
    missing: items without a verdict, which count neither for nor against.
    """

    model_config = ConfigDict(extra="forbid")

    task: str
    metric: str
    value: float | None
    stderr: float | None = None
    items: int
    missing: int = 0


class Model(BaseModel):
    """The model that answered: where it is, a hash of what it is, what ran it, and its name at a server.

    What a server has under the name, it alone knows; the hash is that of the stage which it is said to serve.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    fingerprint: str
    backend: str
    name: str = ""


class Result(BaseModel):
    """The outcome of one task, such as kobest, with all that it depends on.

    settings: shots, limit, template and whatever else changes the figures. harness: the harness's own output.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    recipe: str
    stage: str
    task: str
    model: Model
    settings: dict[str, Any]
    scores: list[Score]
    versions: dict[str, str]
    command: str
    started: str
    seconds: float
    notes: list[str] = Field(default_factory=list)
    harness: dict[str, Any] = Field(default_factory=dict)


class Sample(BaseModel):
    """What one item came to, for comparing two stages item by item."""

    task: str
    item: str
    metric: str
    value: float


def result_file(folder: Path, task: str) -> Path:
    """Return the place of a task's result in a stage's folder."""
    return folder / f"{task}.json"


def samples_file(folder: Path, task: str) -> Path:
    """Return the place of what each item came to."""
    return folder / f"{task}.samples.jsonl"


def write_result(folder: Path, result: Result, samples: list[Sample]) -> None:
    """Write a result, its samples first. Raises OSError."""
    lines = "".join(sample.model_dump_json() + "\n" for sample in samples)
    storage.write(str(samples_file(folder, result.task)), lines.encode())
    text = json.dumps(result.model_dump(), ensure_ascii=False, indent=1, default=str)
    storage.write(str(result_file(folder, result.task)), text.encode())


def read_result(folder: Path, task: str) -> Result | None:
    """Read a task's result; None where there is none. Raises UserError where the file is damaged."""
    file = result_file(folder, task)
    try:
        return Result.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{file}: not a result of this project; move it away and run the task again") from None


def read_samples(folder: Path, task: str) -> list[Sample]:
    """Read what each item of a task came to; nothing where that was not kept."""
    file = samples_file(folder, task)
    if not file.exists():
        return []
    return [Sample.model_validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()]


def versions() -> dict[str, str]:
    """Return the versions of the packages that have a hand in the figures."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command() -> str:
    """Return the command that is running, without what in it is nobody's business."""
    from axolotl_plugins.redaction import redact

    spec = sys.modules["__main__"].__spec__
    program = ["python", "-m", spec.name.removesuffix(".__main__")] if spec else [Path(sys.argv[0]).name]
    return str(redact(shlex.join([*program, *sys.argv[1:]]), ()))


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
