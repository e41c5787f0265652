"""Figures are those of lm-evaluation-harness by its own means, to the last digit; one test for each kind of task."""

from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.harness.backends import released
from rabbit_ko.evaluation.harness.evaluation import Evaluation, evaluate
from rabbit_ko.evaluation.harness.suites import SUITES, prepare_languages
from rabbit_ko.evaluation.models import load_tokenizer
from rabbit_ko.evaluation.records import Answer, Result, read_answers
from rabbit_ko.evaluation.stages import Stage
from tests.rabbit_ko.evaluation.harness.tiny import MODEL, SAMPLES, make, stock

pytestmark = pytest.mark.slow
LIMIT = 3


def ours(stage: Stage, name: str, template: bool | None = None) -> tuple[Result, list[Answer]]:
    """A suite's result, and what was answered."""
    result = evaluate(Evaluation(stage, LIMIT, template, str(SAMPLES), batch_size="8"), SUITES[name], MODEL)
    assert result
    return result, list(read_answers(stage.results, name))


def theirs(name: str, in_prompt: bool = False) -> dict[str, Any]:
    """What the harness says of the same model, which has the stage's prompt as its tokenizer's chat template."""
    suite, folder = SUITES[name], Path.cwd()
    shots = {"num_fewshot": suite.shots, "fewshot_as_multiturn": in_prompt and not suite.one_turn}
    with chdir(SAMPLES):
        return stock(folder, list(suite.tasks), limit=LIMIT, apply_chat_template=in_prompt, **shots)


def assert_same(result: Result, answers: list[Answer], output: dict[str, Any]) -> None:
    """Assert that each figure of the harness's tasks and groups, its error and each answer are the same."""
    compared = 0
    for score in result.scores:
        if score.task in output["results"]:
            figures, (metric, _, kept) = output["results"][score.task], score.metric.partition(",")
            if f"{metric},{kept or 'none'}" not in figures:
                continue
            error = figures[f"{metric}_stderr,{kept or 'none'}"]
            assert (score.value, score.stderr or "N/A") == (figures[f"{metric},{kept or 'none'}"], error or "N/A")
            compared += 1
    assert compared
    rows = {(task, row["doc_hash"]): row for task, found in output["samples"].items() for row in found}
    assert {(answer.task, answer.item) for answer in answers} == set(rows)
    for answer in answers:
        row = rows[answer.task, answer.item]
        assert answer.prompt == row["arguments"][0][0]
        if answer.choices:
            assert [value for _, value in answer.choices] == [found[0][0] for found in row["resps"]]
        else:
            assert answer.answer == row["resps"][0][0]


@pytest.fixture(scope="module", autouse=True)
def prompted(tiny: Stage) -> None:
    """The stage's prompt, as the chat template of the model on the disk."""
    load_tokenizer(tiny).save_pretrained("base")


def test_likelihoods_of_given_answers(tiny: Stage) -> None:
    result, answers = ours(tiny, "kobest")
    output = theirs("kobest")
    assert_same(result, answers, output)
    f1 = {score.task: score.value or 0.0 for score in result.scores if score.metric == "f1"}
    assert f1.pop("kobest") == pytest.approx(sum(f1.values()) / 5)
    assert f1 == {task: output["results"][task]["f1,none"] for task in f1}


def test_a_group_of_tasks(tiny: Stage) -> None:
    result, answers = ours(tiny, "haerae")
    assert_same(result, answers, theirs("haerae"))
    [group] = [score for score in result.scores if (score.task, score.metric) == ("haerae", "acc_norm")]
    assert (len(group.tasks), group.items) == (5, 5 * LIMIT)


@pytest.mark.parametrize("in_prompt", [False, True])
def test_answers_that_are_read_by_filters(tiny: Stage, in_prompt: bool) -> None:
    result, answers = ours(tiny, "gsm8k", in_prompt)
    assert_same(result, answers, theirs("gsm8k", in_prompt))
    assert all(answer.read.keys() == {"strict-match", "flexible-extract"} for answer in answers)


@pytest.mark.parametrize("in_prompt", [False, True])
def test_shots_in_one_turn(tiny: Stage, in_prompt: bool) -> None:
    assert_same(*ours(tiny, "kormedmcqa", in_prompt), theirs("kormedmcqa", in_prompt))


@pytest.mark.parametrize("name", ["kobalt", "ifeval_ko", "gsm8k_ko"])
def test_the_projects_own_tasks(tiny: Stage, name: str) -> None:
    prepare_languages()
    assert_same(*ours(tiny, name), theirs(name, in_prompt=True))


def test_groups_that_the_project_makes_of_the_harnesss_tags(tiny: Stage) -> None:
    result, answers = ours(tiny, "kbl")
    output = theirs("kbl", in_prompt=True)
    assert_same(result, answers, output)
    [exam] = [score for score in result.scores if score.task == "kbl_bar_exam"]
    parts = [output["results"][task]["exact_match,get-answer"] for task in exam.tasks]
    assert exam.value == pytest.approx(sum(parts) / len(parts))


@pytest.mark.parametrize("adds", [True, False], ids=["the tokenizer adds BOS", "the tokenizer has BOS and adds none"])
def test_bare_text_begins_as_the_harness_begins_it(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, adds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", in_tmp / "cache")
    stage = make(in_tmp, with_bos(smoke_tokenizer, adds))
    with released():
        lm = Evaluation(stage, hub_dir=str(SAMPLES), batch_size="8").model_for(SUITES["kobest"])
        assert_same(*ours(stage, "kobest"), theirs("kobest"))
        assert (lm.tok_encode("가")[0] == lm.tokenizer.bos_token_id) is adds
        _, answers = ours(stage, "gsm8k_ko")
        for answer in answers:
            assert lm.tok_encode(answer.prompt).count(lm.tokenizer.bos_token_id) == 1


def with_bos(tokenizer: PreTrainedTokenizerBase, adds: bool) -> PreTrainedTokenizerBase:
    """A copy that puts BOS before a text, as Llama-3's does, or has one and does not, as SmolLM2's does."""
    tokenizer.save_pretrained("tokenizer")
    copy = type(tokenizer).from_pretrained("tokenizer")
    bos = tokenizer.bos_token
    single = f"{bos} $A" if adds else "$A"
    tokens = [(bos, tokenizer.bos_token_id)] if adds else []
    copy.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=tokens)
    return copy
