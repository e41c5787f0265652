"""Making pairs in tests: the config, the servers, and what is in a folder."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from rabbit_ko.evaluation.endpoint import Endpoint, find_endpoint
from rabbit_ko.pairs.making import Options, make_pairs
from rabbit_ko.pairs.output import PairsRecord
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request

FOLDER = Path("data/pairs/smoke/base")
WORDS = (" 있습니다", "입니다", "하는", "에서", "으로")
RULES = {"rules": [{"rule": "rabbit_ko.pairs.rules.within", "least": 10, "most": 30}]}
CONFIG: dict[str, Any] = {
    "prompts": {"max_prompts": 12},
    "sampling": {"n": 4, "seed": 1, "max_new_tokens": 12, "batch_size": 16},
    "judge": RULES,
    "pairing": {"margin": 0.5, "max_length_ratio": 8.0},
}


def write_config(**changes: Any) -> None:
    """Write pairs.yaml, with changes to its sections."""
    config = {name: section | changes.get(name, {}) for name, section in CONFIG.items()}
    if "judge" in changes:
        config["judge"] = changes["judge"]
    Path("axolotl_configs/smoke/pairs.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def answer(request: Request) -> Reply:
    """Answer as a model would, with a text that depends on all that was asked, the seed included."""
    said = sha256(json.dumps(request.body, sort_keys=True).encode()).hexdigest()
    return Reply(f"답은 {said} 입니다." + " 그렇습니다." * (int(said[0], 16) % 4))


def scores(request: Request) -> Reply:
    """Judge by a number that depends on the answer alone."""
    number = 1 + int(sha256(request.text.encode()).hexdigest(), 16) % 10
    return Reply(f"살펴보았습니다.\n점수: {number}")


def endpoint(role: str, server: Judge, concurrency: int = 4) -> Endpoint:
    """Return the endpoint of a server of a test."""
    return find_endpoint(role, server.url, MODEL, concurrency, 30.0)


def make(**options: Any) -> tuple[PairsRecord, bool]:
    """Make the pairs of the base."""
    return make_pairs("smoke", "base", Options(**options))


def content(folder: Path = FOLDER) -> dict[str, bytes]:
    """Return all files of a folder of pairs, by their names."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
