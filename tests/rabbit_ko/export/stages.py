"""Stages of the small recipe to export, with any tokenizer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.stages import Stage, find_stage
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.publishing.model_folder import make_models

MERGED = MODELS["sft"] / "merged"


@contextmanager
def stage_of(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Iterator[Stage]:
    """Give the SFT stage of the recipe in a folder, as the working directory, with a model of random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_models(tokenizer)
        yield find_stage("mine", "sft")


def speak_natively(chat_template: str, ends: list[int]) -> None:
    """Let the stage's prompt be a tokenizer's own chat template, and its model stop at these tokens."""
    edit(MODELS["sft"] / "run.json", config={**config(), "chat_template_jinja": chat_template})
    edit(MERGED / "generation_config.json", eos_token_id=ends)


def config() -> dict[str, Any]:
    """Return the config that the stage's run would have with a native prompt."""
    run = json.loads((MODELS["sft"] / "run.json").read_text())
    return {**run["config"], "datasets": [{"path": "data/mine/sft", "type": "prompt_strategies.native"}]}


def edit(file: Path, **changes: Any) -> None:
    """Change what a JSON file says."""
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def without_bos(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer that has no BOS."""
    bare = deepcopy(tokenizer)
    bare.bos_token = None
    bare.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return bare


def split_by_gpt2(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer that splits text as GPT-2's does."""
    other = deepcopy(tokenizer)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return other
