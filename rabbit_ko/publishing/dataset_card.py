"""The dataset card: the hub's YAML header, and a body in English and Korean, whose figures are the manifest's."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2 import Template as CardTemplate

from dataset_builders.manifest import Manifest, Shard
from prompt_strategies.messages import is_plain
from prompt_strategies.template import Template, render_answer, render_prompt, template_for
from rabbit_ko.markdown import cell, code, fence, link
from rabbit_ko.methods import ROW_KINDS, RowKind
from rabbit_ko.recipes import Recipe, read_config, recipe_names

EXAMPLE_CHARACTERS = 2_000
OTHER_LICENSE = "other"
# https://huggingface.co/docs/hub/repositories-licenses
_CC_BY = [f"CC-BY-{terms}" for terms in ("4.0", "SA-3.0", "SA-4.0", "NC-4.0", "NC-SA-4.0")]
HUB_LICENSES = {name: name.lower() for name in ("Apache-2.0", "CC0-1.0", "MIT", *_CC_BY)} | {"ODC-BY-1.0": "odc-by"}
# The hub's categories, in powers of ten.
_BOUNDS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
SIZES = ["n<1K", *(f"{low}<n<{high}" for low, high in pairwise(_BOUNDS)), "n>1T"]

Splits = dict[RowKind, dict[str, list[Shard]]]


def render_card(manifest: Manifest, folder: Path, repo: str = "org/name") -> str:
    """Return README.md of the hub dataset `repo`, with an example of the shards in `folder`. Raises UserError."""
    splits: Splits = {kind: {"train": [], "test": []} for kind in ROW_KINDS if manifest.in_folder(kind)}
    for kind, parts in splits.items():
        for shard in manifest.in_folder(kind):
            parts[Path(shard.file).name.split("-")[0]].append(shard)
    title, first = repo.split("/")[-1], next(iter(splits))
    prompt_type = find_prompt_type(folder, first)
    files = [folder / shard.file for parts in splits.values() for shards in parts.values() for shard in shards]
    [row] = next(pq.ParquetFile(files[0]).iter_batches(batch_size=1)).to_pylist()
    rendered = _render(row, prompt_type)
    body = card_template("dataset_card.md.jinja").render(
        title=title,
        repo=repo,
        manifest=manifest,
        splits=splits,
        template=rendered and prompt_type.removeprefix("prompt_strategies.").split("_")[0],
        example=_cut(rendered, "diff")
        if rendered
        else _cut(json.dumps(_given(row), ensure_ascii=False, indent=1), "json"),
        extras=sorted({name for file in files for name in _extras(file)}),
    )
    return f"---\n{_header(manifest, title, splits).to_yaml()}\n---\n\n{body.rstrip()}\n"


def card_template(name: str, **filters: Callable[..., str]) -> CardTemplate:
    """Return one of the templates beside this file, with the filters of Markdown and those given."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": cell, "code": code, "fence": fence, "link": link, "n": "{:,}".format, **filters}
    return environment.get_template(name)


def find_prompt_type(folder: Path, kind: str) -> str:
    """Return the axolotl `type` by which a data folder's recipe renders a kind of rows; QIR's without a recipe."""
    recipes = [recipe for recipe in map(Recipe, recipe_names()) if recipe.data.resolve() == folder.resolve()]
    stages = [(method.rows != kind, recipe.config(method.name)) for recipe in recipes for method in recipe.methods]
    # Where no stage reads these rows, another one's prompt is the recipe's, too.
    return str(read_config(min(stages)[1])["datasets"][0]["type"]) if stages else "prompt_strategies.qir"


def _header(manifest: Manifest, title: str, splits: Splits) -> DatasetCardData:
    files = {
        kind: [{"split": split, "path": f"{kind}/{split}-*.parquet"} for split, shards in parts.items() if shards]
        for kind, parts in splits.items()
    }
    digits = len(str(sum(shard.rows for kind in splits for shard in manifest.in_folder(kind))))
    names = {source.license.name for source in manifest.sources}
    name = names.pop() if len(names) == 1 else "mixed"
    return DatasetCardData(
        pretty_name=title,
        language=sorted({source.language for source in manifest.sources if source.language}),
        license=HUB_LICENSES.get(name, OTHER_LICENSE),
        license_name=None if name in HUB_LICENSES else re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-"),
        task_categories=["text-generation"],
        tags=["rabbit-ko", *splits],
        size_categories=[SIZES[min(max(0, digits - 3), len(SIZES) - 1)]],
        configs=[{"config_name": kind, "data_files": files[kind]} for kind in splits],
    )


def _render(row: dict[str, Any], prompt_type: str) -> str:
    """Return a row as the model reads it, in a diff whose lines with `+` are trained; nothing where that is a base's.

    A base's own chat template is not at hand here, and only that renders tools and reasoning.
    """
    messages = row.get("messages") or [*row["prompt"], *(row.get("chosen") or row["completion"])]
    template = template_for(prompt_type)
    if not isinstance(template, Template) or row.get("tools") or not is_plain(messages):
        return ""
    prompt, answer = render_prompt(template, messages[:-1]), render_answer(messages[-1])
    lines = [
        *(f"  {line}" for line in prompt.removesuffix("\n").split("\n")),
        *(f"+ {line}" for line in answer.split("\n")),
    ]
    return "\n".join(lines)


def _given(value: Any) -> Any:
    """Return a value without what is null in it, such as calls in a message without any."""
    if isinstance(value, dict):
        return {key: _given(inner) for key, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value


def _cut(text: str, language: str) -> str:
    return fence(text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]} ...", language)


def _extras(shard: Path) -> list[str]:
    """Return the fields of a shard that only rows with tools or reasoning have."""
    schema = pq.read_schema(shard)
    messages = schema.field("messages" if "messages" in schema.names else "prompt").type.value_type
    fields = [field.name for field in messages if field.name not in ("role", "content", "weight")]
    return [*fields, *(name for name in schema.names if name == "tools")]
