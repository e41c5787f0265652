"""Right and wrong answers are shown in the terminal and as a page, and nothing that they say is obeyed."""

import html
from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.answers import END, answered, end_of, lines
from rabbit_ko.evaluation.records import Answer, Result
from rabbit_ko.evaluation.records import write_result as write
from rabbit_ko.evaluation.results.report import STALE
from rabbit_ko.recipes import Recipe
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.result_folder import RECIPE, make_recipe, put_result, retrain

HOSTILE = "<script>alert(1)</script>\x1b]0;owned\x07\u202e"
COPA = [
    Answer(
        task="kobest_copa",
        item=f"{place}ab",
        prompt=f"질문 {place}",
        answer=f" 답 {place}",
        target=" 답 0",
        choices=[(" 답 0", -1.5), (f" 답 {place}", -0.5)],
        values={"acc": float(place == 0)},
    )
    for place in range(5)
]
WIC = [Answer(task="kobest_wic", item="cd", prompt="문맥", answer="예", target="예", values={"acc": 1.0})]
GSM8K = [
    Answer(
        task="gsm8k",
        item="ef",
        prompt="앞의 예\n" * 400 + "마지막 물음",
        answer=f"열둘\n{HOSTILE}",
        target="#### 12",
        read={"strict-match": "[invalid]"},
        values={"exact_match,strict-match": 0.0},
    )
]


@pytest.fixture
def recipe(in_tmp: Path) -> Recipe:
    """A recipe whose SFT stage has answered two suites, and a third when answers were not kept yet."""
    make_recipe()
    put("kobest", [*COPA, *WIC])
    put("gsm8k", GSM8K)
    put_result("sft", "haerae", [])
    return Recipe(RECIPE)


def put(task: str, answers: list[Answer]) -> Result:
    """Write a result with answers."""
    result = put_result("sft", task, [])
    write(Path("runs") / RECIPE / "eval/sft", result, [], answers)
    return result


def report(*options: str) -> Ran:
    """Run `rabbit report eval` for the recipe."""
    return rabbit("report", "eval", "--recipe", RECIPE, *options)


def shown(recipe: Recipe, task: str = "", right: bool | None = None, most: int = 3) -> dict[str, list[str]]:
    """The items that are shown, by suite."""
    return {each.suite: [row.item for row in each.shown] for each in answered(recipe, "sft", task, right, most)}


def test_wrong_ones_are_shown_first_and_at_most_so_many_of_each(recipe: Recipe) -> None:
    assert shown(recipe) == {"gsm8k": ["ef"], "kobest": ["1ab", "2ab", "3ab", "0ab", "cd"]}
    assert shown(recipe, most=1) == {"gsm8k": ["ef"], "kobest": ["1ab", "0ab"]}


def test_one_suite_one_task_and_one_outcome_are_chosen(recipe: Recipe) -> None:
    assert shown(recipe, "kobest", right=True) == {"kobest": ["0ab", "cd"]}
    assert shown(recipe, "kobest_wic") == {"kobest": ["cd"]}
    assert shown(recipe, "kobest_copa", right=False, most=9) == {"kobest": ["1ab", "2ab", "3ab", "4ab"]}


def test_the_share_is_of_all_answers_whichever_are_shown(recipe: Recipe) -> None:
    [kobest] = answered(recipe, "sft", "kobest", True, 1)
    assert kobest.share.of == 6
    assert kobest.share.value == pytest.approx(2 / 6)
    assert next(lines(kobest)) == "kobest: 2 of 6 right, 9.7% to 70.0%"
    assert "skt/kobest_v1: cc-by-sa-4.0" in list(lines(kobest))[1]


def test_answers_to_one_task_are_not_called_the_suite_s(recipe: Recipe) -> None:
    assert report("--task", "kobest_copa").stdout.startswith("kobest, kobest_copa: 1 of 5 right, ")
    assert report("--task", "kobest").stdout.startswith("kobest: 2 of 6 right, ")
    report("--task", "kobest_copa", "--html", "page.html")
    assert "<h2>kobest, kobest_copa</h2>" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["haerae", "kmmlu_direct"])
def test_a_suite_without_answers_says_how_to_get_them(recipe: Recipe, task: str) -> None:
    with pytest.raises(
        UserError, match=f"no answers of {task} are kept; run `make eval RECIPE=mine STAGE=sft TASKS={task}`$"
    ):
        answered(recipe, "sft", task, None, 3)


@pytest.mark.parametrize("task", ["typo", "kobest_boolq"])
def test_what_is_no_suite_and_has_no_answers_says_what_there_is(recipe: Recipe, task: str) -> None:
    said = f"no answers of {task} are kept; there are those of gsm8k, kobest, and of their tasks"
    with pytest.raises(UserError, match=f"{said}$"):
        answered(recipe, "sft", task, None, 3)
    with pytest.raises(UserError, match=f"no answers of {task} are kept; run `make eval RECIPE=mine STAGE=dpo`$"):
        answered(recipe, "dpo", task, None, 3)


def test_answers_of_an_earlier_model_are_marked_as_in_the_results(recipe: Recipe) -> None:
    assert all(STALE not in line for found in answered(recipe, "sft", "", None, 3) for line in lines(found))
    retrain("sft")
    put("gsm8k", GSM8K)
    assert {found.suite: found.is_stale for found in answered(recipe, "sft", "", None, 3)} == {
        "gsm8k": False,
        "kobest": True,
    }
    said = f"{STALE} of an earlier model of this stage; measure it again"
    assert report("--stage", "sft").stdout.splitlines().count(said) == 1
    report("--html", "page.html")
    assert Path("page.html").read_text(encoding="utf-8").count(said) == 1


def test_the_end_of_a_long_prompt_is_shown_from_a_line_on() -> None:
    assert end_of("짧다\n") == "짧다"
    assert end_of(GSM8K[0].prompt).startswith("… 앞의 예\n")
    assert end_of(GSM8K[0].prompt).endswith("마지막 물음")
    assert len(end_of("가" * 10_000)) == END + 2


@pytest.mark.hostile
def test_the_terminal_shows_what_a_model_said_and_obeys_none_of_it(recipe: Recipe) -> None:
    said = report("--stage", "sft", "--task", "gsm8k", "--wrong").stdout
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "WRONG  gsm8k  ef" in said
    assert "  answer:    열둘\n             <script>alert(1)</script>␛]0;owned␇" in said
    assert "  read, strict-match: [invalid]" in said
    assert "  wanted:    #### 12" in said


@pytest.mark.hostile
def test_the_page_escapes_all_and_holds_the_whole_prompt(recipe: Recipe) -> None:
    assert report("--html", "page.html").exit_code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert html.escape("<script>alert(1)</script>") in page
    assert page.count("<article>") == 6
    assert "앞의 예\n" * 400 in page
    assert "-1.500" in page


def test_no_stage_and_no_answers_are_one_line_each(recipe: Recipe) -> None:
    unknown, none = report("--stage", "rlhf"), report("--stage", "dpo")
    assert (unknown.exit_code, none.exit_code) == (2, 1)
    assert unknown.stderr.startswith("error: STAGE=rlhf: there is no such stage")
    advice = "run `make eval RECIPE=mine STAGE=dpo`"
    assert none.stderr.startswith(f"error: runs/mine/eval/dpo: no answers are kept; {advice}")
