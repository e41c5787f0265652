"""Command line of the builders.

python -m dataset_builders build axolotl_configs/smoke/data.yaml --out data/smoke
python -m dataset_builders verify data/smoke
python -m dataset_builders diff data/before data/after
python -m dataset_builders push data/smoke org/name
"""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dataset_builders.build import build as build_shards
from dataset_builders.diff import Difference
from dataset_builders.diff import diff as compare
from dataset_builders.executor import Executor, cores
from dataset_builders.manifest import MANIFEST, Manifest
from dataset_builders.parts import input_files
from dataset_builders.recipe import DataConfig, load_config
from dataset_builders.verify import verify as check
from rabbit_ko.command_line import told
from rabbit_ko.storage import is_url

SHOWN_IDS = 5

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
Folder = Annotated[str, typer.Argument(metavar="DIR", help="a folder or URL with a manifest")]


@app.callback()
def main() -> None:
    """Build, check, compare and publish the parquet shards that the recipes train on."""


@app.command()
def build(
    config_path: Annotated[Path, typer.Argument(metavar="DATA.YAML", help="a recipe's data.yaml")],
    out: Annotated[str, typer.Option(help="folder or URL for the shards and the manifest")],
    workers: Annotated[int, typer.Option(min=1, help="processes", show_default="all cores")] = cores(),
    executor: Annotated[Executor, typer.Option(help="ray: the cluster at RAY_ADDRESS")] = "processes",
    make_deps: Annotated[Path | None, typer.Option(help="also write a Makefile rule that lists the inputs")] = None,
    debug: Debug = False,
) -> None:
    """Build shards from the sources that DATA.YAML lists; an interrupted build goes on where it was."""
    if not out:
        raise typer.BadParameter("a folder or URL for the shards is missing", param_hint="--out")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with told(debug, out):
        config = load_config(config_path)
        with _progress() as progress:
            manifest = build_shards(config, out, progress, workers, executor)
        if make_deps:
            _write_make_deps(make_deps, f"{out}/{MANIFEST}", config)
        _print_summary(manifest, out)


@app.command()
def verify(folder: Folder, debug: Debug = False) -> None:
    """Check that every file of DIR is what its manifest says, and every row is accounted for."""
    with told(debug, folder):
        manifest = check(folder)
        rows = sum(shard.rows for shard in manifest.shards)
        print(
            f"{folder}: {len(manifest.shards)} files, {rows:,} rows, all as built; fingerprint {manifest.fingerprint}"
        )


@app.command()
def diff(before: Folder, after: Folder, debug: Debug = False) -> None:
    """Say which rows and reasons changed from one build to another; exit with 1 where any did."""
    with told(debug, before):
        difference = compare(before, after)
    _print_difference(difference)
    raise typer.Exit(1 if difference else 0)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="a folder of shards")],
    target: Annotated[str, typer.Argument(help="a hub data set, org/name, or a URL such as s3://bucket/folder")],
    public: Annotated[bool, typer.Option("--public", help="let everybody see it")] = False,
    debug: Debug = False,
) -> None:
    """Push the shards with a dataset card, all in one commit, to the hub or to object storage."""
    from rabbit_ko.publishing.push_data import push as push_shards  # the hub's client takes a second to import

    with told(debug, str(folder)):
        print(push_shards(folder, target, public))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {what: progress.add_task(what, total=None) for what in ("parts", "shards")}
        yield lambda what, done, total: progress.update(tasks[what], completed=done, total=total)


def _print_summary(manifest: Manifest, out: str) -> None:
    table = Table(title=out, title_justify="left")
    table.add_column("source")
    for heading in ("read", "kept", "train", "test", "instruction", "multi-turn", "NFC", "escaped"):
        table.add_column(heading, justify="right")
    table.add_column("dropped")
    for source in manifest.sources:
        train, test = (source.splits.get(split, 0) for split in ("train", "test"))
        flags = source.with_system_prompt, source.multi_turn, source.normalized, source.escaped
        counts = source.read, source.kept, train, test, *flags
        reasons = source.reasons + "".join(
            f"; {count:,} {why}, only counted" for why, count in source.reported.items()
        )
        table.add_row(f"{source.stage} {source.name}", *(f"{count:,}" for count in counts), reasons)
    # A pipe has no width of its own, and a table that is cut there loses figures.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _print_difference(difference: Difference) -> None:
    lines = [
        *((f"+ {fate}", ids) for fate, ids in difference.added.items()),
        *((f"- {fate}", ids) for fate, ids in difference.removed.items()),
        *((f"{was} -> {now}", ids) for (was, now), ids in difference.moved.items()),
        *([("says something else", difference.changed)] if difference.changed else []),
    ]
    for what, ids in lines:
        more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
        print(f"{len(ids):,} {what}: {', '.join(ids[:SHOWN_IDS])}{more}")
    if not lines:
        print("no row differs")


def _write_make_deps(path: Path, target: str, config: DataConfig) -> None:
    """Write `target: inputs`, and each input as a target without recipe so that a deleted one is no error in make.

    A folder is an input too, since its time changes with the files it holds.
    """
    wanted = [*(entry.path for entry in config.sources), *(known.path for known in config.quality.contamination.sets)]
    here = [str(Path(name).expanduser()) for name in wanted if not is_url(name) and Path(name).expanduser().exists()]
    inputs = {name for source in here for name in (source, *input_files(source))}
    # Make cannot express every name; such a file is then no reason for a rebuild.
    names = sorted(name.replace(" ", "\\ ") for name in inputs if not re.search(r"[\\#$%:;=*?\[\]~\n]", name))
    path.write_text(f"{target}: {' '.join(names)}\n" + "".join(f"{name}:\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    app()
