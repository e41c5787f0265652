"""`run.json`: what a finished run was, written last, so that a folder that has it holds a finished run."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

RUN_FILE = "run.json"
PACKAGES = ("axolotl", "trl", "transformers", "tokenizers", "peft", "accelerate", "datasets", "torch")
OPTIONAL_PACKAGES = ("deepspeed", "flash-attn", "liger-kernel", "bitsandbytes")
_SECRET_NAME = re.compile(
    r"(^|_)(auth|apikey|credentials?|key|pass|passwd|password|pat|pwd|secret|token|webhook)($|_url$|_id$)",
    re.IGNORECASE,
)
_URL_SECRETS = re.compile(r"(?<=://)[^/@\s]+@|(?<=\?)\S*=\S*")


def dataset_fingerprints(cfg: Any) -> list[dict[str, str]]:
    """Return what the datasets hold now, which may be other shards by the time a run has ended."""
    from axolotl_plugins.prepared_path import shards_fingerprint

    paths = {entry["path"]: entry for entry in (*cfg.datasets, *(cfg.test_datasets or []))}
    return [{"path": path, "fingerprint": shards_fingerprint(entry)} for path, entry in paths.items()]


def write_run_file(
    cfg: Any,
    trainer: Any,
    datasets: list[dict[str, str]],
    rows: dict[str, Any],
    started: datetime,
    seconds_before: float = 0.0,
) -> None:
    """Write the file into `output_dir`; `datasets` is as they were read, `rows` holds the counts of each split.

    seconds_before: what the run had taken up to the checkpoint that this attempt went on from.
    """
    ended = datetime.now(UTC)
    run = {
        "config": cfg.to_dict(),
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
    text = json.dumps(redact(run, _secrets()), indent=2, ensure_ascii=False, default=str)
    (Path(cfg.output_dir) / RUN_FILE).write_text(text + "\n", encoding="utf-8")


def redact(value: Any, secrets: Collection[str]) -> Any:
    """Leave out keys that are named like secrets, and blot out secrets in texts: logins and queries of URLs too."""
    if isinstance(value, dict):
        return {key: redact(inner, secrets) for key, inner in value.items() if not _is_secret(key, inner)}
    if isinstance(value, list | tuple):
        return [redact(inner, secrets) for inner in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, "***")
    return (
        _URL_SECRETS.sub(lambda match: "***@" if match[0].endswith("@") else "***", value)
        if "://" in value
        else value
    )


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and _SECRET_NAME.search(name) is not None and not value.startswith(("<", "["))


def _secrets() -> list[str]:
    """Return what the environment and the hub login hold, longest first."""
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)} | {get_token() or ""}
    return sorted((value for value in values if len(value) >= 8), key=len, reverse=True)


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
