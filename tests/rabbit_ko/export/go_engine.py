"""Go's own template engine, which does what Ollama does with a template."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from prompt_strategies.messages import Messages

SOURCE = Path(__file__).parent / "go" / "main.go"
# Renders conversations with a template: a prompt of each, or an error.
GoRender = Callable[[str, Sequence[Messages]], list[str]]


@pytest.fixture(scope="session")
def go_render(tmp_path_factory: pytest.TempPathFactory) -> GoRender:
    """What renders in Go, compiled once for all processes of a test run; the test is skipped where there is no Go."""
    beside = Path(sys.executable).with_name("go")
    go = shutil.which("go") or (str(beside) if beside.exists() else None)
    if go is None:
        pytest.skip("there is no Go; the dev extra has it")
    folder, temporary = tmp_path_factory.mktemp("go"), tmp_path_factory.getbasetemp()
    program = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "render"
    with FileLock(f"{program}.lock"):
        if not program.exists():
            _compile(go, folder, program)

    def render(template: str, conversations: Sequence[Messages]) -> list[str]:
        (folder / "template").write_bytes(template.encode())
        lines = "".join(json.dumps(messages) + "\n" for messages in conversations)
        ran = subprocess.run([program, folder / "template"], input=lines.encode(), capture_output=True, check=True)
        answers = map(json.loads, ran.stdout.splitlines())
        return [f"ERROR: {answer['error']}" if answer["error"] else answer["prompt"] for answer in answers]

    return render


def _compile(go: str, folder: Path, program: Path) -> None:
    settings = {"GOCACHE": str(folder / "cache"), "GOPATH": str(folder), "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    environment = {**os.environ, **settings, "GO111MODULE": "off", "CGO_ENABLED": "0"}
    subprocess.run([go, "build", "-o", program, SOURCE], env=environment, cwd=folder, check=True)
