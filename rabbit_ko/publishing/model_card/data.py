"""What the card says of the data: the sources of the stages that led to the model, their licenses, and the rules."""

import hashlib
from pathlib import Path
from typing import Any

from dataset_builders.licenses import NONE_STATED
from dataset_builders.manifest import MANIFEST, Manifest, SourceSummary
from dataset_builders.verify import read_manifest
from rabbit_ko.errors import UserError
from rabbit_ko.publishing.model_card.names import hub_id
from rabbit_ko.publishing.model_card.runs import Run

# Their own pages say so.
TRANSLATED = ("kyujinpy/OpenOrca-KO", "nlpai-lab/openassistant-guanaco-ko", "heegyu/hh-rlhf-ko")


def read_data(recipe: str, runs: dict[str, Run]) -> Manifest:
    """Read the manifest of a recipe's data.

    Raises UserError where there is none, or it is not that of the shards that a stage was trained on.
    """
    folder = Path("data") / recipe
    manifest = read_manifest(str(folder))
    for stage, run in runs.items():
        trained = {entry["path"]: entry["fingerprint"] for entry in run.datasets}
        if trained.get(f"{folder}/{stage}", "") not in ("", shards_fingerprint(manifest, stage)):
            raise UserError(
                f"{folder / MANIFEST}: lists other shards than those that {stage} was trained on; "
                f"run `make {' '.join(runs)} RECIPE={recipe}`"
            )
    return manifest


def shards_fingerprint(manifest: Manifest, stage: str) -> str:
    """Return the digest that `run.json` has of a stage's shards."""
    digest = hashlib.sha256()
    for shard in sorted(manifest.in_folder(stage), key=lambda shard: Path(shard.file)):
        digest.update(f"{Path(shard.file).name} {shard.sha256}\0".encode())
    return digest.hexdigest()


def hub_datasets(sources: list[SourceSummary]) -> list[str]:
    """Return the sources that are data sets on the hub."""
    return list(dict.fromkeys(source.path for source in sources if source.revision and hub_id(source.path)))


def translated(sources: list[SourceSummary]) -> list[str]:
    """Return the sources that are known to be machine translations."""
    return [source.name for source in sources if source.path in TRANSLATED]


def rules(manifest: Manifest) -> list[tuple[str, str, str]]:
    """Return each gate that looked at the rows: its name, what it does with a row it minds, and its bounds."""
    quality: dict[str, Any] = manifest.config.get("quality", {})
    default = quality.get("action", "reject")
    gates = {name: dict(gate) for name, gate in quality.items() if isinstance(gate, dict)}
    found = [(name, gate.pop("action", None) or default, _bounds(gate)) for name, gate in gates.items()]
    needs_bounds = {"subjects": "dropped", "contamination": "sets"}
    return [
        (name, action, bounds)
        for name, action, bounds in found
        if action != "off" and gates[name].get(needs_bounds.get(name, ""), True)
    ]


def _bounds(gate: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {_bound(value)}" for key, value in gate.items())


def _bound(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    return ", ".join(str(item["name"]) if isinstance(item, dict) else str(item) for item in value)


def instructed(manifest: Manifest, sources: list[SourceSummary]) -> list[tuple[str, float]]:
    """Return the sources whose rows got the instruction, each with the share of rows that did."""
    names = {source.name for source in sources}
    entries = [entry for entry in manifest.config.get("sources", []) if entry.get("add_system_prompt")]
    shares = {entry["name"] or entry["source"]: entry["probability"] for entry in entries}
    return [(name, 1.0 if share is None else share) for name, share in shares.items() if name in names]


def licenses(sources: list[SourceSummary]) -> list[str]:
    """Return the licenses that the sources state."""
    return list(dict.fromkeys(source.license.name for source in sources if source.license.name != NONE_STATED))


def without_license(sources: list[SourceSummary]) -> list[SourceSummary]:
    """Return the sources that state no license."""
    return [source for source in sources if source.license.name == NONE_STATED]


def not_commercial(sources: list[SourceSummary]) -> list[SourceSummary]:
    """Return the sources whose license forbids commercial use."""
    return [source for source in sources if source.license.commercial is False]
