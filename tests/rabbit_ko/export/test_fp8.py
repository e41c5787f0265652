"""FP8 by llm-compressor: linear layers in eight bits, all else as it is merged, and answers that are near.

It needs an environment of its own, so these tests need one beside this: `.venv-fp8`.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import fp8
from rabbit_ko.export._folder import RECORD
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.stages import MERGED, stage_of

pytestmark = pytest.mark.slow
PYTHON = ROOT / ".venv-fp8" / "bin" / "python"
FOLDER = MODELS["sft"] / "export" / "fp8"
COMPARE = """
import sys, torch
from transformers import AutoModelForCausalLM
models = [AutoModelForCausalLM.from_pretrained(folder, dtype="auto") for folder in sys.argv[1:]]
ids = torch.arange(100, 164)[None]
with torch.no_grad():
    before, after = (model(ids).logits[0].float().log_softmax(-1) for model in models)
print(float((before.exp() * (before - after)).sum(-1).mean()))
"""


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that is exported by the other environment."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is absent; python3 -m venv .venv-fp8 and .venv-fp8/bin/pip install -e '.[fp8]'")
    with stage_of(tmp_path_factory.mktemp("exported"), smoke_tokenizer) as found:
        before = _files()
        assert _run("-m", "rabbit_ko.cli", "export", "--recipe", "mine", "--format", "fp8").endswith("exported\n")
        assert all(FOLDER.parent in file.parents or file.name.startswith("launch.lock") for file in _files() - before)
        yield found


def _files() -> set[Path]:
    return {file for file in Path().rglob("*") if file.is_file()}


def _run(*arguments: str) -> str:
    variables = environment(PYTHONPATH=str(ROOT), HF_HUB_OFFLINE="1")
    return subprocess.run([PYTHON, *arguments], env=variables, capture_output=True, text=True, check=True).stdout


def test_linear_layers_are_in_eight_bits_and_all_else_is_as_it_was(stage: Stage) -> None:
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        kinds = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    linear = {name for name in kinds if name.endswith("_proj.weight")}
    assert len(linear) == 7
    assert {kinds[name] for name in linear} == {"F8_E4M3"}
    assert {kinds[name] for name in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight")} == {"F32"}
    kept = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
    for name in (name for name in kept if (MERGED / name).exists()):
        assert (FOLDER / name).read_bytes() == (MERGED / name).read_bytes()
    assert (
        json.loads((FOLDER / "config.json").read_text())["quantization_config"]["quant_method"]
        == "compressed-tensors"
    )


def test_only_what_others_load_is_pushed(stage: Stage) -> None:
    assert RECORD not in (files := fp8.pushed(stage, "").files)
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= files.keys()


def test_it_is_up_to_date_the_second_time(stage: Stage) -> None:
    said = _run("-m", "rabbit_ko.cli", "export", "--recipe", "mine", "--format", "fp8")
    assert said == f"{FOLDER}: up to date\n"


def test_transformers_runs_it_and_its_probabilities_are_near(stage: Stage) -> None:
    assert 0 < float(_run("-c", COMPARE, str(MERGED), str(FOLDER)).splitlines()[-1]) < 0.01
