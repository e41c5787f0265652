"""`run.json`: what a finished run was, written last, so that a folder that has it holds a finished run."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from axolotl_plugins.redaction import redact
from axolotl_plugins.resume.identity import Identity
from rabbit_ko.hashing import git_commit, versions
from rabbit_ko.recipes import RUN_FILE

PACKAGES = (
    *("axolotl", "trl", "transformers", "tokenizers", "peft", "accelerate", "datasets", "torch"),
    *("deepspeed", "flash-attn", "liger-kernel", "bitsandbytes"),
)


def write_run_file(
    cfg: Any,
    trainer: Any,
    datasets: list[dict[str, str]],
    rows: dict[str, Any],
    started: datetime,
    seconds_before: float = 0.0,
    identity: Identity | None = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Write the file into `output_dir`; `datasets` is as they were read, `rows` holds the counts of each split.

    seconds_before: what the run had taken up to the checkpoint that this attempt resumed from. identity: what the run
    is made of. overrides: the keys of its config that are not as in its YAML.
    """
    ended = datetime.now(UTC)
    run = {
        "config": cfg.to_dict(),
        "overrides": overrides or {},
        "git": _git_state(),
        "versions": versions(PACKAGES),
        "device": _device(trainer),
        "seed": cfg.seed,
        "datasets": datasets,
        "rows": rows,
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round(seconds_before + (ended - started).total_seconds(), 1),
        "resumed_from": cfg.resume_from_checkpoint,
        **losses(trainer),
    }
    # An identity has no secrets, and must be found again as it is.
    text = json.dumps({**redact(run), "made_of": identity or {}}, indent=2, ensure_ascii=False, default=str)
    (Path(cfg.output_dir) / RUN_FILE).write_text(text + "\n", encoding="utf-8")


def losses(trainer: Any) -> dict[str, Any]:
    """Return the steps taken, the last training loss, and the first and last of each evaluation figure."""
    history = trainer.state.log_history
    evaluations = [
        {key: value for key, value in entry.items() if key.startswith("eval_")}
        for entry in history
        if "eval_loss" in entry
    ]
    return {
        "steps": trainer.state.global_step,
        "last_train_loss": next((entry["loss"] for entry in reversed(history) if "loss" in entry), None),
        "first_evaluation": evaluations[0] if evaluations else {},
        "last_evaluation": evaluations[-1] if evaluations else {},
    }


def _git_state() -> dict[str, Any]:
    described = git_commit()
    return {"commit": described.removesuffix("-dirty"), "changed": described.endswith("-dirty")} if described else {}


def _device(trainer: Any) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    return {"kind": "cuda" if cuda else "cpu", "name": name, "processes": trainer.args.world_size}
