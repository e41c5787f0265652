"""A server's process: up while it is needed, gone afterwards with all that it started; one line where it fails."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.serving import process
from rabbit_ko.serving.process import check_port, running, url_of, why
from tests.conftest import ROOT, environment
from tests.loopback import free_port

LOG = Path("serve.log")


def start(script: str, seconds: float = 60, program: str = sys.executable) -> None:
    """Start a server that is none."""
    port = free_port()
    with running([program, "-c", script], f"http://127.0.0.1:{port}", LOG, seconds):
        pytest.fail("it does not answer")


def is_gone(name: str) -> bool:
    """Tell whether the process whose number a file has ends at once, or waits only for its parent to notice."""
    state = Path("/proc") / Path(name).read_text().strip() / "stat"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_ends_at_once_is_told_in_one_line_with_its_reason_and_its_log(in_tmp: Path) -> None:
    with pytest.raises(UserError) as told:
        start("print('loading'); raise ValueError('no such model: 가')")
    assert str(told.value) == "the server ended: ValueError: no such model: 가; its log is serve.log"
    assert LOG.read_text().startswith("loading\nTraceback")


def test_a_command_that_ends_and_says_nothing_is_told_by_its_exit_code_or_signal(in_tmp: Path) -> None:
    with pytest.raises(UserError, match=r"^the server ended: exit code 3; its log is serve.log$"):
        start("raise SystemExit(3)")
    with pytest.raises(UserError, match=r"^the server ended: killed by SIGKILL; its log"):
        start("kill -9 $$", program="/bin/sh")


def test_a_command_that_is_not_there_is_told_in_one_line(in_tmp: Path) -> None:
    with pytest.raises(UserError, match=r"^nowhere/llama-server: cannot be started: no such program$"):
        start("", program="nowhere/llama-server")


def test_a_server_that_never_answers_is_ended_with_all_that_it_started(in_tmp: Path) -> None:
    with pytest.raises(UserError, match=r"does not answer at http://127.0.0.1:\d+ after 5 s; its log is serve.log$"):
        start("sleep 1000 & echo $! > child; echo $$ > parent; wait", 5, "/bin/sh")
    assert all(map(is_gone, ("parent", "child")))


def test_a_server_that_ignores_the_request_to_end_is_killed(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_SECONDS", 0.2)
    with pytest.raises(UserError, match="does not answer"):
        start("trap '' TERM; echo $$ > parent; while :; do sleep 0.1; done", 5, "/bin/sh")
    assert is_gone("parent")


def test_an_interruption_while_it_starts_ends_it(in_tmp: Path) -> None:
    def interrupt() -> None:
        while not Path("ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        start("echo $$ > parent; touch ready; sleep 1000", 60, "/bin/sh")
    assert is_gone("parent")


def test_a_secret_that_a_server_says_is_in_no_log(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    with pytest.raises(UserError) as told:
        start("import os; print(os.environ['HF_TOKEN']); raise ValueError(os.environ['HF_TOKEN'])")
    assert "xxxx" not in LOG.read_text() + str(told.value)


def test_a_server_neither_asks_the_hub_nor_reports_its_use(in_tmp: Path) -> None:
    with pytest.raises(UserError):
        start("import os; print({name: os.environ[name] for name in sorted(os.environ)}); raise SystemExit(1)")
    said = LOG.read_text()
    assert all(f"'{name}': '1'" in said for name in ("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"))


LLAMA_CPP = """\
0.00.003.872 I srv    load_model: loading model 'cut.gguf'
0.00.005.389 E llama_model_load: error loading model: tensor 'output.weight' data is not within the file bounds
0.00.005.407 E llama_model_load_from_file_impl: failed to load model
0.00.006.340 E srv          init: exiting due to model loading error
"""
VLLM = """\
(EngineCore pid=7) ERROR 11-26 15:06:33 [core.py:1] ValueError: To serve at least one request, 16 GiB is needed
(APIServer pid=5) Traceback (most recent call last):
(APIServer pid=5) RuntimeError: Engine core initialization failed. See root cause above.
"""
PYDANTIC = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (8192) is greater than the derived max_model_len
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            LLAMA_CPP,
            "llama_model_load: error loading model: tensor 'output.weight' data is not within the file bounds",
        ),
        (VLLM, "ValueError: To serve at least one request, 16 GiB is needed"),
        (
            PYDANTIC,
            "Value error, User-specified max_model_len (8192) is greater than the derived max_model_len",
        ),
        ("usage: x [-h]\nllama_cpp_server.py: error: unrecognized arguments: --y\n", "unrecognized arguments: --y"),
        ("error: invalid argument: --y\n", "invalid argument: --y"),
        ("INFO: started\n", ""),
        ("", ""),
    ],
)
def test_the_reason_is_the_first_error_of_llama_cpp_and_the_cause_of_vllm(output: str, reason: str) -> None:
    assert why(output.splitlines()) == reason


def test_a_port_that_is_in_use_or_a_host_that_is_not_there_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"^127.0.0.1:{port}: nothing can be served there: Address already in use"
        ):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", 0)
    with pytest.raises(UserError, match=r"^no.such.host.invalid:8000: nothing can be served there: .+; say another"):
        check_port("no.such.host.invalid", 8000)


def test_the_url_is_one_that_this_machine_reaches() -> None:
    assert url_of("0.0.0.0", 80) == url_of("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url_of("::", 80) == url_of("::1", 80) == "http://[::1]:80"


def test_a_log_that_cannot_be_written_is_told_before_the_server_starts(in_tmp: Path) -> None:
    LOG.mkdir()
    with pytest.raises(UserError, match=r"^serve.log: what the server says cannot be written there: Is a directory$"):
        start("touch started", program="/bin/sh")
    assert not Path("started").exists()


def test_a_log_that_is_full_is_told_once_and_the_server_lives_on_and_is_read(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LOG.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"ended: ValueError: after all that; its log is serve.log"):
        start("for _ in range(9_999): print('x' * 99)\nraise ValueError('after all that')")
    said = "serve.log: No space left on device; what the server says is not written there from here on\n"
    assert capsys.readouterr().err == said


def test_what_a_command_line_of_click_says_of_an_option_that_it_does_not_know_is_the_reason() -> None:
    assert why(["Usage: transformers serve [OPTIONS]", "Error: No such option: --nope"]) == "No such option: --nope"


WAITS = """
import sys
from pathlib import Path
from rabbit_ko.serving.process import free_port, running
command = ["/bin/sh", "-c", "echo $$ > child; exec sleep 1000"]
with running(command, f"http://127.0.0.1:{free_port()}", Path("serve.log")):
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_server_ends_where_what_started_it_is_killed(in_tmp: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], env=environment(PYTHONPATH=str(ROOT))) as killed:
        while not (Path("child").exists() and Path("child").read_text().endswith("\n")):
            assert killed.poll() is None
            time.sleep(0.02)
        killed.kill()
    assert is_gone("child")
