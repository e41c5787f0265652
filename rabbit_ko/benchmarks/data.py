"""Rows per second and memory of a build, with its quality gates and without, beside what else one could use.

    python -m rabbit_ko.benchmarks.data --rows 100000 --rows 1000000 --conversations 250000

The rows are generated once and kept. Every contender is a process of its own that starts from nothing. The contenders
take turns, round by round, and ratios are the medians of each round's. `contenders.py` has the commands.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from rabbit_ko.benchmarks import rows as generated
from rabbit_ko.benchmarks import words
from rabbit_ko.benchmarks.contenders import CONTENDERS, Contender, Corpus, rows_out
from rabbit_ko.benchmarks.machine import describe
from rabbit_ko.benchmarks.measure import METHOD, measure
from rabbit_ko.benchmarks.tables import LEGEND, Result, corpus_table, scaling_table

SIZES = (100_000, 1_000_000)
PACKAGES = ("pyarrow", "datasets", "rensa", "convmerge", "datasketch")


def benchmark(
    rows: Annotated[
        list[int] | None, typer.Option(min=1, help="rows of KoAlpaca's shape; again for another size")
    ] = None,
    conversations: Annotated[int, typer.Option(min=0, help="guanaco conversations")] = 250_000,
    rounds: Annotated[int, typer.Option(min=1, help="how often each contender runs")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="a contender's name, such as plain; again for more")] = None,
    out: Annotated[Path, typer.Option(help="folder for the rows, 2 GB that stay, and for builds, 3 GB that go")] = (
        Path("runs/bench")
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the measurements here")] = None,
) -> None:
    """Time the builds and print tables in Markdown."""
    contenders = [contender for contender in CONTENDERS if not only or contender.name in only]
    if not contenders:
        raise typer.BadParameter(f"--only: there are {', '.join({one.name: None for one in CONTENDERS})}")
    sizes = sorted(set(rows or SIZES))
    corpora = _generate(sizes, conversations, out)
    machine = describe(*(package for package in PACKAGES if find_spec(package)))
    print(f"{machine}\nRounds: {rounds}. {METHOD}\n{LEGEND}")
    results = []
    for corpus in corpora:
        results.append(_take_turns(contenders, corpus, rounds, out / "built"))
        size = corpus.file.stat().st_size / 1e6
        print(f"\n{corpus.source}, {corpus.rows:,} rows, {size:,.0f} MB:\n\n{corpus_table(corpus, results[-1])}")
        if json_file:
            _write(json_file, machine, corpora, results)
    if len(sizes) > 1:
        last = len(sizes) - 1
        print(f"\n{scaling_table(corpora[0], corpora[last], results[0], results[last])}")


def _generate(sizes: list[int], conversations: int, out: Path) -> list[Corpus]:
    """Write what is not there yet; other code makes other files."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (generated, words))
    folder = out / sha256(code).hexdigest()[:8]
    evaluation = generated.write(generated.questions(), folder / "questions.jsonl")
    kinds = [("koalpaca", size, generated.koalpaca) for size in sizes]
    kinds += [("guanaco_ko", conversations, generated.guanaco)] if conversations else []
    corpora = []
    for source, size, make in kinds:
        file = folder / f"{source}-{size}.jsonl"
        if not file.exists():
            _say(f"generating {file}")
            generated.write(make(size), file)
        corpora.append(Corpus(source, size, file, evaluation))
    _say(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:,.0f} MB of generated rows")
    return corpora


def _take_turns(contenders: Sequence[Contender], corpus: Corpus, rounds: int, folder: Path) -> list[Result]:
    results = [Result(contender) for contender in contenders]
    for number in range(1, rounds + 1):
        for result in results:
            contender = result.contender
            if contender.missing or corpus.rows > (contender.most_rows or corpus.rows):
                continue
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            steps = contender.steps(corpus, folder)
            result.rounds.append({name: measure(command) for name, command in steps.items()})
            result.rows_out = rows_out(folder)
            _say(f"{corpus.source} {corpus.rows:,}, round {number}: {contender.label}: {result.seconds[-1]:.1f} s")
    shutil.rmtree(folder)
    return results


def _write(path: Path, machine: str, corpora: Sequence[Corpus], results: Sequence[Sequence[Result]]) -> None:
    runs = [
        {"source": corpus.source, "rows": corpus.rows, "contenders": [_as_json(result) for result in measured]}
        for corpus, measured in zip(corpora, results, strict=False)
    ]
    path.write_text(json.dumps({"machine": machine, "memory": METHOD, "corpora": runs}, indent=2), encoding="utf-8")


def _as_json(result: Result) -> dict[str, Any]:
    rounds = [{name: asdict(step) for name, step in steps.items()} for steps in result.rounds]
    return {
        "name": result.contender.name,
        "variant": result.contender.variant,
        "rounds": rounds,
        "rows": result.rows_out,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(benchmark)
