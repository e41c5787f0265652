"""A recipe with an SFT run, its merged model and a DPO run on it, of a few kilobytes, as finished runs leave them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from axolotl_plugins.resume.checkpoints import mark_complete
from axolotl_plugins.resume.identity import Identity, stage_identity
from rabbit_ko.evaluation.journal import append
from rabbit_ko.evaluation.records import Score
from rabbit_ko.hashing import ROOT
from rabbit_ko.run_record import describe_files, write_checksums
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result, samples_of
from tests.rabbit_ko.publishing.card_folder import put_run
from tests.rabbit_ko.publishing.model_folder import make_models, save

SFT, MERGED, BASE = MODELS["sft"], MODELS["sft"] / "merged", MODELS["base"]
JUDGE = ("--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "judge", "--max-new-tokens", "2")
COMMANDS = {
    "chat": ("--stage", "sft", "--prompt", "안녕?", "--max-new-tokens", "1"),
    "eval": ("--stage", "sft"),
    "judge": ("--stage", "sft", *JUDGE),
    "curves": (),
    "status": (),
    "merge": ("--stage", "sft"),
    "sft": ("--args=--learning-rate=1e-3",),
    "dpo": (),
    "push-model": ("--stage", "sft", "--repo", "org/name", "--format", "merged"),
    "export": ("--stage", "sft"),
    "card": ("--stage", "sft"),
    "results": (),
    "gate": ("--candidate", "sft", "--baseline", "dpo"),
    "inspect": (),
    "plan": ("--rows", "100"),
}
CONFIGS, RESULTS = Path("axolotl_configs/mine"), Path("runs/mine/eval")
HISTORY = [{"step": 1, "epoch": 0.5, "loss": 3.0, "learning_rate": 0.1}, {"step": 2, "loss": 2.0, "eval_loss": 2.5}]


def make_finished(tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the recipe and its runs into the working directory."""
    make_models(tokenizer)
    (CONFIGS / "data.yaml").write_text("sources: [{source: koalpaca, path: mine.jsonl}]\n")
    put_config("sft", MODELS["base"])
    put_config("dpo", MODELS["sft"] / "merged")
    torch.manual_seed(1)
    adapter = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    base = LlamaForCausalLM.from_pretrained(MODELS["sft"] / "merged")
    save(get_peft_model(base, adapter), tokenizer, MODELS["dpo"])
    write_checksums(MODELS["sft"] / "merged")
    finish("sft", MODELS["base"])
    finish("dpo", MODELS["sft"] / "merged", started="2026-01-02T00:00:00+00:00")
    questions = ROOT / "rabbit_ko/evaluation/samples/hub/maywell/LogicKor/questions.jsonl"
    Path("questions.jsonl").write_text(questions.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    (CONFIGS / "eval.yaml").write_text("tasks: csatqa\nlimit: 1\nbench: questions.jsonl\n")
    score = Score(task="kobest_copa", metric="acc", value=0.5, items=4)
    for stage in ("sft", "dpo"):
        put_result(stage, "kobest", [score], samples_of("kobest_copa", "acc", [0.0, 1.0, 0.0, 1.0]))
    append(RESULTS / "sft/judge/questions/answers.jsonl", {"key": "k", "id": "1", "turn": 1, "text": "답"})


def put_config(stage: str, base: Path, **changes: Any) -> None:
    """Write a stage's YAML: that of the smoke recipe, with the places of this one."""
    config = yaml.safe_load((ROOT / "axolotl_configs/smoke" / f"{stage}.yaml").read_text(encoding="utf-8"))
    places = {"output_dir": f"runs/mine/{stage}", "dataset_prepared_path": f"runs/mine/{stage}/prepared"}
    datasets = [{**config["datasets"][0], "path": f"data/mine/{stage}"}]
    config |= {"base_model": str(base), **places, "datasets": datasets, "test_datasets": None, **changes}
    kept = {key: value for key, value in config.items() if value is not None and not key.startswith("eval")}
    (CONFIGS / f"{stage}.yaml").write_text(yaml.safe_dump(kept))


def finish(stage: str, base: Path, **changes: Any) -> None:
    """Leave what a finished run of a stage leaves beside its model, which is there."""
    folder = MODELS[stage]
    state = {"log_history": HISTORY, "global_step": 2, "max_steps": 2}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (folder / "checkpoint-1").mkdir(exist_ok=True)
    (folder / "checkpoint-1/trainer_state.json").write_text(json.dumps(state))
    made_of: Identity = stage_identity(CONFIGS / f"{stage}.yaml", {})
    mark_complete(folder / "checkpoint-1", made_of, 1.0)
    files = {name: file.model_dump() for name, file in describe_files(folder).items()}
    put_run(stage, str(base), made_of=made_of, files=files, overrides={}, **changes)


def forget_files(stage: str) -> None:
    """Let a run's record be one of an earlier version, which has no checksums."""
    for file in (MODELS[stage] / "run.json", MODELS[stage] / "merged/checksums.json"):
        if file.name == "run.json":
            file.write_text(json.dumps({**json.loads(file.read_text()), "files": {}}))
        else:
            file.unlink(missing_ok=True)


def damages(content: bytes) -> dict[str, bytes | None]:
    """Return what a file may have become, by what happened to it; None is a folder in its place."""
    return {
        "cut to a half": content[: len(content) // 2],
        "empty": b"",
        "null": b"null",
        "a list": b"[]",
        "an empty object": b"{}",
        "noise": bytes(range(256)) * 4,
        "nested": b"[" * 5_000,
        "a folder": None,
    }


@contextmanager
def damaged(file: Path, content: bytes | None) -> Iterator[None]:
    """Make a file something else, and its folder what it was when this ends."""
    before = {other: other.read_bytes() for other in file.parent.iterdir() if other.is_file()}
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    try:
        yield
    finally:
        if file.is_dir():
            shutil.rmtree(file)
        file.parent.mkdir(exist_ok=True)
        for other, bytes_before in before.items():
            other.write_bytes(bytes_before)


def run(command: str) -> Ran:
    """Run a command on the recipe."""
    return rabbit(command, "--recipe", "mine", *COMMANDS[command])
