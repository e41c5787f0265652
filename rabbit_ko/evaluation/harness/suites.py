"""The registry of evaluation suites. Results, cards and the command's help follow from SUITES."""

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path

from rabbit_ko.errors import UnknownName, UserError

# Tasks that the harness does not have.
TASKS_FOLDER = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Suite:
    """Tasks of the harness that share a result file.

    data: their dataset on the hub. metrics: those of the model cards, the harness's filter after a comma. generates:
    the model writes an answer; otherwise likelihoods of given answers are compared. prepare: is called first.
    """

    name: str
    tasks: tuple[str, ...]
    data: str
    shots: int
    metrics: tuple[str, ...]
    generates: bool
    prepare: Callable[[], None] | None = None


def prepare_ifeval() -> None:
    """Make IFEval's language detection deterministic. Raises UserError where nltk's `punkt_tab` is missing."""
    # Its import downloads the data if it can, and prints that it has even where it has not.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        import_module("lm_eval.tasks.ifeval.utils")
    import langdetect
    import nltk

    langdetect.DetectorFactory.seed = 0
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        advice = "run `python -m nltk.downloader punkt_tab` once, or name a folder that has it in NLTK_DATA"
        raise UserError(f"ifeval: nltk's `punkt_tab` is missing; {advice}") from None


_KOBEST = ("kobest_boolq", "kobest_copa", "kobest_hellaswag", "kobest_sentineg", "kobest_wic")
_GSM8K = ("exact_match,strict-match", "exact_match,flexible-extract")
_IFEVAL = ("prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc")

SUITES = {
    suite.name: suite
    for suite in (
        Suite("kobest", _KOBEST, "skt/kobest_v1", 5, ("acc",), generates=False),
        Suite("haerae", ("haerae",), "HAERAE-HUB/HAE_RAE_BENCH", 5, ("acc",), generates=False),
        Suite("gsm8k", ("gsm8k",), "openai/gsm8k", 5, _GSM8K, generates=True),
        Suite("gsm8k_ko", ("gsm8k_ko",), "kuotient/gsm8k-ko", 5, _GSM8K, generates=True),
        Suite("ifeval", ("ifeval",), "google/IFEval", 0, _IFEVAL, generates=True, prepare=prepare_ifeval),
    )
}


def find_suites(names: str) -> list[Suite]:
    """Return the suites of a comma-separated list. Raises UserError where one is unknown."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in SUITES]
    if unknown or not wanted:
        raise UnknownName(f"TASKS={names}: there is no task `{', '.join(unknown)}`; tasks: {', '.join(SUITES)}")
    return [SUITES[name] for name in dict.fromkeys(wanted)]
