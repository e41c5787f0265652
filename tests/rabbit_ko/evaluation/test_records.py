"""Results are read back as they were written, and a damaged one is named."""

import gzip
import json
from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.records import (
    Answer,
    Model,
    Result,
    Sample,
    Score,
    read_answers,
    read_result,
    read_samples,
    write_result,
)


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
    assert list(read_answers(tmp_path, "kobest")) == []


def test_answers_are_read_as_they_were_written_and_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    choices = [(" 예", -1.25), (" 아니오", -0.1)]
    answers = [
        Answer(task="kobest_wic", item="가", prompt="물음\n", answer=" 아니오", target=" 예", choices=choices),
        Answer(task="kobest_wic", item="나", prompt="\u2028\x1b", answer="", target="", values={"acc": 1.0}),
    ]
    write_result(tmp_path / "sft", result(), [], answers)
    file = tmp_path / "sft/kobest.answers.jsonl.gz"
    before = file.read_bytes()
    assert list(read_answers(tmp_path / "sft", "kobest")) == answers
    write_result(tmp_path / "sft", result(), [], answers)
    assert file.read_bytes() == before
    assert [answer.is_right for answer in answers] == [False, True]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x1f\x8b\x08\x00cut", gzip.compress(b"{}\n"), gzip.compress(b"x" * 99)[:-9]]
)
def test_damaged_answers_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kobest.answers.jsonl.gz").write_bytes(content)
    if content:
        with pytest.raises(UserError, match=r"kobest\.answers\.jsonl\.gz: "):
            list(read_answers(tmp_path, "kobest"))
    else:
        assert list(read_answers(tmp_path, "kobest")) == []


def test_a_result_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    write_result(tmp_path / "sft", result(), [])
    file = tmp_path / "sft/kobest.json"
    old = json.loads(file.read_text(encoding="utf-8"))
    for score in old["scores"]:
        for added in ("low", "high", "tasks"):
            del score[added]
    file.write_text(json.dumps(old), encoding="utf-8")
    assert read_result(tmp_path / "sft", "kobest") == result()


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
