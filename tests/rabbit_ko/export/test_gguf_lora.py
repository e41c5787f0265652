"""An adapter as a GGUF has the adapter's numbers and peft's scale; what it cannot hold is refused."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.export import gguf, gguf_lora
from rabbit_ko.export._jinja_template import STRIP_CONTENT
from rabbit_ko.export._keys import TRAINED_FILES, read_gguf
from rabbit_ko.run_record import trained_files
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.llama_server import serving
from tests.rabbit_ko.export.stages import MERGED, edit, stage_of

RUN = MODELS["sft"]


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose adapter and its base are exported in float32; peft divides its alpha by the rank's root."""
    with stage_of(tmp_path_factory.mktemp("exported"), smoke_tokenizer) as found:
        edit(RUN / "adapter_config.json", use_rslora=True)
        gguf_lora.make(found, "", "")
        gguf_lora.base_gguf(found, "", "")
        yield found


def place(stage: Stage) -> Path:
    return Path(stage.model) / "export/gguf-lora/f32" / gguf_lora.file_name(stage, "f32")


def test_the_file_has_the_numbers_of_the_adapter_and_says_whose_it_is(stage: Stage) -> None:
    tensors = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(place(stage)).tensors}
    adapter = load_file(RUN / "adapter_model.safetensors")
    for part in ("A", "B"):
        of_adapter = adapter[f"base_model.model.model.layers.0.mlp.down_proj.lora_{part}.weight"]
        np.testing.assert_array_equal(tensors[f"blk.0.ffn_down.weight.lora_{part.lower()}"], of_adapter)
    assert len(tensors) == len(adapter)
    said = read_gguf(place(stage))
    assert (said["general.type"], said["general.name"], said[TRAINED_FILES]) == (
        "adapter",
        "mine sft",
        trained_files(RUN),
    )


def test_alpha_is_what_gives_peft_s_scale_after_llama_cpp_has_divided_it_by_the_rank(stage: Stage) -> None:
    described = json.loads((RUN / "adapter_config.json").read_text())
    alpha, rank = described["lora_alpha"], described["r"]
    assert read_gguf(place(stage))["adapter.lora.alpha"] / rank == pytest.approx(alpha / math.sqrt(rank))


def test_the_base_has_the_weights_of_the_base_and_the_prompt_of_the_stage(stage: Stage) -> None:
    file = gguf_lora.base_gguf(stage, "f32", "")
    embedding = next(
        np.array(tensor.data) for tensor in GGUFReader(file).tensors if tensor.name == "token_embd.weight"
    )
    base = load_file(MODELS["base"] / "model.safetensors")
    np.testing.assert_array_equal(embedding, base["model.embed_tokens.weight"])
    said = read_gguf(file)
    template = said["tokenizer.chat_template"].replace(STRIP_CONTENT, "")
    assert (template, said["general.name"]) == (stage.chat_template, "mine sft base")
    assert said[TRAINED_FILES] != trained_files(RUN)


def test_the_base_is_made_by_the_checkout_that_is_given(stage: Stage, tmp_path: Path) -> None:
    assert gguf_lora.made(stage, "f32")[1] == place(stage)
    with pytest.raises(UserError, match=f"LLAMA_CPP={tmp_path}: has no convert_hf_to_gguf.py"):
        gguf_lora.made(stage, "f32", str(tmp_path))


@pytest.mark.slow
def test_llama_cpp_answers_with_base_and_adapter_as_with_the_merged_model(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    with stage_of(tmp_path, smoke_tokenizer) as stage:
        merged = gguf.make(stage, "f32", "") / gguf.file_name(stage, "f32")
        base, adapter = gguf_lora.base_gguf(stage, "", ""), gguf_lora.make(stage, "", "")
        asked: dict[str, Any] = {"prompt": "안녕하세요?", "n_predict": 24, "temperature": 0}
        answers = []
        for served in ((merged, None), (base, place(stage)), (base, None)):
            with serving(*served) as server:
                answers.append(server.ask("/completion", **asked)["content"])
        assert adapter == place(stage).parent
        assert answers[0] == answers[1] != answers[2]


def test_an_adapter_with_whole_embeddings_is_refused(stage: Stage) -> None:
    file = RUN / "adapter_model.safetensors"
    before, weights = file.read_bytes(), load_file(file)
    save_file(weights | {"base_model.model.model.embed_tokens.weight": np.zeros((2, 2), np.float32)}, file)
    try:
        with pytest.raises(
            UserError, match=r"holds base_model.model.model.embed_tokens.weight, which a GGUF adapter"
        ):
            gguf_lora.make(stage, "q8_0", "")
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern: llama.cpp scales all layers alike"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern with use_rslora"),
        ({"lora_alpha": None}, "lora_alpha: missing, or no number"),
    ],
)
def test_a_scale_that_llama_cpp_does_not_have_is_refused(stage: Stage, changes: dict[str, Any], said: str) -> None:
    file = RUN / "adapter_config.json"
    before = file.read_bytes()
    edit(file, **changes)
    try:
        with pytest.raises(UserError, match=said):
            gguf_lora.make(stage, "q8_0", "")
    finally:
        file.write_bytes(before)


def test_a_model_of_which_all_weights_were_trained_has_no_adapter_to_export(stage: Stage, tmp_path: Path) -> None:
    adapter = (RUN / "adapter_config.json").rename(tmp_path / "adapter_config.json")
    try:
        with pytest.raises(UserError, match="all weights were trained; export FORMAT=gguf"):
            gguf_lora.make(find_stage("mine", "sft"), "", "")
    finally:
        adapter.rename(RUN / "adapter_config.json")


def test_a_base_that_is_gone_is_said_in_one_line(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    moved = MODELS["base"].rename("elsewhere")
    try:
        with pytest.raises(UserError, match="the adapter is on runs/mine/base, which is not to be had") as refused:
            gguf_lora.make(stage, "q8_0", "")
    finally:
        moved.rename(MODELS["base"])
    assert "\n" not in str(refused.value)
    assert MERGED.exists()
