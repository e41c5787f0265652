"""A recipe's eval.yaml has the defaults of its evaluation; an option comes before it, and a mistake is one line."""

from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.eval_config import EvalConfig, read_eval_config
from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.judge.benches import find_bench
from rabbit_ko.evaluation.records import command
from tests.conftest import ROOT
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.results.result_folder import make_recipe

FILE = Path("axolotl_configs/mine/eval.yaml")


@pytest.fixture
def asked(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A recipe, and what its evaluation is asked for, in place of running the harness."""
    make_recipe()
    Path("hub/skt/kobest_v1").mkdir(parents=True)
    Path("hub/skt/kobest_v1/README.md").touch()
    FILE.write_text("tasks: kobest\nlimit: 6\nhub_dir: hub\n")
    seen: list[Any] = []

    def evaluate(evaluation: harness.Evaluation, suite: Any, _: Any) -> None:
        seen.append((suite.name, evaluation.limit_of(suite), evaluation.hub_dir, command()))

    monkeypatch.setattr(harness, "evaluate", evaluate)
    return seen


def test_a_recipe_without_one_has_no_defaults(in_tmp: Path) -> None:
    assert read_eval_config("mine") == EvalConfig()


def test_smokes_evaluation_is_what_make_took_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = read_eval_config("smoke")
    assert (config.tasks, config.limit) == ("kobest,haerae,gsm8k_ko", 6)
    assert Path(config.hub_dir or "", "skt/kobest_v1").is_dir()
    for bench in ("logickor", "komt"):
        assert Path(find_bench(bench, config.hub_dir or "").file).is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limit: 0", "limit: Input should be greater than 0"),
        ("limit: '6'", "limit: Input should be a valid integer"),
        ("task: kobest", "task: Extra inputs are not permitted"),
        ("- kobest", "Input should be a valid dictionary"),
        ("{", "not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_key(in_tmp: Path, text: str, expected: str) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_text(text)
    with pytest.raises(UserError, match=f"{FILE}: {expected}") as raised:
        read_eval_config("mine")
    assert "\n" not in str(raised.value)


def test_what_the_recipe_says_is_asked_and_the_command_is_recorded(asked: list[Any]) -> None:
    assert rabbit("eval", "--recipe", "mine", "--stage", "base").exit_code == 0
    assert asked == [("kobest", 6, "hub", "rabbit eval --recipe mine --stage base")]


@pytest.mark.parametrize(("limit", "expected"), [("3", 3), ("0", None)])
def test_an_option_comes_before_the_recipes_default(asked: list[Any], limit: str, expected: int | None) -> None:
    options = ["--recipe", "mine", "--stage", "base", "--tasks", "haerae", "--limit", limit, "--hub-dir", ""]
    assert rabbit("eval", *options).exit_code == 0
    recorded = f"rabbit eval --recipe mine --stage base --tasks haerae --limit {limit} --hub-dir ''"
    assert asked == [("haerae", expected, "", recorded)]


def test_a_variable_of_make_is_recorded_as_the_option_that_it_is(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RECIPE": "mine", "STAGE": "base", "LIMIT": "2"}.items():
        monkeypatch.setenv(f"RABBIT_{name}", value)
    assert rabbit("eval").exit_code == 0
    assert asked == [("kobest", 2, "hub", "rabbit eval --recipe mine --stage base --limit 2")]
