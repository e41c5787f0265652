"""A recipe whose source is a data set that another recipe has pushed, over the local hub, with the real clients."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import environment
from tests.dataset_builders.data_folder import make_data_folder
from tests.dataset_builders.files import OFF, RABBIT, read_rows, write_config
from tests.dataset_builders.hub_repos import WRITER
from tests.dataset_builders.hub_server import Hub

PUSH = """
from pathlib import Path
from rabbit_ko.publishing.push_data import push
push(Path("mine"), "org/mine", False)
"""


def push(hub: Hub, home: Path) -> None:
    """Push the folder `mine` to `org/mine`, with the real client."""
    variables = environment(**hub.variables(home, WRITER))
    variables.pop("HF_HUB_OFFLINE", None)
    subprocess.run([sys.executable, "-c", PUSH], env=variables, cwd=home, check=True, timeout=120)


def rabbit(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the hub at hand."""
    command = [*RABBIT, *arguments]
    variables = environment(**hub.variables(home, WRITER))
    variables.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(command, env=variables, cwd=home, capture_output=True, text=True, timeout=120)


def test_a_pushed_repo_is_a_source_of_another_recipe(hub: Hub, tmp_path: Path) -> None:
    make_data_folder(tmp_path / "mine")
    push(hub, tmp_path)
    entries: list[dict[str, Any]] = [
        {"source": "messages", "path": "org/mine", "subset": "sft", "license": "MIT"},
        {"source": "preference", "path": "org/mine", "subset": "dpo", "license": "MIT"},
    ]
    write_config(tmp_path / "data.yaml", *entries, quality=OFF, test_size=0.0)
    built = rabbit(hub, tmp_path, "data", "--config", "data.yaml", "--out", "out")
    assert built.returncode == 0, built.stderr
    for stage, source in (("sft", "messages"), ("dpo", "preference")):
        theirs = read_rows(tmp_path / "mine", stage)
        ours = {row.pop("id"): row for row in read_rows(tmp_path / "out", stage)}
        assert ours
        assert ours.keys() <= {f"{source}/{row['id']}" for row in theirs}
        for row in theirs:
            if mine := ours.get(f"{source}/{row['id']}"):
                assert {**row, "source": source} == {**mine, "id": row["id"]}
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {len(source["revision"]) for source in manifest["sources"]} == {40}
    assert WRITER not in built.stdout + built.stderr + json.dumps(manifest)


def test_a_revision_that_is_not_there_is_one_line(hub: Hub, tmp_path: Path) -> None:
    make_data_folder(tmp_path / "mine")
    push(hub, tmp_path)
    entry = {"source": "messages", "path": "org/mine", "subset": "sft", "revision": "v9"}
    write_config(tmp_path / "data.yaml", entry)
    built = rabbit(hub, tmp_path, "data", "--config", "data.yaml", "--out", "out")
    assert built.returncode == 1
    assert len(built.stderr.strip().splitlines()) == 1
    assert "org/mine: no such local path, and the hub dataset cannot be loaded" in built.stderr
    assert not (tmp_path / "out").exists()
