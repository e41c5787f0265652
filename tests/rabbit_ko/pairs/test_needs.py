"""Whether pairs are of the stage and settings that there are, and who asks for that before anything long starts."""

import json
import re
import shutil
from typing import Any

import pytest
import yaml

from axolotl_plugins.resume.identity import stage_identity
from rabbit_ko.errors import UserError
from rabbit_ko.pairs.making import Options, make_pairs
from rabbit_ko.pairs.output import pairs_state
from rabbit_ko.recipes import Recipe
from rabbit_ko.run_record import describe_files, trained_files
from tests.rabbit_ko.evaluation.judge_server import Judge
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.pairs.making import FOLDER, RULES, endpoint, make, write_config

SMOKE = Recipe("smoke")
OTHER = {"rules": [{**RULES["rules"][0], "most": 31}]}
pytestmark = pytest.mark.usefixtures("recipe")


def finish(stage: str, weights: bytes = b"") -> None:
    """Leave what a finished run of a stage leaves, as far as its state is told by it."""
    folder = SMOKE.run(stage)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    files = {name: file.model_dump() for name, file in describe_files(folder).items() if name != "run.json"}
    run = {"made_of": stage_identity(SMOKE.config(stage), {}), "overrides": {}, "files": files}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


def put_pairs(stage: str) -> None:
    """Leave pairs of a stage's answers, which are those of the base."""
    make()
    shutil.copytree(FOLDER, SMOKE.pairs(stage))
    record = json.loads((FOLDER / "pairs.json").read_text())
    record |= {"stage": stage, "trained": trained_files(SMOKE.run(stage))}
    (SMOKE.pairs(stage) / "pairs.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling": {"temperature": 0.7}}, "stale: sampling of pairs.yaml changed"),
        ({"pairing": {"margin": 0.6}, "judge": OTHER}, "stale: pairing, judge of pairs.yaml changed"),
        ({}, "up to date"),
    ],
)
def test_pairs_are_stale_where_what_pairs_yaml_says_has_changed(changes: dict[str, Any], said: str) -> None:
    make()
    write_config(**changes)
    assert pairs_state(SMOKE, "base") == said


def test_pairs_are_stale_where_their_stage_was_trained_anew_and_missing_where_there_are_none() -> None:
    finish("sft")
    assert pairs_state(SMOKE, "sft") == "missing"
    put_pairs("sft")
    assert pairs_state(SMOKE, "sft") == "up to date"
    finish("sft", b"other")
    assert pairs_state(SMOKE, "sft") == "stale: sft was trained anew"


@pytest.mark.parametrize(
    ("stage", "goals"), [("dpo", "pairs data dpo"), ("kto", "pairs data kto"), ("dpo-1", "pairs dpo-1")]
)
def test_no_stage_trains_on_pairs_of_another_model_whichever_way_they_come(
    stage: str, goals: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish("sft")
    put_pairs("sft")
    config = yaml.safe_load(SMOKE.data_config.read_text(encoding="utf-8"))
    own = {"source": "own_pairs", "path": "data/pairs/{recipe}/sft"}
    SMOKE.data_config.write_text(yaml.safe_dump({**config, "sources": [*config["sources"], own]}))

    def lines() -> str:
        return " ".join(rabbit("status").stdout.split())

    assert "pairs STAGE=sft up to date" in lines()
    finish("sft", b"other")
    ran = rabbit(stage)
    assert (ran.exit_code, ran.stderr) == (
        1,
        f"error: {stage} learns from data/pairs/smoke/sft, which is stale: sft was trained anew; "
        f"run `make {goals} RECIPE=smoke STAGE=sft`\n",
    )
    assert "pairs STAGE=sft stale: sft was trained anew" in lines()
    rabbit("data")
    assert re.search("next: make pairs STAGE=sft RECIPE=smoke$", lines())


def test_no_judge_is_asked_about_a_stage_that_is_not_up_to_date(judge: Judge) -> None:
    write_config(judge={"rubric": {}})
    finish("sft")
    text = SMOKE.config("sft").read_text(encoding="utf-8")
    SMOKE.config("sft").write_text(text.replace("num_epochs: 3", "num_epochs: 4"), encoding="utf-8")
    line = r"^runs/smoke/sft is stale: num_epochs was 3, not 4; run `make sft pairs STAGE=sft RECIPE=smoke`$"
    with pytest.raises(UserError, match=line):
        make_pairs("smoke", "sft", Options(endpoint("JUDGE", judge)))
    (SMOKE.run("sft") / "modeling.py").touch()
    SMOKE.config("sft").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"runs/smoke/sft/modeling\.py: was not written by its run"):
        make_pairs("smoke", "sft", Options(endpoint("JUDGE", judge)))
    assert not judge.requests
    assert not SMOKE.pairs("sft").exists()


def test_no_pairs_are_made_for_rounds_of_which_one_cannot_be_trained() -> None:
    finish("sft")
    text = SMOKE.config("dpo-2").read_text(encoding="utf-8")
    SMOKE.config("dpo-2").write_text(text.replace("output_dir: runs/smoke/dpo-2", "output_dir: runs/smoke/dpo-1"))
    ran = rabbit("pairs", "--rounds", "2")
    assert (ran.exit_code, "axolotl_configs/smoke/dpo-2.yaml: output_dir" in ran.stderr) == (1, True), ran.stderr
    assert not SMOKE.pairs("sft").exists()


@pytest.mark.parametrize("judge_config", [RULES, {"reward_model": {"model": "org/judge"}}])
def test_a_judges_url_is_refused_where_nobody_would_ask_it(judge: Judge, judge_config: dict[str, Any]) -> None:
    write_config(judge=judge_config)
    with pytest.raises(
        UserError, match=r"^JUDGE_URL: pairs\.yaml has `judge: (rules|reward_model):`, which asks no server"
    ):
        make(judge=endpoint("JUDGE", judge))
    assert not FOLDER.exists()
