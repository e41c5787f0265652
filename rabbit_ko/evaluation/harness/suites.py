"""The registry of evaluation suites, and groups of them. Results, cards and the command's help follow from SUITES."""

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from rabbit_ko.errors import UnknownName, UserError

# Tasks that the harness does not have.
TASKS_FOLDER = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Suite:
    """Tasks of the harness that share a result file.

    data: their dataset on the hub. metrics: those of the model cards, the harness's filter after a comma; the first
    that an item has tells whether it is right. generates: the model writes an answer; otherwise likelihoods of given
    answers are compared. license: of the dataset, by the hub's name; empty where its card names none.

    shown: the tasks and groups whose figures are kept, all where none is named. mean: what the mean over the tasks is
    called. one_turn: shots stand in the question's own turn. target: the column that says what an answer has to be,
    where the harness's task does not. prepare: is called first. limit: the first items of each task, where a group
    asks for so many.
    """

    name: str
    tasks: tuple[str, ...]
    data: str
    shots: int
    metrics: tuple[str, ...]
    generates: bool
    license: str = ""
    shown: tuple[str, ...] = ()
    mean: str = ""
    one_turn: bool = False
    target: str = ""
    prepare: Callable[[], None] | None = None
    limit: int | None = None

    @property
    def terms(self) -> str:
        """What the license of the dataset asks of who runs the suite."""
        asked = [said for part, said in _TERMS.items() if part in self.license.split("-")]
        return f"{self.data}: {'; '.join([self.license or _UNLICENSED, *asked])}"


_UNLICENSED = "its card names no license; ask its makers before you pass on any of its rows"
_TERMS = {
    "nc": "not for commercial use",
    "nd": "no derivatives: the figures are yours to publish, altered rows are not to be passed on or trained on",
    "sa": "altered rows keep this license",
}


def prepare_languages() -> None:
    """Make the detection of an answer's language deterministic."""
    # The import downloads data if it can, and prints that it has even where it has not.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        import_module("lm_eval.tasks.ifeval.utils")
    import langdetect

    langdetect.DetectorFactory.seed = 0


def prepare_ifeval() -> None:
    """Prepare for counting English sentences, too. Raises UserError where nltk's `punkt_tab` is missing."""
    prepare_languages()
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        advice = "run `python -m nltk.downloader punkt_tab` once, or name a folder that has it in NLTK_DATA"
        raise UserError(f"ifeval: nltk's `punkt_tab` is missing; {advice}") from None


def _with_fields(group: str) -> tuple[str, ...]:
    """Return one of KMMLU's groups, and those of its four fields."""
    return (group, *(f"{group}_{field}" for field in ("stem", "applied_science", "humss", "other")))


_KOBEST = ("kobest_boolq", "kobest_copa", "kobest_hellaswag", "kobest_sentineg", "kobest_wic")
_HRM8K = ("hrm8k_gsm8k", "hrm8k_ksm", "hrm8k_math", "hrm8k_mmmlu", "hrm8k_omni_math")
_KBL = ("kbl_knowledge", "kbl_reasoning", "kbl_bar_exam")
_KMMLU, _HARD = _with_fields("kmmlu_direct"), _with_fields("kmmlu_direct_hard")
_CHOICE, _EXACT = ("acc", "acc_norm"), ("exact_match",)
_GSM8K = ("exact_match,strict-match", "exact_match,flexible-extract")
_IFEVAL = ("prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc")
_IFEVAL_KO, _GLOBAL_MMLU = "allganize/IFEval-Ko", "CohereForAI/Global-MMLU-Lite"
_FOLLOWED: dict[str, Any] = {"license": "apache-2.0", "target": "instruction_id_list"}

SUITES = {
    suite.name: suite
    for suite in (
        Suite("kobest", _KOBEST, "skt/kobest_v1", 5, (*_CHOICE, "f1"), False, "cc-by-sa-4.0", mean="kobest"),
        Suite("haerae", ("haerae",), "HAERAE-HUB/HAE_RAE_BENCH", 5, _CHOICE, False, "cc-by-nc-nd-4.0"),
        Suite("gsm8k", ("gsm8k",), "openai/gsm8k", 5, _GSM8K, True, "mit"),
        Suite("gsm8k_ko", ("gsm8k_ko",), "kuotient/gsm8k-ko", 5, _GSM8K, True),
        Suite("ifeval", ("ifeval",), "google/IFEval", 0, _IFEVAL, True, prepare=prepare_ifeval, **_FOLLOWED),
        Suite("kmmlu_direct", _KMMLU[:1], "HAERAE-HUB/KMMLU", 5, _EXACT, True, "cc-by-nd-4.0", _KMMLU),
        Suite("kmmlu_direct_hard", _HARD[:1], "HAERAE-HUB/KMMLU-HARD", 5, _EXACT, True, "cc-by-nd-4.0", _HARD),
        Suite("click", ("click",), "EunsuKim/CLIcK", 0, _CHOICE, False, shown=("click", "click_lang", "click_cul")),
        Suite("csatqa", ("csatqa",), "HAERAE-HUB/csatqa", 0, _CHOICE, False),
        Suite("kobalt", ("kobalt",), "snunlp/KoBALT-700", 0, _EXACT, True, "cc-by-nc-4.0"),
        Suite("hrm8k", _HRM8K, "HAERAE-HUB/HRM8K", 0, _EXACT, True, "mit", mean="hrm8k"),
        Suite("ifeval_ko", ("ifeval_ko",), _IFEVAL_KO, 0, _IFEVAL, True, prepare=prepare_languages, **_FOLLOWED),
        Suite("kormedmcqa", ("kormedmcqa",), "sean0042/KorMedMCQA", 5, _EXACT, True, "cc-by-nc-2.0", one_turn=True),
        Suite("kbl", _KBL, "lbox/kbl", 0, ("exact_match,get-answer",), True, "cc-by-nc-4.0", _KBL),
        Suite("global_mmlu_ko", ("global_mmlu_ko",), _GLOBAL_MMLU, 5, ("acc",), False, "apache-2.0"),
    )
}
CARDS = ("kobest", "haerae", "gsm8k", "gsm8k_ko", "ifeval")
_KOREAN = ("haerae", "kmmlu_direct", "kmmlu_direct_hard", "click", "csatqa", "kobalt", "hrm8k", "ifeval_ko")
# Suites by the name of a group, each with how many items of each of its tasks; None: all.
GROUPS: dict[str, dict[str, int | None]] = {
    "cards": dict.fromkeys(CARDS),
    "korean": dict.fromkeys((*_KOREAN, "kormedmcqa", "kbl", "global_mmlu_ko")),
    "quick": {"kobest": 100, "haerae": 50, "click": 30, "kmmlu_direct": 5, "gsm8k_ko": 100, "ifeval_ko": 50},
}


def find_suites(names: str) -> list[Suite]:
    """Return the suites of a comma-separated list of suites and groups, each once.

    One that is named alone is run in full though a group asks for less. Raises UnknownName where one is unknown.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in SUITES and name not in GROUPS]
    if unknown or not wanted:
        known = f"tasks: {', '.join(SUITES)}; groups of them: {', '.join(GROUPS)}"
        raise UnknownName(f"TASKS={names}: there is no task `{', '.join(unknown)}`; {known}")
    limits: dict[str, int | None] = {}
    for name, limit in ((name, limit) for each in wanted for name, limit in GROUPS.get(each, {each: None}).items()):
        limits[name] = limit if limits.get(name, limit) else None
    return [replace(SUITES[name], limit=limit) for name, limit in limits.items()]
