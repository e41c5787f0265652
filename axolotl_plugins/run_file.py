"""`run.json`: what a finished run was, written last, so that a folder that has it holds a finished run."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from axolotl_plugins.redaction import redact
from axolotl_plugins.resume.identity import Identity
from rabbit_ko.recipes import RUN_FILE

PACKAGES = ("axolotl", "trl", "transformers", "tokenizers", "peft", "accelerate", "datasets", "torch")
OPTIONAL_PACKAGES = ("deepspeed", "flash-attn", "liger-kernel", "bitsandbytes")


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
        "made_of": identity or {},
        "git": _git_state(),
        "versions": _versions(),
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
    text = json.dumps(redact(run), indent=2, ensure_ascii=False, default=str)
    (Path(cfg.output_dir) / RUN_FILE).write_text(text + "\n", encoding="utf-8")


def losses(trainer: Any) -> dict[str, Any]:
    """Return the steps taken, the last training loss, and the first and last of each evaluation figure."""
    history = trainer.state.log_history
    evaluations = [entry for entry in history if "eval_loss" in entry]
    figures: dict[str, Any] = {
        "steps": trainer.state.global_step,
        "last_train_loss": next((entry["loss"] for entry in reversed(history) if "loss" in entry), None),
    }
    for name, entry in (("first_evaluation", evaluations[:1]), ("last_evaluation", evaluations[-1:])):
        figures[name] = {key: value for row in entry for key, value in row.items() if key.startswith("eval_")}
    return figures


def _git_state() -> dict[str, Any]:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    for name in OPTIONAL_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device(trainer: Any) -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    return {"kind": "cuda" if cuda else "cpu", "name": name, "processes": trainer.args.world_size}
