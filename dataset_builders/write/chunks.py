"""What a finished chunk leaves in its folder, from which the split and the shards are made.

`rows.arrow`: rows of one kind in the shards' order. `keys.arrow`: fixed-size columns of the same rows.
`signatures.arrow`: their signatures, where near duplicates are looked for. `rejected.arrow`: the rejected rows.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from dataset_builders.cleaning import Cleaned
from dataset_builders.near_duplicates import Signature, write_signatures
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import (
    Conversation,
    Message,
    RejectedRow,
    Row,
    all_messages,
    contents,
    has_system,
    is_multi_turn,
    kind_of,
    to_table,
)
from dataset_builders.sampling import Draws, below, draw
from rabbit_ko.storage import write_arrow

ROWS_PER_RECORD_BATCH = 64

# A row that no gate has rejected, and its signature where it is long enough to have one.
Kept = tuple[Cleaned, Signature | None]


def write_kept(kept: list[Kept], entry: SourceConfig, config: DataConfig, folder: str) -> None:
    """Write the rows that are left, in the order of the shards, some with the system prompt in front."""
    drawn = draw(config.seed, [cleaned.row.id for cleaned, _ in kept])
    places = np.argsort(drawn["order"], kind="stable")
    kept = [kept[place] for place in places]
    drawn = {purpose: draws[places] for purpose, draws in drawn.items()}
    cleaned = [candidate for candidate, _ in kept]
    share = 1.0 if entry.probability is None else entry.probability
    is_given = below(drawn["system_prompt"], share if entry.add_system_prompt else 0.0)
    # A row's own system message stays as it is.
    is_given &= ~np.array([has_system(candidate.row) for candidate in cleaned])
    rows = [
        with_system_prompt(candidate.row, config.system_prompt) if given else candidate.row
        for candidate, given in zip(cleaned, is_given.tolist(), strict=True)
    ]
    table = to_table(kind_of(rows[0]), rows).append_column("order", pa.array(drawn["order"]))
    write_arrow(f"{folder}/rows.arrow", table, ROWS_PER_RECORD_BATCH)
    flags = {"with_system_prompt": pa.array(is_given), "multi_turn": pa.array(map(is_multi_turn, rows), pa.bool_())}
    write_arrow(f"{folder}/keys.arrow", pa.table({**_keys(cleaned, drawn), **flags}))
    if config.quality.is_on(config.quality.near_duplicates):
        write_signatures(folder, [signature for _, signature in kept])


def with_system_prompt(row: Row, content: str) -> Row:
    """Return the row with a system message in front."""
    message = Message(role="system", content=content)
    if isinstance(row, Conversation):
        return replace(row, messages=[message, *row.messages])
    return replace(row, prompt=[message, *row.prompt])


def _keys(cleaned: list[Cleaned], drawn: dict[str, Draws]) -> dict[str, npt.NDArray[Any]]:
    """Return what the split among all rows looks at, without the rows themselves."""
    digests = b"".join(
        xxhash.xxh3_128_digest("\0".join(contents(all_messages(candidate.row))).encode()) for candidate in cleaned
    )
    high, low = np.frombuffer(digests, np.uint64).reshape(-1, 2).T
    normalized, escaped = (
        np.array([getattr(candidate, flag) for candidate in cleaned]) for flag in ("normalized", "escaped")
    )
    return {
        **{purpose: drawn[purpose] for purpose in ("order", "test", "sample")},
        "content_high": np.ascontiguousarray(high),
        "content_low": np.ascontiguousarray(low),
        # Of two rows with one id, what they say and were decides, and not which comes first.
        "tie": (high & ~np.uint64(3)) | (normalized * 2 + escaped).astype(np.uint64),
        "normalized": normalized,
        "escaped": escaped,
    }


def write_rejected(rows: list[RejectedRow], seed: int, folder: str) -> None:
    """Write the rows that are rejected, in the order of the shards."""
    order = pa.array(draw(seed, [row.id for row in rows])["order"])
    table = to_table("rejected", rows).append_column("order", order).sort_by("order")
    write_arrow(f"{folder}/rejected.arrow", table, ROWS_PER_RECORD_BATCH)
