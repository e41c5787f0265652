"""A whole run against a judge and a model's server on this machine; what was paid for is not paid for again."""

import json
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.evaluation.logickor.judge import parse_score
from rabbit_ko.evaluation.logickor.questions import CATEGORIES
from rabbit_ko.evaluation.records import read_samples
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request, verdict
from tests.rabbit_ko.evaluation.logickor.cli import (
    ANSWERS,
    JUDGED,
    RESULTS,
    SAMPLES,
    VERDICTS,
    lines,
    result_of,
    run,
    sample_rows,
    write_questions,
)
from tests.rabbit_ko.evaluation.rabbit import rabbit

ALL = 8


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


def test_a_run_answers_judges_and_writes_the_result(judge: Judge, model: Judge) -> None:
    printed = run(judge, model).stdout
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)
    result = result_of()
    assert (result.task, result.recipe, result.stage) == ("logickor", "smoke", "base")
    assert (result.model.path, result.model.backend, result.model.name) == (model.url, "openai", "served")
    assert [(score.task, score.metric) for score in result.scores] == [
        (task, metric) for task in (*CATEGORIES, "total") for metric in ("single", "multi", "overall")
    ]
    assert [score.items for score in result.scores] == [2] * 6 + [0] * 12 + [4] * 3
    given = [parse_score(record["message"]) for record in lines(VERDICTS)]
    assert result.scores[-1].value == pytest.approx(sum(score for score in given if score is not None) / ALL)
    assert f"{result.scores[-1].value:.2f} ± {result.scores[-1].stderr:.2f}" in printed
    assert "openai" in result.versions


def test_all_questions_of_this_project_can_be_asked_and_judged(judge: Judge, model: Judge) -> None:
    run(judge, model, "--questions", str(SAMPLES))
    assert [score.items for score in result_of().scores] == [2] * 18 + [12] * 3
    assert {score.missing for score in result_of().scores} == {0}


def test_the_judged_rows_are_upstreams_and_score_to_the_same_table(judge: Judge, model: Judge) -> None:
    printed = run(judge, model).stdout
    rows = lines(JUDGED)
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    upstream = {"id", "category", "questions", "outputs", "references", "query_single", "query_multi"}
    assert set(rows[0]) == upstream | {"of"}
    scored = rabbit("score", str(JUDGED)).stdout
    assert scored.strip() in printed
    assert "| Total    | 4         |" in scored


def test_samples_are_kept_for_each_question_and_metric(judge: Judge, model: Judge) -> None:
    run(judge, model)
    kept = read_samples(RESULTS, "logickor")
    assert {(sample.item, sample.metric) for sample in kept} == {
        (str(number), metric) for number in range(1, 5) for metric in ("single", "multi", "overall")
    }
    assert {sample.task for sample in kept} == {"추론", "수학"}


def test_the_second_turn_sees_the_first_answer_and_a_third_question_is_never_asked(
    judge: Judge, model: Judge
) -> None:
    run(judge, model)
    rows = {row["id"]: row for row in lines(JUDGED)}
    for asked in sample_rows()[:4]:
        outputs = rows[asked["id"]]["outputs"]
        conversations = [request.body["messages"] for request in model.requests]
        first, second = asked["questions"][:2]
        turns = [{"role": "user", "content": first}]
        assert turns in conversations
        turns += [{"role": "assistant", "content": outputs[0]}, {"role": "user", "content": second}]
        assert turns in conversations
    third = next(row["questions"][2] for row in sample_rows() if len(row["questions"]) == 3)
    assert not any(
        third in json.dumps(request.body, ensure_ascii=False) for request in model.requests + judge.requests
    )


def test_answers_and_verdicts_are_asked_for_greedily(judge: Judge, model: Judge) -> None:
    run(judge, model, "--max-new-tokens", "77")
    settings = [{key: value for key, value in r.body.items() if key != "messages"} for r in model.requests]
    assert settings == [{"model": "served", "temperature": 0.0, "max_tokens": 77}] * ALL
    assert {request.body["temperature"] for request in judge.requests} == {0.0}
    assert {request.body["model"] for request in judge.requests} == {MODEL}


@pytest.mark.parametrize(("strategy", "in_front"), [("1-shot", 2), ("cot-1-shot", 3)])
def test_a_strategy_has_a_result_of_its_own(judge: Judge, model: Judge, strategy: str, in_front: int) -> None:
    printed = run(judge, model, "--strategy", strategy).stdout
    assert result_of(f"logickor-{strategy}").settings["strategy"] == strategy
    assert f"logickor-{strategy}" in printed
    assert {len(request.body["messages"]) - in_front for request in model.requests} == {1, 3}
    assert not (RESULTS / "logickor.json").exists()


def test_what_is_finished_is_said_to_be_without_any_request(judge: Judge, model: Judge) -> None:
    first = run(judge, model).stdout
    judge.server_close()
    model.server_close()
    again = run(judge, model).stdout
    assert "base, logickor: finished before, nothing is asked again" in again
    assert first in again
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)


def test_a_changed_question_alone_is_asked_again(judge: Judge, model: Judge, tmp_path: Path) -> None:
    run(judge, model)
    rows = sample_rows()[:4]
    rows[3]["questions"][1] += " 풀이도 보여 주세요."
    rows[1]["references"] = ["결론지을 수 없다."]
    run(judge, model, "--questions", write_questions(tmp_path / "q.jsonl", *rows))
    assert len(model.requests) == ALL + 1
    assert len(judge.requests) == ALL + 3
    assert len(lines(JUDGED)) == 4


@pytest.mark.parametrize(
    ("more", "answers", "verdicts"),
    [
        (["--judge-model", "other"], 0, ALL),
        (["--model-name", "other"], ALL, 0),
        (["--max-new-tokens", "8"], ALL, 0),
        (["--concurrency", "1", "--timeout", "9"], 0, 0),
    ],
)
def test_what_answers_or_judges_decides_what_is_asked_again(
    judge: Judge, model: Judge, more: list[str], answers: int, verdicts: int
) -> None:
    # The other model gives the same answers, on which the judge's verdicts are there.
    run(judge, model)
    run(judge, model, *more)
    assert (len(model.requests) - ALL, len(judge.requests) - ALL) == (answers, verdicts)


def test_a_verdict_that_cannot_be_read_is_missing_and_asked_for_in_the_next_run(judge: Judge, model: Judge) -> None:
    def rule(request: Request) -> Reply:
        return (
            Reply("좋은 답변입니다.") if "우산" in request.text and "후속" not in request.text else verdict(request)
        )

    judge.rule = rule
    printed = run(judge, model).stdout
    assert len(judge.requests) == ALL + 2
    total = next(score for score in result_of().scores if (score.task, score.metric) == ("total", "single"))
    there = [row["query_single"]["judge_score"] for row in lines(JUDGED)]
    assert there.count(None) == total.missing == 1
    assert total.value == pytest.approx(sum(score for score in there if score is not None) / 3)
    assert "note: no readable verdict on 2 single; they are in no mean" in printed
    assert lines(JUDGED)[1]["query_single"]["judge_message"] == "좋은 답변입니다."
    judge.rule = verdict
    printed = run(judge, model).stdout
    assert len(judge.requests) == ALL + 3
    assert "finished before" not in printed
    assert "note:" not in printed
    assert len(model.requests) == ALL


def test_a_judge_that_is_never_readable_leaves_dashes_and_no_zero(judge: Judge, model: Judge) -> None:
    judge.rule = lambda _: Reply("점수: 백 점")
    printed = run(judge, model).stdout
    assert len(judge.requests) == 3 * ALL
    assert {score.value for score in result_of().scores} == {None}
    assert "0.00" not in printed
    assert "on 1 single, 1 multi, 2 single, 2 multi, 3 single, 3 multi, 4 single, 4 multi; they are in" in printed
    assert "| Total    | 4         | - (4 missing) | - (4 missing) | - (4 missing) |" in printed
    assert read_samples(RESULTS, "logickor") == []


def test_an_unreadable_verdict_that_is_readable_the_second_time_counts(judge: Judge, model: Judge) -> None:
    judge.script = [Reply(text) for text in ("점수: 8에서 9", "", None, "평가: 음.\n점수: 12")]
    run(judge, model)
    assert len(judge.requests) == ALL + 4
    assert sum("점수를 읽을 수 없었습니다" in request.text for request in judge.requests) == 4
    assert {score.missing for score in result_of().scores} == {0}


def test_no_more_requests_are_under_way_than_allowed(judge: Judge, model: Judge) -> None:
    def slowly(request: Request) -> Reply:
        return Reply(verdict(request).text, wait=0.05)

    judge.rule = slowly
    run(judge, model, "--concurrency", "3")
    assert judge.most_under_way == 3
    assert model.most_under_way <= 3


def test_records_of_another_kind_in_a_journal_are_passed_over(judge: Judge, model: Judge) -> None:
    run(judge, model)
    strangers: list[Any] = [{}, {"key": 1}, [], "가", {"key": "x", "text": "y"}]
    for file in (ANSWERS, VERDICTS):
        with file.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(stranger, ensure_ascii=False) + "\n" for stranger in strangers)
    (RESULTS / "logickor.json").unlink()
    run(judge, model)
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)
