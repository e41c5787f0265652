"""A page about a recipe's data: what became of its rows, how long they are, how they look. `rabbit report`."""

import re
from collections import Counter
from functools import partial
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, ValidationError

from dataset_builders.manifest import Manifest, read_manifest
from rabbit_ko.inspection.pages import render
from rabbit_ko.inspection.shard_scan import measure_messages, scan_shards
from rabbit_ko.inspection.token_lengths import count_tokens
from rabbit_ko.inspection.turns import names_of, parts
from rabbit_ko.methods import ROW_KINDS, RowKind
from rabbit_ko.recipes import Recipe


class Turn(BaseModel):
    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: str | None = None


Turns = Annotated[list[Turn], Field(min_length=1)]


class Converted(BaseModel, extra="forbid"):
    """The columns of a rejected row that was converted before it was rejected."""

    messages: Turns | None = None
    prompt: Turns | None = None
    chosen: Turns | None = None
    rejected: Turns | None = None
    completion: Turns | None = None
    label: bool | None = None
    tools: str | None = None


# A duplicate's evidence is the id of the row that was kept, and how alike they are.
kept_id = partial(re.sub, r" \([\d.]+ alike\)$", "")


def render_report(recipe: Recipe, max_tokenized: int, samples: int) -> str:
    """Return a page about a recipe's data; `samples` rows of each source and reason are shown. Raises UserError."""
    manifest = read_manifest(str(recipe.data))
    reasons = {reason for source in manifest.sources for reason in (*source.rejected, *source.reported)}
    duplicates = sorted(reason for reason in reasons if "duplicate" in reason)
    _, found = scan_shards(
        recipe.data, manifest, "rejected", lambda rows: {"reason": rows["reason"]}, {"reason": samples}
    )
    rejected = {reason: rows.to_pylist() for reason, rows in found["reason"].items()}
    pairs = {reason: rejected[reason] for reason in duplicates if reason in rejected}
    ids = pa.array({kept_id(row["evidence"]) for rows in pairs.values() for row in rows}, pa.string())
    kinds = [_describe(recipe, manifest, kind, max_tokenized, samples, ids) for kind in ROW_KINDS]
    return render(
        "data_report.html.jinja",
        name=recipe.name,
        manifest=manifest,
        kinds=[kind for kind in kinds if kind],
        duplicates=duplicates,
        pairs=pairs,
        kept={row["id"]: row for kind in kinds for row in kind.get("wanted", [])},
        kept_id=kept_id,
        reasons=sum((Counter(source.rejected) for source in manifest.sources), Counter[str]()).most_common(),
        rejected=rejected,
        converted=converted,
        parts=parts,
        names_of=names_of,
    )


def _describe(
    recipe: Recipe, manifest: Manifest, kind: RowKind, max_tokenized: int, samples: int, ids: pa.Array
) -> dict[str, Any]:
    """Return what the page shows of one kind of rows, nothing where there are none."""

    def measure(rows: pa.Table) -> dict[str, Any]:
        wanted = pc.if_else(pc.is_in(rows["id"], ids), rows["id"], None)
        labels = {"label": rows["label"]} if kind == "kto" else {}
        return {
            "source": rows["source"],
            "split": rows["split"],
            "wanted": wanted,
            **labels,
            **measure_messages(rows),
        }

    sizes = {"source": samples, "split": max_tokenized, "wanted": 1}
    measures, found = scan_shards(recipe.data, manifest, kind, measure, sizes)
    if not len(measures):
        return {}
    stage = next((method.name for method in recipe.methods if method.rows == kind), None)
    every = measures.drop_columns(["wanted", "draw"]).to_pandas()
    lines = dict(list(every.groupby("source")))
    return {
        "kind": kind,
        "every": every,
        "lines": {**lines, "all": every} if len(lines) > 1 else lines,
        "rows": every["split"].value_counts().to_dict(),
        "tokenized": {split: len(rows) for split, rows in found["split"].items()},
        "tokens": count_tokens(recipe, stage, found["split"]) if stage and found["split"] else None,
        "shown": {source: rows.to_pylist() for source, rows in found["source"].items()},
        "wanted": [row for rows in found["wanted"].values() for row in rows.to_pylist()],
    }


def converted(text: str) -> dict[str, Any] | None:
    """Return a rejected row's columns where it was converted before it was rejected; None where it is raw."""
    try:
        return Converted.model_validate_json(text).model_dump(exclude_none=True) or None
    except ValidationError:
        return None
