"""What recipes say of themselves holds: their pairs, the entries that are commented out, the bases they name."""

import re
from pathlib import Path

import pytest
import yaml

from axolotl_plugins.checks.config import check_config
from axolotl_plugins.checks.preferences import set_defaults
from dataset_builders.recipe import load_config
from dataset_builders.rows import user
from dataset_builders.sources import SOURCES
from prompt_strategies.template import Native, template_for
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.methods import find_method
from rabbit_ko.pairs.config import read_pairs_config
from rabbit_ko.pairs.judges.rubric_judge import RubricJudge
from rabbit_ko.pairs.records import Answer, Prompt
from rabbit_ko.planning.memory import GIB, estimate
from rabbit_ko.planning.stage import load_shape, read_stage
from rabbit_ko.recipes import Recipe, read_config
from tests.conftest import ROOT

CONFIGS = ROOT / "axolotl_configs"
RABBIT = (CONFIGS / "rabbit-ko-3b/data.yaml").read_text(encoding="utf-8")


def uncommented(folder: Path, name: str, policy: str) -> Path:
    """Rabbit's data.yaml with the entry of a source that is commented out, and no other one, taken in."""
    text = RABBIT.replace("license_policy: commercial", f"license_policy: {policy}", 1)
    pattern = rf"(?m)^  # (- source: {name})\n((?:  #   \S+: .*\n)+)"
    text, count = re.subn(pattern, lambda found: f"  {found[1]}\n{found[2].replace('  # ', '  ')}", text)
    assert count == 1
    path = folder / "data.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rabbit_learns_preferences_from_no_pairs_that_make_it_worse() -> None:
    pairs = [
        one for one in load_config(CONFIGS / "rabbit-ko-3b/data.yaml").sources if SOURCES[one.source].rows == "dpo"
    ]
    assert [one.source for one in pairs] == ["orca_math_ko_dpo"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/pairs.yaml")), ids=lambda path: path.parent.name)
def test_a_recipe_with_pairs_takes_those_of_its_own_model_once_they_are_there(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = path.parent.name
    read_pairs_config(Recipe(name))
    own = f"data/pairs/{name}/sft/pairs.parquet"
    monkeypatch.chdir(tmp_path)
    config = CONFIGS / name / "data.yaml"
    before = [one.path for one in load_config(config).sources if SOURCES[one.source].rows == "dpo"]
    assert own not in before
    (tmp_path / own).parent.mkdir(parents=True)
    (tmp_path / own).touch()
    after = [one.path for one in load_config(config).sources if SOURCES[one.source].rows == "dpo"]
    assert after == ([own] if not name.startswith("smoke") else before), "smoke's rounds read pairs by themselves"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/orpo.yaml")), ids=lambda path: path.parent.name)
def test_an_orpo_whose_rows_become_pairs_of_the_sft_model_says_so_and_a_copy_has_none(path: Path) -> None:
    data = (path.parent / "data.yaml").read_text(encoding="utf-8")
    if "own_pairs" in data:
        text = path.read_text(encoding="utf-8")
        assert f"rabbit new {path.parent.name}-orpo --from {path.parent.name}\n" in text
        assert "`own_pairs`" in text
        assert "path: data/pairs/{recipe}/sft" in data


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/pairs.yaml")), ids=lambda path: path.parent.name)
def test_no_warmup_is_longer_than_a_fifth_of_the_steps_on_own_pairs(path: Path) -> None:
    most = read_pairs_config(Recipe(path.parent.name)).prompts.max_prompts
    assert most
    stages = {file.stem: read_config(file) for file in path.parent.glob("*.yaml") if find_method(file.stem)}
    for name, stage in stages.items():
        if name == "sft" or "own_pairs" not in (path.parent / "data.yaml").read_text(encoding="utf-8"):
            continue
        steps = stage["num_epochs"] * most / stage["micro_batch_size"] / stage["gradient_accumulation_steps"]
        assert stage.get("warmup_steps", 0) <= 0.2 * steps, name
        assert stage.get("warmup_ratio", 0) <= 0.2, name


def test_the_requests_that_rabbit_s_pairs_cost_are_those_that_the_file_says() -> None:
    text = (CONFIGS / "rabbit-ko-3b/pairs.yaml").read_text(encoding="utf-8")
    config = read_pairs_config(Recipe("rabbit-ko-3b"))
    assert config.judge.rubric
    assert config.prompts.max_prompts
    case = Prompt("", "", [user("질문")]), [Answer("", str(place), True) for place in range(config.sampling.n)]
    endpoint = find_endpoint("JUDGE", "http://localhost:9/v1", "judge", 1, 1.0)
    requests = {
        mode: RubricJudge(endpoint, config.judge.rubric.model_copy(update={"mode": mode}))
        .work([case], Path("none"))
        .requests
        for mode in ("score", "pairwise")
    }
    assert f"Costs {requests['score'] * config.prompts.max_prompts:,} requests to the judge" in text
    assert f"{requests['pairwise']} a prompt" in text


@pytest.mark.parametrize("name", ["dpo", "orpo", "simpo", "kto"])
def test_the_guard_accepts_rabbit_s_preference_stages(smoke_recipe: Path, name: str) -> None:
    config = read_config(Path(f"axolotl_configs/rabbit-ko-3b/{name}.yaml"))
    config |= {"base_model": "runs/smoke/base", "axolotl_config_path": f"{name}.yaml"}
    for entry in (*config["datasets"], *config["test_datasets"]):
        entry["path"] = entry["path"].replace("rabbit-ko-3b", "smoke")
    set_defaults(config)
    check_config(config)


@pytest.mark.parametrize("name", ["orpo", "simpo", "kto"])
def test_rabbit_s_other_methods_differ_from_its_dpo_in_the_method_alone(name: str) -> None:
    dpo, other = (read_config(CONFIGS / f"rabbit-ko-3b/{stage}.yaml") for stage in ("dpo", name))
    of_method = {"rl", "rl_beta", "simpo_gamma", "cpo_alpha", "kto_desirable_weight", "kto_undesirable_weight"}
    of_method |= {"remove_unused_columns", "learning_rate", "warmup_ratio", "warmup_steps", "base_model"}
    of_method |= {"micro_batch_size", "gradient_accumulation_steps", "datasets", "test_datasets"}
    kept = dpo.keys() - of_method - {"output_dir", "dataset_prepared_path"}
    assert {key: other[key] for key in kept} == {key: dpo[key] for key in kept}
    assert other["datasets"][0]["path"] == dpo["datasets"][0]["path"]


def test_pairs_of_one_s_own_are_taken_by_the_lines_that_are_commented_out(tmp_path: Path) -> None:
    sources = load_config(uncommented(tmp_path, "preference", "commercial")).sources
    assert [one.source for one in sources][-2:] == ["orca_math_ko_dpo", "preference"]


def test_ultrafeedback_is_taken_by_its_lines_and_refused_under_the_recipe_s_policy(tmp_path: Path) -> None:
    assert load_config(uncommented(tmp_path, "ko_ultrafeedback", "any")).sources[-1].source == "ko_ultrafeedback"
    with pytest.raises(UserError, match=r"`ko_ultrafeedback`.*forbids commercial use"):
        load_config(uncommented(tmp_path, "ko_ultrafeedback", "commercial"))


def test_the_base_of_rabbit_ko_2412_is_named_by_a_line_that_can_be_planned() -> None:
    text = (CONFIGS / "rabbit-ko-3b/sft.yaml").read_text(encoding="utf-8")
    [base] = re.findall(r"base_model: (CarrotAI/\S+)", text)
    assert load_shape(base).parameters == load_shape("meta-llama/Llama-3.2-3B-Instruct").parameters


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_rabbit_s_native_recipe_differs_from_its_qir_one_in_the_prompt_alone(stage: str) -> None:
    native = (CONFIGS / f"rabbit-ko-3b-native/{stage}.yaml").read_text(encoding="utf-8")
    as_qir = native.replace("rabbit-ko-3b-native", "rabbit-ko-3b").replace("strategies.native", "strategies.qir")
    assert yaml.safe_load(as_qir) == read_config(CONFIGS / f"rabbit-ko-3b/{stage}.yaml")


@pytest.mark.parametrize("name", ["rabbit-ko-3b-native", "kanana-2.1b", "qwen3-4b"])
def test_a_native_recipe_for_a_gpu_trains_both_stages_in_one_format_on_rabbit_s_data(name: str) -> None:
    assert (CONFIGS / name / "data.yaml").readlink() == Path("../rabbit-ko-3b/data.yaml")
    for stage in ("sft", "dpo"):
        config = read_config(CONFIGS / name / f"{stage}.yaml")
        assert isinstance(template_for(config["datasets"][0]["type"]), Native)
        assert config["attn_implementation"] == "auto"


def test_the_a100_of_the_card_is_the_one_that_the_plan_fits_on() -> None:
    total = estimate(read_stage(CONFIGS / "aog-8b/sft.yaml"), 1, "ddp")["total"] / GIB
    text = (CONFIGS / "aog-8b/sft.yaml").read_text(encoding="utf-8")
    assert f"takes {total:.1f} GiB" in text
    assert 40 < total < 80


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_recipe_says_that_make_adds_what_it_does_not(path: Path) -> None:
    assert "make adds" not in " ".join(path.read_text(encoding="utf-8").replace("\n#", " ").split())
