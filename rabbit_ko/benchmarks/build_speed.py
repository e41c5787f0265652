"""Rows per second and memory of a build, with its quality gates and without, beside what else one could use.

The rows are generated once and kept. Every contender is a process of its own that starts from nothing. The contenders
take turns, round by round, and ratios are the medians of each round's.
"""

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rabbit_ko.benchmarks import corpus
from rabbit_ko.benchmarks.contenders import CONTENDERS, CONVMERGE, GATES, PLAIN, Contender, Input, rows_out
from rabbit_ko.benchmarks.process_cost import METHOD, Cost, measure
from rabbit_ko.benchmarks.report import DASH, describe_machine, markdown_table, ratio, speeds
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.hashing import file_digest

PACKAGES = ("pyarrow", "datasets", "rensa", "convmerge", "datasketch")
LEGEND = (
    f"`{PLAIN}` is this project's build with its quality gates off. `{GATES}` has those that are on by default and "
    "a benchmark to decontaminate from; convmerge's steps together do the same."
)
HEADINGS = (
    "",
    f"`{PLAIN}` against it",
    f"`{GATES}` against it",
    "rows/s",
    "fastest and slowest",
    "peak memory",
    "rows out",
)


@dataclass
class Result:
    """What one contender took on one input, round by round; no rounds where it did not run."""

    contender: Contender
    rounds: list[Cost] = field(default_factory=list)
    rows_out: int = 0

    @property
    def seconds(self) -> list[float]:
        return [cost.seconds for cost in self.rounds]

    @property
    def peak(self) -> str:
        return f"{max(cost.peak_bytes for cost in self.rounds) / 1e6:,.0f} MB"


def bench_builds(
    sizes: Sequence[int], conversations: int, rounds: int, only: Sequence[str], out: Path, json_file: Path | None
) -> None:
    """Time builds of so many rows of KoAlpaca's shape, and of guanaco conversations; print tables in Markdown.

    only: names of contenders, all without it. out: the folder for the rows, which stay, and for builds, which go.
    json_file: also write the measurements there. Raises UserError where there is no such contender.
    """
    names = [contender.name for contender in CONTENDERS]
    for name in only:
        if name not in names:
            raise UserError(f"--only: there is no contender `{name}`{suggest(name, names)}")
    contenders = [contender for contender in CONTENDERS if not only or contender.name in only]
    inputs = _generate(sorted(set(sizes)), conversations, out)
    machine = describe_machine(*PACKAGES)
    print(f"{machine}\nRounds: {rounds}. {METHOD}\n{LEGEND}")
    results: list[list[Result]] = []
    for given in inputs:
        results.append(_take_turns(contenders, given, rounds, out / "built"))
        size = given.file.stat().st_size / 1e6
        print(f"\n{given.source}, {given.rows:,} rows, {size:,.0f} MB:\n\n{build_table(given, results[-1])}")
        if json_file:
            _write(json_file, machine, inputs, results)
    if (last := len(set(sizes)) - 1) > 0:
        print(f"\n{scaling_table(inputs[0], inputs[last], results[0], results[last])}")


def _generate(sizes: list[int], conversations: int, out: Path) -> list[Input]:
    """Write the files that are not there yet; other code makes other files."""
    folder = out / file_digest(Path(corpus.__file__))[:8]
    benchmark = corpus.write(corpus.questions(), folder / "questions.jsonl")
    kinds = [("koalpaca", size, corpus.koalpaca) for size in sizes]
    kinds += [("guanaco_ko", conversations, corpus.guanaco)] if conversations else []
    inputs = [Input(source, size, folder / f"{source}-{size}.jsonl", benchmark) for source, size, _ in kinds]
    for given, (_, size, generate) in zip(inputs, kinds, strict=True):
        if not given.file.exists():
            print(f"generating {given.file}", file=sys.stderr, flush=True)
            corpus.write(generate(size), given.file)
    return inputs


def _take_turns(contenders: Sequence[Contender], given: Input, rounds: int, folder: Path) -> list[Result]:
    results = [Result(contender) for contender in contenders]
    able = [
        one for one in results if not one.contender.missing and given.rows <= (one.contender.most_rows or math.inf)
    ]
    for number in range(1, rounds + 1):
        for result in able:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            steps = [measure(command) for command in result.contender.commands(given, folder)]
            cost = Cost(sum(step.seconds for step in steps), max(step.peak_bytes for step in steps))
            result.rounds.append(cost)
            result.rows_out = rows_out(folder)
            what = f"{given.source} {given.rows:,}, round {number}: {result.contender.name}"
            print(f"{what}: {cost.seconds:.1f} s", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return results


def _write(path: Path, machine: str, inputs: Sequence[Input], results: Sequence[Sequence[Result]]) -> None:
    runs = [
        {"source": given.source, "rows": given.rows, "contenders": [_entry(result) for result in measured]}
        for given, measured in zip(inputs, results, strict=False)
    ]
    path.write_text(json.dumps({"machine": machine, "memory": METHOD, "corpora": runs}, indent=2), encoding="utf-8")


def _entry(result: Result) -> dict[str, object]:
    rounds = [asdict(cost) for cost in result.rounds]
    return {"name": result.contender.name, "rounds": rounds, "rows": result.rows_out}


def build_table(given: Input, results: Sequence[Result]) -> str:
    """Compare the contenders on one input."""
    ours = [next((one.seconds for one in results if one.contender.name == name), []) for name in (PLAIN, GATES)]
    lines = []
    for result in results:
        contender, seconds = result.contender, result.seconds
        if seconds:
            ratios = [ratio(seconds, build) if build else DASH for build in ours]
            figures = [*ratios, *speeds(given.rows, seconds), result.peak, f"{result.rows_out:,}"]
        else:
            why = f"`{CONVMERGE}`" if contender.missing else f"not run beyond {contender.most_rows:,} rows"
            figures = [DASH, DASH, why, DASH, DASH, DASH]
        lines.append([contender.name, *figures])
    return markdown_table(HEADINGS, lines)


def scaling_table(small: Input, large: Input, before: Sequence[Result], after: Sequence[Result]) -> str:
    """Show how time and memory grow with rows, for those that ran on both inputs; an exponent of 1 is linear."""
    lines = []
    for first, second in zip(before, after, strict=True):
        if first.rounds and second.rounds:
            times = median(second.seconds) / median(first.seconds)
            exponent = math.log(times) / math.log(large.rows / small.rows)
            lines.append([first.contender.name, f"{exponent:.2f}", first.peak, second.peak])
    peaks_at = (f"peak memory at {given.rows:,}" for given in (small, large))
    return markdown_table(("", "exponent of time in rows", *peaks_at), lines)
