"""Rows, and data folders of them that stand in for a build's."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.licenses import License, known
from dataset_builders.manifest import MANIFEST, Manifest, Shard, SourceSummary
from dataset_builders.schemas import SCHEMAS, Folder
from rabbit_ko.methods import RowKind

Rows = list[dict[str, Any]]


def message(role: str, content: str) -> dict[str, str]:
    """A turn."""
    return {"role": role, "content": content}


def sft_row(key: str, *turns: str, system_prompt: str = "", source: str = "faq") -> dict[str, Any]:
    """An SFT row of these turns, the user's first."""
    messages = [message(("user", "assistant")[place % 2], text) for place, text in enumerate(turns)]
    first = [message("system", system_prompt)] if system_prompt else []
    return {"id": f"{source}/{key}", "source": source, "messages": [*first, *messages]}


def dpo_row(key: str, question: str, chosen: str, rejected: str) -> dict[str, Any]:
    """A DPO row."""
    sides = {"chosen": [message("assistant", chosen)], "rejected": [message("assistant", rejected)]}
    return {"id": f"pairs/{key}", "source": "pairs", "prompt": [message("user", question)], **sides}


def rejected_row(key: str, reason: str, evidence: str = "", row: str = "") -> dict[str, Any]:
    """A rejected row."""
    return {"id": f"faq/{key}", "source": "faq", "reason": reason, "evidence": evidence, "row": row}


SFT = [sft_row(str(number), f"질문 {number}번", "답 " * (1 + 7 * number % 31) + f"{number}") for number in range(40)]
SFT += [sft_row("long one", "첫 질문", "첫 답", "두 번째 질문", "두 번째 답", system_prompt="짧게 답하세요.")]
DPO = [dpo_row(str(number), f"질문 {number}번", f"좋은 답 {number}번입니다.", "나쁜 답") for number in range(6)]
SAME = json.dumps({"messages": SFT[-1]["messages"]}, ensure_ascii=False)
REJECTED = [
    rejected_row("a", "exact duplicate", "faq/long one", SAME),
    rejected_row("b", "near duplicate", "faq/nowhere (0.91 alike)", SAME),
    rejected_row("c", "no answer", row='{"system_prompt": "<script>alert(1)</script>"}'),
    rejected_row("d", "over max_samples"),
]


def summary(name: str, stage: RowKind, kept: int, rejected: dict[str, int], license: License) -> SourceSummary:
    """A source of the manifest, all of its rows in the train split."""
    counts = {"read": kept + sum(rejected.values()), "kept": kept, "splits": {"train": kept}, "rejected": rejected}
    zeros = dict.fromkeys(
        ("input_files", "input_bytes", "with_system_prompt", "multi_turn", "normalized", "escaped"), 0
    )
    place = {"path": "faq.jsonl", "subset": None, "revision": None, "language": "ko", "input_sha256": "0" * 64}
    terms = {"license": license, "license_accepted": "we wrote it", "reported": {"too little Hangul": 3}}
    return SourceSummary(name=name, source="alpaca", stage=stage, **counts, **zeros, **place, **terms)  # type: ignore[arg-type]


def write_folder(
    data: Path, sft: Sequence[Rows] = (), dpo: Sequence[Rows] = (), rejected: Rows | None = None
) -> Path:
    """Write a data folder, one train shard for each list of rows; it stands in for a build."""
    folders: dict[Folder, Sequence[Rows]] = {"sft": sft, "dpo": dpo, "rejected": [rejected] if rejected else []}
    shards = []
    for folder, parts in folders.items():
        for number, rows in enumerate(parts):
            path = data / folder / f"train-{number:05d}-of-{len(parts):05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[folder]), path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            name = path.relative_to(data).as_posix()
            shards.append(Shard(file=name, rows=len(rows), bytes=path.stat().st_size, sha256=digest))
    reasons = dict(sorted(Counter(row["reason"] for row in rejected or []).items()))
    sources = [
        summary("faq", "sft", sum(map(len, sft)), reasons, known("MIT", "https://example.org/faq")),
        summary("pairs", "dpo", sum(map(len, dpo)), {}, License()),
    ]
    manifest = Manifest(
        fingerprint="f1" * 32, config={}, git_commit=None, versions={}, sources=sources, shards=shards
    )
    data.mkdir(parents=True, exist_ok=True)
    (data / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return data
