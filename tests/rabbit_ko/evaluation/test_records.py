"""Results are read back as they were written, and a damaged one is named."""

from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.records import Model, Result, Sample, Score, read_result, read_samples, write_result


def result(**changes: object) -> Result:
    """A result with everything in it."""
    fields = {
        "recipe": "smoke",
        "stage": "sft",
        "task": "kobest",
        "model": Model(path="runs/smoke/sft", fingerprint="f", backend="hf"),
        "settings": {"shots": 5, "limit": None},
        "scores": [Score(task="kobest_wic", metric="acc", value=0.5, stderr=None, items=2)],
        "versions": {"lm_eval": "0.4.11"},
        "command": "make eval",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "harness": {"config": {"model": "hf"}},
    }
    return Result.model_validate(fields | changes)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    samples = [Sample(task="kobest_wic", item="가", metric="acc", value=1.0)]
    write_result(tmp_path / "sft", result(), samples)
    assert read_result(tmp_path / "sft", "kobest") == result()
    assert read_samples(tmp_path / "sft", "kobest") == samples


def test_what_was_not_measured_is_nothing(tmp_path: Path) -> None:
    assert read_result(tmp_path, "kobest") is None
    assert read_samples(tmp_path, "kobest") == []


@pytest.mark.parametrize("content", ["", "{", "{}", '{"recipe": 1}'])
def test_a_damaged_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "kobest.json").write_text(content)
    with pytest.raises(UserError, match=r"kobest\.json: "):
        read_result(tmp_path, "kobest")


def test_a_result_without_its_samples_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def full_disk(path: str, content: bytes) -> None:
        written.append(path)
        if len(written) == 1:
            raise OSError(28, "No space left on device", path)

    monkeypatch.setattr("rabbit_ko.storage.write", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_result(tmp_path, result(), [])
    assert written == [str(tmp_path / "kobest.samples.jsonl")]
