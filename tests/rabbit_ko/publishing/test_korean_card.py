"""The Korean card is Korean: whatever was noted, dropped or not compared, no English sentence is left in it."""

import re
from pathlib import Path

import pytest

from dataset_builders.gates import GATES
from dataset_builders.pipeline import SAMPLED_OUT
from dataset_builders.split import SPLITS, STATUSES
from rabbit_ko.evaluation.records import Score, State
from rabbit_ko.evaluation.results.compare import Comparison, How
from rabbit_ko.evaluation.results.report import SENTENCES
from rabbit_ko.evaluation.results.words import JUDGED, NOTES, SETTINGS, UNKNOWN_NOTE
from rabbit_ko.publishing.figures import OTHER_REASON, REASONS, in_korean
from tests.dataset_builders.data_folder import summary
from tests.rabbit_ko.evaluation.results.measured import make_stale, put_results
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result
from tests.rabbit_ko.publishing.card_folder import APACHE, SOURCES, card_of, put_data, put_parity, put_run

# Three words in a row are no name of a metric, a model or a setting.
SENTENCE = re.compile(r"\b[A-Za-z][a-z'-]*(?: [a-z][a-z'-]+){2,}")
CODE = re.compile(r"(?ms)^(`{3,}).*?^\1$|`[^`\n]*`|\A---\n.*?^---$|\]\([^)]*\)")
GATE_REASONS = {gate.reason for gate in GATES}


def english_in(card: str) -> list[str]:
    """The English sentences of a card, outside of its header, of code and of links."""
    return [found[0] for line in CODE.sub("", card).splitlines() for found in SENTENCE.finditer(line)]


def test_it_would_be_seen() -> None:
    text = "- 메모: 2 prompts were longer than the model's context\n| open | near duplicate |\n`run this in code`"
    assert english_in(text) == ["prompts were longer than the model's context"]


def test_nothing_of_a_full_card_is_english(trained: Path) -> None:
    reasons = dict.fromkeys([*REASONS, "`messages` must be a list, not str"], 1)
    put_data([source.model_copy(update={"rejected": reasons}) for source in SOURCES])
    for stage, base in {"sft": MODELS["base"], "dpo": MODELS["sft"] / "merged"}.items():
        put_run(stage, str(base), started=f"2026-01-0{1 + (stage == 'dpo')}T00:00:00+00:00")
    put_results()
    make_stale()
    put_parity("dpo", MODELS["dpo"] / "run.json")
    notes = [english.format(*["1"] * english.count("{}")) for english in NOTES]
    shares = [Score(task="ifeval", metric="inst_level_strict_acc", value=0.5, items=9)]
    put_result("dpo", "ifeval", shares, notes=[*notes, "something new was noted here"], backend="openai", limit=9)
    assert english_in(card_of("dpo", "ko")) == []
    assert UNKNOWN_NOTE in card_of("dpo", "ko")


@pytest.mark.parametrize("how", How)
def test_each_way_to_compare_has_a_korean_sentence(trained: Path, monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    put_results()
    comparison = Comparison("base", how, tuple(SETTINGS) if how is How.SETTINGS else ())
    monkeypatch.setattr("rabbit_ko.evaluation.results.table.compare", lambda *_: comparison)
    card = card_of("dpo", "ko")
    assert english_in(card) == []
    [line] = [line for line in card.splitlines() if line.startswith("- ") and "sft: kobest" in line]
    assert re.search("[가-힣]{2}", line)
    assert not [name for name in SETTINGS if re.search(rf"(?<![\w-]){name}\b", line)]
    assert how in SENTENCES


def test_each_reason_of_the_builders_own_has_korean_words() -> None:
    known = {*SAMPLED_OUT, *STATUSES, *GATE_REASONS} - {*SPLITS}
    assert known - REASONS.keys() == set()
    assert in_korean({"length": 2, "`a` is no JSON": 1, "no `b`": 3}) == {"길이": 2, OTHER_REASON: 4}
    assert sum(in_korean(dict.fromkeys(known, 2)).values()) == 2 * len(known)


def test_a_source_that_states_no_license_is_said_in_korean(trained: Path) -> None:
    put_data([SOURCES[0], SOURCES[1], summary("dpo", APACHE, name="closed", path="mine.jsonl", revision=None)])
    put_run("sft", str(MODELS["base"]))
    assert "none stated" not in card_of("sft", "ko")


def test_figures_of_judges_have_korean_heads(trained: Path) -> None:
    put_results()
    card = card_of("dpo", "ko")
    assert "| 범주 | 싱글턴 | 멀티턴 | 평균 |" in card
    assert "| 범주 | 1번째 턴 | 2번째 턴 | 평균 |" in card
    assert "### LogicKor, judge-2, SFT 상대" in card
    assert "| 전체 | 0.6250 (0.471-0.757) |" in card
    assert not [name for name in JUDGED if re.search(rf"^\|.*\b{re.escape(name)}\b", card, re.MULTILINE)]
    assert State.STALE.value not in card
