"""A GGUF says what the stage was trained with, reads text as it does, and has its weights."""

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, LlamaFileType
from safetensors.numpy import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from prompt_strategies.messages import Messages
from prompt_strategies.native_template import known_templates
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import config_of, encode_chat, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import gguf
from rabbit_ko.export._folder import RECORD, find_export, is_current
from rabbit_ko.export._jinja_template import STRIP_CONTENT
from rabbit_ko.export._keys import TRAINED_FILES, check_gguf, model_keys, read_gguf
from rabbit_ko.export._llama_cpp import find_llama_cpp
from rabbit_ko.run_record import trained_files
from tests.conftest import hostile_rows, sample_rows
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.llama_server import serving
from tests.rabbit_ko.export.stages import MERGED, edit, speak_natively, stage_of, without_bos
from tests.rabbit_ko.publishing.model_folder import SIZES
from tests.stages import in_llama_format

FILE = "mine-sft-f32.gguf"
TALK: Messages = [
    {"role": "system", "content": "짧게 답하세요."},
    {"role": "user", "content": "안녕하세요?"},
    {"role": "assistant", "content": "네, 안녕하세요."},
    {"role": "user", "content": "Today's weather, 12345?"},
]


# Texts with blanks at their ends, also with letters whose bytes are partly those of a blank.
SPACES = [character for character in map(chr, range(sys.maxunicode)) if character.isspace()]
BLANK = [
    *(f"{space}가\u3000나{space}" for space in SPACES),
    *(
        "".join(SPACES),
        f"{''.join(SPACES)}à 가, ą 나…{''.join(SPACES)}",
        "à\u3000",
        "\u00a0à…\u2028",
        "\u200b가\ufeff",
        "",
    ),
]


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that is exported as it is stored, in float32."""
    with stage_of(tmp_path_factory.mktemp("exported"), smoke_tokenizer) as found:
        gguf.make(found, "", "")
        yield found


def place(stage: Stage, quant: str = "f32") -> Path:
    return Path(stage.model) / "export/gguf" / quant / gguf.file_name(stage, quant)


def test_the_file_says_prompt_ends_context_and_whose_it_is(stage: Stage) -> None:
    said = read_gguf(place(stage))
    assert said["tokenizer.chat_template"].replace(STRIP_CONTENT, "") == stage.chat_template
    assert (said["tokenizer.ggml.bos_token_id"], said["tokenizer.ggml.eos_token_id"]) == (0, 1)
    assert (said["tokenizer.ggml.add_bos_token"], said["tokenizer.ggml.add_eos_token"]) == (True, False)
    assert (said["general.architecture"], said["tokenizer.ggml.pre"]) == ("llama", "llama-bpe")
    assert said["llama.context_length"] == 1_024
    assert (said["general.name"], said[TRAINED_FILES]) == ("mine sft", trained_files(MODELS["sft"]))


def test_the_file_has_the_merged_weights_once(stage: Stage) -> None:
    tensors = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(place(stage)).tensors}
    merged = load_file(MERGED / "model.safetensors")
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
        "blk.0.ffn_gate.weight": "model.layers.0.mlp.gate_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
    }
    for name, of_merged in names.items():
        np.testing.assert_array_equal(tensors[name], merged[of_merged])
    for name in ("q", "k"):
        expected = _pairs_interleaved(merged[f"model.layers.0.self_attn.{name}_proj.weight"])
        np.testing.assert_array_equal(tensors[f"blk.0.attn_{name}.weight"], expected)
    assert len(tensors) == len(merged)


def _pairs_interleaved(weights: np.ndarray) -> np.ndarray:
    """Return rows in the order of llama.cpp, which rotates neighbors where transformers rotates halves of a head."""
    heads = SIZES["num_attention_heads"]
    halves = weights.reshape(heads, 2, -1, weights.shape[1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def test_an_export_that_is_up_to_date_is_not_made_again_and_one_that_is_changed_is(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    before, folder = place(stage).stat().st_ino, place(stage).parent
    assert gguf.make(stage, "f32", "") == folder
    assert place(stage).stat().st_ino == before
    assert capsys.readouterr().out == f"{folder}: up to date\n"
    assert not is_current(stage, "gguf", "f32", {"llama.cpp": "another"})
    content = place(stage).read_bytes()
    place(stage).write_bytes(content[:-1])
    with pytest.raises(UserError, match="run `make export RECIPE=mine STAGE=sft FORMAT=gguf QUANT=f32`"):
        find_export(stage, "gguf", "f32")
    edit(folder / RECORD, made_of="something else")
    with pytest.raises(UserError, match="of another model or prompt than the stage has now"):
        gguf.pushed(stage, "")
    gguf.make(stage, "f32", "")
    assert place(stage).stat().st_ino != before
    assert place(stage).read_bytes() == content


def test_code_that_has_changed_makes_an_export_anew_and_refuses_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by = find_llama_cpp().versions
    assert is_current(stage, "gguf", "f32", made_by)
    monkeypatch.setattr("rabbit_ko.export._folder.source_digest", lambda _: "another")
    assert not is_current(stage, "gguf", "f32", made_by)
    assert gguf.made(stage, "f32") == [place(stage)]


def test_a_file_is_read_again_once_it_is_another(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content := place(stage).read_bytes())
    read_gguf(file).clear()
    assert read_gguf(file)["general.name"] == "mine sft"
    file.write_bytes(content.replace(b"mine sft", b"mine dpo"))
    assert read_gguf(file)["general.name"] == "mine dpo"


def test_only_what_others_load_is_pushed(stage: Stage) -> None:
    found = gguf.pushed(stage, "")
    assert sorted(found.files) == ["Modelfile", FILE, "params", "template"]
    assert (found.library, found.relation) == ("gguf", "quantized")


def test_nothing_but_the_export_is_left_in_the_stage_folder(stage: Stage) -> None:
    export = MODELS["sft"] / "export"
    assert sorted(file.name for file in export.iterdir()) == ["gguf", "log.txt"]
    assert {file.name for file in (export / "gguf").iterdir()} <= gguf.QUANTS.keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [("tokenizer.ggml.eos_token_id", 4), ("tokenizer.ggml.add_bos_token", False), (TRAINED_FILES, "another's")],
)
def test_a_file_that_says_something_else_is_refused_in_one_line(stage: Stage, key: str, value: int | str) -> None:
    with pytest.raises(UserError, match=f"wrote {key} = ") as refused:
        check_gguf(place(stage), {**model_keys(stage, MERGED), key: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"max_position_embeddings": 2_048}, "llama.context_length = '1024', and the stage has '2048'"),
        ({"rope_theta": 500_000.0}, "llama.rope.freq_base = '10000.0', and the stage has '500000.0'"),
        ({"rope_type": "llama3"}, "does not say how the model scales positions"),
    ],
)
def test_a_file_whose_positions_are_others_is_refused(stage: Stage, changes: dict[str, Any], refused: str) -> None:
    config = config_of(stage)
    rope = {key: changes.pop(key) for key in [*changes] if key.startswith("rope_")}
    config.rope_parameters = config.rope_parameters | rope
    config.update(changes)
    with pytest.raises(UserError, match=refused):
        check_gguf(place(stage), {}, config)


@pytest.mark.slow
def test_scaled_positions_of_llama_3_are_in_the_file(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    scaled = {"rope_theta": 500_000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}
    scaled |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 512}
    with stage_of(tmp_path, smoke_tokenizer) as stage:
        for folder in (MERGED, MODELS["base"]):
            edit(folder / "config.json", rope_parameters=scaled)
        gguf.make(stage, "f32", "")
        assert read_gguf(place(stage))["llama.rope.freq_base"] == 500_000.0
        assert "rope_freqs.weight" in [tensor.name for tensor in GGUFReader(place(stage)).tensors]


@pytest.mark.hostile
@pytest.mark.parametrize("kept", [0, 3, 100, 50_000, -10])
def test_a_file_that_is_cut_is_refused_in_one_line(stage: Stage, kept: int, tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(place(stage).read_bytes()[:kept])
    with pytest.raises(UserError, match="no GGUF, damaged or cut") as refused:
        read_gguf(file)
    assert "\n" not in str(refused.value)


def test_q8_0_is_made_beside_what_is_there(stage: Stage) -> None:
    gguf.make(stage, "q8_0", "")
    assert read_gguf(place(stage, "q8_0"))["general.file_type"] == LlamaFileType.MOSTLY_Q8_0
    assert place(stage, "q8_0").stat().st_size < place(stage).stat().st_size
    check_gguf(place(stage, "q8_0"), model_keys(stage, MERGED), config_of(stage))


@pytest.mark.slow
@pytest.mark.parametrize("quant", gguf.QUANTIZED)
def test_llama_quantize_leaves_a_file_that_says_the_same_and_no_other(
    quant: str, smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    if shutil.which("llama-quantize") is None:
        pytest.skip("llama-quantize is not on PATH; build it in a checkout of llama.cpp")
    with stage_of(tmp_path, smoke_tokenizer) as stage:
        config = LlamaConfig.from_pretrained(MERGED, hidden_size=256, intermediate_size=256, head_dim=128)
        LlamaForCausalLM(config).save_pretrained(MERGED)
        gguf.make(stage, quant, "")
        check_gguf(place(stage, quant), model_keys(stage, MERGED), config_of(stage))
        assert read_gguf(place(stage, quant))["general.file_type"] == LlamaFileType[f"MOSTLY_{quant.upper()}"]
        left = {file.name for file in place(stage, quant).parent.iterdir()}
        assert left == {RECORD, "Modelfile", "params", "template", gguf.file_name(stage, quant)}


@pytest.mark.slow
def test_a_model_that_llama_quantize_cannot_quantize_is_said_in_one_line(stage: Stage) -> None:
    if shutil.which("llama-quantize") is None:
        pytest.skip("llama-quantize is not on PATH; build it in a checkout of llama.cpp")
    with pytest.raises(UserError, match="runs/mine/sft: llama-quantize failed: exit code 1; its log is"):
        gguf.make(stage, "q4_k_m", "")  # its rows are of 16 weights
    assert not place(stage, "q4_k_m").parent.exists()


@pytest.mark.parametrize(
    "name",
    [
        "smoke",
        "smoke without BOS",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama-3", "llama-3-no-bos", "qwen3")),
    ],
)
def test_llama_cpp_renders_and_reads_as_the_stage_does(
    name: str, load: Callable[[str], PreTrainedTokenizerBase], tmp_path: Path
) -> None:
    tokenizer = without_bos(load("smoke")) if name == "smoke without BOS" else load(name)
    with stage_of(tmp_path, tokenizer) as stage:
        gguf.make(stage, "f32", "")
        own = load_tokenizer(stage)
        with serving(place(stage)) as server:
            prompt = server.ask("/apply-template", messages=TALK)["prompt"]
            rendered = own.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
            assert prompt == rendered.removeprefix(own.bos_token or "")
            for text in BLANK:
                talk = [{"role": "system", "content": text}, *TALK[1:], {"role": "assistant", "content": text}]
                talk.append({"role": "user", "content": [{"type": "text", "text": text}]})
                rendered = own.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
                shown = server.ask("/apply-template", messages=talk)["prompt"]
                assert shown == rendered.removeprefix(own.bos_token or ""), text
            expected = encode_chat(own, TALK)["input_ids"]
            assert server.ids(prompt, add_special=True, parse_special=True) == expected
            for text in _texts(own):
                assert server.ids(text) == own.backend_tokenizer.encode(text, add_special_tokens=False).ids, text


def _texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return texts without control tokens, in NFC where the tokenizer makes it of them, which llama.cpp does not."""
    rows = [row for name in ("koalpaca", "guanaco_ko", "openorca_ko") for row in sample_rows(name)[:40]]
    texts = [*(text for text, _ in hostile_rows()), *(" ".join(map(str, row.values())) for row in rows)]
    texts += ["I'M he'S can'T 12345 １２３ ² ½", "\n\n \n  x\r\n\r\n y\t\tz   ", "ㄱㄴㄷ 각 🌫️ अनु คำ"]
    added = tokenizer.get_added_vocab()
    is_nfc = tokenizer.backend_tokenizer.normalizer is None
    kept = (text for text in texts if is_nfc or unicodedata.is_normalized("NFC", text))
    return [text for text in kept if not any(token in text for token in added)]


@pytest.mark.slow
def test_llama_cpp_stops_at_each_token_that_the_model_stops_at(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    spoken = in_llama_format(smoke_tokenizer)
    with stage_of(tmp_path, spoken) as stage:
        speak_natively(spoken.chat_template, ends=[1, 2, 4])
        gguf.make(stage, "f32", "")
        with serving(place(stage)) as server:
            assert [token for token in range(6) if server.stops_at(token)] == [1, 2, 4]


@pytest.mark.parametrize("name", ["chatml", "llama3", "exaone"])
def test_a_native_prompt_begins_with_bos_where_its_chat_template_does(
    name: str, smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """ChatML's writes none, nor EXAONE's, also on a tokenizer that puts one in front of a text."""
    spoken = deepcopy(smoke_tokenizer)
    spoken.chat_template = known_templates()[name]
    with stage_of(tmp_path, spoken) as stage:
        speak_natively(spoken.chat_template, ends=[1])
        gguf.make(stage, "f32", "")
        expected = spoken.apply_chat_template([*TALK], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert (expected[0] == spoken.bos_token_id) is (name == "llama3")
        with serving(place(stage)) as server:
            prompt = server.ask("/apply-template", messages=TALK)["prompt"]
            assert server.ids(prompt, add_special=True, parse_special=True) == expected


def test_more_ends_than_a_file_can_name_are_refused(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    with stage_of(tmp_path, smoke_tokenizer) as stage:
        edit(MERGED / "generation_config.json", eos_token_id=[1, 2, 3, 4])
        with pytest.raises(UserError, match="names at most 3 tokens that end an answer, and these are 4"):
            gguf.make(stage, "f32", "")


def test_what_was_exported_of_another_run_is_not_pushed(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path, stage: Stage
) -> None:
    exported = place(stage).parent.absolute()
    with stage_of(tmp_path, smoke_tokenizer) as other:
        edit(MODELS["sft"] / "run.json", files={"adapter_model.safetensors": {"bytes": 1, "sha256": "another"}})
        shutil.copytree(exported, place(other).parent)
        assert json.loads((place(other).parent / RECORD).read_text())["files"]
        with pytest.raises(UserError, match="of another model or prompt than the stage has now"):
            gguf.pushed(other, "f32")


def test_without_a_name_the_file_that_is_there_is_the_one_also_where_nothing_is_merged_any_more(
    stage: Stage, tmp_path: Path
) -> None:
    exports = Path(stage.model) / "export/gguf"
    kept = tmp_path / "exports"
    exports.rename(kept)
    MERGED.rename(tmp_path / "merged")
    try:
        with pytest.raises(UserError) as told:
            gguf.made(stage, "")
        assert str(told.value) == f"{exports}: not exported; run `make export RECIPE=mine STAGE=sft FORMAT=gguf`"
        shutil.copytree(kept / "f32", exports / "q8_0")
        shutil.copy(exports / "q8_0" / FILE, exports / "q8_0/mine-sft-q8_0.gguf")
        shutil.copytree(kept / "f32", exports / f".bf16-{'0a' * 16}")
        assert [file.name for file in gguf.made(stage, "", thorough=False)] == ["mine-sft-q8_0.gguf"]
        shutil.copytree(kept / "f32", exports / "f32")
        with pytest.raises(UserError, match=f"{exports}: holds f32, q8_0; say which one with QUANT"):
            gguf.pushed(stage, "")
        (tmp_path / "merged").rename(MERGED)
        assert gguf.made(stage, "") == [place(stage)]
    finally:
        shutil.rmtree(exports, ignore_errors=True)
        kept.rename(exports)
        if not MERGED.exists():
            (tmp_path / "merged").rename(MERGED)
