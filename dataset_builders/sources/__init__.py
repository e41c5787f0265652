"""The sources: each module turns one kind of raw row into a row of a shard."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from dataset_builders.licenses import License
from dataset_builders.rows import Row, Stage
from dataset_builders.sources import (
    alpaca,
    guanaco_ko,
    hh_rlhf_ko,
    ko_ultrafeedback,
    koalpaca,
    messages,
    openorca_ko,
    orca_math_ko_dpo,
    preference,
    sharegpt,
)
from dataset_builders.sources.exchange import Exchange
from dataset_builders.sources.fields import RawRow


@dataclass(frozen=True)
class Source:
    """How rows of one kind are read: the fields they must and may have, what becomes of them, and their license.

    Rows of an Exchange may be converted as columns. Your own data has a license only where `data.yaml` states one.
    """

    stage: Stage
    required: tuple[str, ...]
    optional: tuple[str, ...]
    rule: Exchange | Callable[[RawRow, str], Row]
    license: License

    @property
    def fields(self) -> tuple[str, ...]:
        return self.required + self.optional

    def convert(self, row: RawRow, source: str) -> Row:
        """Make a row of a raw one. Raises Rejected and WrongType."""
        return self.rule.convert(row, source) if isinstance(self.rule, Exchange) else self.rule(row, source)


def _source(stage: Stage, module: ModuleType) -> Source:
    optional = getattr(module, "OPTIONAL", ())
    return Source(stage, module.REQUIRED, optional, module.convert, getattr(module, "LICENSE", License()))


SOURCES: dict[str, Source] = {
    "koalpaca": _source("sft", koalpaca),
    "openorca_ko": _source("sft", openorca_ko),
    "guanaco_ko": _source("sft", guanaco_ko),
    "alpaca": _source("sft", alpaca),
    "sharegpt": _source("sft", sharegpt),
    "messages": _source("sft", messages),
    "orca_math_ko_dpo": _source("dpo", orca_math_ko_dpo),
    "hh_rlhf_ko": _source("dpo", hh_rlhf_ko),
    "ko_ultrafeedback": _source("dpo", ko_ultrafeedback),
    "preference": _source("dpo", preference),
}
