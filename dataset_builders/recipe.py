"""`data.yaml`: what a recipe's data is made of, checked before a row is read."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dataset_builders.cleaning import PromptInjection
from dataset_builders.gates import Quality
from dataset_builders.gates._gate import Share
from dataset_builders.licenses import License, known
from dataset_builders.prompt_sources import read_prompt_sources
from dataset_builders.read.files import find_path, is_data
from dataset_builders.read.inputs import Location, may_be_on_hub
from dataset_builders.sources import SOURCES, find_upstream
from dataset_builders.strict import Strict, check_unique, read_strict
from rabbit_ko.errors import suggest
from rabbit_ko.methods import ROW_KINDS, RowKind
from rabbit_ko.storage import is_url

SYSTEM_PROMPT = (
    "당신은 인공지능 비서입니다. 사용자가 답을 이해하기 위해 외부에서 검색할 필요가 없도록 상세한 답변을 제공하세요."
)


class SourceConfig(Location):
    """One source: where its rows are, how many of them are kept, and which of them get the system prompt.

    path: `{recipe}` in it is the recipe's name, that of its folder. otherwise: the entry that is taken in its place
    while there is nothing at its path.
    """

    source: str
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    columns: dict[str, str] = Field(default_factory=dict)
    ignore_columns: list[str] = Field(default_factory=list)
    add_system_prompt: bool = False
    probability: Share | None = None
    fraction: Share = 1.0
    max_samples: int | None = Field(default=None, gt=0)
    max_rejected: Share = 0.5
    weight: float = Field(default=1.0, le=100)
    share: float | None = Field(default=None, gt=0, lt=1)
    prompt_injection: PromptInjection = "reject"
    language: str = Field(default="ko", pattern=r"^[a-z]{2,3}$")
    license: Annotated[License | None, BeforeValidator(lambda it: known(it) if isinstance(it, str) else it)] = None
    license_accepted: str = Field(default="", pattern=r"^$|\S")
    otherwise: "SourceConfig | None" = Field(default=None, exclude=True)
    _in_place_of: "SourceConfig | None" = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _has_a_full_path(cls, given: Any, info: ValidationInfo) -> Any:
        path = given.get("path") if isinstance(given, dict) else None
        if not isinstance(path, str):
            return given
        path = path.replace("{recipe}", (info.context or {}).get("recipe", "{recipe}"))
        source = SOURCES.get(str(given.get("source")))
        is_folder = source and source.file and not is_data(path)
        return {**given, "path": f"{path.rstrip('/')}/{source.file}" if source and is_folder else path}

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"unknown source `{source}`{suggest(source, SOURCES)}")
        return source

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "SourceConfig":
        if self.license and (upstream := find_upstream(self.path)):
            stated = upstream.license
            raise ValueError(f"license: that of {self.path} is `{stated.name}`, see {stated.stated}; take it away")
        fields = SOURCES[self.source].required + SOURCES[self.source].optional
        for field in self.columns.keys() - set(fields):
            raise ValueError(f"columns: `{self.source}` has no field `{field}`{suggest(field, fields)}")
        if self.probability is not None and not self.add_system_prompt:
            raise ValueError("probability: means nothing without `add_system_prompt: true`")
        if self.weight < 1:
            raise ValueError(
                f"weight: {self.weight:g} would drop rows, which is what `fraction: {self.weight:g}` does"
            )
        if self.share is not None and (others := {"fraction", "max_samples", "weight"} & self.model_fields_set):
            raise ValueError(f"share: decides by itself how many rows there are; take `{min(others)}` away")
        return self

    @model_validator(mode="after")
    def _has_a_stand_in(self) -> "SourceConfig":
        if not self.otherwise:
            return self
        own, other = (SOURCES[entry.source].rows for entry in (self, self.otherwise))
        if self.otherwise.otherwise:
            raise ValueError("otherwise: has an `otherwise` of its own; take that away")
        if own != other:
            raise ValueError(
                f"otherwise: `{self.otherwise.label}` has {other} rows, and `{self.label}` has {own} rows"
            )
        if is_url(self.path) or may_be_on_hub(self.path):
            raise ValueError(f"otherwise: needs a path of this machine, which begins with /, ~ or ., not {self.path}")
        return self

    def taken(self) -> "SourceConfig":
        """Return this entry, or the one to be taken in its place."""
        if not self.otherwise or Path(find_path(self.path)).exists():
            return self
        stand_in = self.otherwise.model_copy()
        stand_in._in_place_of = self
        return stand_in

    @property
    def other(self) -> "SourceConfig | None":
        """The entry that would be taken in its place, or in whose place this one is."""
        return self.otherwise or self._in_place_of

    @property
    def label(self) -> str:
        """The name in ids and in the `source` column."""
        return self.name or self.source

    @property
    def stated_license(self) -> License:
        """What the upstream's own page states, where the path is the upstream's, or else what the entry does."""
        upstream = find_upstream(self.path)
        return upstream.license if upstream else self.license or License()


# With each entry that is not there replaced by its `otherwise`.
Sources = Annotated[list[SourceConfig], AfterValidator(lambda entries: [entry.taken() for entry in entries])]


class DataConfig(Strict):
    """A recipe's data."""

    seed: int = 42
    test_size: Annotated[float, Field(ge=0, lt=1)] = 0.02
    rows_per_shard: int = Field(default=20_000, gt=0)
    system_prompt: str = SYSTEM_PROMPT
    license_policy: Literal["commercial", "any"] = "any"
    quality: Quality = Quality()
    mix_by: Literal["rows", "tokens"] = "rows"
    tokenizer: str = ""
    sources: Sources = Field(min_length=1)

    @property
    def stand_ins(self) -> list[str]:
        """A line on each source that is read in the place of another."""
        return stand_ins(self.sources)

    @model_validator(mode="after")
    def _may_be_used(self) -> "DataConfig":
        if asked := [entry.label for entry in both(self.sources) if not SOURCES[entry.source].has_answers]:
            raise ValueError(f"`{asked[0]}` has no answers to train on; its place is pairs.yaml, under `prompts:`")
        if self.mix_by == "tokens" and not self.tokenizer:
            raise ValueError("mix_by: tokens are those of a tokenizer; name one, `tokenizer: <folder or hub id>`")
        check_sources(self.sources, self.license_policy)
        return self


def load_config(path: Path) -> DataConfig:
    """Read and check a `data.yaml`. Raises UserError: one line with the file, the key and the nearest valid name."""
    return read_strict(DataConfig, path, recipe=path.absolute().parent.name)


def both(sources: Iterable[SourceConfig]) -> list[SourceConfig]:
    """Return all entries of sources: those that are taken, and those in whose place they are or that would be."""
    return [entry for taken in sources for entry in (taken, taken.other) if entry]


def stand_ins(sources: Iterable[SourceConfig]) -> list[str]:
    """Return a line on each source that is read in the place of another."""
    pairs = [(entry.label, entry._in_place_of) for entry in sources]
    return [f"{it.path}: not there, so `{label}` is read in its place" for label, it in pairs if it]


def check_sources(sources: Sequence[SourceConfig], license_policy: str) -> None:
    """Raise ValueError where two sources have one name, the policy refuses one, or their shares are no mix."""
    check_unique("sources", (entry.label for entry in both(sources)))
    for entry in both(sources) if license_policy == "commercial" else ():
        _check_commercial(f"`{entry.label}`, which", entry.stated_license, entry.license_accepted)
        for each in read_prompt_sources(entry.source, entry.path):
            _check_commercial(
                f"`{entry.label}`, whose prompts are of `{each.name}`, which", each.license, each.license_accepted
            )
    for kind in ROW_KINDS:
        for entries in (sources, [entry.other or entry for entry in sources]):
            _check_shares([entry for entry in entries if SOURCES[entry.source].rows == kind], kind)


def _check_commercial(what: str, license: License, accepted: str | None) -> None:
    """Raise ValueError where a license does not allow commercial use, and nobody has said why it may be used."""
    if license.commercial or accepted:
        return
    says = "states no license" if license.commercial is None else f"forbids commercial use ({license.name})"
    advice = "remove it, or say why it may be used with `license_accepted: <reason>`"
    raise ValueError(f"`license_policy: commercial` refuses {what} {says}; {advice}")


def _check_shares(sources: Sequence[SourceConfig], kind: RowKind) -> None:
    """Raise ValueError where the shares of the sources of a kind are no mix."""
    shares = [entry.share for entry in sources if entry.share is not None]
    without, total = [entry.label for entry in sources if entry.share is None], sum(shares)
    if shares and len(sources) == 1:
        raise ValueError(
            f"share: `{sources[0].label}` is the only {kind} source, all of its mix; take the share away"
        )
    if shares and without and total > 1 - 1e-9:
        raise ValueError(
            f"share: the {kind} shares sum to {total:g}, which leaves nothing for `{without[0]}`; lower them"
        )
    if shares and not without and abs(total - 1) > 1e-6:
        advice = "make them sum to 1, or let one source be the rest, without a share"
        raise ValueError(f"share: every {kind} source has one, and they sum to {total:g}; {advice}")


def mix_size(amounts: Mapping[int, float], shares: Mapping[int, float]) -> float:
    """Return the size of a mix of sources that have so many rows or tokens, some or all of them with a share.

    Sources without a share are in it as they are; where all have one, the scarcest for its share is.
    """
    rest = sum(amount for source, amount in amounts.items() if source not in shares)
    if rest or not shares:
        return rest / (1 - sum(shares.values()))
    return min((amounts[source] / share for source, share in shares.items() if amounts[source]), default=0.0)
