"""A page about a recipe's data: what became of its rows, how long they are, how they look. `rabbit report`."""

import re
from collections import Counter
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, TypeAdapter, ValidationError

from dataset_builders.verify import read_manifest
from rabbit_ko.inspection.pages import Array, render
from rabbit_ko.inspection.shard_scan import OnRows, Row, ScannedRows, lowest_draws, read_shards, scan_rows
from rabbit_ko.inspection.token_lengths import count_tokens
from rabbit_ko.methods import RowKind
from rabbit_ko.recipes import Recipe


class Turn(BaseModel):
    """A message of a rejected row that was converted before it was rejected."""

    role: str
    content: str


Part = Literal["messages", "prompt", "chosen", "rejected", "completion"]
CONVERTED = TypeAdapter(dict[Part, list[Turn]])


def render_report(recipe: Recipe, max_tokenized: int, samples: int, on_rows: OnRows) -> str:
    """Return a page about a recipe's data, with the tokens of at most `max_tokenized` rows of each split.

    samples: how many rows of each source, and of each reason, are shown. on_rows: is called with what is read and how
    many rows it was. The same data gives the same bytes. Raises UserError where the folder is not what its manifest
    says, or a stage cannot be loaded or reads another folder.
    """
    manifest = read_manifest(str(recipe.data))
    lowest: dict[str, pa.Table] = {}
    for batch in read_shards(recipe.data, manifest, "rejected", on_rows):
        lowest = lowest_draws([*lowest.values(), batch], "reason", samples)
    rejected = {reason: rows.to_pylist() for reason, rows in lowest.items()}
    reasons = {reason for source in manifest.sources for reason in (*source.rejected, *source.reported)}
    # The evidence of these starts with the id of the row that was kept.
    duplicates = sorted(reason for reason in reasons if "duplicate" in reason)
    pairs = {reason: rejected[reason] for reason in duplicates if reason in rejected}
    ids = {key for rows in pairs.values() for row in rows for key in possible_kept_ids(row["evidence"])}
    shards = {kind: read_shards(recipe.data, manifest, kind, on_rows) for kind in get_args(RowKind)}
    scanned = [scan_rows(batches, kind, samples, max_tokenized, ids) for kind, batches in shards.items()]
    scans = [scan for scan in scanned if scan]
    wanted = {key: row for scan in scans for key, row in scan.wanted.items()}
    return render(
        "data_report.html.jinja",
        name=recipe.name,
        manifest=manifest,
        stages=[_stage(recipe, scan, on_rows) for scan in scans],
        duplicates=duplicates,
        pairs={reason: [(row, kept_row(row, wanted)) for row in rows] for reason, rows in pairs.items()},
        reasons=sum((Counter(source.rejected) for source in manifest.sources), Counter[str]()).most_common(),
        rejected=rejected,
        converted=converted,
        median=np.median,
    )


def _stage(recipe: Recipe, scan: ScannedRows, on_rows: OnRows) -> dict[str, Any]:
    """Return what the page shows of one kind of rows; tokens where a stage trains on them and rows were drawn."""
    stage = next((method.name for method in recipe.methods if method.rows == scan.kind), None)
    tokens = count_tokens(recipe, stage, scan.drawn, on_rows) if stage and scan.drawn else None
    sources = sorted(scan.measures["source"].unique().to_pylist())
    lines = {name: _columns(scan.measures.filter(pc.equal(scan.measures["source"], name))) for name in sources}
    every = _columns(scan.measures)
    lines |= {"all": every} if len(sources) > 1 else {}
    return {"scan": scan, "tokens": tokens, "lines": lines, "every": every, "rows": Counter(every["split"])}


def _columns(measures: pa.Table) -> dict[str, Array]:
    """Return measures as arrays, one entry for each row; `known` is `hangul` of the rows that have letters."""
    columns: dict[str, Array] = {name: measures[name].to_numpy() for name in measures.column_names}
    return {**columns, "known": columns["hangul"][~np.isnan(columns["hangul"])]}


def possible_kept_ids(evidence: str) -> list[str]:
    """Return what may be the id at the start of a duplicate's evidence, the longest first; an id may hold a space."""
    starts = {evidence[: match.start()].rstrip(",:;") for match in re.finditer(r"\s|$", evidence[:500])}
    return sorted(starts - {""}, key=len, reverse=True)


def kept_row(rejected: Row, wanted: dict[str, Row]) -> Row | None:
    """Return the row that a duplicate's evidence starts with, or None where it is not in the shards."""
    return next((wanted[key] for key in possible_kept_ids(rejected["evidence"]) if key in wanted), None)


def converted(text: str) -> dict[Part, list[Turn]] | None:
    """Return a rejected row's messages where it was converted before it was rejected; None where it is raw."""
    try:
        return CONVERTED.validate_json(text) or None
    except ValidationError:
        return None
