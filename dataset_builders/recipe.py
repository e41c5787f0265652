"""`data.yaml`: what a recipe's data is made of, checked before a row is read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from dataset_builders.cleaning import PromptInjection
from dataset_builders.gates import Quality
from dataset_builders.gates._gate import STRICT, Share
from dataset_builders.gates.benchmarks import Benchmark
from dataset_builders.licenses import License, known
from dataset_builders.read.hub import Location
from dataset_builders.sources import SOURCES, find_upstream
from rabbit_ko.errors import UserError, reason, suggest

SYSTEM_PROMPT = (
    "당신은 인공지능 비서입니다. 사용자가 답을 이해하기 위해 외부에서 검색할 필요가 없도록 상세한 답변을 제공하세요."
)
# Keys of earlier versions, by what each is called now.
RENAMED = {
    "instruction": "system_prompt",
    "test_fraction": "test_size",
    "licence": "license",
    "licence_policy": "license_policy",
    "licence_accepted": "license_accepted",
    "add_instruction": "add_system_prompt",
    "limit": "max_samples",
    "forgery": "prompt_injection",
    "left_out": "drop",
    "sets": "benchmarks",
}


class SourceConfig(Location):
    """One source: where its rows are, how many of them are kept, and which of them get the system prompt."""

    source: str
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    columns: dict[str, str] = Field(default_factory=dict)
    add_system_prompt: bool = False
    probability: Share | None = None
    fraction: Share = 1.0
    max_samples: int | None = Field(default=None, gt=0)
    prompt_injection: PromptInjection = "reject"
    language: str = Field(default="ko", pattern=r"^[a-z]{2,3}$")
    license: License | None = None
    license_accepted: str = Field(default="", pattern=r"^$|\S")

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"unknown source `{source}`{suggest(source, SOURCES)}")
        return source

    @field_validator("license", mode="before")
    @classmethod
    def _by_name(cls, license: object) -> object:
        return known(license) if isinstance(license, str) else license

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "SourceConfig":
        if self.license and (upstream := find_upstream(self.path)):
            stated = upstream.license
            raise ValueError(f"license: that of {self.path} is `{stated.name}`, see {stated.stated}; take it away")
        fields = SOURCES[self.source].fields
        for field in self.columns.keys() - set(fields):
            raise ValueError(f"columns: `{self.source}` has no field `{field}`{suggest(field, fields)}")
        if self.probability is not None and not self.add_system_prompt:
            raise ValueError("probability: means nothing without `add_system_prompt: true`")
        return self

    @property
    def label(self) -> str:
        """The name in ids and in the `source` column."""
        return self.name or self.source

    @property
    def required_columns(self) -> dict[str, str]:
        """The columns that must be there, by the source's own names for them."""
        source = SOURCES[self.source]
        names = [name for name in source.fields if name in source.required or name in self.columns]
        return {name: self.columns.get(name, name) for name in names}

    @property
    def optional_columns(self) -> dict[str, str]:
        """The columns that are read where they are there, but for those that stand for another field."""
        required = self.required_columns
        taken = required.keys() | set(required.values())
        return {name: name for name in SOURCES[self.source].fields if name not in taken}

    @property
    def stated_license(self) -> License:
        """What the upstream's own page states, where the path is the upstream's, or else what the entry does."""
        upstream = find_upstream(self.path)
        return upstream.license if upstream else self.license or License()


class DataConfig(BaseModel):
    """A recipe's data."""

    model_config = STRICT

    seed: int = 42
    test_size: Annotated[float, Field(ge=0, lt=1)] = 0.02
    rows_per_shard: int = Field(default=20_000, gt=0)
    system_prompt: str = SYSTEM_PROMPT
    license_policy: Literal["commercial", "any"] = "any"
    quality: Quality = Quality()
    sources: list[SourceConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_unique_names(self) -> "DataConfig":
        labels = [entry.label for entry in self.sources]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two sources are called `{label}`; give each a `name` of its own")
        return self

    @model_validator(mode="after")
    def _may_be_used(self) -> "DataConfig":
        for entry in self.sources if self.license_policy == "commercial" else ():
            license = entry.stated_license
            if license.commercial or entry.license_accepted:
                continue
            says = "states no license" if license.commercial is None else f"forbids commercial use ({license.name})"
            raise ValueError(
                f"`license_policy: commercial` refuses `{entry.label}`, which {says}; remove it, or say why "
                "it may be used with `license_accepted: <reason>`"
            )
        return self


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is a mistake instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: the key `{key}` stands twice")
        return super().construct_mapping(node, deep)


def load_config(path: Path) -> DataConfig:
    """Read and check a `data.yaml`.

    Raises UserError, one line with the file, the key and the nearest valid name.
    """
    try:
        return DataConfig.model_validate(yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error.errors()[0])}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {reason(error)}") from None


def _explain(error: ErrorDetails) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{place}: {_advice(str(error['loc'][-1]), list(_keys_beside(error['loc'])))}"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    shown = "" if error["type"] in ("missing", "value_error") else f", not {error['input']!r}"
    return f"{place}: {message}{shown}" if place else f"{message}{shown}"


def _advice(key: str, known_keys: list[str]) -> str:
    if RENAMED.get(key) in known_keys:
        return f"`{key}` is called `{RENAMED[key]}` now"
    return f"unknown key{suggest(key, known_keys)}"


def _keys_beside(location: tuple[int | str, ...]) -> Any:
    """Return the keys that may stand where this one does."""
    if location[0] == "sources" and len(location) > 1:
        return (License if "license" in location[2:-1] else SourceConfig).model_fields
    if location[0] == "quality" and len(location) == 2:
        return Quality.model_fields
    if location[0] == "quality" and "benchmarks" in location[:-1]:
        return Benchmark.model_fields
    if location[0] == "quality":
        return type(getattr(Quality(), str(location[1]))).model_fields
    return DataConfig.model_fields
