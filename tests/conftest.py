"""Fixtures that several packages' tests share."""

import json
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import torch
from axolotl.integrations.base import PluginManager
from filelock import FileLock
from hypothesis import settings
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from axolotl_plugins.guard import Guard
from dataset_builders.build import build
from dataset_builders.recipe import load_config
from dataset_builders.rows import Conversation, Preference, Row
from rabbit_ko.hashing import git_commit
from rabbit_ko.recipes import GUARD
from tests.dataset_builders.hub_server import Hub
from tests.loopback import running
from tests.stages import save_base

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "dataset_builders" / "samples"
SHARED = Path(os.environ.get("RABBIT_KO_SHARED", ROOT.parent / "shared"))
VENV = ROOT / ".venv"
# What other libraries say, and their bars.
NOISE = re.compile(r"Warning|WARNING|Failed to load|\d+%\||it/s|examples/s|^W\d{4} |^\[20", re.MULTILINE)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
TOKENIZERS = ("smoke", "llama-3", "llama-3-no-bos", "qwen3")


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, which a shell's background jobs ignore; and share the cores.

    Nothing here goes through a proxy, and hypothesis draws the same examples in every run, however long they take.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        del os.environ[name]
    settings.load_profile("ci")
    if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many as cores
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _process_stays_as_it_was() -> Iterator[None]:
    """Undo what a command line does to logging, the environment and secrets when a test runs it in this process."""
    with patch.dict(os.environ), patch("rabbit_ko.secrets._given", set()):
        yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def load() -> Callable[[str], PreTrainedTokenizerBase]:
    """What returns a tokenizer by its name, always the same one; it skips the test where that is absent."""
    return cache(load_tokenizer)


@pytest.fixture(params=TOKENIZERS)
def tokenizer(
    request: pytest.FixtureRequest, load: Callable[[str], PreTrainedTokenizerBase]
) -> PreTrainedTokenizerBase:
    """Each tokenizer at hand: the smoke recipe's own, and public ones that this repository may not ship."""
    return load(request.param)


@pytest.fixture(scope="session")
def smoke_tokenizer(load: Callable[[str], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    """The smoke recipe's tokenizer, made on the spot."""
    return load("smoke")


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Make the smoke recipe's tokenizer, or read a public one; skips the test where that is absent."""
    if name == "smoke":
        script = runpy.run_path(str(ROOT / "axolotl_configs" / "smoke" / "make_base_model.py"))
        return script["make_tokenizer"]()
    folder = SHARED / "tokenizers" / name
    if not folder.exists():
        pytest.skip(f"{folder} is absent; point RABBIT_KO_SHARED at a folder with tokenizers/{name}")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def smoke_rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Every row that the smoke recipe keeps, of both stages."""
    config = load_config(ROOT / "axolotl_configs" / "smoke" / "data.yaml")
    entries = [entry.model_copy(update={"path": str(ROOT / entry.path)}) for entry in config.sources]
    data = tmp_path_factory.mktemp("smoke_rows")
    build(config.model_copy(update={"sources": entries}), data)
    return shard_rows(data)


def shard_rows(data: Path) -> list[Row]:
    """Read the rows of a recipe's shards, of both stages."""
    conversations = [Conversation(**row) for row in pq.read_table(data / "sft").to_pylist()]
    preferences = (
        [Preference(**row) for row in pq.read_table(data / "dpo").to_pylist()] if (data / "dpo").exists() else []
    )
    return [*conversations, *preferences]


@pytest.fixture
def smoke_recipe(in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the smoke recipe, its shards, and a base that has everything but weights."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    (in_tmp / "dataset_builders").symlink_to(ROOT / "dataset_builders")
    build(load_config(Path("axolotl_configs/smoke/data.yaml")), Path("data/smoke"))
    save_base(in_tmp / "runs/smoke/base", smoke_tokenizer)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return in_tmp


@pytest.fixture
def guard_on_duty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard registered with axolotl, without which no strategy is made."""
    monkeypatch.setattr(PluginManager.get_instance(), "plugins", {GUARD: Guard()})


def copy_project(folder: Path) -> None:
    """Copy what a commit of the working tree would hold."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what a surrounding `make test` put there."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return {**inherited, **variables}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with this one's environment, in which `make data sft dpo` has run.

    It runs once for all processes of a test run, and leaves alone what a clean checkout of this commit has made here.
    """
    if not (VENV / ".ready").exists():
        pytest.skip("there is no .venv; run the tests with `make test`")
    folder, temporary = tmp_path_factory.mktemp("project"), tmp_path_factory.getbasetemp()
    trained = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "trained"
    copy_project(folder)
    (folder / ".venv").symlink_to(VENV)
    with FileLock(f"{trained}.lock"):
        if trained.exists() or is_made_here():
            copy_runs(trained if trained.exists() else ROOT, folder)
        run(folder, "make", "data", "sft", "dpo")
        if not trained.exists():
            copy_runs(folder, trained)
    return folder


@pytest.fixture(scope="module")
def started(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which SFT has been trained and merged, for a module to train more runs in."""
    folder = tmp_path_factory.mktemp("started")
    copy_project(folder)
    (folder / ".venv").symlink_to(VENV)
    copy_runs(project, folder)
    return folder


def copy_runs(source: Path, target: Path) -> None:
    """Copy the smoke recipe's data, base and stages."""
    for name in ("data/smoke", "runs/smoke/base", "runs/smoke/sft", "runs/smoke/dpo"):
        shutil.copytree(source / name, target / name)


def is_made_here() -> bool:
    """Tell whether the stages here were trained as they are written, by the code of this commit and no other."""
    made_by, stages = {"commit": git_commit(), "changed": False}, ("sft", "dpo")
    try:
        runs = [json.loads((ROOT / "runs/smoke" / stage / "run.json").read_text()) for stage in stages]
    except OSError:
        return False
    return all(run["git"] == made_by and not run["overrides"] for run in runs)


@pytest.fixture(scope="session")
def shared_hub() -> Iterator[Hub]:
    """One hub for all tests."""
    with running(Hub()) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: Hub) -> Hub:
    """A hub that holds nothing yet."""
    shared_hub.reset()
    return shared_hub


def run(folder: Path, *command: str, returns: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy of the project, whose packages come before the installed ones."""
    variables = environment(PYTHONPATH=str(folder), **variables)
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert result.returncode == returns, (result.stdout + result.stderr)[-4_000:]
    said = re.sub("^make: .*", "", result.stdout + result.stderr, flags=re.MULTILINE)
    assert command[0] != "make" or not NOISE.search(said), said
    return result


def sample_rows(stem: str) -> list[dict[str, Any]]:
    """The raw rows of an embedded sample file."""
    return [json.loads(line) for line in (SAMPLES / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()]


def hostile_rows() -> list[tuple[str, str]]:
    """Texts that would pass for a control token or a turn, each with which of the two."""
    lines = (ROOT / "tests/golden/hostile.jsonl").read_text(encoding="utf-8").split("\n")
    return [(row["text"], row["kind"]) for row in map(json.loads, filter(None, lines))]


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
