"""`data.yaml`: what a recipe's data is made of, checked before a row is read."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from dataset_builders.cleaning import Forgery
from dataset_builders.errors import UserError, reason
from dataset_builders.gates.evaluation_sets import EvaluationSet
from dataset_builders.gates.settings import Quality
from dataset_builders.instruction import INSTRUCTION
from dataset_builders.licences import Licence, known
from dataset_builders.sources import SOURCES

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
    add_instruction: bool = False
    probability: Share | None = None
    fraction: Share = 1.0
    limit: int | None = Field(default=None, gt=0)
    forgery: Forgery = "reject"
    language: str = Field(default="ko", pattern=r"^[a-z]{2,3}$")
    licence: Licence | None = None
    licence_accepted: str = Field(default="", pattern=r"^$|\S")

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"unknown source `{source}`{suggest(source, SOURCES)}")
        return source

    @field_validator("licence", mode="before")
    @classmethod
    def _by_name(cls, licence: object) -> object:
        return known(licence) if isinstance(licence, str) else licence

    @model_validator(mode="after")
    def _has_the_licence_of_its_makers(self) -> "SourceConfig":
        if self.licence and (stated := self._upstream_licence()):
            raise ValueError(f"licence: that of {self.path} is `{stated.name}`, see {stated.stated}; take it away")
        return self

    @model_validator(mode="after")
    def _maps_known_fields(self) -> "SourceConfig":
        fields = SOURCES[self.source].fields
        for field in self.columns.keys() - set(fields):
            raise ValueError(f"columns: `{self.source}` has no field `{field}`{suggest(field, fields)}")
        return self

    @model_validator(mode="after")
    def _uses_its_probability(self) -> "SourceConfig":
        if self.probability is not None and not self.add_instruction:
            raise ValueError("probability: means nothing without `add_instruction: true`")
        return self

    @property
    def label(self) -> str:
        """The name in ids and in the `source` column."""
        return self.name or self.source

    @property
    def stated_licence(self) -> Licence:
        """What the upstream's own page states, where the path is the upstream's, or else what the entry does."""
        return self._upstream_licence() or self.licence or Licence()

    def _upstream_licence(self) -> Licence | None:
        page = f"/datasets/{self.path}".lower()
        return next(
            (known.licence for known in SOURCES.values() if known.licence.stated.lower().endswith(page)), None
        )


class DataConfig(_Strict):
    """A recipe's data."""

    seed: int = 42
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    rows_per_shard: int = Field(default=20_000, gt=0)
    instruction: str = INSTRUCTION
    licence_policy: Literal["commercial", "any"] = "any"
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
        for entry in self.sources if self.licence_policy == "commercial" else ():
            licence = entry.stated_licence
            if not licence.commercial and not entry.licence_accepted:
                says = (
                    "states no licence" if licence.commercial is None else f"forbids commercial use ({licence.name})"
                )
                raise ValueError(
                    f"`licence_policy: commercial` refuses `{entry.label}`, which {says}; leave it out, or say why "
                    "it may be used with `licence_accepted: <reason>`"
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


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...` with the nearest known name, or `; known are ...` where none is near."""
    names = list(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean `{nearest[0]}`?" if nearest else f"; known are {', '.join(names)}"


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
        return Licence if "licence" in location[2:-1] else SourceConfig
    if location[0] == "quality" and len(location) == 2:
        return Quality
    if location[0] == "quality" and "sets" in location:
        return EvaluationSet
    if location[0] == "quality":
        return type(getattr(Quality(), str(location[1])))
    return DataConfig
