"""Each note that an evaluation leaves has words in Korean, and so has each setting and figure of a judged bench."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.judge import judged
from rabbit_ko.evaluation.judge.answers import Answers
from rabbit_ko.evaluation.judge.asking import Statement
from rabbit_ko.evaluation.judge.benches import BENCHES
from rabbit_ko.evaluation.judge.evaluation import Job
from rabbit_ko.evaluation.judge.pairwise import Compared, order_notes
from rabbit_ko.evaluation.judge.questions import Question
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.judge.wanted import How
from rabbit_ko.evaluation.records import Model
from rabbit_ko.evaluation.results.report import by_stage
from rabbit_ko.evaluation.results.table import Part
from rabbit_ko.evaluation.results.words import JUDGED, KOREAN, NOTES, SETTINGS, say, translate
from rabbit_ko.evaluation.stages import Stage


def test_a_suite_of_which_a_part_was_compared_is_said_with_how_much() -> None:
    parts = {"sft": [Part("kobest", 2, 2)], "dpo": [Part("logickor", 19, 21)]}
    assert by_stage(parts) == "sft: kobest; dpo: logickor (19 of 21)"
    assert by_stage(parts, KOREAN) == "sft: kobest; dpo: logickor (21개 중 19개)"


def in_korean(note: str) -> str:
    """What a Korean page says for a note, in which no English word is left."""
    said = translate(note, NOTES)
    assert said, note
    return said


def test_what_the_harness_notes_has_korean_words() -> None:
    [english] = [note for note in NOTES if "prompts were longer" in note]
    assert english.replace("{}", "{truncated}") in inspect.getsource(harness.evaluate)
    assert in_korean(english.replace("{}", "12")) == "프롬프트 12개가 모델의 문맥보다 길어 앞부분이 잘렸습니다"


def test_what_judging_notes_has_korean_words() -> None:
    [few] = judged._missing(["1 single", "2 multi"])
    assert in_korean(few) == "읽을 수 없는 판정이 있어 평균에서 뺐습니다(1 single, 2 multi)"
    [many] = judged._missing([str(number) for number in range(1_000)])
    assert in_korean(many).endswith(f" 외 {1_000 - judged.SHOWN}개)")
    [spread] = judged._spread({("1", (0,)): [Statement(4.0, ""), Statement(6.0, "")]})
    assert in_korean(spread) == "같은 답변에 여러 번 매긴 점수의 표준 편차는 1.41점입니다"


def test_what_a_contest_notes_has_korean_words() -> None:
    verdicts = [Verdict((0, 1), 1.0, ""), Verdict((1, 0), 1.0, "")]
    rows = [Compared(str(number), "추론", won, verdicts) for number, won in enumerate([1.0, 1.0, 0.5, 0.0])]
    won, *others = order_notes(rows)
    assert in_korean(won) == "이긴 문항, 비긴 문항, 진 문항의 수: 2, 1, 1"
    assert others
    assert [in_korean(note) for note in others]


@pytest.mark.parametrize("words", [KOREAN, JUDGED, NOTES])
def test_each_text_takes_as_many_values_as_it_says(words: dict[str, str]) -> None:
    for english, said in words.items():
        values = [f"<{number}>" for number in range(english.count("{}"))]
        assert all(value in said.format(*values) for value in values)
        assert translate(say({}, english, *values), words)


@given(st.text(max_size=60))
def test_other_texts_have_none(text: str) -> None:
    assert translate(f"가 {text}", NOTES) is None


def test_settings_have_korean_words() -> None:
    assert all(any("가" <= letter <= "힣" for letter in said) for said in SETTINGS.values())


def job(against: bool) -> Job:
    """A bench with one question, and a judge."""
    question = Question(id="1", category="추론", turns=("질문",))
    stage = Stage("mine", "sft", "runs/mine/sft")
    model = Model(path="runs/mine/sft", fingerprint="0", backend="hf")
    answers = Answers(stage, None, model, BENCHES["logickor"], [question], 64)
    judge = Endpoint("JUDGE", "http://localhost", "judge", 1, 1.0)
    return Job(answers, judge, How("logickor"), answers if against else None)


def test_each_setting_that_decides_a_figure_has_korean_words_and_no_other_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stage, "prompt", "0")
    judged = {*job(against=False).settings, *job(against=True).settings}
    evaluation = harness.Evaluation(Stage("mine", "sft", "runs/mine/sft"), template=True)
    measured = {key for suite in SUITES.values() for key in evaluation.settings(suite)}
    of_the_result, of_earlier_versions = {"backend", "harness"}, {"strategy"}
    assert judged | measured | of_the_result | of_earlier_versions == SETTINGS.keys()
