"""docs/preferences.md names what the code has: methods, their costs, losses, settings, outcomes, files, commands."""

import inspect
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from axolotl.utils.schemas.config import AxolotlInputConfig
from pydantic import BaseModel
from trl import DPOTrainer
from typer.main import get_command

from axolotl_plugins.checks.preferences import LOSSES, OF_METHODS, SMOOTHED, UNWEIGHTED
from dataset_builders.prompt_sources import PROMPTS_FILE
from dataset_builders.recipe import DataConfig
from dataset_builders.rows import user
from dataset_builders.sources import SOURCES
from dataset_builders.sources.own_pairs import PAIRS_FILE
from rabbit_ko.cli.app import app
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.evaluation.judge.verdicts import Mode
from rabbit_ko.methods import METHODS
from rabbit_ko.pairs import answers, output, pairing, prompts, rules
from rabbit_ko.pairs.config import PairsConfig
from rabbit_ko.pairs.judges.rubric_judge import RubricConfig, RubricJudge
from rabbit_ko.pairs.records import Answer, Prompt
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.planning.work import token_flops
from tests.conftest import ROOT

PAGE = (ROOT / "docs/preferences.md").read_text(encoding="utf-8")
BLOCKS = {kind: re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("sh", "yaml")}
TEXT = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first heading begins so, each as its cells."""
    [found] = re.findall(rf"(?m)^\| {first}.*\n\|[ |-]+\n((?:\|.*\n)+)", PAGE)
    return [[cell.strip() for cell in row.strip().strip("|").split(" | ")] for row in found.splitlines()]


def names(text: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)


def test_every_method_is_in_the_table_with_its_rows_its_parent_and_its_reference() -> None:
    rows = {names(cells[0])[0]: cells[1:] for cells in table(r"method \| learns")}
    assert rows.keys() == METHODS.keys() - {"sft"}
    for name, (learns, start, reference, _) in rows.items():
        method = METHODS[name]
        assert learns == {"dpo": "pairs", "kto": "labelled answers, or pairs"}[method.rows]
        assert start == ("the merged SFT model" if method.parent else "the base")
        assert reference == ("yes" if name in ("dpo", "ipo", "kto") else "no")


def test_what_a_method_costs_is_what_the_plan_counts() -> None:
    dpo = read_stage(ROOT / "axolotl_configs/rabbit-ko-3b/dpo.yaml")
    rows = {names(cells[0])[0]: cells[1:] for cells in table(r"method \| forward")}
    assert rows.keys() == METHODS.keys() - {"sft"}
    for name, cells in rows.items():
        stage = dpo.model_copy(update={"method": METHODS[name]})
        ratio = token_flops(stage, 400) / token_flops(dpo, 400)
        assert cells == [str(stage.untrained_passes), f"{ratio:.2f}"], name


def test_the_losses_are_those_of_trl_and_the_keys_those_of_axolotl() -> None:
    source = inspect.getsource(DPOTrainer)
    known = set(re.findall(r'loss_type == "(\w+)"', source))
    others = PAGE.partition("Smoothing is read by")[2].partition("Earlier keys")[0]
    told = {name for line in others.splitlines() for name in names(line)}
    entries = [entry for cells in table("to have") for entry in names(cells[1])]
    chosen = [yaml.safe_load(entry) for entry in entries]
    for config in chosen:
        [(key, value)] = config.items()
        assert key in AxolotlInputConfig.model_fields.keys() & OF_METHODS.keys()
        told |= set(value) if key == "dpo_loss_type" else set()
    assert told == known == LOSSES
    smoothed = {*names(others.partition("TRL")[0])}
    assert smoothed == SMOOTHED
    assert set(re.findall(r'"(\w+)"', " ".join(_branches_with("label_smoothing")))) == SMOOTHED
    assert set(re.findall(r'"(\w+)"', re.findall(r"self.use_weighting and any\(.*", source)[0])) == UNWEIGHTED


def _branches_with(word: str) -> list[str]:
    branches = re.split(r"(?=\bif loss_type == |\belif loss_type == )", inspect.getsource(DPOTrainer))
    return [
        branch.partition(":")[0] for branch in branches if f"self.{word}" in branch and branch[:2] in ("if", "el")
    ]


def test_every_setting_of_pairs_yaml_is_told_with_its_default() -> None:
    told = {name: cells[1].strip("`") for cells in table("in pairs.yaml") for name in names(cells[0])}
    single = {name: default for name, default in told.items() if ", " not in default}
    found = dict(_settings(PairsConfig, ""))
    left = {name.rpartition(".")[0] for name in found} | {"judge.rules", "judge.reward_model.batch_size"}
    assert told.keys() >= found.keys() - left - {"judge.reward_model.max_length"}
    assert told.keys() <= found.keys()
    for name, default in single.items():
        if default.replace(".", "").isdigit():
            assert float(default) == found[name], name
    listed = next(cells for cells in table("in pairs.yaml") if "sampling.top_p" in cells[0])
    defaults = [str(found[name]).replace("[]", "none") for name in names(listed[0])]
    assert listed[1] == ", ".join(defaults)


def _settings(model: type[BaseModel], place: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        # Sources are entries of data.yaml, with settings of their own.
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        parts = [] if name == "sources" else parts
        found += [each for part in parts for each in _settings(part, f"{place}{name}.")]
        if not parts:
            found.append((f"{place}{name}", field.get_default(call_default_factory=True, validated_data={})))
    return found


def test_the_outcomes_are_those_of_the_code_in_the_order_in_which_they_are_tried() -> None:
    tried = [pairing.PAIR, answers.TOO_LONG, answers.NO_TEMPLATE, pairing.NO_ANSWERS, pairing.UNFIT, pairing.SAME]
    tried += [pairing.CUT, pairing.LENGTH, pairing.UNREADABLE, pairing.DISAGREEMENT, pairing.TIE, pairing.MARGIN]
    assert [names(cells[0])[0] for cells in table("outcome")] == tried
    constants = [value for name, value in vars(pairing).items() if name.isupper() and isinstance(value, str)]
    assert set(constants) <= set(tried)
    for reason in (prompts.NOT_PLAIN, prompts.TESTED, prompts.SAME, prompts.OVER_MAX):
        assert f"`{reason}`" in PAGE


def test_every_file_of_a_folder_of_pairs_is_told() -> None:
    told = {name for cells in table(r"file \| what") for name in names(cells[0])}
    made = {output.ANSWERS, output.VERDICTS, output.JUDGED, PAIRS_FILE, PROMPTS_FILE, output.RECORD}
    assert told == made | {"dpo/", "rejected/", "manifest.json", "report.html"}


@pytest.mark.parametrize("n", [2, 4, 5])
def test_the_judge_s_requests_are_those_that_are_told(n: int) -> None:
    rows = {tuple(names(cells[0])): cells[1:] for cells in table(r"judge \| requests")}
    endpoint = find_endpoint("JUDGE", "http://localhost:9/v1", "judge", 1, 1.0)
    case = Prompt("", "", [user("질문")]), [Answer("", f"답 {place}", True) for place in range(n)]
    modes: tuple[Mode, ...] = ("score", "pairwise")
    for mode in modes:
        told, with_four = rows["rubric", f"mode: {mode}"]
        judge = RubricJudge(endpoint, RubricConfig(mode=mode, verdicts=3))
        requests = judge.work([case], Path("none")).requests
        assert requests == eval(told.replace("`verdicts`", "3").replace("n (", "n*(").replace("x", "*"), {"n": n})
        assert n != 4 or requests == 3 * int(with_four)


def test_the_rules_that_are_named_are_there_and_so_are_sources_and_links() -> None:
    named = PAGE.partition("`rabbit_ko.pairs.rules` has")[2].partition("any function")[0]
    own = {name for name, value in vars(rules).items() if inspect.isfunction(value) and _is_rule(value)}
    assert {*names(named)} == own
    assert {*re.findall(r"source: (\w+)", PAGE)} <= SOURCES.keys()
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    [block] = BLOCKS["yaml"]
    assert DataConfig.model_validate(yaml.safe_load(block), context={"recipe": "mine"}).stand_ins


def _is_rule(function: object) -> bool:
    parameters = [*inspect.signature(function).parameters][:2]  # type: ignore[arg-type]
    return parameters == ["prompt", "answer"]


def test_every_command_is_one_with_its_options() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in BLOCKS["sh"] for line in block.splitlines() if line.startswith("make ")]
    lines += [name for name in names(TEXT) if name.startswith("make ")]
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        options = {word.partition("=")[0].lower() for word in words if "=" in word}
        targets = [word for word in words if "=" not in word]
        taken = {parameter.name for target in targets for parameter in known[target].params}
        assert options <= taken, line


def test_a_round_is_made_of_dpo_by_the_lines_that_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "axolotl_configs/mine"
    folder.mkdir(parents=True)
    dpo = (ROOT / "axolotl_configs/smoke/dpo.yaml").read_text(encoding="utf-8").replace("smoke", "mine")
    (folder / "dpo.yaml").write_text(dpo, encoding="utf-8")
    [block] = [block for block in BLOCKS["sh"] if block.startswith("sed")]
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True)
    for number in (1, 2):
        made = yaml.safe_load((folder / f"dpo-{number}.yaml").read_text(encoding="utf-8"))
        smoke = (ROOT / f"axolotl_configs/smoke/dpo-{number}.yaml").read_text(encoding="utf-8")
        wanted = yaml.safe_load(smoke.replace("smoke", "mine"))
        for key in ("base_model", "datasets", "test_datasets", "output_dir", "dataset_prepared_path"):
            assert made[key] == wanted[key]
