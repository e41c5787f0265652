"""How many rows a stage's shards hold, by what its strategy takes for a target."""

from pathlib import Path

import pytest
from axolotl.utils.dict import DictDefault

from axolotl_plugins.checks.rows import count_examples
from tests.dataset_builders.files import build_rows


@pytest.mark.parametrize(("kind", "count"), [("qir", 3), ("qir_every_turn", 5)])
def test_answers_that_are_context_are_no_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, count: int
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{number} 첫 질문"},
                {"role": "assistant", "content": "첫 답", **({"weight": 0} if number == 1 else {})},
                {"role": "user", "content": "다음 질문"},
                {"role": "assistant", "content": "다음 답"},
            ]
        }
        for number in range(3)
    ]
    build_rows(tmp_path, "messages", rows, test_size=0.0)
    entry = DictDefault(path=str(tmp_path / "data/sft"), split="train", type=f"prompt_strategies.{kind}")
    assert count_examples(DictDefault(hf_use_auth_token=None), [entry]) == count
