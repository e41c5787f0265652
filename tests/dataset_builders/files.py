"""Small files for the builders to read, and what they make of them."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from dataset_builders.build import build
from dataset_builders.manifest import Manifest
from dataset_builders.recipe import load_config

OFF = {"action": "off"}
# The command, in a process of its own, from the working tree.
RABBIT = [sys.executable, "-c", "from rabbit_ko.cli import main; main()"]


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_config(path: Path, *sources: dict[str, Any], **options: Any) -> Path:
    """Write a `data.yaml`."""
    path.write_text(yaml.safe_dump({"sources": list(sources), **options}, allow_unicode=True), encoding="utf-8")
    return path


def build_rows(folder: Path, source: str, rows: Iterable[Any], entry: Any = None, **options: Any) -> Manifest:
    """Build `folder/data` from rows of one source, with no gate on unless `quality` says so."""
    path = write_jsonl(folder / "rows.jsonl", rows)
    wanted = {"source": source, "path": str(path), **(entry or {})}
    config = write_config(folder / "data.yaml", wanted, **{"quality": OFF, **options})
    return build(load_config(config), folder / "data")


def read_rows(data: Path, folder: str) -> list[dict[str, Any]]:
    """Read the rows of `sft`, `dpo` or `rejected`, in the order of the shards; none where there is no such folder."""
    files = sorted((data / folder).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def file_contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, but for the builders' own working files."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".chunks" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
