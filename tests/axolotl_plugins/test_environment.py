"""What a process is given before axolotl starts: DeepSpeed can be imported, and the hub's answers end no run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from axolotl.cli import checks
from axolotl.telemetry.manager import TelemetryManager

from axolotl_plugins.environment import prepare_process
from tests.conftest import ROOT, environment
from tests.loopback import LoopbackHandler, LoopbackServer, running

# A GPU that torch sees, without a CUDA toolkit, where accelerate unwraps a model.
UNWRAP = """
import os, sys
import torch, torch.version
{imports}
assert "deepspeed" not in sys.modules
torch.version.cuda = "13.0"
torch.cuda.is_available = torch.cuda.is_initialized = lambda: True
torch.cuda.device_count = lambda: 1
torch.cuda.current_device = lambda: 0
torch.cuda.get_device_capability = lambda *_: (9, 0)
torch.cuda.is_bf16_supported = lambda *_, **__: True
import torch.utils.cpp_extension
torch.utils.cpp_extension.CUDA_HOME = None
{start}
assert os.environ["DS_IGNORE_CUDA_DETECTION"] == os.environ["AXOLOTL_DO_NOT_TRACK"] == "1"
from accelerate.utils.other import extract_model_from_parallel
extract_model_from_parallel(torch.nn.Linear(1, 1))
import deepspeed
"""
STARTS = {
    "the command": ("from rabbit_ko.cli import main", "try: main(['--help'])\nexcept SystemExit: pass"),
    "the guard": (
        "from axolotl_plugins.guard import Guard",
        "Guard().register({'use_ray': True, 'guard_driver': '[\".\", {}, {}]', 'dataset_prepared_path': 'prepared'})",
    ),
}


@pytest.mark.parametrize("start", STARTS)
def test_deepspeed_can_be_imported_where_there_is_a_gpu_and_no_toolkit(start: str) -> None:
    pytest.importorskip("deepspeed", reason="deepspeed is not installed: `make setup` does it")
    settings = environment(DS_ACCELERATOR="cuda", WORLD_SIZE="1")
    settings.pop("DS_IGNORE_CUDA_DETECTION", None)
    imports, started = STARTS[start]
    program = UNWRAP.format(imports=imports, start=started)
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


class Refusing(LoopbackHandler):
    """A hub that answers with the status that its path asks for."""

    def do_GET(self) -> None:  # noqa: N802  as http.server names it
        self.send(int(self.path.split("/")[1]), b"{}", {})


@pytest.fixture
def refusing_hub() -> Iterator[str]:
    handler: type[BaseHTTPRequestHandler] = Refusing
    with running(LoopbackServer(handler)) as server:
        yield server.url


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_hub_that_answers_with_an_error_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, refusing_hub: str, status: int
) -> None:
    monkeypatch.setattr(checks, "HfApi", checks.HfApi)  # as it was, when this test has ended
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"{refusing_hub}/{status}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    prepare_process()
    assert checks.check_user_token() is False


def test_axolotl_s_telemetry_is_off_also_where_it_was_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "HfApi", checks.HfApi)
    monkeypatch.setattr(TelemetryManager.get_instance(), "enabled", True)
    prepare_process()
    assert not TelemetryManager.get_instance().enabled


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "HfApi", checks.HfApi)
    monkeypatch.setenv("DS_IGNORE_CUDA_DETECTION", "")
    monkeypatch.setenv("AXOLOTL_DATASET_NUM_PROC", "3")
    prepare_process()
    assert (os.environ["DS_IGNORE_CUDA_DETECTION"], os.environ["AXOLOTL_DATASET_NUM_PROC"]) == ("", "3")
