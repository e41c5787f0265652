"""The Korean card is Korean: whatever was noted, dropped or not compared, no English sentence is left in it."""

import re
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.gates import GATES
from dataset_builders.pipeline import SAMPLED_OUT
from dataset_builders.split import SPLITS, STATUSES
from rabbit_ko.evaluation.judge.rubric import rubric_names
from rabbit_ko.evaluation.records import Score, State
from rabbit_ko.evaluation.results.compare import Comparison, How
from rabbit_ko.evaluation.results.report import SENTENCES
from rabbit_ko.evaluation.results.words import JUDGED, NOTES, SETTINGS, UNKNOWN_NOTE
from rabbit_ko.licenses.known import LICENSES
from rabbit_ko.publishing.figures import OTHER_REASON, REASONS, Language, in_korean
from tests.dataset_builders.data_folder import summary
from tests.rabbit_ko.evaluation.results.measured import make_stale, put_results
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result
from tests.rabbit_ko.publishing.card_folder import (
    APACHE,
    SOURCES,
    a_gguf,
    card_of,
    make_card_folder,
    put_data,
    put_parity,
    put_run,
)

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
    put_parity("dpo", a_gguf())
    notes = [english.format(*["1"] * english.count("{}")) for english in NOTES]
    shares = [Score(task="ifeval", metric="inst_level_strict_acc", value=0.5, items=9)]
    put_result("dpo", "ifeval", shares, notes=[*notes, "something new was noted here"], backend="openai", limit=9)
    assert english_in(card_of("dpo", "ko")) == []
    assert UNKNOWN_NOTE in card_of("dpo", "ko")


CUT = "8 of 9 answers of dpo were cut at the length they may have; --max-new-tokens is 1,024"
CUT_IN = {"ko": "dpo 단계의 답변 9개 가운데 8개가 최대 길이(1,024토큰)에서 잘렸습니다", "en": CUT}


@pytest.mark.parametrize("language", CUT_IN)
def test_what_was_noted_of_several_results_is_said_once(trained: Path, language: Language) -> None:
    score = Score(task="total", metric="overall", value=5.0, items=9)
    for judge in ("a", "b"):
        put_result("dpo", f"logickor@{judge}", [score], notes=[CUT, CUT], judge=judge, bench="logickor")
    card = card_of("dpo", language)
    assert card.count(f"logickor@a, logickor@b: {CUT_IN[language]}\n") == card.count(CUT_IN[language]) == 1
    assert UNKNOWN_NOTE not in card


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
    assert "### LogicKor, judge-1\n" in card
    assert "### LogicKor, org/judge-2, SFT 상대\n" in card
    assert "### my-bench, org/judge-2\n" in card
    assert "| 전체 | 0.6250 (0.471-0.757) |" in card
    assert not [name for name in JUDGED if re.search(rf"^\|.*\b{re.escape(name)}\b", card, re.MULTILINE)]
    assert State.STALE.value not in card


OWN_WORDING = {"ko": "이 프로젝트가 따로 쓴 것", "en": "this project's own wording"}


@pytest.mark.parametrize("language", OWN_WORDING)
@pytest.mark.parametrize("against", ["", "sft"])
@pytest.mark.parametrize(
    ("rubric", "named"),
    [
        *((name, "") for name in rubric_names()),
        ("my_rubric.yaml", "`my_rubric.yaml`"),
        ("/home/kim/secret/strict.yaml", "`strict.yaml`"),
    ],
)
def test_a_rubric_of_ones_own_is_named_and_only_the_projects_are_called_its_own(
    trained: Path, language: Language, against: str, rubric: str, named: str
) -> None:
    settings: dict[str, Any] = {"against": against} if against else {}
    score = Score(task="total", metric="win rate" if against else "overall", value=0.5, items=9)
    put_result("dpo", "logickor@j", [score], judge="j", bench="logickor", rubric=rubric, **settings)
    card = card_of("dpo", language)
    assert (OWN_WORDING[language] in card) == (not named and not against)
    assert named in card
    assert "/home/kim" not in card
    assert english_in(card) == [] or language == "en"


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("LGAI-EXAONE/K-EXAONE-236B-A23B", "이름은 “K-EXAONE”으로 시작해야"),
        ("LGAI-EXAONE/EXAONE-4.5-33B", "이름은 “EXAONE”으로 시작해야"),
        ("meta-llama/Llama-4-Scout-17B-16E", "이름은 “Llama”로 시작해야"),
        ("kakaocorp/kanana-2-3b-instruct", "이름은 “Kanana”로 시작해야"),
        ("naver-hyperclovax/HyperCLOVAX-SEED-Vision-Instruct-3B", "이름은 “HyperCLOVA X”로 시작해야"),
    ],
)
def test_what_a_name_begins_with_has_the_particle_of_its_sound(in_tmp: Path, base: str, said: str) -> None:
    make_card_folder(base)
    assert said in card_of("sft", "ko")


def test_the_sound_of_each_such_beginning_is_known() -> None:
    known = {"Llama", "Llama 3", "EXAONE", "K-EXAONE", "HyperCLOVA X", "Kanana"}
    assert {it.prefix for it in LICENSES.values() if it.prefix} == known
