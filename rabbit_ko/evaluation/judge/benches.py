"""The judged benches: where the questions of each are, the rubric for the answers, and what stands before a question.

The questions are not shipped here. Those of maywell/LogicKor come without a license, and its maker closed it; those
of LGAI-EXAONE/KoMT-Bench are LGPL-3.0 by their card. What a model is told around them, and what a judge is told, is
in this project's own words.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from prompt_strategies.messages import Messages
from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UnknownName, suggest
from rabbit_ko.evaluation.judge.names import name_of
from rabbit_ko.evaluation.judge.rubric import GENERAL

LOGICKOR = "logickor"
_LEAD_INS = Path(__file__).with_name("lead_ins.yaml")


@dataclass(frozen=True)
class Bench:
    """Questions that a judge scores. data: the dataset on the hub; file: the file in it, without one on this machine.

    lead_in: what stands before each question, by its name in lead_ins.yaml. turns: the names of the figures of its
    turns, which are all that count of each question; without them all turns count, by their number.
    """

    name: str
    file: str
    data: str = ""
    rubric: str = GENERAL
    lead_in: str = ""
    turns: tuple[str, ...] = ()

    @property
    def messages(self) -> Messages:
        """What stands before each question."""
        return list(_lead_ins()[self.lead_in]) if self.lead_in else []


_LOGICKOR = Bench(LOGICKOR, "questions.jsonl", "maywell/LogicKor", LOGICKOR, turns=("single", "multi"))
BENCHES = {
    bench.name: bench
    for bench in (
        _LOGICKOR,
        *(replace(_LOGICKOR, name=f"{LOGICKOR}-{shot}", lead_in=shot) for shot in ("1-shot", "cot-1-shot")),
        Bench("komt", "raw/question_ko.jsonl", "LGAI-EXAONE/KoMT-Bench"),
    )
}


def find_bench(name: str, hub_dir: str = "") -> Bench:
    """Return a bench by its name, or that of a file of questions, which is called by its name and place.

    hub_dir: a local folder that is laid out like the hub, in its place. Raises UnknownName.
    """
    if name in BENCHES:
        bench = BENCHES[name]
        return replace(bench, data="", file=str(Path(hub_dir, bench.data, bench.file))) if hub_dir else bench
    file = Path(name)
    if not (file.suffix or file.exists()):
        raise UnknownName(f"BENCH: no bench `{name}`{suggest(name, BENCHES)}; or give a file of questions")
    return Bench(name_of(file), name)


@cache
def _lead_ins() -> dict[str, Messages]:
    return dict(read_yaml(_LEAD_INS))
