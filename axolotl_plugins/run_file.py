"""`run.json`: what a run was, without secrets; written last, so that a folder that has it holds a finished run."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rabbit_ko import storage
from rabbit_ko.hashing import git_commit, versions
from rabbit_ko.recipes import RUN_FILE
from rabbit_ko.run_record import describe_files
from rabbit_ko.secrets import known_secrets, redact

PACKAGES = (
    *("axolotl", "trl", "transformers", "tokenizers", "peft", "accelerate", "datasets", "torch"),
    *("deepspeed", "flash-attn", "liger-kernel", "bitsandbytes"),
)


def write_run_file(
    cfg: Any, trainer: Any, started: datetime, seconds_before: float, made_of: dict[str, str], **facts: Any
) -> None:
    """Write the file into `output_dir`; `seconds_before` is what the attempts took before this one."""
    ended, history, commit = datetime.now(UTC), trainer.state.log_history, git_commit()
    evaluations = [
        {key: value for key, value in log.items() if key.startswith("eval_")} for log in history if "eval_loss" in log
    ]
    run = {
        "config": cfg.to_dict(),
        **facts,
        "git": {"commit": commit.removesuffix("-dirty"), "changed": commit.endswith("-dirty")} if commit else {},
        "versions": versions(PACKAGES),
        "device": _device(trainer),
        "seed": cfg.seed,
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "seconds": round(seconds_before + (ended - started).total_seconds(), 1),
        "resumed_from": cfg.resume_from_checkpoint,
        "steps": trainer.state.global_step,
        "last_train_loss": next((log["loss"] for log in reversed(history) if "loss" in log), None),
        "first_evaluation": evaluations[0] if evaluations else {},
        "last_evaluation": evaluations[-1] if evaluations else {},
    }
    # An identity has no secrets, and must be found again as it is.
    files = {name: file.model_dump() for name, file in describe_files(Path(cfg.output_dir)).items()}
    text = json.dumps(
        {**redact(run, known_secrets()), "made_of": made_of, "files": files},
        indent=2,
        ensure_ascii=False,
        default=str,
    )
    storage.write(str(Path(cfg.output_dir) / RUN_FILE), (text + "\n").encode())


def _device(trainer: Any) -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    return {"kind": "cuda" if cuda else "cpu", "name": name, "processes": trainer.args.world_size}
