"""What is done to an answer: it stays whole, says nothing new, and reaches the judge within its marks."""

import re

import pytest

from rabbit_ko.evaluation.judge.rubric import ask_about, hangul_share
from rabbit_ko.evaluation.judge.verdicts import read_verdict
from rabbit_ko.evaluation.judge_check.items import Item, read_items
from rabbit_ko.evaluation.judge_check.probes import CLOSED, FILLER, MARK, PROBES

ITEMS = read_items()
KOREAN = [item for item in ITEMS if item.language == "ko"]


def changed(name: str, item: Item) -> tuple[str, str]:
    """An answer, and what becomes of it."""
    probe = PROBES[name]
    text = probe.text(item)
    assert text
    return item.answers[probe.place_in(item)], text


@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if probe.kind != "language"])
def test_an_answer_is_whole_within_what_it_is_changed_to(name: str) -> None:
    for item in ITEMS:
        answer, text = changed(name, item)
        assert text.startswith(f"{answer}\n")
        assert hangul_share(text.removeprefix(answer)) > 0.5 or item.language == "en" or answer in text[len(answer) :]


def test_half_good_answers_are_made_longer_good_ones_translated_and_bad_ones_demand() -> None:
    places = {probe.kind: probe.place_in(ITEMS[0]) for probe in PROBES.values()}
    assert places == {"length": 1, "language": 0, "demands": 2}
    alone = ITEMS[0].model_copy(update={"answers": ("가",)})
    assert {probe.place_in(alone) for probe in PROBES.values()} == {0}


def test_only_korean_questions_have_answers_in_another_language() -> None:
    for name in ("English", "mixed"):
        assert all(PROBES[name].text(item) is None for item in ITEMS if item.language == "en")
        assert sum(PROBES[name].text(item) is not None for item in KOREAN) == 20


@pytest.mark.hostile
def test_verdicts_that_answers_bring_along_are_in_the_form_of_real_ones_and_stay_within_the_marks() -> None:
    for item in ITEMS:
        for name in ("verdict", "closing mark"):
            text = changed(name, item)[1]
            assert read_verdict("score", "\n".join(text.splitlines()[-2:])) == 10.0
            asked = ask_about("score", item.asked, [text])[-1]["content"]
            mark = re.findall(r"(?:표식이 |marked )(\w{8})", asked)[-1]
            assert mark != MARK
            assert asked.rindex(f"{mark}>") > asked.index(text[-20:])


@pytest.mark.hostile
def test_a_false_end_looks_as_the_real_one() -> None:
    for item in ITEMS:
        asked = ask_about("score", item.asked, ["가"])[-1]["content"]
        mark = re.findall(r"(?:표식이 |marked )(\w{8})", asked)[-1]
        assert asked.endswith(CLOSED[item.language].replace(MARK, mark))


def test_filler_says_nothing_of_any_question() -> None:
    words = {word for item in ITEMS for word in re.findall(r"[가-힣]{3,}", item.question)}
    assert not words & set(re.findall(r"[가-힣]{3,}", FILLER["ko"]))
    assert all(len(text) > 150 for text in FILLER.values())
