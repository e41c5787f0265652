"""Two stages beside each other: both orders, ties, a win rate with its interval, and what the order decided."""

import random
from pathlib import Path

import pytest

from rabbit_ko.evaluation.judge.pairwise import Compared, compared, order_notes, win_rates, win_samples
from rabbit_ko.evaluation.judge.questions import Question
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.records import read_samples
from rabbit_ko.evaluation.stages import Stage
from tests.rabbit_ko.evaluation.judge.cli import HUB, RESULTS, SAMPLE_HUB, better, lines, result_of
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit

TASK = f"logickor@{MODEL}.against-base"
SFT = Path("runs/smoke/eval/sft")


def rows(won: list[float | None]) -> list[Compared]:
    return [Compared(str(number), "가나"[number % 2], each, ()) for number, each in enumerate(won)]


def said(first: float | None, last: float | None) -> list[Verdict]:
    return [Verdict((0, 1), first, ""), Verdict((1, 0), last, "")]


@pytest.mark.parametrize(
    ("first", "last", "won"),
    [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.5), (0.5, 0.5, 0.5), (0.5, 0.0, 0.5), (1.0, None, None)],
)
def test_a_question_is_won_where_both_orders_say_so(first: float, last: float, won: float | None) -> None:
    question = Question(id=1, turns=("가?", "나?"))
    assert compared(question, ("하나", "둘"), ("하나", "셋"), said(first, last)).won == won


def test_the_same_conversations_are_a_tie_that_nobody_is_asked_about() -> None:
    assert compared(Question(id=1, turns=("가?",)), ("하나",), ("하나",), []).won == 0.5


def test_the_win_rate_is_a_share_in_which_a_tie_is_half_of_one() -> None:
    found = {score.task: score for score in win_rates(rows([1.0, 1.0, 0.5, 0.5, 0.0, 1.0, 1.0, None]))}
    total = found["total"]
    assert (total.metric, total.items, total.missing) == ("win rate", 8, 1)
    assert total.value == pytest.approx(5 / 7)
    assert total.low is not None
    assert 0 <= total.low < 5 / 7
    assert 5 / 7 < (total.high or 0) <= 1
    assert found["가"].value == pytest.approx(2.5 / 4)
    assert 0 <= (found["가"].low or 0) < 2.5 / 4 < (found["가"].high or 0) <= 1
    assert [sample.value for sample in win_samples(rows([1.0, None, 0.0]))] == [1.0, 0.0]


def test_the_interval_holds_an_even_race_as_often_as_it_says() -> None:
    rng = random.Random(3)
    races = [win_rates(rows([float(rng.choice((0, 0.5, 1))) for _ in range(60)]))[-1] for _ in range(60)]
    held = sum((race.low or 1) <= 0.5 <= (race.high or 0) for race in races)
    assert 51 <= held <= 60


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_the_same_outcome_of_all_questions_has_an_interval_with_a_width(value: float) -> None:
    total = win_rates(rows([value] * 7))[-1]
    assert total.value == value
    assert 0.3 < (total.high or 0) - (total.low or 0) < 0.7
    assert win_rates(rows([None, None]))[-1].low is None


def test_of_two_questions_a_win_rate_says_next_to_nothing() -> None:
    total = win_rates(rows([0.0, 0.0]))[-1]
    assert total.low == 0.0
    assert total.high == pytest.approx(0.99, abs=0.005)


@pytest.mark.parametrize(("n", "chance"), [(7, 0.9), (20, 0.9), (20, 0.5)])
def test_the_interval_of_few_questions_holds_the_truth_as_often_as_it_says(n: int, chance: float) -> None:
    rng = random.Random(5)
    races = [win_rates(rows([float(rng.random() < chance) for _ in range(n)]))[-1] for _ in range(400)]
    assert sum((race.low or 0) <= chance <= (race.high or 0) for race in races) >= 0.93 * 400


def test_how_often_both_orders_agree_is_said() -> None:
    both = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)]
    found = [Compared(str(at), "", 0.5, said(*verdicts)) for at, verdicts in enumerate(both)]
    assert order_notes(found) == [
        "questions won, tied and lost: 0, 4, 0",
        "the same verdict in both orders: 75% (30%-95%), else a tie",
    ]


@pytest.fixture(autouse=True)
def _two_stages(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recipe have a second stage, whose model is the base."""

    def find_stage(name: str, stage: str) -> Stage:
        return Stage(name, stage, "runs/smoke/base")

    monkeypatch.setattr("rabbit_ko.evaluation.stages.find_stage", find_stage)
    monkeypatch.setattr("rabbit_ko.evaluation.records.check_stage", lambda _: None)
    monkeypatch.setattr(Stage, "chat_template", "{{ messages }}")


def ask(judge: Judge, model: Judge, *more: str) -> Ran:
    servers = ["--judge-url", judge.url, "--judge-model", MODEL, "--model-url", model.url, "--model-name", "new,old"]
    hub = [] if "--hub-dir" in more else ["--hub-dir", HUB]
    return rabbit("judge", "--stage", "sft", "--against", "base", *servers, *hub, *more)


def longer(request: Request) -> Reply:
    """Answer with a text that is longer where the model is the new one."""
    return Reply(f"{len(request.text)}자의 질문입니다." * (2 if request.body["model"] == "new" else 1))


def test_a_stage_that_is_better_wins_whatever_the_order(judge: Judge, model: Judge) -> None:
    judge.rule, model.rule = better, longer
    done = ask(judge, model)
    assert done.exit_code == 0, done.output
    assert (len(model.requests), len(judge.requests)) == (16, 8)
    result = result_of(TASK, SFT)
    total = result.scores[-1]
    assert (total.task, total.metric, total.value, total.items) == ("total", "win rate", 1.0, 4)
    assert (result.settings["against"], result.settings["scale"]) == ("base", 1)
    assert "smoke sft against base" in done.stdout
    assert "note: questions won, tied and lost: 4, 0, 0" in done.stdout
    assert [row["won"] for row in lines(SFT / "judge/logickor" / MODEL / "judged.against-base.jsonl")] == [1.0] * 4
    assert {sample.value for sample in read_samples(SFT, TASK)} == {1.0}
    assert not RESULTS.joinpath(f"{TASK}.json").exists()
    again = ask(judge, model)
    assert "finished before" in again.stdout
    assert len(judge.requests) == 8


def test_a_judge_that_prefers_what_comes_first_decides_nothing(judge: Judge, model: Judge) -> None:
    judge.rule, model.rule = lambda _: Reply("더 나은 답변: A"), longer
    done = ask(judge, model, "--hub-dir", str(SAMPLE_HUB))
    total = result_of(TASK, SFT).scores[-1]
    assert (total.value, total.missing) == (0.5, 0)
    assert 0.1 < (total.low or 0) < 0.3 < 0.7 < (total.high or 0) < 0.9
    assert "the same verdict in both orders: 0% (0%-24%), else a tie" in done.stdout


def test_the_same_answers_cost_nothing_and_are_ties(judge: Judge, model: Judge) -> None:
    model.rule = lambda _: Reply("같은 답")
    done = ask(judge, model)
    assert done.exit_code == 0, done.output
    assert not judge.requests
    assert result_of(TASK, SFT).scores[-1].value == 0.5


def test_the_answers_of_a_comparison_are_those_of_the_scores(judge: Judge, model: Judge) -> None:
    judge.rule, model.rule = better, longer
    ask(judge, model)
    judge.rule = lambda _: Reply("점수: 7")
    servers = ["--judge-url", judge.url, "--judge-model", MODEL, "--model-url", model.url, "--model-name", "new,old"]
    done = rabbit("judge", "--stage", "sft,base", *servers, "--hub-dir", HUB)
    assert done.exit_code == 0, done.output
    assert len(model.requests) == 16
    assert [result_of(f"logickor@{MODEL}", folder).scores[-1].value for folder in (SFT, RESULTS)] == [7.0, 7.0]
