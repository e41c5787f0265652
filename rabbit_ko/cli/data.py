"""`rabbit data`, `verify`, `diff`: the shards."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from rabbit_ko.cli.app import AsJson, RecipeName, app
from rabbit_ko.recipes import Recipe

SHOWN_IDS = 5
Executor = Literal["processes", "ray"]


@app.command()
def data(
    recipe: RecipeName = "smoke",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="a data.yaml in the place of a recipe")] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="folder or URL for it; data/<recipe> otherwise")] = "",
    workers: Annotated[int | None, typer.Option(min=1, help="processes; all cores otherwise")] = None,
    executor: Annotated[Executor, typer.Option(help="ray: the cluster at RAY_ADDRESS")] = "processes",
    as_json: AsJson = False,
) -> None:
    """Build the shards that a recipe trains on, from the sources that its data.yaml lists.

    Reads `axolotl_configs/<recipe>/data.yaml`, cleans the rows, asks the gates, drops duplicates and draws the test
    rows. Leaves `data/<recipe>/{sft,dpo,rejected}/*.parquet` and, last, `manifest.json`: each row that was read is
    kept, or rejected with its reason. An interrupted build resumes; data that is up to date by its content is not
    built again. Needs the network where a source is on the hub.

    Example: `rabbit data --recipe aog-8b --workers 4`
    """
    if bool(config) != bool(out):
        raise typer.BadParameter("--config and --out go together: a data.yaml, and the folder or URL for its shards")
    place = out or str(Recipe(recipe).data)
    manifest, is_new = _build(config or Recipe(recipe).data_config, place, workers, executor, is_told=not as_json)
    if as_json:
        print(manifest.to_json(), end="")
    elif not is_new:
        print(f"{place}: up to date")


def build_recipe(recipe: Recipe) -> None:
    """Build a recipe's data, on all cores, unless they are up to date."""
    _build(recipe.data_config, str(recipe.data))


def data_status(recipe: Recipe) -> str:
    """Return the state of a recipe's data: missing, stale, or up to date."""
    from dataset_builders.build import current
    from dataset_builders.recipe import load_config

    if current(load_config(recipe.data_config), str(recipe.data)):
        return "up to date"
    return "stale" if (recipe.data / "manifest.json").exists() else "missing"


def _build(
    config: Path, out: str, workers: int | None = None, executor: Executor = "processes", is_told: bool = True
) -> tuple[Any, bool]:
    """Return the manifest of what a build makes, and whether there was anything to do, which is told in a table."""
    from dataset_builders.build import build, current
    from dataset_builders.executor import cores
    from dataset_builders.recipe import load_config

    wanted = load_config(config)
    if manifest := current(wanted, out):
        return manifest, False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {what: progress.add_task(what, total=None) for what in ("chunks", "shards")}

        def show(what: str, done: int, total: int) -> None:
            progress.update(tasks[what], completed=done, total=total)

        manifest = build(wanted, out, show, workers or cores(), executor)
    if is_told:
        _print_summary(manifest, out)
    return manifest, True


@app.command()
def verify(
    folder: Annotated[str, typer.Argument(metavar="[DIR]", help="a folder or URL; data/<recipe> otherwise")] = "",
    recipe: RecipeName = "smoke",
    as_json: AsJson = False,
) -> None:
    """Check that every file of a folder is what its manifest says, and that every row is accounted for.

    Names each shard with other bytes, missing or unlisted file, and wrong count in a line, and exits with 1 then.

    Example: `rabbit verify data/smoke`
    """
    import dataset_builders.verify as checks

    folder = folder or str(Recipe(recipe).data)
    manifest = checks.verify(folder)
    found = {"folder": folder, "files": len(manifest.shards), "rows": sum(shard.rows for shard in manifest.shards)}
    if as_json:
        print(json.dumps({**found, "fingerprint": manifest.fingerprint}))
    else:
        said = "{folder}: {files} files, {rows:,} rows, all as built; fingerprint ".format_map(found)
        print(said + manifest.fingerprint)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="a folder or URL with a manifest")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="another one")],
    as_json: AsJson = False,
) -> None:
    """Say which rows and reasons changed from one build to another, by id.

    Exits with 1 where any row was added, removed or changed, or has another status: `sft/train`, or a reason.

    Example: `rabbit diff data/before data/after`
    """
    import dataset_builders.verify as checks

    found = checks.diff(before, after)
    if as_json or not found:
        print(json.dumps(found, ensure_ascii=False) if as_json else "no row differs")
    for what, ids in found.items() if not as_json else ():
        more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
        print(f"{len(ids):,} {what}: {', '.join(ids[:SHOWN_IDS])}{more}")
    raise typer.Exit(bool(found))


def _print_summary(manifest: Any, out: str) -> None:
    headings = ("read", "kept", "train", "test", "system", "multi", "NFC", "escaped")
    columns = [Column(heading, justify="right") for heading in headings]
    table = Table("source", *columns, title=out, title_justify="left", box=None, pad_edge=False)
    # A pipe has no width of its own, and a table that is cut there loses figures.
    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=True)
    reasons = ""
    for source in manifest.sources:
        splits = (source.splits.get(split, 0) for split in ("train", "test"))
        flags = source.with_system_prompt, source.multi_turn, source.normalized, source.escaped
        counts = (f"{count:,}" for count in (source.read, source.kept, *splits, *flags))
        table.add_row(f"{source.stage} {source.name}", *counts)
        dropped = [f"{count:,} {reason}" for reason, count in source.rejected.items()]
        dropped += [f"{count:,} {reason}, only counted" for reason, count in source.reported.items()]
        reasons += f"{source.name}: dropped {', '.join(dropped)}\n" if dropped else ""
    console.print(table)
    console.print(reasons, markup=False, highlight=False, end="")
