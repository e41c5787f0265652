"""Pushing to a hub on this machine, with the real clients, each in a process of its own."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HfHubHTTPError

from dataset_builders.manifest import MANIFEST, parse_manifest, read_manifest
from rabbit_ko.hub import SMALL_BYTES, WAITS, hub_files
from rabbit_ko.publishing.push_data import push
from tests.conftest import ROOT, environment
from tests.dataset_builders.data_folder import make_data_folder, pushed_files
from tests.dataset_builders.hub_repos import READER, SIGNATURE, WRITER, Refused
from tests.dataset_builders.hub_server import Hub

PUSH = """
import sys, time
from pathlib import Path
from rabbit_ko import hub
from rabbit_ko.errors import UserError
from rabbit_ko.publishing.push_data import push
hub.WAITS = (0.0,) * 8
time.sleep = lambda _: None
try:
    print(push(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "public"))
except UserError as error:
    sys.exit(f"error: {error}")
"""
LOAD = """
import json, sys
from datasets import load_dataset
loaded = {config: load_dataset(sys.argv[1], config) for config in ("sft", "dpo")}
rows = {f"{config}/{split}": list(part) for config, splits in loaded.items() for split, part in splits.items()}
print(json.dumps(rows))
"""
STEPS = ("create", "validate", "info", "preupload", "batch", "upload", "commit")
Result = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that may be pushed."""
    make_data_folder(tmp_path / "mine")
    return tmp_path / "mine"


def run_client(hub: Hub, home: Path, script: str, *arguments: str, token: str = WRITER) -> Result:
    """Run a script in a process of its own, with the hub in place of the real one; expect no secret in its output."""
    command = [sys.executable, "-c", script, *arguments]
    variables = environment(**hub.variables(home, token))
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)
    for secret in (WRITER, READER, SIGNATURE):
        assert secret not in result.stdout + result.stderr
    return result


def push_to(hub: Hub, folder: Path, repo: str = "org/name", visibility: str = "private", **options: str) -> str:
    """Push and return the URL that is printed."""
    result = run_client(hub, folder.parent, PUSH, str(folder), repo, visibility, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def fails_to_push(hub: Hub, folder: Path, *expected: str, visibility: str = "private", **options: str) -> None:
    """Push and expect one line that holds all of `expected`."""
    result = run_client(hub, folder.parent, PUSH, str(folder), "org/name", visibility, **options)
    assert result.returncode == 1
    assert re.fullmatch("error: .*\n", result.stderr)
    for words in expected:
        assert words in result.stderr


def commits(hub: Hub, repo: str = "org/name") -> int:
    """Count the commits after the repo's first one, which the hub itself makes."""
    return len(hub.data.repos[repo].commits) - 1


def is_complete(hub: Hub, folder: Path) -> bool:
    """Tell whether the hub has every shard, byte for byte, and nothing else but the texts."""
    files = dict(hub.data.repos["org/name"].files)
    manifest = parse_manifest(files.pop(MANIFEST), MANIFEST)
    texts = [files.pop(name) for name in ("README.md", ".gitattributes")]
    return all(texts) and files == pushed_files(folder) == {
        shard.file: files[shard.file] for shard in manifest.shards
    }


def test_what_is_pushed_loads_as_the_same_rows(hub: Hub, folder: Path) -> None:
    url = push_to(hub, folder)
    assert url == f"{hub.url}/datasets/org/name/commit/{hub.data.repos['org/name'].commits[-1][0]}"
    assert commits(hub) == 1
    assert is_complete(hub, folder)
    loaded = run_client(hub, folder.parent, LOAD, "org/name")
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == {
        f"{config}/{split}": pq.read_table(folder / f"{config}/{split}-00000-of-00001.parquet").to_pylist()
        for config in ("sft", "dpo")
        for split in ("train", "test")
    }


def test_the_token_goes_to_the_hub_alone_and_rejected_rows_stay_at_home(hub: Hub, folder: Path) -> None:
    push_to(hub, folder)
    tokens = dict(hub.requests)
    assert {tokens[kind] for kind in ("create", "info", "preupload", "batch", "commit")} == {WRITER}
    assert tokens["upload"] == ""
    files = hub.data.repos["org/name"].files
    ours = read_manifest(str(folder))
    theirs = parse_manifest(files[MANIFEST], MANIFEST)
    assert ours.in_folder("rejected")
    assert not theirs.in_folder("rejected")
    assert not [name for name in files if name.startswith("rejected/")]
    assert not [name for name, content in files.items() if WRITER.encode() in content]
    assert theirs.fingerprint == ours.fingerprint


def test_a_repo_is_private_unless_public_is_asked(hub: Hub, folder: Path) -> None:
    push_to(hub, folder)
    push_to(hub, folder, "org/open", "public")
    assert hub.data.repos["org/name"].private
    assert not hub.data.repos["org/open"].private


@pytest.mark.parametrize(("is_private", "asked"), [(True, "public"), (False, "private")])
def test_a_repo_of_the_other_visibility_is_refused(hub: Hub, folder: Path, is_private: bool, asked: str) -> None:
    hub.data.add("org/name", is_private)
    fails_to_push(hub, folder, f"org/name: is {'private' if is_private else 'public'};", visibility=asked)
    assert commits(hub) == 0
    assert hub.count("batch") == 0
    assert hub.data.repos["org/name"].private == is_private


def test_errors_that_pass_are_survived_with_one_complete_commit(hub: Hub, folder: Path) -> None:
    hub.failing.update(STEPS)
    push_to(hub, folder)
    assert all(hub.count(step) > 1 for step in STEPS)
    assert commits(hub) == 1
    assert is_complete(hub, folder)


def test_a_connection_that_drops_in_mid_upload_is_survived(hub: Hub, tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(6_000_000).hex()
    make_data_folder(tmp_path / "mine", padding=noise)
    hub.dropping["upload"] = 1
    push_to(hub, tmp_path / "mine")
    assert hub.count("upload") == 5
    assert commits(hub) == 1
    assert is_complete(hub, tmp_path / "mine")


@pytest.mark.parametrize(("fault", "attempts"), [("dropping", 2), ("losing", 1)])
def test_connections_that_drop_before_or_after_the_hub_acts_make_one_commit(
    hub: Hub, folder: Path, fault: str, attempts: int
) -> None:
    getattr(hub, fault).update(STEPS)
    push_to(hub, folder)
    assert all(hub.count(step) > 1 for step in STEPS if step != "commit")
    assert hub.count("commit") == attempts
    assert commits(hub) == 1
    assert is_complete(hub, folder)


def test_a_lost_answer_to_a_commit_that_deletes_is_survived(hub: Hub, folder: Path) -> None:
    make_data_folder(folder, shards_per_split=2)
    push_to(hub, folder)
    for path in folder.rglob("*.parquet"):
        path.unlink()
    make_data_folder(folder)
    hub.losing["commit"] = 1
    push_to(hub, folder)
    assert commits(hub) == 2
    assert is_complete(hub, folder)


@pytest.mark.parametrize(
    ("kind", "refusal", "expected"),
    [
        ("commit", Refused(503, "down for the day"), "the hub answers 503, down for the day; push again later"),
        ("upload", Refused(403, "expired"), "the hub answers 403, expired"),
        ("commit", Refused(412, "no"), "the hub answers 412, no; it changed during the push; push again"),
        ("commit", Refused(400, f"what is {WRITER}?"), "the hub answers 400, what is ***?"),
    ],
)
def test_a_push_that_fails_for_good_leaves_no_commit(
    hub: Hub, folder: Path, kind: str, refusal: Refused, expected: str
) -> None:
    hub.failing[kind], hub.refusal = 99, refusal
    fails_to_push(hub, folder, f"org/name: {expected}")
    assert commits(hub) == 0


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", "the hub answers 401, Invalid username or password.; run `hf auth login`, or set HF_TOKEN"),
        (READER, "the hub answers 403, forbidden; check the name, and that the token may write there"),
        (f"{WRITER}한", "the token cannot be sent as it is; run `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_a_token_that_does_not_do_is_named_in_one_line(hub: Hub, folder: Path, token: str, expected: str) -> None:
    fails_to_push(hub, folder, f"org/name: {expected}", token=token)
    assert not hub.data.repos


def test_a_hub_that_cannot_be_reached_is_named_in_one_line(hub: Hub, folder: Path) -> None:
    nobody = Hub()
    nobody.server_close()
    fails_to_push(nobody, folder, "org/name: the push broke off:", "check the network and push again")


def test_waits_grow_and_the_hubs_limit_on_requests_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = httpx.Request("POST", "https://hub.test/api")
    response = httpx.Response(429, headers={"ratelimit": '"api";r=0;t=40'}, request=request)
    answers: list[Any] = [HfHubHTTPError("", response=response), httpx.ReadError(""), RuntimeError("xet"), "url"]
    waits: list[float] = []

    def attempt(*_: Any) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr("rabbit_ko.hub._commit", attempt)
    monkeypatch.setattr("time.sleep", waits.append)
    assert push(folder, "org/name", public=False) == "url"
    assert waits == [41, *WAITS[1:]]


def test_the_same_content_again_makes_no_commit(hub: Hub, folder: Path) -> None:
    assert push_to(hub, folder) == push_to(hub, folder)
    assert commits(hub) == 1


def test_shards_of_an_earlier_push_go_in_the_same_commit(hub: Hub, folder: Path) -> None:
    make_data_folder(folder, shards_per_split=2)
    push_to(hub, folder)
    assert "sft/train-00001-of-00002.parquet" in hub.data.repos["org/name"].files
    for path in folder.rglob("*.parquet"):
        path.unlink()
    make_data_folder(folder)
    push_to(hub, folder)
    assert commits(hub) == 2
    assert is_complete(hub, folder)


def test_files_of_a_model_come_from_the_cache_where_the_hub_is_not_to_be_had(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(in_tmp))
    names, commit = re.compile("LICENSE.*"), "0" * 40
    assert hub_files("org/base", names) == {}
    folder = in_tmp / "models--org--base"
    snapshot = folder / "snapshots" / commit
    for place, content in ((folder / "refs/main", commit), (snapshot / "LICENSE.txt", "a"), (snapshot / "x", "b")):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    assert hub_files("org/base", names) == {"LICENSE.txt": snapshot / "LICENSE.txt"}


def test_only_small_files_of_a_model_are_downloaded(hub: Hub, in_tmp: Path) -> None:
    base = hub.data.add("org/base", private=False, kind="model")
    base.commit({"LICENSE": b"terms", "LICENSE-WEIGHTS": b"", "README.md": b"page"})
    asked = (
        "import re, sys; from rabbit_ko.hub import hub_files; print(*hub_files('org/base', re.compile('LICENSE.*')))"
    )
    variables = environment(PYTHONPATH=str(ROOT), **hub.variables(in_tmp / "home", WRITER))
    result = subprocess.run([sys.executable, "-c", asked], env=variables, capture_output=True, text=True, timeout=300)
    assert (result.stdout, result.stderr) == ("LICENSE LICENSE-WEIGHTS\n", "")
    base.sizes["LICENSE-WEIGHTS"] = SMALL_BYTES + 1
    result = subprocess.run([sys.executable, "-c", asked], env=variables, capture_output=True, text=True, timeout=300)
    assert (result.stdout, result.stderr) == ("LICENSE\n", "")
