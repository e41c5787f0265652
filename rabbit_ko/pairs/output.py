"""What is left of making pairs: all prompts with their judged answers, the pairs among them, and what it came to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from dataset_builders.rows import assistant
from dataset_builders.schemas import schema_of
from dataset_builders.sources.own_pairs import PAIRS_FILE
from rabbit_ko import storage
from rabbit_ko.documents import read_record
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.hashing import file_digest
from rabbit_ko.pairs.config import PairsConfig, read_pairs_config
from rabbit_ko.pairs.judges import make_judge
from rabbit_ko.pairs.pairing import Judged
from rabbit_ko.recipes import Recipe
from rabbit_ko.run_record import trained_files
from rabbit_ko.training.status import State

ANSWERS, VERDICTS, JUDGED, RECORD = "answers.jsonl", "verdicts.jsonl", "judged.parquet", "pairs.json"
AGAIN = "take it away, and make the pairs again; answers and verdicts are kept"

_TEXT, _SCORE, _PLACES = pa.string(), pa.float64(), pa.list_(pa.int32())
_VERDICT = pa.struct([("answers", _PLACES), ("score", _SCORE), ("text", _TEXT)])
_ANSWER = pa.struct([("text", _TEXT), ("ended", pa.bool_()), ("unfit", _TEXT), ("score", _SCORE)])
_PROVENANCE = [(name, _TEXT) for name in ("prompt_id", "stage", "model", "sampling", "judge", "judge_fingerprint")]
_PAIRS = pa.schema(
    [*schema_of("dpo"), *_PROVENANCE, ("chosen_score", _SCORE), ("rejected_score", _SCORE), ("verdicts", _TEXT)]
)
_JUDGED = pa.schema(
    {
        "id": _TEXT,
        "source": _TEXT,
        "prompt": _PAIRS.field("prompt").type,
        "outcome": _TEXT,
        "answers": pa.list_(_ANSWER),
        "verdicts": pa.list_(_VERDICT),
        "disagreed": pa.list_(_PLACES),
        "pair": _PLACES,
    }
)


class PairsRecord(BaseModel, extra="forbid"):
    """`pairs.json`, which is written last. made_of: hashes of all that decides them.

    trained: what tells the run whose model answered from another one of the stage. rows: how many gave no prompt, by
    reason. answers: how many, by what they are. outcomes: how many prompts, by what became of them; they sum to
    `prompts`. shards: how many pairs, by their split or why they were rejected. files: checksums. fingerprint: of the
    shards.
    """

    schema_version: int = 1
    recipe: str
    stage: str
    model: str
    trained: str
    judge: str
    made_of: dict[str, str]
    prompts: int
    rows: dict[str, int]
    answers: dict[str, int]
    outcomes: dict[str, int]
    shards: dict[str, int]
    files: dict[str, str]
    fingerprint: str
    versions: dict[str, str]


def read_pairs_record(folder: Path) -> PairsRecord | None:
    """Return the record of a folder of pairs; None where there is none. Raises UserError where it is damaged."""
    file = folder / RECORD
    return read_record(PairsRecord, file, AGAIN) if file.exists() else None


def pairs_state(recipe: Recipe, stage: str) -> str:
    """Say whether there are pairs of a stage's answers: missing, stale, or up to date, as far as can be told at once.

    Told by the stage's run, and by pairs.yaml: sampling, pairing, and a judge that is rules; not by the prompts.
    Raises UserError where their record is damaged, or pairs.yaml has a mistake.
    """
    record = read_pairs_record(recipe.pairs(stage))
    if record is None:
        return State.MISSING
    if record.trained != trained_files(recipe.run(stage)):
        return f"{State.STALE}: {stage} was trained anew"
    if not recipe.config("pairs").exists():
        return State.CURRENT
    config = read_pairs_config(recipe)
    now = settings_of(config) | ({"judge": make_judge(config.judge).fingerprint} if config.judge.rules else {})
    changed = [name for name, made in now.items() if record.made_of.get(name) != made]
    return f"{State.STALE}: {', '.join(changed)} of pairs.yaml changed" if changed else State.CURRENT


def settings_of(config: PairsConfig) -> dict[str, str]:
    """Return a hash of each part of pairs.yaml that alone decides what the pairs are."""
    return {"sampling": digest(config.sampling.model_dump()), "pairing": digest(config.pairing.model_dump())}


def write_tables(folder: Path, found: Sequence[Judged], provenance: dict[str, Any]) -> dict[str, str]:
    """Write what became of all prompts, and the pairs; the same bytes in any order. Return their checksums."""
    found = sorted(found, key=lambda each: each.prompt.id)
    pairs = [pair_row(each, provenance) for each in found if each.pair]
    for name, schema, rows in (
        (JUDGED, _JUDGED, [_judged_row(each) for each in found]),
        (PAIRS_FILE, _PAIRS, pairs),
    ):
        sink = pa.BufferOutputStream()
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, sink, compression="zstd", row_group_size=max(1, len(rows)))
        storage.write(str(folder / name), sink.getvalue())
    return {name: file_digest(folder / name) for name in (JUDGED, PAIRS_FILE)}


def pair_row(judged: Judged, provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a pair: what is trained, and how it came to be."""
    assert judged.pair
    (chosen, rejected), prompt, scores = judged.pair, judged.prompt, judged.judgement.scores
    about = {chosen: "chosen", rejected: "rejected"}
    verdicts = [
        {"answers": [about[place] for place in verdict.answers], "score": verdict.score, "text": verdict.text}
        for verdict in judged.judgement.verdicts
        if about.keys() >= {*verdict.answers}
    ]
    return {
        "id": prompt.id,
        "source": prompt.source,
        "prompt": prompt.messages,
        "chosen": [assistant(judged.answers[chosen].answer.text)],
        "rejected": [assistant(judged.answers[rejected].answer.text)],
        "prompt_id": prompt.id,
        **provenance,
        "chosen_score": scores[chosen],
        "rejected_score": scores[rejected],
        "verdicts": json.dumps(verdicts, ensure_ascii=False),
    }


def _judged_row(judged: Judged) -> dict[str, Any]:
    prompt, judgement = judged.prompt, judged.judgement
    answers = [
        {"text": answer.text, "ended": answer.ended, "unfit": unfit, "score": score}
        for (answer, unfit), score in zip(judged.answers, judgement.scores, strict=True)
    ]
    return {
        "id": prompt.id,
        "source": prompt.source,
        "prompt": prompt.messages,
        "outcome": judged.outcome,
        "answers": answers,
        "disagreed": sorted(map(list, judgement.disagreed)),
        "verdicts": [_verdict_row(verdict) for verdict in judgement.verdicts],
        "pair": judged.pair,
    }


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return {"answers": list(verdict.answers), "score": verdict.score, "text": verdict.text}
