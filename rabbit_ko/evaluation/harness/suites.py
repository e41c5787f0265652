"""What is measured, as on the model cards: shots, metrics, and whether the model answers or only weighs answers."""

from dataclasses import dataclass
from pathlib import Path

from rabbit_ko.errors import UserError

TASKS_FOLDER = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Suite:
    """Tasks of the harness that one result file is about.

    tasks: the harness's names. data: their data sets on the hub. metrics: those that the cards report, the
    harness's filter behind a comma. generates: the model writes an answer, in the recipe's prompt; otherwise the
    likelihoods of given answers behind the bare text are compared.
    """

    name: str
    tasks: tuple[str, ...]
    data: str
    shots: int
    metrics: tuple[str, ...]
    generates: bool


_KOBEST = ("boolq", "copa", "hellaswag", "sentineg", "wic")
_GSM8K = ("exact_match,strict-match", "exact_match,flexible-extract")
_IFEVAL = ("prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc")

SUITES = {
    suite.name: suite
    for suite in (
        Suite("kobest", tuple(f"kobest_{name}" for name in _KOBEST), "skt/kobest_v1", 5, ("acc",), False),
        Suite("haerae", ("haerae",), "HAERAE-HUB/HAE_RAE_BENCH", 5, ("acc",), False),
        Suite("gsm8k", ("gsm8k",), "openai/gsm8k", 5, _GSM8K, True),
        Suite("gsm8k_ko", ("gsm8k_ko",), "kuotient/gsm8k-ko", 5, _GSM8K, True),
        Suite("ifeval", ("ifeval",), "google/IFEval", 0, _IFEVAL, True),
    )
}


def find_suites(names: str) -> list[Suite]:
    """Return the suites of a comma-separated list. Raises UserError where one is unknown."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in SUITES]
    if unknown or not wanted:
        raise UserError(f"TASKS={names}: there is no task `{', '.join(unknown)}`; tasks: {', '.join(SUITES)}")
    return [SUITES[name] for name in dict.fromkeys(wanted)]
