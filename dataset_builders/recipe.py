"""`data.yaml`: what a recipe's data is made of, checked before a row is read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from dataset_builders.cleaning import PromptInjection
from dataset_builders.gates.evaluation_sets import EvaluationSet
from dataset_builders.gates.settings import Quality
from dataset_builders.licenses import License, known
from dataset_builders.sources import SOURCES
from dataset_builders.system_prompt import SYSTEM_PROMPT
from rabbit_ko.errors import UserError, reason, suggest

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceConfig(_Strict):
    """One source: where its rows are, and how many of them are kept, with which instruction."""

    source: str
    path: str = Field(min_length=1)
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: dict[str, str] = {}
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
    def _has_the_license_of_its_makers(self) -> "SourceConfig":
        if self.license and (stated := self._upstream_license()):
            raise ValueError(f"license: that of {self.path} is `{stated.name}`, see {stated.stated}; take it away")
        return self

    @model_validator(mode="after")
    def _maps_known_fields(self) -> "SourceConfig":
        fields = SOURCES[self.source].fields
        for field in self.columns.keys() - set(fields):
            raise ValueError(f"columns: `{self.source}` has no field `{field}`{suggest(field, fields)}")
        return self

    @model_validator(mode="after")
    def _uses_its_probability(self) -> "SourceConfig":
        if self.probability is not None and not self.add_system_prompt:
            raise ValueError("probability: means nothing without `add_system_prompt: true`")
        return self

    @property
    def label(self) -> str:
        """The name in ids and in the `source` column."""
        return self.name or self.source

    @property
    def stated_license(self) -> License:
        """What the upstream's own page states, where the path is the upstream's, or else what the entry does."""
        return self._upstream_license() or self.license or License()

    def _upstream_license(self) -> License | None:
        page = f"/datasets/{self.path}".lower()
        return next(
            (known.license for known in SOURCES.values() if known.license.stated.lower().endswith(page)), None
        )


class DataConfig(_Strict):
    """A recipe's data."""

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
            if not license.commercial and not entry.license_accepted:
                says = (
                    "states no license" if license.commercial is None else f"forbids commercial use ({license.name})"
                )
                raise ValueError(
                    f"`license_policy: commercial` refuses `{entry.label}`, which {says}; leave it out, or say why "
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
        raw = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {reason(error)}") from None
    try:
        return DataConfig.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error.errors()[0])}") from None


def _explain(error: ErrorDetails) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key{suggest(str(error['loc'][-1]), _model_of(error['loc']).model_fields)}"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    shown = "" if error["type"] in ("missing", "value_error") else f", not {error['input']!r}"
    return f"{place}: {message}{shown}" if place else f"{message}{shown}"


def _model_of(location: tuple[int | str, ...]) -> Any:
    """Return the model that a key stands in."""
    if location[0] == "sources" and len(location) > 1:
        return License if "license" in location[2:-1] else SourceConfig
    if location[0] == "quality" and len(location) == 2:
        return Quality
    if location[0] == "quality" and "sets" in location:
        return EvaluationSet
    if location[0] == "quality":
        return type(getattr(Quality(), str(location[1])))
    return DataConfig
