"""What the harness needs from elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import nltk
import pytest
from nltk.tokenize.punkt import PunktTrainer, save_punkt_params
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.harness.backends import released
from rabbit_ko.evaluation.stages import Stage
from tests.rabbit_ko.evaluation.harness.tiny import make


@pytest.fixture(scope="session")
def punkt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of nltk data with a sentence model for English, trained on a few sentences."""
    folder = tmp_path_factory.mktemp("nltk_data")
    trainer = PunktTrainer("Mr. Kim went to Seoul. He saw Dr. Lee there. They talked, e.g. about rice.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(folder), *nltk.data.path])
        (folder / "tokenizers/punkt_tab").mkdir(parents=True)
        save_punkt_params(trainer.get_params(), dir=str(folder / "tokenizers/punkt_tab/english"))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase) -> Iterator[Stage]:
    """The base of a recipe, in whose folder all tests of a module work; `datasets` caches nothing elsewhere."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch, released():
        patch.chdir(folder)
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        yield make(folder, smoke_tokenizer)
