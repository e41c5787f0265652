"""A recipe whose base says Korean words at random, so that it can be asked within moments."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from tests.conftest import ROOT
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge_server import Judge
from tests.rabbit_ko.pairs.making import WORDS, answer, write_config


@pytest.fixture(autouse=True)
def _environment_without_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the keys and proxies of this machine out, and take one thread, whose sums are the same in each process."""
    for name in ("JUDGE_API_KEY", "MODEL_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """A model whose next token is the same word or the end, with the same odds, whatever it has read."""
    config = LlamaConfig(
        vocab_size=len(smoke_tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=512,
        bos_token_id=smoke_tokenizer.bos_token_id,
        eos_token_id=smoke_tokenizer.eos_token_id,
        pad_token_id=smoke_tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    ids = [id for word in WORDS for id in smoke_tokenizer(word, add_special_tokens=False).input_ids]
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.model.embed_tokens.weight.fill_(1.0)
        model.model.norm.weight.fill_(1.0)
        model.lm_head.weight.fill_(-10.0)
        model.lm_head.weight[[*ids, smoke_tokenizer.eos_token_id]] = 0.0
    folder = tmp_path_factory.mktemp("talker")
    smoke_tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def recipe(in_tmp: Path, talker: Path) -> Path:
    """A working directory with the smoke recipe, its shards, and the talker as its base."""
    shutil.copytree(ROOT / "axolotl_configs/smoke", "axolotl_configs/smoke")
    (in_tmp / "dataset_builders").symlink_to(ROOT / "dataset_builders")
    shutil.copytree(talker, "runs/smoke/base")
    build(load_config(Path("axolotl_configs/smoke/data.yaml")), Path("data/smoke"))
    write_config()
    return in_tmp


@pytest.fixture
def model() -> Iterator[Judge]:
    """A server that has the stage's model."""
    with running(Judge(answer)) as server:
        yield server


@pytest.fixture
def judge() -> Iterator[Judge]:
    """A judge at a server."""
    with running(Judge()) as server:
        yield server
