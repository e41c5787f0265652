"""The same rows make the same bytes: with any number of processes, in any order of files and rows, after any end."""

import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build
from dataset_builders.read import inputs
from dataset_builders.recipe import DataConfig, load_config
from dataset_builders.shards import WORK, locked
from dataset_builders.verify import verify
from rabbit_ko.errors import UserError
from tests.conftest import environment
from tests.dataset_builders.corpora import exchange, exchanges, sentence
from tests.dataset_builders.files import RABBIT, file_contents, write_config, write_jsonl

KILLS = 20


def raw_rows(count: int = 1_200) -> dict[str, list[Any]]:
    """Rows for three sources, with copies, broken ones and rows that gates reject among them."""
    rng = random.Random(3)
    rows: list[Any] = exchanges(count, seed=3)
    rows += rng.sample(rows, count // 10)
    rows += [{**row, "output": row["output"] + " 끝"} for row in rng.sample(rows, count // 10)]
    rows += [{"instruction": "웃어 봐", "output": "ㅋ" * rng.randint(80, 99)} for _ in range(20)]
    rows += [{"instruction": "", "output": "나"}, {"instruction": 5, "output": "나"}, [1], {"output": "끝\x00"}]
    conversations = [
        {"id": f"{n % 200}", "text": "".join(f"### {who}: {sentence(rng, 9)}" for who in ("Human", "Assistant") * 2)}
        for n in range(count // 4)
    ]
    pairs = [
        {"prompt": one["instruction"], "chosen": one["output"], "rejected": other["output"]}
        for one, other in ((exchange(rng), exchange(rng)) for _ in range(count // 4))
    ]
    return {"koalpaca": rows, "guanaco_ko": conversations, "preference": pairs}


def write_recipe(folder: Path, rows: dict[str, list[Any]], files: int) -> Path:
    """Write a recipe whose sources are folders of several files."""
    for source, some in rows.items():
        for number in range(files):
            write_jsonl(folder / source / f"{number}.jsonl", some[number::files])
    entries: list[dict[str, Any]] = [{"source": source, "path": str(folder / source)} for source in rows]
    entries[0] |= {"add_system_prompt": True, "probability": 0.8, "fraction": 0.9}
    entries[1] |= {"max_samples": 150, "weight": 1.5}
    entries[2] |= {"weight": 2}
    return write_config(folder / "data.yaml", *entries, rows_per_shard=250, test_size=0.1)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few dozen rows, so that a small corpus has many."""
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 16_000)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's data.yaml."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), raw_rows(), files=3)


@pytest.fixture(scope="module")
def built(recipe: Path) -> dict[str, bytes]:
    """What the recipe comes to, in one process and without an interruption."""
    build(load_config(recipe), recipe.parent / "plain")
    verify(str(recipe.parent / "plain"))
    contents = file_contents(recipe.parent / "plain")
    assert sum(name.startswith("sft/train") for name in contents) > 2
    return contents


def test_chunks_and_their_number_of_rows_make_no_difference(
    recipe: Path, built: dict[str, bytes], small_chunks: None, tmp_path: Path
) -> None:
    config = load_config(recipe)
    files = (recipe.parent / "koalpaca").iterdir()
    assert sum(len(inputs.prepare(str(file), str(recipe.parent)).chunks) for file in files) > 20
    build(config, tmp_path / "data")
    assert file_contents(tmp_path / "data") == built


def test_processes_make_no_difference(
    recipe: Path, built: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", 16_000)
    build(load_config(recipe), tmp_path / "data", workers=3)
    assert file_contents(tmp_path / "data") == built


def test_other_files_with_the_same_rows_in_another_order_make_the_same_shards(
    recipe: Path, built: dict[str, bytes], tmp_path: Path
) -> None:
    shuffled = {source: random.Random(5).sample(rows, len(rows)) for source, rows in raw_rows().items()}
    other = write_recipe(tmp_path, shuffled, files=5)
    build(load_config(other), tmp_path / "data")
    contents = file_contents(tmp_path / "data")
    assert contents.pop("manifest.json") != built["manifest.json"], "the manifest has the hash of the files"
    assert contents == {name: content for name, content in built.items() if name != "manifest.json"}


def is_complete_or_absent(data: Path, built: dict[str, bytes]) -> None:
    """Check that whatever stands under a final name is what a finished build puts there."""
    for name, content in file_contents(data).items():
        assert content == built[name], f"{name} is not complete"
    for folder in ("sft", "dpo", "rejected"):
        names = {f"{folder}/{path.name}" for path in (data / folder).glob("*")}
        assert names in (set(), {name for name in built if name.startswith(f"{folder}/")}), "a folder is half there"


@pytest.mark.slow
def test_a_build_that_is_killed_resumes_and_makes_the_same_bytes(
    recipe: Path, built: dict[str, bytes], tmp_path: Path
) -> None:
    script = (
        "import sys; from dataset_builders import build; from dataset_builders.read import inputs;"
        "inputs.CHUNK_BYTES = 16_000;"
        "from dataset_builders.recipe import load_config; from pathlib import Path;"
        "print('ready', flush=True);"
        "build.build(load_config(Path(sys.argv[1])), sys.argv[2], workers=2)"
    )
    command = [sys.executable, "-c", f"if __name__ == '__main__':\n {script}", str(recipe), str(tmp_path / "data")]
    rng = random.Random(7)
    kills = finished = 0
    seconds = 6.0
    while kills < KILLS:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            is_complete_or_absent(tmp_path / "data", built)
        else:
            assert process.returncode == 0
            assert file_contents(tmp_path / "data") == built
            finished += 1
            # From here on, moments are drawn from as long as a build takes, and each starts from nothing.
            seconds = time.monotonic() - started
            shutil.rmtree(tmp_path / "data")
    assert subprocess.run(command, env=environment(), check=False).returncode == 0
    assert file_contents(tmp_path / "data") == built
    assert not (tmp_path / "data" / WORK).exists()


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def interrupt(config: DataConfig, data: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a build that ends when it comes to a step."""
    with monkeypatch.context() as patched:
        patched.setattr(step, stop)
        with pytest.raises(KeyboardInterrupt):
            build(config, data)


def test_a_finished_chunk_is_not_done_again(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(recipe)
    interrupt(config, tmp_path / "data", "dataset_builders.build.plan_shards", monkeypatch)
    assert file_contents(tmp_path / "data") == {}
    monkeypatch.setattr("dataset_builders.pipeline.read_rows", stop)
    build(config, tmp_path / "data")


def test_a_build_that_ended_after_its_shards_were_in_place_is_finished(
    recipe: Path, built: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(recipe)
    interrupt(config, tmp_path / "data", "dataset_builders.shards.Manifest.to_json", monkeypatch)
    next((tmp_path / "data/sft").glob("train-*")).unlink()
    build(config, tmp_path / "data")
    assert file_contents(tmp_path / "data") == built


@pytest.mark.parametrize("change", [{"seed": 43}, {"quality": {"length": {"max": 300}}}, {"rows_per_shard": 100}])
def test_what_an_interrupted_build_left_is_not_used_for_another_config(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    config = load_config(recipe)
    other = DataConfig.model_validate({**config.model_dump(), **change})
    build(other, tmp_path / "expected")
    with monkeypatch.context() as patched:
        patched.setattr("dataset_builders.build.publish", lambda *_: sys.exit(1))
        with pytest.raises(SystemExit):
            build(config, tmp_path / "data")
    build(other, tmp_path / "data")
    assert file_contents(tmp_path / "data") == file_contents(tmp_path / "expected")


def test_of_two_builds_into_one_folder_the_second_says_so_and_stops(recipe: Path, tmp_path: Path) -> None:
    with locked(str(tmp_path / "data")), pytest.raises(UserError, match="another build is at work here"):
        build(load_config(recipe), tmp_path / "data")
    build(load_config(recipe), tmp_path / "data")


def test_a_disk_that_is_full_is_one_line_and_the_next_build_resumes(
    recipe: Path, built: dict[str, bytes], tmp_path: Path
) -> None:
    def no_more_than_a_little() -> None:
        # A write beyond the limit fails as one on a full disk does, with an error instead of a signal.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    command = [*RABBIT, "data", "--config", str(recipe), "--out", str(tmp_path / "data")]
    options: dict[str, Any] = {"env": environment(), "capture_output": True, "text": True, "check": False}
    failed = subprocess.run(command, preexec_fn=no_more_than_a_little, **options)
    assert failed.returncode == 1
    [line] = failed.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert line.endswith("File too large")
    assert file_contents(tmp_path / "data") == {}
    assert subprocess.run(command, **options).returncode == 0
    assert file_contents(tmp_path / "data") == built
