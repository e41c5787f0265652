"""A whole run against a judge and a model's server on this machine; what was paid for is not paid for again."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.evaluation.judge.verdicts import read_verdict
from rabbit_ko.evaluation.records import read_samples
from rabbit_ko.evaluation.results.words import NOTES, translate
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge.cli import (
    ANSWERS,
    FEW,
    JUDGED,
    RESULTS,
    SAMPLE_HUB,
    TASK,
    VERDICTS,
    arguments,
    lines,
    result_of,
    run,
    sample_rows,
    write_questions,
)
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request, verdict
from tests.rabbit_ko.evaluation.rabbit import rabbit

ALL = 8


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


def test_a_run_answers_judges_and_writes_the_result(judge: Judge, model: Judge) -> None:
    printed = run(judge, model).stdout
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)
    result = result_of()
    assert (result.task, result.recipe, result.stage) == (f"logickor@{MODEL}", "smoke", "base")
    assert (result.model.path, result.model.backend, result.model.name) == (model.url, "openai", "served")
    assert [(score.task, score.metric) for score in result.scores] == [
        (task, metric) for task in ("추론", "수학", "total") for metric in ("single", "multi", "overall")
    ]
    assert [score.items for score in result.scores] == [2] * 6 + [4] * 3
    given = [read_verdict("score", record["text"], 0.0) for record in lines(VERDICTS)]
    assert result.scores[-1].value == pytest.approx(sum(score for score in given if score is not None) / ALL)
    assert f"| {result.scores[-1].value:.2f}" in printed
    shown = {key: result.settings[key] for key in ("bench", "data", "judge", "rubric", "verdicts", "scale")}
    assert shown == {
        **{"bench": "logickor", "data": "file", "judge": MODEL},
        **{"rubric": "logickor", "verdicts": 1, "scale": 10},
    }
    assert "openai" in result.versions


def test_all_questions_of_this_project_can_be_asked_and_judged(judge: Judge, model: Judge) -> None:
    run(judge, model, "--hub-dir", str(SAMPLE_HUB))
    assert [score.items for score in result_of().scores] == [2] * 18 + [12] * 3
    assert {score.missing for score in result_of().scores} == {0}
    total = result_of().scores[-1]
    assert (total.low or 10) < (total.value or 0) < (total.high or 0)


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
    kept = read_samples(RESULTS, TASK)
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


@pytest.mark.parametrize(("bench", "in_front"), [("logickor-1-shot", 2), ("logickor-cot-1-shot", 3)])
def test_a_bench_with_an_example_has_a_result_of_its_own(
    judge: Judge, model: Judge, bench: str, in_front: int
) -> None:
    printed = run(judge, model, "--bench", bench).stdout
    assert result_of(f"{bench}@{MODEL}").settings["bench"] == bench
    assert f"smoke base, {bench}@{MODEL}, judged by {MODEL}" in printed
    assert {len(request.body["messages"]) - in_front for request in model.requests} == {1, 3}
    assert not (RESULTS / f"{TASK}.json").exists()


def test_what_is_finished_is_said_to_be_without_any_request(judge: Judge, model: Judge) -> None:
    first = run(judge, model).stdout
    judge.server_close()
    model.server_close()
    again = run(judge, model).stdout
    assert f"base, {TASK}: finished before, nothing is asked again" in again
    assert first in again
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)


def test_a_changed_question_alone_is_asked_again(judge: Judge, model: Judge) -> None:
    run(judge, model)
    rows = sample_rows()[:4]
    rows[3]["questions"][1] += " 풀이도 보여 주세요."
    rows[1]["references"] = ["결론지을 수 없다."]
    write_questions(FEW, *rows)
    run(judge, model)
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


def test_a_verdict_that_cannot_be_read_is_missing_and_in_no_mean(judge: Judge, model: Judge) -> None:
    def rule(request: Request) -> Reply:
        is_meant = "우산" in request.text and "후속" not in request.text
        return Reply("좋은 답변입니다.") if is_meant else verdict(request)

    judge.rule = rule
    printed = run(judge, model).stdout
    assert len(judge.requests) == ALL + 2
    total = next(score for score in result_of().scores if (score.task, score.metric) == ("total", "single"))
    there = [row["query_single"]["judge_score"] for row in lines(JUDGED)]
    assert there.count(None) == total.missing == 1
    assert total.value == pytest.approx(sum(score for score in there if score is not None) / 3)
    assert "note: no readable verdict on 2 single; they are in no mean" in printed
    assert lines(JUDGED)[1]["query_single"]["judge_message"] == "좋은 답변입니다."
    printed = run(judge, model).stdout
    assert len(judge.requests) == ALL + 2
    assert "finished before" not in printed
    assert len(model.requests) == ALL


def test_each_kind_of_note_that_a_run_leaves_has_korean_words(judge: Judge, model: Judge) -> None:
    judge.rule = lambda request: Reply("좋습니다.") if "우산" in request.text else verdict(request)
    model.rule = lambda request: Reply("끝이 없는 답변", finish="length")
    run(judge, model, "--verdicts", "2", "--max-new-tokens", "1024")
    spread, missing, cut = result_of(f"{TASK}+2-verdicts").notes
    assert "standard deviation" in spread
    assert "no readable verdict" in missing
    assert translate(cut, NOTES) == "base 단계의 답변 8개 가운데 8개가 최대 길이(1,024토큰)에서 잘렸습니다"


def test_a_judge_that_is_never_readable_is_told_soon_and_leaves_no_result(judge: Judge, model: Judge) -> None:
    judge.rule = lambda _: Reply("점수: 백 점")
    error = run(judge, model, "--concurrency", "1", exit_code=1).stderr
    assert "local-judge: none of 12 verdicts in a row can be read; the last ends with `점수: 백 점`" in error
    assert len(judge.requests) == 12
    assert not (RESULTS / f"{TASK}.json").exists()


def test_an_unreadable_verdict_that_is_readable_the_second_time_counts(judge: Judge, model: Judge) -> None:
    judge.script = [Reply(text) for text in ("점수: 8에서 9", "", None, "평가: 음.\n점수: 12")]
    run(judge, model)
    assert len(judge.requests) == ALL + 4
    assert sum("점수를 읽을 수 없었습니다" in request.text for request in judge.requests) == 4
    assert {score.missing for score in result_of().scores} == {0}


def test_no_more_requests_are_under_way_than_allowed(judge: Judge, model: Judge) -> None:
    def slowly(request: Request) -> Reply:
        return Reply(verdict(request).text, wait=0 if judge.most_under_way == 3 else 2)

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
    (RESULTS / f"{TASK}.json").unlink()
    run(judge, model)
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)


def test_a_file_of_questions_of_any_number_of_turns_is_a_bench(judge: Judge, model: Judge) -> None:
    row = {"question_id": "b", "turns": ["하나?", "둘?", "셋?"], "category": "글"}
    write_questions(Path("my questions.jsonl"), {"prompt": "하나?"}, row)
    judge.rule = lambda _: Reply("평가: 보통입니다.\n점수: 5")
    printed = run(judge, model, "--bench", "my questions.jsonl").stdout
    # What is the same is neither answered nor judged twice.
    assert (len(model.requests), len(judge.requests)) == (3, 3)
    [task] = [file.stem for file in RESULTS.glob("my-questions-*@*.json")]
    result = result_of(task)
    assert result.settings["rubric"] == "general"
    found = {(score.task, score.metric): (score.value, score.items) for score in result.scores}
    assert found["total", "turn 1"] == (5.0, 2)
    assert found["글", "turn 3"] == (5.0, 1)
    assert "| Category | Questions | Turn 1 | Turn 2 | Turn 3 | Overall |" in printed
    judged = next(RESULTS.glob("judge/*/*/judged.jsonl"))
    assert rabbit("score", str(judged)).stdout.strip() in printed


def test_komt_runs_offline_on_rows_of_its_schema(judge: Judge, model: Judge) -> None:
    judge.rule = lambda request: Reply(f"평가: 봅니다.\n점수: {1 + len(request.text) % 10}")
    run(judge, model, "--bench", "komt", "--hub-dir", str(SAMPLE_HUB))
    result = result_of(f"komt@{MODEL}")
    assert [score.task for score in result.scores[::3]] == [
        *("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities", "total")
    ]
    assert (result.scores[-1].items, result.scores[-1].missing, len(judge.requests)) == (8, 0, 16)


def test_several_judges_are_asked_of_the_same_answers_and_none_overwrites_another(judge: Judge, model: Judge) -> None:
    judge.rule = lambda request: Reply(f"점수: {4 if request.body['model'] == MODEL else 8}")
    printed = run(judge, model, "--judge-model", f"{MODEL},org/judge 2").stdout
    assert (len(model.requests), len(judge.requests)) == (ALL, 2 * ALL)
    other = next(file.stem for file in RESULTS.glob("logickor@org-judge-2-*.json") if "samples" not in file.stem)
    assert (result_of().scores[-1].value, result_of(other).scores[-1].value) == (4.0, 8.0)
    assert f"base, {MODEL} and org/judge 2: scores differ by 4.00 on average, over 4 questions" in printed
    run(judge, model, "--judge-model", "third")
    assert (len(model.requests), len(judge.requests)) == (ALL, 3 * ALL)
    assert result_of().scores[-1].value == 4.0


def test_several_verdicts_on_each_answer_are_a_mean_and_their_spread_is_told(judge: Judge, model: Judge) -> None:
    texts = iter(["점수: 4", "점수: 6", "점수: 5"] * ALL)
    judge.rule = lambda _: Reply(next(texts))
    printed = run(judge, model, "--verdicts", "3", "--concurrency", "1").stdout
    assert len(judge.requests) == 3 * ALL
    assert {request.body["temperature"] for request in judge.requests} == {0.7}
    assert {score.value for score in result_of(f"{TASK}+3-verdicts").scores} == {5.0}
    assert "note: verdicts on the same answer have a standard deviation of 1.00 points" in printed
    assert [
        verdict["score"] for verdict in lines(JUDGED.with_stem("judged+3-verdicts"))[0]["query_single"]["verdicts"]
    ] == [4.0, 6.0, 5.0]


def test_a_rubric_of_one_s_own_is_what_the_judge_is_told(judge: Judge, model: Judge) -> None:
    Path("mine.yaml").write_text("lowest: 0\nrubric: |-\n  {{ turn }}번째 답변을 평가하세요.\n  점수: (0에서 10)\n")
    judge.rule = lambda _: Reply("점수: 0")
    run(judge, model, "--rubric", "mine.yaml")
    told = {request.body["messages"][0]["content"] for request in judge.requests}
    assert told == {f"{turn}번째 답변을 평가하세요.\n점수: (0에서 10)" for turn in (1, 2)}
    [task] = [file.stem for file in RESULTS.glob(f"{TASK}+mine-??????.json")]
    assert (result_of(task).scores[-1].value, result_of(task).settings["rubric"]) == (0.0, "mine.yaml")


def test_no_other_file_rubric_or_number_of_verdicts_overwrites_a_result(judge: Judge, model: Judge) -> None:
    judge.rule = lambda _: Reply("점수: 7")
    for number, folder in enumerate("ab"):
        write_questions(Path(folder, "questions.jsonl"), *sample_rows()[number : number + 1])
        run(judge, model, "--bench", f"{folder}/questions.jsonl")
    before = len(judge.requests)
    run(judge, model, "--bench", "./b/questions.jsonl")
    assert len(judge.requests) == before
    run(judge, model, "--bench", "b/questions.jsonl", "--rubric", "en", "--verdicts", "3")
    names = {re.sub(r"questions-\w{6}@", "questions-HASH@", file.stem): file for file in RESULTS.glob("*.json")}
    assert set(names) == {f"questions-HASH@{MODEL}", f"questions-HASH@{MODEL}+en+3-verdicts"}
    assert len([*RESULTS.glob("*.json")]) == len([*RESULTS.glob("judge/*/*/judged*.jsonl")]) == 3


def test_verdicts_of_another_server_under_the_same_name_are_told(judge: Judge, model: Judge) -> None:
    run(judge, model)
    with running(Judge()) as other:
        said = run(other, model).stderr
        assert not other.requests
    assert f"note: {MODEL}: {judge.url} gave verdicts under this name before" in said


def test_it_says_first_how_much_it_takes_and_stops_where_that_is_too_much(judge: Judge, model: Judge) -> None:
    told = run(judge, model, "--max-requests", "0")
    assert told.stdout == ""
    takes = (
        "16 requests, of about [0-9,]+ tokens, if an answer has 500 characters: 8 for answers, 8 for verdicts or "
        "more, as one that cannot be read is asked for 3 times at most"
    )
    assert re.fullmatch(f"{takes}\n", told.stderr)
    assert not [file for file in RESULTS.rglob("*") if file.is_file() and file.stat().st_size]
    error = run(judge, model, "--max-requests", "1", exit_code=1).stderr
    assert re.match(f"error: MAX_REQUESTS=1: there may be {takes}; raise it, or take fewer judges, stages or", error)
    assert [*model.requests, *judge.requests] == []
    assert run(judge, model, "--max-requests", "16").stderr.startswith("16 requests, of about ")
    assert (len(model.requests), len(judge.requests)) == (ALL, ALL)
    error = run(judge, model, "--judge-model", "b,c", "--max-requests", "15", exit_code=1).stderr
    assert "there may be 16 requests" in error
    assert "if an answer" not in error
    assert "0 for answers, 16 for verdicts" in error


def test_requests_that_are_more_than_expected_stop_at_the_limit(judge: Judge, model: Judge) -> None:
    judge.script = [Reply("점수 없음")] * 2
    assert (
        "MAX_REQUESTS: 8 have been sent, and more are needed"
        in run(judge, model, "--max-requests", "16", exit_code=1).stderr
    )
    assert len(judge.requests) == ALL
    judge.requests.clear()
    run(judge, model, "--max-requests", "2")
    assert len(judge.requests) == 2


def test_a_request_that_is_tried_again_counts_for_the_judges_that_follow(judge: Judge, model: Judge) -> None:
    run(judge, model)
    judge.requests.clear()
    judge.script = [Reply("oops", 503, {"Retry-After-Ms": "20"})]
    ran = rabbit(*arguments(judge, model, "--judge-model", "b,c", "--max-requests", "16"))
    assert ran.exit_code == 1
    assert "error: MAX_REQUESTS: 8 verdicts are missing, and 7 requests may be sent" in ran.stderr
    assert len(judge.requests) == ALL + 1
