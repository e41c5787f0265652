"""`rabbit data`, `verify`, `diff`: the shards."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import Progress
from rich.table import Column, Table

from rabbit_ko.cli.app import AsJson, RecipeName, app, use_recipe
from rabbit_ko.errors import UserError, printable
from rabbit_ko.recipes import Recipe
from rabbit_ko.secrets import redact
from rabbit_ko.terminal import Terminal, say, say_json

Executor = Literal["processes", "ray"]
data_app = typer.Typer()
app.add_typer(data_app, name="data")
HEADINGS = ("read", "kept", "train", "test", "system", "multi", "NFC", "escaped")


@data_app.callback(invoke_without_command=True)
def data(
    context: typer.Context,
    recipe: Annotated[str, typer.Option(metavar="NAME", help="a folder under axolotl_configs/")] = "smoke",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="a data.yaml in the place of a recipe")] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="folder or URL for it; data/<recipe> otherwise")] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; otherwise all cores, or one where that is faster")
    ] = None,
    executor: Annotated[Executor, typer.Option(help="ray: the cluster at RAY_ADDRESS")] = "processes",
    as_json: AsJson = False,
) -> None:
    """Build the shards that a recipe trains on, from the sources that its data.yaml lists.

    `rabbit data look FILE` shows what a file of one's own would be in a data.yaml.

    Cleans the rows, asks the gates, drops duplicates and draws the test rows. Leaves `data/<recipe>` with
    `{sft,dpo,kto,rejected}/*.parquet` and, last, `manifest.json`: each row that was read is kept, or rejected with
    its reason. An interrupted build resumes, and up-to-date data is left alone. Sources on the hub need the network.

    Example: `rabbit data --recipe aog-8b --workers 4`
    """
    if context.invoked_subcommand:
        return
    if bool(config) != bool(out):
        raise typer.BadParameter("--config and --out go together: a data.yaml, and the folder or URL for its shards")
    wanted, place = (config, out) if config else (use_recipe(recipe).data_config, str(Recipe(recipe).data))
    manifest, is_new = _build(wanted, place, workers, executor)
    if not as_json:
        say(*stand_ins(wanted))
    if is_new and not as_json:
        _print_summary(manifest, place)
    else:
        say_json(manifest.model_dump(mode="json"), indent=2) if as_json else say(f"{place}: up to date")


def build_recipe(recipe: Recipe) -> None:
    """Build a recipe's data, on all cores, unless they are up to date."""
    manifest, is_new = _build(recipe.data_config, str(recipe.data))
    if is_new:
        say(*stand_ins(recipe.data_config))
        _print_summary(manifest, str(recipe.data))


def data_status(recipe: Recipe) -> str:
    """Return the state of a recipe's data: missing, up to date, or stale with the sources that came or went."""
    from dataset_builders.build import current
    from dataset_builders.manifest import read_manifest
    from dataset_builders.recipe import load_config

    wanted, folder = load_config(recipe.data_config), str(recipe.data)
    if current(wanted, folder):
        return "up to date"
    try:
        had = {source.name for source in read_manifest(folder).sources}
    except UserError:
        return "stale" if (recipe.data / "manifest.json").exists() else "missing"
    has = {entry.label for entry in wanted.sources}
    said = [f"`{name}` is a source now" for name in sorted(has - had)]
    said += [f"`{name}` is none any more" for name in sorted(had - has)]
    return f"stale: {', '.join(said)}" if said else "stale"


def stand_ins(config: Path) -> list[str]:
    """Return a line on each source of a data.yaml that is read in the place of another."""
    from dataset_builders.recipe import load_config

    return load_config(config).stand_ins


def _build(config: Path, out: str, workers: int | None = None, executor: Executor = "processes") -> tuple[Any, bool]:
    """Return the manifest of what a build makes, and whether there was anything to do."""
    from dataset_builders.build import build, current
    from dataset_builders.recipe import load_config

    wanted = load_config(config)
    if manifest := current(wanted, out):
        return manifest, False
    with Progress(console=Terminal(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(bar, description=f"{what} {done}/{total}", completed=done, total=total)

        return build(wanted, out, show, workers, executor), True


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
    files, rows, digest = len(manifest.shards), sum(shard.rows for shard in manifest.shards), manifest.fingerprint
    said = f"{folder}: {files} files, {rows:,} rows, all as built; fingerprint {digest}"
    if as_json:
        say_json({"folder": redact(folder), "files": files, "rows": rows, "fingerprint": digest})
    else:
        say(said)


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
    shown = {what: ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "") for what, ids in found.items()}
    lines = [f"{len(found[what]):,} {what}: {ids}" for what, ids in shown.items()] or ["no row differs"]
    say_json(found) if as_json else say(*lines)
    raise typer.Exit(bool(found))


def _print_summary(manifest: Any, out: str) -> None:
    from dataset_builders.gates.hangul import GATE
    from dataset_builders.read.files import listed, shown_note

    mix = _mix_columns(manifest)
    columns = [Column(it, justify="right") for it in (*HEADINGS, *mix)]
    table = Table("source", *columns, title=redact(out), title_justify="left", box=None, pad_edge=False)
    # A pipe has no width of its own, and a table that is cut there loses figures.
    console = Terminal(width=None if sys.stdout.isatty() else 160, soft_wrap=True)
    reasons = ""
    for source in manifest.sources:
        counts = [source.read, source.kept, source.splits.get("train", 0), source.splits.get("test", 0)]
        counts += [source.with_system_prompt, source.multi_turn, source.normalized, source.escaped]
        shown = [*(f"{count:,}" for count in counts), *(say(source) for say in mix.values())]
        table.add_row(f"{source.stage} {source.name}", *shown)
        dropped = [f"{count:,} {printable(reason)}" for reason, count in source.rejected.items()]
        dropped += [f"{count:,} {reason}, only counted" for reason, count in source.reported.items()]
        reasons += f"{source.name}: dropped {', '.join(dropped)}\n" if dropped else ""
        unread = listed((f"`{name}`" for name in source.unread_columns), most=20)
        reasons += f"{source.name}: nothing reads {unread}\n" if unread else ""
        reasons += "".join(f"{source.name}: {shown_note(note)}\n" for note in source.notes)
        if 20 * (foreign := source.rejected.get(GATE.reason, 0)) > source.read:
            reasons += f"{source.name}: {foreign:,} rows are not in Korean; `language: en` keeps all of the source\n"
    console.print(table)
    console.print(reasons, end="")


def _mix_columns(manifest: Any) -> dict[str, Callable[[Any], str]]:
    """Return what the table says of the mix: a source's share of the train rows of its kind, and of their tokens."""
    columns: dict[str, Callable[[Any], str]] = {}
    if any(source.repeats for source in manifest.sources):
        columns["repeats"] = lambda source: f"{source.repeats:,}"
    columns["share"] = lambda source: f"{manifest.share(source):.1%}"
    if manifest.tokenizer:
        columns["tokens"] = lambda source: f"{source.tokens:,}"
        columns["of tokens"] = lambda source: f"{manifest.share(source, 'tokens'):.1%}"
    return columns
