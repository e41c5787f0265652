"""The files that decide what a judge says of the same: what it is asked, how, and how its verdicts are read."""

from collections.abc import Iterator
from pathlib import Path

from rabbit_ko.evaluation.judge.rubric import FOLDER, GENERAL

MODULES = ("rubric", "names", "marks", "manner", "asking", "own_lines", "forms", "verdicts")


def deciding_files(rubric: str = GENERAL) -> Iterator[Path]:
    """Yield the code, all rubrics of this project, and the file of another one where one is named."""
    yield from FOLDER.glob("*.yaml")
    yield from (FOLDER.with_name(f"{name}.py") for name in MODULES)
    if rubric != GENERAL and not (FOLDER / f"{rubric}.yaml").exists():
        yield Path(rubric)
