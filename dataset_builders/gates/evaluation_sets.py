"""The evaluation sets whose items must not be trained on."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluationSet(BaseModel):
    """Where a set is, on this machine or on the hub, and which of its columns count, or else all that hold text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)
    path: str = Field(min_length=1)
    subset: str | None = None
    split: str = "test"
    revision: str | None = None
    columns: tuple[str, ...] = Field(default=(), strict=False)


def _each(name: str, path: str, subsets: tuple[str, ...], split: str = "test") -> list[EvaluationSet]:
    return [EvaluationSet(name=f"{name}/{subset}", path=path, subset=subset, split=split) for subset in subsets]


KNOWN: dict[str, list[EvaluationSet]] = {
    "kobest": _each("kobest", "skt/kobest_v1", ("boolq", "copa", "hellaswag", "sentineg", "wic")),
    "haerae": _each(
        "haerae",
        "HAERAE-HUB/HAE_RAE_BENCH",
        ("general_knowledge", "history", "loan_words", "rare_words", "standard_nomenclature"),
    ),
    "gsm8k": [EvaluationSet(name="gsm8k", path="openai/gsm8k", subset="main")],
    "gsm8k_ko": [EvaluationSet(name="gsm8k_ko", path="kuotient/gsm8k-ko")],
    "logickor": [EvaluationSet(name="logickor", path="maywell/LogicKor", split="train")],
}
