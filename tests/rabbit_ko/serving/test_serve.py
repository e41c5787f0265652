"""`rabbit serve` with real servers: what it prints works, it ends clean, and what is missing is one line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import gguf
from rabbit_ko.export._jinja_template import STRIP_CONTENT
from rabbit_ko.serving.backends import Place, find_server
from tests.conftest import ROOT, environment
from tests.loopback import free_port
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.stages import MERGED, stage_of

LOG = MODELS["sft"] / "serve.log"


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that is exported as it is stored, in the working directory."""
    with stage_of(tmp_path_factory.mktemp("served"), smoke_tokenizer) as found:
        gguf.make(found, "", "")
        yield found


class Serving:
    """`rabbit serve` in a process of its own, with an empty home."""

    def __init__(self, backend: str, *arguments: str, waits: bool = True) -> None:
        self.port = free_port()
        shutil.rmtree("home", ignore_errors=True)
        Path("home").mkdir()
        options = ["--recipe", "mine", "--stage", "sft", "--backend", backend, "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rabbit_ko.cli", "serve", *options],
            env=environment(PYTHONPATH=str(ROOT), HOME=str(Path("home").absolute())),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.process.stdout
        # What it prints once the server answers, or nothing where it has ended.
        self.printed = self.process.stdout.readline() if waits else ""

    def children(self) -> list[int]:
        """Return the processes that it has started."""
        return [*map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())]

    def end(self, by: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what was said."""
        self.process.send_signal(by)
        said = self.process.communicate(timeout=300)[1]
        return self.process.returncode, said


def is_free(port: int) -> bool:
    """Tell whether a server can listen at a port."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return tried.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("backend", "by", "code"),
    [
        ("llamacpp", signal.SIGINT, 130),
        ("llamacpp", signal.SIGTERM, 143),
        ("llamacpp", signal.SIGHUP, 129),
        pytest.param("transformers", signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_the_curl_works_as_printed_and_a_signal_ends_all_of_it(
    stage: Stage, backend: str, by: signal.Signals, code: int
) -> None:
    served = Serving(backend)
    assert served.printed.startswith(f"curl -s http://127.0.0.1:{served.port}/v1/chat/completions ")
    asked = subprocess.run(["/bin/sh", "-c", served.printed], capture_output=True, check=True, timeout=120)
    assert b'"finish_reason"' in asked.stdout
    [server] = served.children()
    ended, said = served.end(by)
    assert (ended, "Traceback" in said) == (code, False)
    assert said.startswith(f"starting {backend} for mine sft; its log is {LOG}\n")
    assert is_free(served.port)
    assert not Path(f"/proc/{server}").exists()
    assert [file for file in Path("home").rglob("*") if file.is_file()] == []
    assert LOG.stat().st_size


def test_it_listens_to_this_machine_alone_and_serves_the_stage_s_prompt_and_context(stage: Stage) -> None:
    served = Serving("llamacpp")
    try:
        properties = httpx.get(f"http://127.0.0.1:{served.port}/props").json()
        places = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert {place.split(":")[0] for place in places if place.endswith(f":{served.port:04X}")} == {"0100007F"}
        assert properties["chat_template"].replace(STRIP_CONTENT, "") == stage.chat_template
        assert properties["default_generation_settings"]["n_ctx"] == 1_024
        assert properties["model_alias"] == "mine-sft-f32"
    finally:
        assert served.end(signal.SIGTERM)[0] == 143


def test_a_server_that_is_killed_is_told_in_one_line(stage: Stage) -> None:
    served = Serving("llamacpp")
    [server] = served.children()
    os.kill(server, signal.SIGKILL)
    said = served.process.communicate(timeout=300)[1]
    assert served.process.returncode == 1
    assert said.splitlines()[-1] == f"error: the server ended: killed by SIGKILL; its log is {LOG}"


def test_ctrl_c_while_it_starts_leaves_no_process(stage: Stage) -> None:
    served = Serving("transformers", waits=False)
    deadline = time.monotonic() + 300
    while not (started := served.children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    code, said = served.end(signal.SIGINT)
    assert (code, "Traceback" in said) == (130, False)
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert is_free(served.port)


def test_a_command_of_the_server_s_own_that_it_refuses_is_told_with_its_reason(stage: Stage) -> None:
    served = Serving("llamacpp", "--args", "--lora nowhere.gguf")
    said = served.process.communicate(timeout=300)[1]
    assert (served.printed, served.process.returncode) == ("", 1)
    assert "nowhere.gguf" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("error: the server ended: ")


MISSING = [
    (("--stage", "dpo"), 1, "runs/mine/dpo: no finished run; run `make dpo RECIPE=mine` first"),
    (("--stage", "base"), 2, "STAGE=base: the base model is not this project's; say"),
    (("--backend", "vlm"), 2, "BACKEND=vlm: nothing serves by that name; did you mean `vllm`?"),
    (("--backend", "vllm"), 1, "vllm: not on PATH; install it into an environment of its own"),
    (("--backend", "vllm", "--quant", "q8_0"), 2, "QUANT=q8_0: is of BACKEND=llamacpp alone"),
    (("--backend", "vllm", "--llama-cpp", "x"), 2, "LLAMA_CPP=x: is of BACKEND=llamacpp alone"),
    (("--context", "512"), 2, "CONTEXT=512: is of BACKEND=llamacpp and vllm alone"),
    (("--backend", "llamacpp", "--quant", "q9"), 2, "QUANT=q9: no way that weights are stored here"),
    (
        ("--backend", "llamacpp", "--quant", "q8_0"),
        1,
        "export/gguf/q8_0: not exported; run `make export RECIPE=mine STAGE=sft FORMAT=gguf QUANT=q8_0`",
    ),
    (("--backend", "llamacpp", "--llama-cpp", "nowhere"), 1, "nowhere/build/bin; build it in a checkout"),
    (("--args", "--x 'y"), 2, "Invalid value for --args: No closing quotation"),
]


@pytest.mark.parametrize(("arguments", "code", "line"), MISSING)
def test_what_is_missing_is_told_in_one_line_before_anything_starts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, line: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = rabbit("serve", "--recipe", "mine", "--port", str(free_port()), *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    [said] = result.stderr.splitlines()
    assert said.startswith("error: ")
    assert line in said


def test_vllm_is_told_precision_context_and_name_and_trusts_no_code(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bin").mkdir()
    Path("bin/vllm").touch(0o755)
    monkeypatch.setenv("PATH", str(Path("bin").absolute()))
    place = Place(port=free_port())
    command, name = find_server(stage, "vllm", place, ["--max-num-seqs", "4"])
    listens = ["--host", "127.0.0.1", "--port", str(place.port)]
    limits = ["--max-model-len", "1024", "--dtype", "float32", "--max-num-seqs", "4"]
    assert command[1:] == ["serve", str(MERGED), "--served-model-name", "mine-sft", *listens, *limits]
    assert name == "mine-sft"


def test_a_port_that_is_in_use_is_told_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = rabbit("serve", "--recipe", "mine", "--port", str(other.getsockname()[1]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Address already in use" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_that_is_not_merged_or_changed_since_is_not_served(stage: Stage) -> None:
    shutil.move(MERGED, "aside")
    try:
        result = rabbit("serve", "--recipe", "mine")
    finally:
        shutil.move("aside", MERGED)
    assert result.exit_code == 1
    assert "run `make merge RECIPE=mine STAGE=sft` first" in result.stderr
