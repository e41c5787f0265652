"""The dataset card: the hub's YAML header, and a body in English and Korean, made from the manifest alone.

The template, `dataset_card.md.jinja`, holds the words; the figures in it are the manifest's.
"""

import re
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData
from jinja2 import Environment, StrictUndefined

from dataset_builders.licenses import NONE_STATED
from dataset_builders.manifest import Manifest, Shard
from prompt_strategies.template import QIR, render_answer, render_prompt
from rabbit_ko.markdown import cell, fence, link

EXAMPLE_CHARACTERS = 2_000
CONFIGS = ("sft", "dpo")
# The hub's own names: https://huggingface.co/docs/hub/repositories-licenses
HUB_LICENSES = {
    "Apache-2.0": "apache-2.0",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "MIT": "mit",
    "ODC-BY-1.0": "odc-by",
}


def render_card(manifest: Manifest, folder: Path, repo: str = "org/name") -> str:
    """Return the text of README.md for the hub dataset `repo`; `folder` holds the shards, for the example row."""
    title = repo.split("/")[-1]
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": cell, "link": link, "n": "{:,}".format}
    template = environment.from_string(Path(__file__).with_name("dataset_card.md.jinja").read_text(encoding="utf-8"))
    splits = [(config, split, shards) for config in CONFIGS for split, shards in _splits(manifest, config).items()]
    body = template.render(
        title=title,
        repo=repo,
        manifest=manifest,
        splits=splits,
        configs=list(dict.fromkeys(config for config, _, _ in splits)),
        example=_example(manifest, folder),
        dropped=[(source.name, *item) for source in manifest.sources for item in source.rejected.items()],
        reported=[(source.name, *item) for source in manifest.sources for item in source.reported.items()],
    )
    return f"---\n{_header(manifest, title).to_yaml()}\n---\n\n{body.rstrip()}\n"


def _header(manifest: Manifest, title: str) -> DatasetCardData:
    splits = {config: _splits(manifest, config) for config in CONFIGS if manifest.in_folder(config)}
    files: dict[str, list[dict[str, str]]] = {
        config: [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in parts]
        for config, parts in splits.items()
    }
    return DatasetCardData(
        pretty_name=title,
        language=sorted({source.language for source in manifest.sources if source.language}),
        **_license(manifest),
        task_categories=["text-generation"],
        tags=["rabbit-ko", *splits],
        size_categories=[_size(sum(shard.rows for config in splits for shard in manifest.in_folder(config)))],
        configs=[{"config_name": config, "data_files": files[config]} for config in splits],
    )


def _license(manifest: Manifest) -> dict[str, str]:
    """Return the one license of all sources by the hub's name; else `other`, and the body lists them."""
    names = {source.license.name for source in manifest.sources}
    name = names.pop() if len(names) == 1 else "mixed"
    if name in HUB_LICENSES:
        return {"license": HUB_LICENSES[name]}
    name = "none-stated" if name == NONE_STATED else re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "other"
    return {"license": "other", "license_name": name}


def _size(rows: int) -> str:
    """Return the hub's category: `n<1K`, `1K<n<10K` and so on, in powers of ten."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    power = max(0, len(str(rows)) - 3)
    if power == 0:
        return "n<1K"
    return f"{bounds[power - 1]}<n<{bounds[power]}" if power < len(bounds) else "n>1T"


def _splits(manifest: Manifest, config: str) -> dict[str, list[Shard]]:
    """Return the shards of a config by split, train first."""

    def split(shard: Shard) -> str:
        return shard.file.removeprefix(f"{config}/").split("-")[0]

    shards = sorted(manifest.in_folder(config), key=lambda shard: (split(shard) != "train", shard.file))
    return {name: list(part) for name, part in groupby(shards, split)}


def _example(manifest: Manifest, folder: Path) -> str:
    """Return the first row as the model reads it, in a diff whose lines with `+` are trained."""
    config = next(config for config in CONFIGS if manifest.in_folder(config))
    shards = next(iter(_splits(manifest, config).values()))
    batch = next(pq.ParquetFile(folder / shards[0].file).iter_batches(batch_size=1))
    row = batch.to_pylist()[0]
    messages = row["messages"] if config == "sft" else [*row["prompt"], *row["chosen"]]
    prompt, answer = render_prompt(QIR, messages[:-1]), render_answer(messages[-1])
    lines = [f"  {line}" for line in prompt.removesuffix("\n").split("\n")]
    text = "\n".join([*lines, *(f"+ {line}" for line in answer.split("\n"))])
    shown = text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]} ..."
    return fence(shown, "diff")
