"""One part's way from raw rows to rows that may be kept, with all that the choice among all parts' rows depends on.

A part leaves four files in its folder, the last of them `report.json`, whose presence says that the part is done:
`rows.arrow` (rows of the stage in the shards' order), `keys.arrow` (fixed-size columns of the same rows),
`signatures.arrow` where near duplicates are looked for, and `rejected.arrow`.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from dataset_builders.batch import Batch, byte_strings, concat, flat
from dataset_builders.cleaning import clean
from dataset_builders.convert import convert_part, missing_column
from dataset_builders.gates.contamination import Index
from dataset_builders.gates.run import run_gates
from dataset_builders.gates.similarity import bands, signatures
from dataset_builders.parts import Part
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import SCHEMAS, RejectedRow
from dataset_builders.sampling import Draws, below, draw
from rabbit_ko.storage import write_arrow, write_json

ROWS_PER_BATCH = 64
NOT_SAMPLED, OVER_MAX = SAMPLED_OUT = ("not sampled", "over max_samples")


@dataclass
class Refined:
    """What a part comes to: the rows that are left, the signatures of the same rows, and the rows that are not."""

    source: str
    kept: list[Batch] = field(default_factory=list)
    signatures: list[pa.Table] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    reported: Counter[str] = field(default_factory=Counter)
    read: int = 0

    def drop(self, batch: Batch, reasons: dict[int, tuple[str, str]]) -> None:
        """Keep rows of a batch as rejected ones; reasons: row -> (reason, evidence)."""
        if reasons:
            table = batch.take(np.array(list(reasons), np.int64)).to_table(self.source)
            for row, (reason, evidence) in zip(table.to_pylist(), reasons.values(), strict=True):
                self.rejected.append(rejected_row(row, reason, evidence))


def rejected_row(row: dict[str, Any], reason: str, evidence: str) -> RejectedRow:
    """Make a rejected row of a row of a shard; what sampling drops is named, but not kept."""
    messages = {name: value for name, value in row.items() if name not in ("id", "source")}
    text = "" if reason in SAMPLED_OUT else json.dumps(messages, ensure_ascii=False)
    return RejectedRow(row["id"], row["source"], reason, evidence, text)


def refine(part: Part, entry: SourceConfig, config: DataConfig, index: Index, folder: str) -> dict[str, Any]:
    """Convert, clean, judge and number a part's rows, write them to `folder`, and return the report.

    Raises UserError where the part cannot be read, OSError where it cannot be written.
    """
    refined = Refined(entry.label)
    for converted in convert_part(part, entry):
        refined.read += converted.read
        refined.rejected += converted.rejected
        if len(converted.batch):
            _judge(converted.batch, entry, config, index, refined)
    report = {
        "rows": sum(map(len, refined.kept)),
        "read": refined.read,
        "rejected": dict(Counter(row.reason for row in refined.rejected)),
        "reported": dict(refined.reported),
        "missing": "" if refined.kept else missing_column(refined.rejected, entry),
    }
    if report["rows"]:
        _write_kept(refined, entry, config, folder)
    if refined.rejected:
        _write_rejected(refined.rejected, config.seed, folder)
    write_json(f"{folder}/report.json", report)
    return report


def _judge(batch: Batch, entry: SourceConfig, config: DataConfig, index: Index, refined: Refined) -> None:
    """Take a batch through sampling, cleaning and the gates, in this order."""
    beyond = _beyond_fraction(batch, entry, config.seed)
    refined.drop(batch, beyond)
    batch, unfit = clean(batch.without(beyond), entry.prompt_injection)
    refined.drop(batch, {row: (reason, "") for row, reason in unfit.items()})
    batch = batch.without(unfit)
    verdicts = run_gates(batch, entry.language == "ko", config.quality, index)
    refined.reported += verdicts.reported
    refined.drop(batch, verdicts.rejected)
    if config.quality.is_on(config.quality.near_duplicates):
        refined.signatures.append(_signatures(batch, verdicts.rejected))
    # A copy, without the letters that the gates have looked at, which take more room than the rows.
    refined.kept.append(replace(batch.without(verdicts.rejected)))


def _beyond_fraction(batch: Batch, entry: SourceConfig, seed: int) -> dict[int, tuple[str, str]]:
    if entry.fraction == 1:
        return {}
    beyond = np.flatnonzero(~below(draw(seed, batch.ids)["sample"], entry.fraction))
    return dict.fromkeys(beyond.tolist(), (NOT_SAMPLED, ""))


def _write_kept(refined: Refined, entry: SourceConfig, config: DataConfig, folder: str) -> None:
    """Write the rows that are left, in the order of the shards, some with the instruction in front."""
    batch = concat(refined.kept)
    drawn = draw(config.seed, batch.ids)
    places = np.argsort(drawn["order"], kind="stable")
    keys = pa.table({name: np.ascontiguousarray(key) for name, key in _keys(batch, drawn).items()}).take(places)
    batch = batch.take(places, config.system_prompt, _is_given(batch, entry, drawn["instruction"]))
    flags = {"with_system_prompt": batch.has_system, "multi_turn": batch.is_multi_turn}
    flags |= {"normalized": batch.normalized, "escaped": batch.escaped}
    for name, flag in flags.items():
        keys = keys.append_column(name, pa.array(flag))
    rows = batch.to_table(entry.label).append_column("order", keys["order"])
    write_arrow(f"{folder}/rows.arrow", rows, ROWS_PER_BATCH)
    write_arrow(f"{folder}/keys.arrow", keys)
    if refined.signatures:
        write_arrow(f"{folder}/signatures.arrow", pa.concat_tables(refined.signatures).take(places))


def _write_rejected(rows: Sequence[RejectedRow], seed: int, folder: str) -> None:
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMAS["rejected"])
    order = pa.array(draw(seed, flat(table["id"]))["order"])
    write_arrow(f"{folder}/rejected.arrow", table.append_column("order", order).sort_by("order"), ROWS_PER_BATCH)


def _is_given(batch: Batch, entry: SourceConfig, draws: Draws) -> npt.NDArray[np.bool_]:
    """Tell which rows get the instruction; a row's own system message stays as it is."""
    share = 1.0 if entry.probability is None else entry.probability
    return below(draws, share if entry.add_system_prompt else 0.0) & ~batch.has_system


def _hashes(texts: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Return n by 2 numbers, a hash of each text."""
    digests = b"".join(xxhash.xxh3_128_digest(text) for text in byte_strings(texts))
    return np.frombuffer(digests, np.uint64).reshape(len(texts), 2)


def _keys(batch: Batch, drawn: dict[str, Draws]) -> dict[str, npt.NDArray[Any]]:
    """Return what the choice among all rows looks at, without the rows themselves."""
    columns = {purpose: drawn[purpose] for purpose in ("order", "test", "sample")}
    columns["content_high"], columns["content_low"] = _hashes(batch.joined("\0")).T
    # Of two rows with one id, what they say and were decides, and not which comes first.
    columns["tie"] = (columns["content_high"] & ~np.uint64(3)) | (batch.normalized * 2 + batch.escaped).astype(
        np.uint64
    )
    return columns


def _signatures(batch: Batch, rejected: Collection[int]) -> pa.Table:
    kept = batch.others(rejected)
    rows, is_long_enough = signatures(batch.letters)
    columns = {f"band_{number:02}": pa.array(band) for number, band in enumerate(bands(rows[kept]))}
    places = pa.FixedSizeListArray.from_arrays(pa.array(rows[kept].reshape(-1)), rows.shape[1])
    return pa.table({"is_long_enough": is_long_enough[kept], "places": places, **columns})
