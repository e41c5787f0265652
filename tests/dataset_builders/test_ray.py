"""Builds on a real Ray cluster of nodes on this machine: the bytes of a local build, also where a node is lost."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from rabbit_ko.errors import UserError
from tests.conftest import environment
from tests.dataset_builders.files import RABBIT, file_contents, write_config
from tests.dataset_builders.s3_server import BUCKET, s3_contents, s3_server
from tests.dataset_builders.test_determinism import raw_rows, write_recipe

pytest.importorskip("ray", reason="Ray is not installed; `make setup EXTRAS=train,ray` does it")
pytestmark = pytest.mark.slow

# So many that a chunk takes a while.
ROWS = 6_000
FILES = 8
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_server() as filesystem:
        yield filesystem


@pytest.fixture(scope="module")
def cluster(s3: Any) -> Iterator[Any]:
    """A cluster of one node, which knows of the S3 server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's data.yaml, of many chunks, whose paths are relative to its folder."""
    path = write_recipe(tmp_path_factory.mktemp("recipe"), raw_rows(ROWS), files=FILES)
    _with_paths(path, "")
    return path


@pytest.fixture
def in_recipe(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe's data.yaml, in its folder as the working directory."""
    monkeypatch.chdir(recipe.parent)
    return recipe


@pytest.fixture
def built(in_recipe: Path) -> dict[str, bytes]:
    """What the recipe comes to without Ray."""
    if not Path("plain").exists():
        build(load_config(in_recipe), "plain")
    return file_contents(Path("plain"))


def _with_paths(config: Path, folder: str) -> None:
    """Put the sources of a data.yaml into another folder, by their names."""
    wanted = yaml.safe_load(config.read_text(encoding="utf-8"))
    for entry in wanted["sources"]:
        entry["path"] = f"{folder}{Path(entry['path']).name}"
    write_config(config, *wanted.pop("sources"), **wanted)


def test_the_command_says_no_more_than_without_ray(
    cluster: Any, s3: Any, recipe: Path, in_recipe: Path, built: dict[str, bytes], tmp_path: Path
) -> None:
    s3.put(str(recipe.parent), f"{BUCKET}/in", recursive=True)
    _with_paths(Path(shutil.copy(recipe, tmp_path / "data.yaml")), f"s3://{BUCKET}/in/")
    command = [*RABBIT, "data", "--config", "data.yaml", "--out", f"s3://{BUCKET}/out"]
    done = subprocess.run(
        [*command, "--executor", "ray"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout.startswith(f"s3://{BUCKET}/out")
    assert len(done.stdout.splitlines()) < 20
    shards = {name: content for name, content in built.items() if name != "manifest.json"}
    made = s3_contents(s3, f"{BUCKET}/out")
    assert made.pop("manifest.json") != built["manifest.json"], "the manifest has the sources' paths"
    assert made == shards


def test_an_error_of_a_task_comes_out_as_it_is(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text('instruction,output\n"a"b,c\n')
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": str(tmp_path / "broken.csv")})
    with pytest.raises(UserError, match=r"broken.csv:2: broken CSV") as caught:
        build(load_config(config), tmp_path / "data", executor="ray")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").glob("sft"))


# The last, since a cluster tells whoever uses it for a while that it has lost a node.
def test_a_lost_node_makes_no_difference(cluster: Any, in_recipe: Path, built: dict[str, bytes]) -> None:
    import ray

    class Holder:
        """Has the first node for itself, so that the second does the first chunks."""

        def is_there(self) -> bool:
            return True

    ray.init(cluster.address, namespace="held", log_to_driver=False, logging_level=logging.ERROR)
    holder = ray.remote(Holder).options(name="holder", lifetime="detached", num_cpus=1).remote()
    assert ray.get(holder.is_there.remote())
    ray.shutdown()
    second = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    killed_at: list[str] = []

    def kill_the_second(what: str, done: int, total: int) -> None:
        if 3 <= done < total and not killed_at:
            ray.kill(ray.get_actor("holder", "held"))
            cluster.remove_node(second, allow_graceful=False)
            killed_at.append(f"{done} of {total} {what}")

    build(load_config(in_recipe), "lost", kill_the_second, executor="ray")
    assert len(killed_at) == 1, "the second node had work"
    assert file_contents(Path("lost")) == built
