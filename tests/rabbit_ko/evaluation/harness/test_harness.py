"""The real harness on the trained smoke recipe: what it asks, what it writes, and what it does not do twice."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from prompt_strategies.template import QIR, render_prompt
from prompt_strategies.tokens import encode, encode_prompts
from rabbit_ko.evaluation.harness.evaluation import Evaluation
from rabbit_ko.evaluation.harness.evaluation import evaluate as run
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.records import Result, model_of, read_answers, read_result, read_samples
from rabbit_ko.evaluation.stages import find_stage
from tests.conftest import ROOT, SHARED
from tests.conftest import run as run_command
from tests.rabbit_ko.evaluation.serving import served

pytestmark = pytest.mark.slow

SAMPLES = ROOT / "rabbit_ko/evaluation/samples/hub"
SHARED_HUB = SHARED / "data/hub"
IS_OLD = "--assume-old=.venv/.ready"


@pytest.fixture
def recipe(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project, in which nothing is evaluated yet, as working directory."""
    monkeypatch.chdir(project)
    shutil.rmtree(project / "runs/smoke/eval", ignore_errors=True)
    return project


def evaluate(recipe: Path, *options: str, returns: int = 0, **variables: str) -> Any:
    """Run `make eval` for the SFT stage."""
    return run_command(recipe, "make", "eval", "STAGE=sft", *options, IS_OLD, returns=returns, **variables)


def result_of(recipe: Path, task: str) -> Result:
    """The result of a task of the SFT stage."""
    result = read_result(recipe / "runs/smoke/eval/sft", task)
    assert result
    return result


def answers_of(recipe: Path, task: str) -> list[str]:
    """What the SFT stage has answered in a task."""
    return [answer.answer for answer in read_answers(recipe / "runs/smoke/eval/sft", task)]


@pytest.mark.skipif(not SHARED_HUB.exists(), reason=f"{SHARED_HUB} is absent; point RABBIT_KO_SHARED at its parent")
def test_the_benchmarks_themselves_run_offline_from_a_folder(recipe: Path, punkt: Path) -> None:
    options = ("TASKS=kobest,gsm8k,ifeval", f"HUB_DIR={SHARED_HUB}", "LIMIT=2")
    evaluate(recipe, *options, NLTK_DATA=str(punkt))
    kobest, gsm8k, ifeval = (result_of(recipe, task) for task in ("kobest", "gsm8k", "ifeval"))
    tasks = [f"kobest_{name}" for name in ("boolq", "copa", "hellaswag", "sentineg", "wic")]
    for metric in ("acc", "f1"):
        assert [score.task for score in kobest.scores if score.metric == metric] == [*tasks, "kobest"]
    assert [score.metric for score in gsm8k.scores] == ["exact_match,strict-match", "exact_match,flexible-extract"]
    assert len(ifeval.scores) == 4
    for result in (kobest, gsm8k, ifeval):
        assert result.settings["limit"] == 2
        for score in result.scores:
            assert score.items == 2 * max(1, len(score.tasks))
            assert score.value is not None
        assert result.versions["lm_eval"] == result.harness["lm_eval_version"]
        assert not any("lost their beginning" in note for note in result.notes)
    assert (kobest.settings["shots"], kobest.settings["template"]) == (5, False)
    assert (gsm8k.settings["shots"], gsm8k.settings["template"]) == (5, True)
    assert (ifeval.settings["shots"], ifeval.settings["template"]) == (0, True)
    again = evaluate(recipe, *options, NLTK_DATA=str(punkt))
    assert again.stdout.count("finished before") == 3
    assert result_of(recipe, "kobest") == kobest


def test_a_folder_with_other_data_is_not_read_from_a_cache(recipe: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(SAMPLES, hub)
    evaluate(recipe, "TASKS=gsm8k_ko", "LIMIT=1", f"HUB_DIR={hub}")
    file = hub / "kuotient/gsm8k-ko/test.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    # As long as before, and as old: only the content tells.
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    rows[0], rows[1] = rows[1], rows[0]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.utime(file, ns=times)
    first = {sample.item for sample in read_samples(recipe / "runs/smoke/eval/sft", "gsm8k_ko")}
    assert "finished before" not in evaluate(recipe, "TASKS=gsm8k_ko", "LIMIT=1", f"HUB_DIR={hub}").stdout
    second = {sample.item for sample in read_samples(recipe / "runs/smoke/eval/sft", "gsm8k_ko")}
    assert len(first) == len(second) == 1
    assert first != second


@pytest.mark.parametrize("stage", ["base", "sft"])
def test_a_question_has_the_ids_that_training_gave_it(recipe: Path, stage: str) -> None:
    evaluation = Evaluation(find_stage("smoke", stage), limit=2, hub_dir=str(SAMPLES))
    suite = SUITES["gsm8k_ko"]
    lm = evaluation.model_for(suite)
    asked: list[list[int]] = []
    generate = lm._model_generate

    def spy(context: Any, *arguments: Any, **options: Any) -> Any:
        asked.extend([[token for token in row if token != lm.tokenizer.pad_token_id] for row in context.tolist()])
        return generate(context, *arguments, **options)

    lm._model_generate = spy
    result = run(evaluation, suite, model_of(evaluation.stage))
    assert result
    shots = [json.loads(line) for line in (SAMPLES / "kuotient/gsm8k-ko/train.jsonl").open(encoding="utf-8")]
    questions = [json.loads(line) for line in (SAMPLES / "kuotient/gsm8k-ko/test.jsonl").open(encoding="utf-8")]
    assert len(asked) == 2
    for ids in asked:
        text = lm.tokenizer.decode(ids[1:])
        used = sorted(
            (shot for shot in shots if shot["question"] in text), key=lambda shot: text.index(shot["question"])
        )
        [question] = [row for row in questions[:2] if row["question"] in text]
        assert len(used) == 5
        messages = []
        for shot in used:
            messages += [_user(shot["question"]), {"role": "assistant", "content": shot["answer"]}]
        expected = render_prompt(QIR, [*messages, _user(question["question"])])
        assert ids == encode_prompts(lm.tokenizer, [expected])[0]


def test_an_answer_is_weighed_behind_the_ids_of_training_where_that_is_asked(recipe: Path) -> None:
    evaluation = Evaluation(find_stage("smoke", "sft"), limit=1, template=True, hub_dir=str(SAMPLES))
    suite = SUITES["kobest"]
    lm = evaluation.model_for(suite)
    weigh = lm._loglikelihood_tokens
    weighed: list[Any] = []

    def spy(requests: Any, *arguments: Any, **options: Any) -> Any:
        weighed.extend(requests)
        return weigh(requests, *arguments, **options)

    lm._loglikelihood_tokens = spy
    assert run(evaluation, suite, model_of(evaluation.stage))
    assert len(weighed) >= 2 * len(suite.tasks)
    for (prompt, answer), prompt_ids, answer_ids in weighed:
        text = prompt.removeprefix(lm.tokenizer.bos_token)
        assert text.endswith(QIR.response)
        assert prompt_ids == encode_prompts(lm.tokenizer, [text])[0]
        assert answer_ids == encode(lm.tokenizer, [answer])[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("TASKS=kobset",), "error: TASKS=kobset: there is no task `kobset`; tasks: kobest, haerae,"),
        (("STAGE=rlhf",), "error: STAGE=rlhf: there is no such stage"),
        (("HUB_DIR=nowhere",), "error: nowhere/skt/kobest_v1: no such dataset"),
        (("MODEL_URL=http://127.0.0.1:9/v1", "MODEL_NAME=x"), "error: http://127.0.0.1:9/v1, x: cannot be reached"),
        (("MODEL_URL=nonsense", "MODEL_NAME=x"), "error: MODEL_URL: not the URL of a server"),
    ],
)
def test_a_mistake_is_one_line(recipe: Path, options: tuple[str, ...], expected: str) -> None:
    result = evaluate(recipe, *options, returns=2)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(expected)
    assert "Traceback" not in result.stderr


def test_a_server_is_asked_for_answers_and_one_without_likelihoods_is_told_in_a_line(
    recipe: Path, punkt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLTK_DATA", str(punkt))
    options = ("TASKS=ifeval", "LIMIT=2")
    evaluate(recipe, *options)
    here, answers = result_of(recipe, "ifeval"), answers_of(recipe, "ifeval")
    assert any(answers)
    model = "runs/smoke/sft/merged"
    with served(f"transformers serve {model} --port PORT") as address:
        server = (f"MODEL_URL={address}/v1", f"MODEL_NAME={model}")
        evaluate(recipe, *options, *server)
        there = result_of(recipe, "ifeval")
        assert (there.scores, there.model.backend) == (here.scores, "openai")
        assert answers_of(recipe, "ifeval") == answers
        failed = evaluate(recipe, "TASKS=kobest", "LIMIT=1", *server, returns=2)
    assert [line for line in failed.stderr.splitlines() if line.startswith("error: kobest: 400")]
    assert "Traceback" not in failed.stderr


def _user(question: str) -> dict[str, str]:
    return {"role": "user", "content": f"질문: {question}\n답변:"}
