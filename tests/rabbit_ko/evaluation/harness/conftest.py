"""What the harness needs from elsewhere."""

from pathlib import Path

import nltk
import pytest
from nltk.tokenize.punkt import PunktTrainer, save_punkt_params


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
