"""llama.cpp's server on a stage's own file: with its prompt, at two settings, and one line where it cannot be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import encode_chat, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import gguf
from rabbit_ko.serving.llama_cpp import EXACT, PROGRAM, llama_cpp_command
from rabbit_ko.serving.process import running
from tests.loopback import free_port
from tests.rabbit_ko.export.stages import stage_of

LOG = Path("llama_cpp.log")
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "안녕하세요?"}]


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_of(tmp_path_factory.mktemp("llama_cpp"), smoke_tokenizer) as found:
        gguf.make(found, "", "")
        yield found


def file_of(stage: Stage) -> Path:
    return Path(stage.model) / "export/gguf/f32" / gguf.file_name(stage, "f32")


@pytest.mark.parametrize("exact", [True, False])
def test_it_reads_the_stage_s_prompt_and_tells_tokens_by_their_ids(stage: Stage, exact: bool) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = llama_cpp_command(file_of(stage), "127.0.0.1", port, context=256, exact=exact)
    with running(command, url, LOG, 300), httpx.Client(base_url=url, timeout=300) as client:
        request = {"messages": ASKED, "temperature": 0, "max_tokens": 4, "logprobs": True, "top_logprobs": 20}
        said = client.post("/v1/chat/completions", json=request).raise_for_status().json()
        assert client.get("/props").json()["total_slots"] == (1 if exact else 4)
        strange = client.get("/health", headers={"Origin": "http://page.example"})
        assert strange.headers.get("Access-Control-Allow-Origin", "") not in ("*", "http://page.example")
    prompt = encode_chat(load_tokenizer(stage), ASKED)["input_ids"]
    assert said["usage"]["prompt_tokens"] == len(prompt)
    tokens = said["choices"][0]["logprobs"]["content"]
    assert len(tokens) == said["usage"]["completion_tokens"]
    assert all(token["id"] == token["top_logprobs"][0]["id"] and len(token["top_logprobs"]) == 20 for token in tokens)


def test_a_file_that_is_cut_off_is_told_in_one_line(stage: Stage) -> None:
    content = file_of(stage).read_bytes()
    Path("cut.gguf").write_bytes(content[: len(content) // 2])
    port = free_port()
    command = llama_cpp_command(Path("cut.gguf"), "127.0.0.1", port, context=256)
    told = r"^the server ended: .+; its log is llama_cpp.log$"
    with pytest.raises(UserError, match=told), running(command, f"http://127.0.0.1:{port}", LOG, 300):
        pytest.fail("it serves half a file")


def test_a_program_is_taken_from_a_checkout_then_from_path_then_from_the_package(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("x.gguf").touch()

    def program(llama_cpp: str = "") -> list[str]:
        return llama_cpp_command(Path("x.gguf"), "127.0.0.1", 1, context=1, llama_cpp=llama_cpp)[:3]

    monkeypatch.setenv("PATH", str(in_tmp))
    assert program()[1:] == ["-m", "rabbit_ko.serving.llama_cpp_server"]
    for place in (in_tmp / PROGRAM, in_tmp / "llama.cpp/build/bin" / PROGRAM):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(0o755)
    assert program()[0] == str(in_tmp / PROGRAM)
    monkeypatch.setenv("HOME", str(in_tmp))
    assert {program(llama_cpp=given)[0] for given in ("llama.cpp", "~/llama.cpp")} == {str(place)}
    told = (
        r"^llama-server: not in .*/x/build/bin; build it in a checkout of llama.cpp \(`cmake -B build .*`\) and give"
    )
    with pytest.raises(UserError, match=told):
        program(llama_cpp="x")


def test_the_most_exact_setting_is_asked_for_alone(stage: Stage) -> None:
    plain, exact = (llama_cpp_command(file_of(stage), "h", 1, context=1, exact=exact) for exact in (False, True))
    assert exact == [*plain, *EXACT]
