"""The small recipe with all that a card is written from: its data, its runs, and their results."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from axolotl_plugins.resume.identity import shards_fingerprint
from dataset_builders.licenses import License, known
from dataset_builders.manifest import SourceSummary
from rabbit_ko import storage
from rabbit_ko.evaluation.stages import find_stage
from rabbit_ko.export._folder import made_of
from rabbit_ko.hashing import file_digest
from rabbit_ko.parity.report import DoorRecord, ParityRecord
from rabbit_ko.parity.verdict import Verdict
from rabbit_ko.publishing.examples import Example
from rabbit_ko.publishing.figures import Language
from rabbit_ko.publishing.model_card import render_card
from rabbit_ko.publishing.model_facts import Facts, gather
from tests.dataset_builders.data_folder import STATED, make_data_folder, summary
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, make_recipe

APACHE = known("Apache-2.0", STATED)
TOKENS = ("<s>", "</s>")
EXAMPLES = [Example("<s>질문\n답 하나</s>", False), Example("<s>질문\n```답 둘", True)]
SOURCES = [
    summary("sft", APACHE, name="open", path="org/open"),
    summary("sft", License(), name="silent", path="heegyu/hh-rlhf-ko", license_accepted="만든 사람이 허락함"),
    summary("dpo", known("CC-BY-NC-4.0"), name="closed", path="mine.jsonl", revision=None, rejected={}),
]
CONFIG = {
    "system_prompt": "짧게 답하세요.",
    "quality": {
        "action": "reject",
        "length": {"action": None, "min": 4, "max": 50_000},
        "refusals": {"action": "off"},
        "subjects": {"action": None, "dropped": []},
        "contamination": {"action": "report", "words": 13, "sets": [{"name": "kobest"}, {"name": "haerae"}]},
    },
    "sources": [
        {"source": "koalpaca", "name": "open", "add_system_prompt": True, "probability": 0.8},
        {"source": "messages", "name": "silent", "add_system_prompt": False, "probability": None},
    ],
}


def make_card_folder(base: str = "", sources: list[SourceSummary] | None = None) -> None:
    """Write the recipe into the working directory. base: a model on the hub in place of the local one."""
    make_recipe()
    Path("axolotl_configs/mine/data.yaml").touch()
    if not base:
        Path("axolotl_configs/mine/make_base_model.py").touch()
    (MODELS["sft"] / "merged").mkdir()
    put_data(SOURCES if sources is None else sources)
    put_run("sft", base or str(MODELS["base"]))
    put_run("dpo", str(MODELS["sft"] / "merged"), started="2026-01-02T00:00:00+00:00", hours=8.2)
    put_adapter("sft", base or str(MODELS["base"]))
    put_adapter("dpo", str(MODELS["sft"] / "merged"))


def a_gguf() -> Path:
    """Write a file that stands for a GGUF; return its place."""
    file = Path("mine-q8_0.gguf")
    file.write_bytes(b"GGUF")
    return file


def put_parity(
    stage: str,
    file: Path | None = None,
    verdict: Verdict = Verdict.NEAR,
    rows: int = 252,
    name: str = "gguf-q8_0",
) -> None:
    """Write what parity leaves of a GGUF, of which it is told all, and of a server that tells less."""
    figures: Any = {"quant": "q8_0", "why": "", "conversations": 260, "tokens": 9_000}
    doors = [
        DoorRecord(
            door="gguf q8_0, exact",
            verdict=verdict,
            prompts=(260, 260),
            ids=(260, 260),
            counts=(260, 260),
            same=201,
            mean=0.0081,
            largest=0.0432,
            kl=4.2e-5,
            share=0.998,
            ends=(260, 260),
            **figures,
        ),
        DoorRecord(
            door="server a|b",
            verdict=Verdict.SAME,
            prompts=(0, 0),
            ids=(0, 0),
            counts=(260, 260),
            same=260,
            mean=None,
            largest=None,
            kl=None,
            share=None,
            ends=(260, 260),
            **figures,
        ),
    ]
    record = ParityRecord(
        made_of=made_of(find_stage("mine", stage)),
        files={file.name: file_digest(file)} if file else {},
        asked={"golden": 8, "test": 252},
        skipped=1,
        settings={"max_new_tokens": 64, "rows": rows, "dtype": "float32"},
        doors=doors,
        versions={"transformers": "5.17.0", "xllamacpp": "0.2.13"},
        at="2026-01-03T00:00:00+00:00",
    )
    storage.write(str(MODELS[stage] / f"parity/{name}.json"), record.model_dump_json().encode())


def put_data(sources: list[SourceSummary]) -> None:
    """Write the recipe's shards and their manifest."""
    folder = Path("data/mine")
    manifest = make_data_folder(folder, sources).model_copy(update={"config": CONFIG})
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")


def put_run(
    stage: str, base: str, started: str = "2026-01-01T00:00:00+00:00", hours: float = 0.01, **changes: Any
) -> None:
    """Write what a finished run of a stage leaves."""
    ended = datetime.fromisoformat(started) + timedelta(hours=hours)
    shards = f"data/mine/{stage}"
    fingerprint = shards_fingerprint({"path": shards}) if Path(shards).exists() else ""
    loss = {"eval_loss": 2.5, "eval_runtime": 1.0}
    run = {
        "config": {"base_model": base, "adapter": "lora", "lora_r": 32, "lora_dropout": 0.0, "learning_rate": 0.0002}
        | {"datasets": [{"path": shards, "type": "prompt_strategies.qir"}]}
        | ({"rl": "dpo", "rl_beta": 0.1} if stage == "dpo" else {"sample_packing": False}),
        "git": {"commit": "0" * 40, "changed": stage == "dpo"},
        "versions": {"axolotl": "0.19.0", "torch": "2.13.0"},
        "device": {"kind": "cuda", "name": "NVIDIA A100_80GB", "processes": 2},
        "datasets": [{"path": shards, "fingerprint": fingerprint}],
        "rows": {"train": {"examples": 1_234, "tokens": 56_789, "trained": 12_345, "dropped": 3}},
        "started": started,
        "ended": ended.isoformat(),
        "steps": 44,
        "last_train_loss": 1.25 if stage == "sft" else None,
        "first_evaluation": loss,
        "last_evaluation": {**loss, "eval_loss": 2.0, "eval_rewards/margins": 0.5},
    }
    (MODELS[stage] / "run.json").write_text(json.dumps(run | changes))


def put_adapter(stage: str, base: str) -> None:
    """Write an adapter's config."""
    config = {"base_model_name_or_path": base, "r": 32}
    (MODELS[stage] / "adapter_config.json").write_text(json.dumps(config))


def card_of(stage: str, language: Language = "en", examples: list[Example] | None = None, **options: Any) -> str:
    """Render a stage's card with given examples."""
    return render_card(facts_of(stage), examples or EXAMPLES, language, TOKENS, **options)


def facts_of(stage: str, license: str = "") -> Facts:
    """Gather what a stage's card is written from."""
    return gather("mine", stage, license)
