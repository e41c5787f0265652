"""What a finished chunk leaves in its folder, from which the split and the shards are made.

`rows.arrow`: rows of one kind in the shards' order. `keys.arrow`: fixed-size columns of the same rows.
`signatures.arrow`: their signatures, where near duplicates are looked for. `rejected.arrow`: the rejected rows.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import xxhash

from dataset_builders.cleaning import Cleaned
from dataset_builders.near_duplicates import signature_table
from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import Conversation, Message, RejectedRow, Row, all_messages, contents, kind_of, to_table
from dataset_builders.sampling import below, draw
from rabbit_ko.storage import write_arrow

ROWS_PER_RECORD_BATCH = 64


def write_kept(kept: list[Cleaned], entry: SourceConfig, config: DataConfig, folder: str) -> None:
    """Write the rows that are left, in the order of the shards, some with the system prompt in front."""
    drawn = draw(config.seed, [cleaned.row.id for cleaned in kept])
    places = np.argsort(drawn["order"], kind="stable")
    kept = [kept[place] for place in places]
    drawn = {purpose: draws[places] for purpose, draws in drawn.items()}
    share = (1.0 if entry.probability is None else entry.probability) if entry.add_system_prompt else 0.0
    # A row's own system message stays as it is.
    is_given = below(drawn["system_prompt"], share) & np.array([c.row.prompt[0]["role"] != "system" for c in kept])
    rows = [
        with_system_prompt(cleaned.row, config.system_prompt) if given else cleaned.row
        for cleaned, given in zip(kept, is_given.tolist(), strict=True)
    ]
    table = to_table(kind_of(rows[0]), rows).append_column("order", pa.array(drawn["order"]))
    write_arrow(f"{folder}/rows.arrow", table, ROWS_PER_RECORD_BATCH)
    texts = ("\0".join(contents(all_messages(cleaned.row))) for cleaned in kept)
    digests = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
    high, low = np.ascontiguousarray(np.frombuffer(digests, np.uint64).reshape(-1, 2).T)
    normalized, escaped = (np.array([getattr(c, flag) for c in kept]) for flag in ("normalized", "escaped"))
    keys = {
        **{purpose: drawn[purpose] for purpose in ("order", "test", "sample")},
        "content_high": high,
        "content_low": low,
        # Of two rows with one id, what they say and were decides, and not which comes first.
        "tie": (high & ~np.uint64(3)) | (normalized * 2 + escaped).astype(np.uint64),
        "normalized": normalized,
        "escaped": escaped,
        "with_system_prompt": is_given,
        "multi_turn": [any(message["role"] == "assistant" for message in row.prompt) for row in rows],
    }
    write_arrow(f"{folder}/keys.arrow", pa.table(keys))
    if config.quality.is_on(config.quality.near_duplicates):
        write_arrow(f"{folder}/signatures.arrow", signature_table([cleaned.signature for cleaned in kept]))


def with_system_prompt(row: Row, content: str) -> Row:
    """Return the row with a system message in front."""
    message = Message(role="system", content=content)
    if isinstance(row, Conversation):
        return replace(row, messages=[message, *row.messages])
    return replace(row, prompt=[message, *row.prompt])


def write_rejected(rows: list[RejectedRow], seed: int, folder: str) -> None:
    """Write the rows that are rejected, in the order of the shards."""
    order = pa.array(draw(seed, [row.id for row in rows])["order"])
    table = to_table("rejected", rows).append_column("order", order).sort_by("order")
    write_arrow(f"{folder}/rejected.arrow", table, ROWS_PER_RECORD_BATCH)
