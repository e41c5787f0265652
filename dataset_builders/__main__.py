"""Command line of the builders.

python -m dataset_builders build axolotl_configs/smoke/data.yaml --out data/smoke
"""

import re
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dataset_builders.build import MANIFEST
from dataset_builders.build import build as build_shards
from dataset_builders.config import DataConfig, load_config
from dataset_builders.convert import SourceReport
from dataset_builders.errors import UserError
from dataset_builders.reading import local_files

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Build the parquet shards that the recipes train on."""


@app.command()
def build(
    config_path: Annotated[Path, typer.Argument(metavar="DATA.YAML", help="a recipe's data.yaml")],
    out: Annotated[Path, typer.Option(help="folder for the shards and the manifest")],
    make_deps: Annotated[Path | None, typer.Option(help="also write a Makefile rule that lists the inputs")] = None,
    debug: Annotated[bool, typer.Option(help="show tracebacks")] = False,
) -> None:
    """Build shards from the sources that DATA.YAML lists."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        config = load_config(config_path)
        reports = _build_with_progress(config, out)
        if make_deps:
            _write_make_deps(make_deps, out / MANIFEST, config)
    except (UserError, OSError, KeyboardInterrupt) as error:
        if debug:
            raise
        typer.echo(f"error: {_one_line(error, out)}", err=True)
        raise typer.Exit(1) from None
    _print_summary(reports, out)


def _one_line(error: BaseException, out: Path) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError):
        return f"{error.filename or out}: {error.strerror or error}"
    return str(error)


def _build_with_progress(config: DataConfig, out: Path) -> list[SourceReport]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {entry.label: progress.add_task(entry.label, total=None) for entry in config.sources}
        return build_shards(config, out, lambda name: progress.advance(tasks[name]))


def _print_summary(reports: list[SourceReport], out: Path) -> None:
    table = Table(title=f"{out}", title_justify="left")
    table.add_column("source")
    for heading in ("read", "kept", "train", "test", "with instruction", "multi-turn", "escaped"):
        table.add_column(heading, justify="right")
    table.add_column("rejected")
    for report in reports:
        train, test = (report.splits.get(split, 0) for split in ("train", "test"))
        counts = report.read, report.kept, train, test, report.with_instruction, report.multi_turn, report.escaped
        table.add_row(f"{report.stage} {report.name}", *(f"{count:,}" for count in counts), report.reasons)
    # A pipe has no width of its own, and a table that is cut there loses figures.
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _write_make_deps(path: Path, target: Path, config: DataConfig) -> None:
    """Write `target: inputs`, and each input as a target without recipe so that a deleted one is no error in make.

    A folder is an input too, since its time changes with the files it holds.
    """
    sources = [Path(entry.path).expanduser() for entry in config.sources]
    inputs = [path for source in sources if source.exists() for path in {source, *local_files(source)}]
    # Make cannot express every name; such a file is then no reason for a rebuild.
    names = sorted(
        str(path).replace(" ", "\\ ") for path in inputs if not re.search(r"[\\#$%:;=*?\[\]~\n]", str(path))
    )
    path.write_text(f"{target}: {' '.join(names)}\n" + "".join(f"{name}:\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    app()
