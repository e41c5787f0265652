"""A tiny data folder, as `make data` leaves one: shards of each kind, and the manifest."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.licenses import License, known
from dataset_builders.manifest import MANIFEST, Manifest, Shard, SourceSummary, fingerprint_of
from dataset_builders.schemas import SCHEMAS, Folder
from rabbit_ko.methods import RowKind

STATED = "https://huggingface.co/datasets/org/upstream"
ROWS: dict[str, int] = {
    **{"sft/train": 5, "sft/test": 2},
    **{"dpo/train": 3, "dpo/test": 1},
    **{"kto/train": 4, "kto/test": 2},
    "rejected/train": 2,
}


def turn(role: str, content: str) -> dict[str, str]:
    """Return a message."""
    return {"role": role, "content": content}


def row(folder: str, number: int, padding: str = "") -> dict[str, Any]:
    """Return a row of `sft`, `dpo`, `kto` or `rejected`; `padding` makes its answer long."""
    keys = {"id": f"{folder}/{number}", "source": folder}
    prompt = [turn("system", "짧게 답하세요."), turn("user", f"질문 {number}?")]
    chosen = [turn("assistant", f"답변 {number}.\n둘째 줄.{padding}")]
    if folder == "sft":
        return {**keys, "messages": prompt + chosen}
    if folder == "dpo":
        return {**keys, "prompt": prompt, "chosen": chosen, "rejected": [turn("assistant", "몰라요.")]}
    if folder == "kto":
        return {**keys, "prompt": prompt, "completion": chosen, "label": number % 2 == 0}
    return {**keys, "reason": "empty turn", "evidence": "{}"}


def write_shard(root: Path, file: str, rows: list[dict[str, Any]]) -> Shard:
    """Write one shard and describe it."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    kind: Folder = next((kind for kind in SCHEMAS if file.startswith(kind)), "rejected")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[kind]), path)
    content = path.read_bytes()
    return Shard(file=file, rows=len(rows), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def summary(stage: RowKind, license: License, **changes: Any) -> SourceSummary:
    """Describe a source of a stage."""
    splits = {split: ROWS[f"{stage}/{split}"] for split in ("train", "test")}
    fields: dict[str, Any] = {
        "name": stage,
        "source": "messages" if stage == "sft" else "preference",
        "stage": stage,
        "path": f"org/upstream-{stage}",
        "subset": None,
        "revision": "0123456789abcdef0123456789abcdef01234567",
        "language": "ko",
        "license": license,
        "license_accepted": None,
        "input_files": 1,
        "input_bytes": 1_000,
        "input_sha256": "0" * 64,
        "read": sum(splits.values()) + 1,
        "kept": sum(splits.values()),
        "splits": splits,
        "with_system_prompt": 0,
        "multi_turn": 0,
        "normalized": 0,
        "escaped": 0,
        "rejected": {"empty turn": 1},
        "reported": {},
    }
    return SourceSummary(**(fields | changes))


def make_data_folder(
    root: Path, sources: list[SourceSummary] | None = None, shards_per_split: int = 1, padding: str = ""
) -> Manifest:
    """Write `root/{sft,dpo,kto,rejected}/*.parquet` and `root/manifest.json`.

    There is one source for each stage, under Apache-2.0, if none is told; only the stages of the sources get shards.
    `padding` makes the first answer of each split long.
    """
    license = known("Apache-2.0", STATED)
    sources = sources or [summary("sft", license), summary("dpo", license)]
    shards = []
    for name, count in ROWS.items():
        folder, split = name.split("/")
        if folder not in ("rejected", *(source.stage for source in sources)):
            continue
        rows = [row(folder, number, padding if number == 0 else "") for number in range(count)]
        total = min(shards_per_split, count)
        for index in range(total):
            file = f"{folder}/{split}-{index:05d}-of-{total:05d}.parquet"
            shards.append(write_shard(root, file, rows[index::total]))
    manifest = Manifest(
        fingerprint=fingerprint_of(shards),
        config={"seed": 42},
        git_commit=None,
        versions={"rabbit-ko": "0"},
        sources=sources,
        shards=shards,
    )
    (root / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def pushed_files(folder: Path) -> dict[str, bytes]:
    """Return the shards that a push sends, by name."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
    return {name: (folder / name).read_bytes() for name in names if not name.startswith("rejected/")}
