"""How answers to the project's own tasks are read."""

import json

import pytest

from rabbit_ko.evaluation.harness.suites import prepare_languages
from rabbit_ko.evaluation.harness.tasks import ifeval_ko, kobalt
from tests.rabbit_ko.evaluation.harness.tiny import SAMPLES

ROWS = [
    json.loads(line)
    for line in (SAMPLES / "allganize/IFEval-Ko/train.jsonl").read_text(encoding="utf-8").splitlines()
]
REPLIES = (
    "가을 숲길을 천천히 걸으면 발밑에서 낙엽이 바스락거리고 맑은 바람이 뺨을 스치며 마음까지 가벼워집니다.",
    "새집에서 맞는 첫 아침을 축하해. 곧 선물을 들고 찾아갈게!",
    "제 답변은 아마도입니다.",
    "- 감자\n- 두부\n- 파",
    '"<<책이 오는 날>>\n새 책 서른 권이 들어왔습니다."',
    "물그릇을 자주 갈아 줍니다.\n******\n추운 날에는 상자로 집을 만들어 줍니다.",
)
WORSE = (
    "가을 숲길을 걸으면, 좋습니다.",
    "새집을 축하해",
    "네, 비가 올 것 같습니다.",
    "- 설탕\n- 두부\n- 파",
    "<<책이 오는 날>>",
    "물그릇을 자주 갈아 줍니다.",
)


@pytest.fixture(autouse=True)
def languages() -> None:
    """The harness's checkers, imported without their word about data."""
    prepare_languages()


@pytest.mark.parametrize(("row", "good", "worse"), zip(ROWS, REPLIES, WORSE, strict=True))
def test_an_answer_in_korean_is_checked_as_it_is_asked_for(row: dict[str, object], good: str, worse: str) -> None:
    followed = ifeval_ko.process_results(row, [good])
    assert followed["prompt_level_strict_acc"] is followed["prompt_level_loose_acc"] is True
    assert ifeval_ko.process_results(row, [worse])["prompt_level_strict_acc"] is False
    assert ifeval_ko.process_results(row, [" \n"])["prompt_level_loose_acc"] is False


def test_an_introduction_counts_against_the_strict_figures_only() -> None:
    row = ROWS[4]
    found = ifeval_ko.process_results(row, [f"네, 알겠습니다.\n{REPLIES[4]}"])
    assert found["inst_level_strict_acc"] == [True, False]
    assert found["inst_level_loose_acc"] == [True, True]
    assert ifeval_ko.share_of_instructions([[True, False], [True]]) == pytest.approx(2 / 3)


def test_words_are_what_stands_between_white_space() -> None:
    name = "length_constraints:number_words"
    row = {"instruction_id_list": [name], "kwargs": [{"relation": "less than", "num_words": 3}], "prompt": ""}
    assert ifeval_ko.process_results(row, ["밥-국을 먹자"])["prompt_level_strict_acc"] is True
    assert ifeval_ko.process_results(row, ["밥 국을 먹자"])["prompt_level_strict_acc"] is False


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("높임말을 따져 보면 정답은 A입니다.", {"A"}),
        ("정답은 [B]입니다. 다시 말해 정답은 **B** 입니다.", {"B"}),
        ("정답은 A입니다. 아니, 정답은 C입니다.", {"A", "C"}),
        ("정답은 A, B입니다.", {"A", "B"}),
        ("정답은 A", set()),
        ("정답은\nA입니다.", set()),
        ("A", set()),
        ("정답은 a입니다.", set()),
        ("", set()),
    ],
)
def test_an_answer_to_kobalt_says_one_letter_or_is_wrong(answer: str, letters: set[str]) -> None:
    assert kobalt.letters(answer) == letters
    for right in "ABC":
        expected = float(letters == {right})
        assert kobalt.process_results({"Answer": f"{right} "}, [answer]) == {"exact_match": expected}


@pytest.mark.hostile
def test_a_long_answer_to_kobalt_is_read_in_time() -> None:
    assert kobalt.letters("정답은 " * 200_000) == set()
    assert kobalt.letters("정답은 D" * 200_000 + "입니다") == {"D"}
