"""Write a page about a recipe's data.

python -m rabbit_ko.inspection.report data/smoke axolotl_configs/smoke/sft.yaml axolotl_configs/smoke/dpo.yaml \
    --out data/smoke/report.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from dataset_builders.verify import read_manifest
from rabbit_ko.command_line import told
from rabbit_ko.inspection.report.collect import collect
from rabbit_ko.inspection.report.page import render
from rabbit_ko.inspection.report.scan import OnRows
from rabbit_ko.inspection.report.tokens import load_stages

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="a recipe's data folder, such as data/smoke")],
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[STAGE.YAML]...", help="its sft.yaml and dpo.yaml, for tokens")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the page; DATA/report.html where nothing is said")] = None,
    rows: Annotated[int, typer.Option(min=1, help="tokenize at most so many rows of each split")] = 20_000,
    samples: Annotated[int, typer.Option(min=0, help="rows to show of each source and reason")] = 3,
    debug: Annotated[bool, typer.Option(help="show tracebacks")] = False,
) -> None:
    """Write one HTML page: what became of every row, how long rows are, and what they look like."""
    page = out or data / "report.html"
    with told(debug):
        _write(data, configs or [], page, rows, samples)
    typer.echo(f"{page}: {page.stat().st_size:,} bytes")


def _write(data: Path, configs: list[Path], page: Path, rows: int, samples: int) -> None:
    read_manifest(str(data))  # Loading a stage takes ten seconds, which nobody should wait for to be told of this.
    with _progress() as on_rows:
        loaded = load_stages(configs)
        html = render(collect(data, loaded, rows, samples, on_rows))
    page.write_text(html, encoding="utf-8")


@contextmanager
def _progress() -> Iterator[OnRows]:
    """Show on stderr what is read, and how many rows of it so far."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def on_rows(name: str, count: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.advance(tasks[name], count)

        yield on_rows


if __name__ == "__main__":
    app()
